"""Mamba-1 block and its residual layer (Gu & Dao 2023, arXiv 2312.00752), with masks and a state between pieces.

h_t = Abar h_{t-1} + Bbar x_t, y_t = C h_t, with Abar = exp(dt A) and Bbar = dt B (AlignMamba, CVPR 2025, fusion;
arXiv 2412.00833). The scan itself is `alignmamba.ops.selective_scan`; parameters have the names of `mamba_ssm`, so a
state_dict of one fits the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from alignmamba.config import ModelConfig
from alignmamba.ops import cpu, cpu_fused
from alignmamba.ops.selective_scan import carries_state, choose_backend, selective_scan

# Step sizes at initialisation, as published with Mamba.
DT_MIN, DT_MAX = 1e-3, 1e-1
STATE_PER_DT_RANK = 16  # dt_rank = ceil(width / 16)
# Steps whose inner activations are held at once without gradients. A GPU is bound by the launches of its kernels until
# it has so many steps to work on.
BLOCK_STEPS, GPU_BLOCK_STEPS = 1024, 16_384


class MambaState(NamedTuple):
    """State of a causal block between two pieces of one sequence."""

    conv: Float[Tensor, "batch taps inner"]
    scan: Float[Tensor, "batch inner state"]


class Mamba(nn.Module):
    """Selective state space block: in_proj, causal convolution, scan, gate, out_proj.

    A masked step takes part in nothing: its input is zeroed before the convolution and its step size is zero, so
    that the state passes it unchanged. With `conditions`, each step size is also multiplied by a learnt gate
    2 sigmoid(W c) of what is known to be missing at the step, c: one where nothing is, and at the start of training.

    >>> block, x = Mamba(width=16), torch.randn(2, 10, 16)
    >>> y = block(x)
    >>> first, state = block.run(x[:, :6], None)
    >>> second, _ = block.run(x[:, 6:], None, state)  # in pieces: the same numbers
    >>> torch.allclose(torch.cat([first, second], 1), y, atol=1e-6)
    True
    """

    def __init__(
        self, width: int, *, state_dim: int = 16, conv_width: int = 4, expand: int = 2, conditions: int = 0
    ) -> None:
        super().__init__()
        inner = expand * width
        dt_rank = math.ceil(width / STATE_PER_DT_RANK)
        self.inner, self.state_dim, self.dt_rank, self.conv_width = inner, state_dim, dt_rank, conv_width
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, conv_width, groups=inner, padding=conv_width - 1)
        self.x_proj = nn.Linear(inner, dt_rank + 2 * state_dim, bias=False)
        self.dt_proj = nn.Linear(dt_rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, state_dim + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.missing_gate = nn.Parameter(torch.zeros(inner, conditions)) if conditions else None
        self._init_step_sizes()

    def _init_step_sizes(self) -> None:
        """Draw softplus(dt_proj.bias) log-uniformly from [DT_MIN, DT_MAX]."""
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        step = torch.exp(torch.empty(self.inner).uniform_(math.log(DT_MIN), math.log(DT_MAX)))
        with torch.no_grad():
            self.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus

    def initial_state(self, batch: int) -> MambaState:
        """State before the first step: zeros."""
        conv = self.D.new_zeros(batch, self.conv_width - 1, self.inner)
        return MambaState(conv, self.D.new_zeros(batch, self.inner, self.state_dim))

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "batch time"] | None = None,
        *,
        missing: Float[Tensor, "batch time conditions"] | None = None,
        reverse: bool = False,
    ) -> Float[Tensor, "batch time width"]:
        """Run over a whole sequence; with `reverse`, from its end to its start."""
        return self.run(x, mask, missing=missing, reverse=reverse)[0]

    def run(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "batch time"] | None,
        state: MambaState | None = None,
        *,
        missing: Float[Tensor, "batch time conditions"] | None = None,
        reverse: bool = False,
    ) -> tuple[Float[Tensor, "batch time width"], MambaState]:
        """Run over a piece of a sequence and return the state after it.

        Pieces run one after the other give the same numbers as the whole.

        Args:
            x: Steps.
            mask: True where a step counts; None: everywhere.
            state: After the piece before. None before the first step: zeros, which every backend of the scan takes,
                while a state of its own is more than mamba-ssm's kernel takes.
            missing: What is missing at each step, for the gate; None: nothing, and the gate is one.
            reverse: Run from the last step to the first.

        Raises:
            ValueError: If there is no gate for what is missing, or one of another size.
        """
        gating = None if missing is None else self._gating(missing)
        if self._fuses(x, *(state or ())):
            return self._run_fused(x, mask, state, gating, reverse=reverse)
        u, gate = self.in_proj(x).chunk(2, dim=-1)  # (batch, time, 2 inner) -> two of (batch, time, inner)
        if mask is not None:
            u = u * mask[:, :, None]
        before, begin = (None, None) if state is None else state
        u, tail = self._convolve(u, before, reverse=reverse)
        u = F.silu(u)
        # (batch, time, dt_rank + 2 state) -> (batch, time, dt_rank), (batch, time, state), (batch, time, state)
        low_rank, B, C = self.x_proj(u).split([self.dt_rank, self.state_dim, self.state_dim], dim=-1)
        dt = F.softplus(self.dt_proj(low_rank))  # (batch, time, inner)
        if mask is not None:
            dt = dt * mask[:, :, None]
        if gating is not None:
            dt = dt * gating
        y, last = selective_scan(u, dt, -torch.exp(self.A_log), B, C, self.D, reverse=reverse, state=begin)
        return self.out_proj(y * F.silu(gate)), MambaState(tail, last)

    def _gating(self, missing: Float[Tensor, "batch time conditions"]) -> Float[Tensor, "batch time inner"]:
        """Factors of the step sizes: between 0 and 2, and 1 where nothing is missing."""
        conditions = 0 if self.missing_gate is None else self.missing_gate.shape[1]
        if self.missing_gate is None or missing.shape[-1] != conditions:
            raise ValueError(f"missing: {missing.shape[-1]} conditions, expected {conditions}")
        return 2 * torch.sigmoid(missing @ self.missing_gate.T)

    @property
    def _bias(self) -> Tensor:
        """Bias of the convolution, which `nn.Conv1d` types as optional."""
        assert self.conv1d.bias is not None
        return self.conv1d.bias

    def _fuses(self, *inputs: Tensor) -> bool:
        """Whether no gradient is wanted and the C++ kernels are the backend."""
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*inputs, *self.parameters())):
            return False
        if inputs[0].numel() == 0:
            return False
        return cpu_fused.applies(*inputs, self.D) and choose_backend(inputs[0].device, self.D.dtype) == "cpp"

    def _run_fused(
        self, x: Tensor, mask: Tensor | None, state: MambaState | None, gating: Tensor | None, *, reverse: bool
    ) -> tuple[Tensor, MambaState]:
        """`run` where no gradient is wanted and the C++ kernels are at hand: two of them and three products."""
        kernel = cpu.kernel()
        state = state or self.initial_state(len(x))
        # The products without their modules, whose calls cost as much as a product of a short clip.
        u, gate = F.linear(x, self.in_proj.weight).chunk(2, dim=-1)
        u, tail = cpu_fused.convolve(kernel, u, mask, state.conv, self.conv1d.weight, self._bias, reverse=reverse)
        sizes = cpu_fused.StepSizes(self.dt_proj.weight, self.dt_proj.bias, self.A_log, self.D)
        projected = F.linear(u, self.x_proj.weight)
        last = cpu_fused.gated_scan_(
            kernel, u, gate, projected, mask, state.scan, sizes, gating=gating, reverse=reverse
        )
        return F.linear(u, self.out_proj.weight), MambaState(tail, last)

    def _convolve(self, u: Tensor, before: Tensor | None, *, reverse: bool) -> tuple[Tensor, Tensor]:
        """Depthwise convolution over (batch, time, inner) as a sum of shifted products: no transposed copy."""
        taps = rearrange(self.conv1d.weight, "inner 1 taps -> taps inner")
        length, reach = u.shape[1], self.conv_width - 1
        if before is None:
            before = u.new_zeros(len(u), reach, self.inner)
        if reverse:
            padded, taps = torch.cat([u, before], 1), taps.flip(0)
        else:
            padded = torch.cat([before, u], 1)
        out = self._bias + padded[:, :length] * taps[0]
        for tap in range(1, self.conv_width):
            out = torch.addcmul(out, padded[:, tap : tap + length], taps[tap])
        # The weights are float32 under autocast: without the cast the scan would never see half precision.
        return out.to(u.dtype), padded[:, :reach] if reverse else padded[:, length:]


class MambaLayer(nn.Module):
    """Pre-norm residual layer: x + dropout(mamba(norm(x))), causal or bidirectional.

    >>> layer = MambaLayer(16, state_dim=4, conv_width=4, expand=2, dropout=0.0, bidirectional=True)
    >>> layer(torch.randn(2, 10, 16)).shape
    torch.Size([2, 10, 16])
    """

    def __init__(
        self,
        width: int,
        *,
        state_dim: int,
        conv_width: int,
        expand: int,
        dropout: float,
        bidirectional: bool,
        conditions: int = 0,
    ) -> None:
        """Make a layer; with `conditions`, with a gate for what is missing, see `Mamba`."""
        super().__init__()
        self.norm = nn.LayerNorm(width)

        def block() -> Mamba:
            return Mamba(width, state_dim=state_dim, conv_width=conv_width, expand=expand, conditions=conditions)

        self.forwards = block()
        self.backwards = block() if bidirectional else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "batch time"] | None = None,
        *,
        missing: Float[Tensor, "batch time conditions"] | None = None,
    ) -> Float[Tensor, "batch time width"]:
        """Apply the layer; masked steps influence no other step."""
        normed = self.norm(x)
        y = self.forwards(normed, mask, missing=missing)
        if self.backwards is not None:
            y = y + self.backwards(normed, mask, missing=missing, reverse=True)
        out: Tensor = x + self.dropout(y)
        return out

    def run(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "batch time"] | None,
        state: MambaState | None = None,
        *,
        missing: Float[Tensor, "batch time conditions"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], MambaState]:
        """Apply a causal layer to a piece of a sequence and return the state after it; see `Mamba.run`."""
        y, state = self.forwards.run(self.norm(x), mask, state, missing=missing)
        return x + self.dropout(y), state


def mamba_layers(config: ModelConfig, count: int, *, conditions: int = 0) -> nn.ModuleList:
    """A stack of residual Mamba layers of the configured shape; `conditions` as in `MambaLayer`."""
    return nn.ModuleList(
        MambaLayer(
            config.width,
            state_dim=config.state_dim,
            conv_width=config.conv_width,
            expand=config.expand,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            conditions=conditions,
        )
        for _ in range(count)
    )


def run_layers(
    layers: Iterable[nn.Module],
    x: Float[Tensor, "batch time width"],
    mask: Bool[Tensor, "batch time"],
    *,
    norm: nn.Module,
    missing: Float[Tensor, "batch time conditions"] | None = None,
    overwrite: bool = False,
) -> Float[Tensor, "batch time width"]:
    """Run a stack of layers and a norm; without gradients in pieces, which gives the same numbers.

    A causal layer hands its convolution tail and scan state from piece to piece, so the inner activations, several
    times the size of the sequence, are held for one piece only. With gradients, if it is bidirectional, or if the
    scan's backend takes no state, a layer needs the whole sequence at once. With `overwrite`, x may be used for the
    result, which saves one more sequence.
    """
    stack = [cast(MambaLayer, layer) for layer in layers]  # nn.ModuleList forgets the type of its modules
    steps = GPU_BLOCK_STEPS if x.device.type == "cuda" else BLOCK_STEPS
    whole = torch.is_grad_enabled() or x.shape[1] <= steps or any(layer.backwards is not None for layer in stack)
    if whole or not stack or not carries_state(x.device, x.dtype):
        for layer in stack:
            x = layer(x, mask, missing=missing)
        x = norm(x)
        return x
    out = None
    states: list[MambaState | None] = [None] * len(stack)
    for first in range(0, x.shape[1], steps):
        piece = slice(first, first + steps)
        y, y_mask, y_missing = x[:, piece], mask[:, piece], None if missing is None else missing[:, piece]
        for number, layer in enumerate(stack):
            y, states[number] = layer.run(y, y_mask, states[number], missing=y_missing)
        y = norm(y)
        if out is None:  # under autocast the norm's dtype may be another one than x's
            out = x if overwrite and x.dtype == y.dtype else x.new_empty(x.shape, dtype=y.dtype)
        out[:, piece] = y
    assert out is not None  # x is longer than a block
    return out
