"""The selective scan of Mamba-1: one function, five backends, chosen by device and logged.

| backend | runs on | what it is |
|---|---|---|
| `cuda` | NVIDIA GPUs | mamba-ssm's compiled kernel, where `selective_scan_cuda` imports |
| `cpp` | CPU | own kernel, compiled at first use |
| `triton` | GPUs | own kernel; Triton needs gcc and Python's headers at first use |
| `torch` | everywhere | chunked loop in plain torch |
| `reference` | everywhere | plain float64 loop, the oracle of the others |

The first one in this order that works on the device is taken and named in one log line; the environment variable
`ALIGNMAMBA_SCAN` forces one instead. All but `reference` have a backward that is linear in length.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from alignmamba.ops import chunked, cpu, cuda, reference, triton
from alignmamba.ops.interface import Inputs, Outputs

_log = logging.getLogger(__name__)

FORCE_VARIABLE = "ALIGNMAMBA_SCAN"

Backend = Literal["cuda", "cpp", "triton", "torch", "reference"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
_WITHOUT_STATE: tuple[Backend, ...] = ("cuda",)
HALF = (torch.float16, torch.bfloat16)


class _BackendModule(Protocol):
    def scan(self, inputs: Inputs, *, reverse: bool) -> Outputs:
        """Run `selective_scan`."""

    def unavailable(self, device: str, dtype: torch.dtype) -> str | None:
        """Why it cannot run there, or None."""

    def describe(self) -> str:
        """One phrase for the screen and the log."""


_MODULES: dict[Backend, _BackendModule] = {
    "cuda": cuda,
    "cpp": cpu,
    "triton": triton,
    "torch": chunked,
    "reference": reference,
}


class BackendError(ValueError):
    """The backend that was asked for cannot do what was asked of it."""


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    *,
    reverse: bool = False,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t and y_t = C_t h_t + D x_t over a batch of sequences.

    Channels are the contiguous axis because that is what projections return and what fills SIMD lanes; other strides
    are accepted and copied. A step with dt = 0 passes the state unchanged: mask padding by dt * mask. Differentiable
    once in every tensor, through y and through the final state.

    Args:
        x: (batch, length, dim) input.
        dt: (batch, length, dim) step sizes, softplus and mask applied, >= 0.
        A: (dim, state) decay rates, < 0.
        B: (batch, length, state) input weights.
        C: (batch, length, state) output weights.
        D: (dim,) skip weights.
        reverse: Run from the last step to the first.
        state: (batch, dim, state) before the first step that is run; None is zeros.

    Returns:
        y (batch, length, dim) in x's dtype, and the state (batch, dim, state) after the last step that was run (with
        `reverse` that is step 0), in the dtype computed in: float64 for float64 inputs, else float32.

    Raises:
        ValueError: If a shape, dtype or device does not fit, or the length is 0; the message names the tensor.
        BackendError: If `ALIGNMAMBA_SCAN` forces a backend that cannot run here.

    >>> x, dt, A = torch.ones(1, 3, 1), torch.ones(1, 3, 1), -torch.ones(1, 1)
    >>> y, last = selective_scan(x, dt, A, B=x, C=x, D=torch.zeros(1))  # h_t = h_{t-1} / e + 1
    >>> [round(value, 4) for value in y.flatten().tolist()], round(last.item(), 4)
    ([1.0, 1.3679, 1.5032], 1.5032)
    """
    dtype = _check(x, dt, A, B, C, D, state)
    backend = choose_backend(x.device, dtype, with_state=state is not None)
    if state is None:
        state = torch.zeros(len(x), *A.shape, dtype=dtype, device=x.device)
    # mamba-ssm's kernel reads sequences in half precision as they are and computes in float32 inside.
    stored = x.dtype if backend == "cuda" and x.dtype in HALF else dtype
    with torch.autocast(x.device.type, enabled=False):
        inputs = Inputs(
            x.to(stored), dt.to(stored), A.to(dtype), B.to(stored), C.to(stored), D.to(dtype), state.to(dtype)
        )
        y, final = _MODULES[backend].scan(inputs, reverse=reverse)
        return y.to(x.dtype), final


