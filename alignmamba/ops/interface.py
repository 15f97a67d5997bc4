"""What the backends of the selective scan share: their inputs, and the autograd function around a pair of kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Outputs = tuple[Float[Tensor, "batch length dim"], Float[Tensor, "batch dim state"]]


class Inputs(NamedTuple):
    """Checked inputs of `alignmamba.ops.selective_scan.selective_scan`, on one device and of one dtype.

    Only for mamba-ssm's kernel x, dt, B and C may be in half precision beside the others in float32.
    """

    x: Float[Tensor, "batch length dim"]
    dt: Float[Tensor, "batch length dim"]
    A: Float[Tensor, "dim state"]
    B: Float[Tensor, "batch length state"]
    C: Float[Tensor, "batch length state"]
    D: Float[Tensor, " dim"]
    state: Float[Tensor, "batch dim state"]

    def flip(self) -> Inputs:
        """The same sequences from their last step to their first."""
        return self._replace(x=self.x.flip(1), dt=self.dt.flip(1), B=self.B.flip(1), C=self.C.flip(1))

    def recorded(self) -> bool:
        """Whether a backward may follow, so that what only it needs is worth its memory."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in self)


class Kernels(NamedTuple):
    """A scan and its gradients as plain functions of tensors.

    Attributes:
        forward: (inputs, keep, reverse) to y, the final state, and the tensors that `backward` needs; states at chunk
            borders are among them only with `keep`.
        backward: (saved tensors, gradient of y, gradient of the final state, reverse) to the gradients of `Inputs`.
    """

    forward: Callable[[Inputs, bool, bool], tuple[Tensor, Tensor, tuple[Tensor | None, ...]]]
    backward: Callable[[tuple[Any, ...], Tensor, Tensor, bool], tuple[Tensor, ...]]


def differentiable(kernels: Kernels, inputs: Inputs, *, reverse: bool) -> Outputs:
    """Run a scan whose gradients are computed by its own backward; first derivatives only."""
    outputs: Outputs = _Scan.apply(  # type: ignore[no-untyped-call]  # torch does not annotate Function.apply
        kernels, inputs.recorded(), reverse, *inputs
    )
    return outputs


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, keep: bool, reverse: bool, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        y, final, saved = kernels.forward(Inputs(*tensors), keep, reverse)
        ctx.save_for_backward(*saved)
        ctx.kernels, ctx.reverse = kernels, reverse
        return y, final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_final: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad_y.device.type, enabled=False):
            return None, None, None, *ctx.kernels.backward(ctx.saved_tensors, grad_y, grad_final, ctx.reverse)