def choose_backend(
    device: torch.device | str, dtype: torch.dtype = torch.float32, *, with_state: bool = False
) -> Backend:
    """Choose the backend for tensors on a device; the first choice of each is logged.

    Args:
        device: Where the tensors are.
        dtype: What is computed in; everything below float32 is computed in float32.
        with_state: Whether an initial state is given (mamba-ssm's kernel takes none).

    Returns:
        One of `BACKENDS`.

    Raises:
        ValueError: If `ALIGNMAMBA_SCAN` names no backend.
        BackendError: If it names one that cannot run here.
    """
    dtype = torch.float64 if dtype == torch.float64 else torch.float32
    return _choose(torch.device(device).type, dtype, with_state, os.environ.get(FORCE_VARIABLE) or None)


def carries_state(device: torch.device | str, dtype: torch.dtype = torch.float32) -> bool:
    """Whether the backend in use on a device goes on from a state, so that a sequence can be run in pieces."""
    return choose_backend(device, dtype) not in _WITHOUT_STATE


def backend_name(device: torch.device | str, dtype: torch.dtype = torch.float32) -> str:
    """Describe the backend in use on a device, for display: its name and what it was built with."""
    name = choose_backend(device, dtype)
    return f"{name} ({_MODULES[name].describe()})"


@functools.cache
def _choose(device: str, dtype: torch.dtype, with_state: bool, forced: str | None) -> Backend:
    candidates = [name for name in BACKENDS if forced in (None, name)]
    if not candidates:
        raise ValueError(f"{FORCE_VARIABLE}: {forced!r}, expected one of {', '.join(BACKENDS)}")
    refused = []
    for name in candidates:
        reason = _MODULES[name].unavailable(device, dtype)
        if reason is None and with_state and name in _WITHOUT_STATE:
            reason = "takes no initial state"
        if reason is None:
            _log_once(device, name)
            return name
        refused.append(f"{name}: {reason}")
    raise BackendError(f"{FORCE_VARIABLE}: {forced!r} cannot run on {device} in {dtype}: {refused[0]}")


@functools.cache
def _log_once(device: str, name: Backend) -> None:
    _log.info("selective scan on %s: %s (%s)", device, name, _MODULES[name].describe())


def _check(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, state: Tensor | None) -> torch.dtype:
    """Check shapes, dtypes and devices against x and A; return the dtype to compute in."""
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"x: shape {tuple(x.shape)}, expected (batch, length, dim), each at least 1")
    batch, length, dim = x.shape
    if A.ndim != 2 or len(A) != dim or 0 in A.shape:
        raise ValueError(f"A: shape {tuple(A.shape)}, expected (dim, state) = ({dim}, at least 1)")
    states = A.shape[1]
    expected = {
        "x": (x, x.shape),
        "dt": (dt, (batch, length, dim)),
        "A": (A, A.shape),
        "B": (B, (batch, length, states)),
        "C": (C, (batch, length, states)),
        "D": (D, (dim,)),
    }
    if state is not None:
        expected["state"] = (state, (batch, dim, states))
    for name, (tensor, shape) in expected.items():
        if tensor.shape != shape:
            raise ValueError(f"{name}: shape {tuple(tensor.shape)}, expected {tuple(shape)}")
        if tensor.device != x.device:
            raise ValueError(f"{name}: on {tensor.device}, expected {x.device} as x")
        if not tensor.is_floating_point():
            raise ValueError(f"{name}: {tensor.dtype}, expected a floating-point dtype")
        # Half and single precision may mix (autocast does that); double in part is a mistake.
        if (tensor.dtype == torch.float64) != (x.dtype == torch.float64):
            raise ValueError(f"{name}: {tensor.dtype}, expected all float64 or none, and x is {x.dtype}")
    return torch.float64 if x.dtype == torch.float64 else torch.float32
