"""Selective scan on NVIDIA GPUs by mamba-ssm's compiled kernel, where its extension is there.

The kernel takes single and half precision as it comes. It wants (batch, dim, length) arrays, runs forward in time,
starts from zeros and gives no gradient for its final state: arrays are transposed, `reverse` flips them, an initial
state is another backend's job (`alignmamba.ops.selective_scan` sees to that), and the final state's gradient comes from
the torch loop, only when it is needed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from importlib import metadata
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from alignmamba.ops import chunked
from alignmamba.ops.interface import Inputs, Outputs


def unavailable(device: str, dtype: torch.dtype) -> str | None:
    """Why the kernel cannot run there, or None."""
    if device != "cuda":
        return "runs on NVIDIA GPUs only"
    if dtype != torch.float32:
        return "computes in torch.float32, from single and half precision"
    return _missing()


def describe() -> str:
    """One phrase for the screen and the log."""
    return f"mamba-ssm {metadata.version('mamba-ssm')} kernel"


def scan(inputs: Inputs, *, reverse: bool) -> Outputs:
    """Run `alignmamba.ops.selective_scan.selective_scan` from a state of zeros."""
    x, dt, A, B, C, D, _ = inputs.flip() if reverse else inputs
    kernel = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    channels_first = (tensor.transpose(1, 2).contiguous() for tensor in (x, dt))
    weights = (tensor.transpose(1, 2).contiguous() for tensor in (B, C))
    y, final = kernel(*channels_first, A, *weights, D, return_last_state=True)
    y = y.transpose(1, 2)
    # torch does not annotate Function.apply
    state = _FinalState.apply(final.detach(), x, dt, A, B)  # type: ignore[no-untyped-call]
    return (y.flip(1) if reverse else y), state


class _FinalState(torch.autograd.Function):
    """The final state as the kernel gave it, with the gradient that the kernel does not give."""

    @staticmethod
    def forward(ctx: Any, final: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor) -> Tensor:
        ctx.save_for_backward(x, dt, A, B)
        return final.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_final: Tensor) -> tuple[Tensor | None, ...]:
        inputs = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
        nothing = torch.zeros_like(inputs[3]), torch.zeros_like(inputs[2][:, 0]), torch.zeros_like(grad_final)
        with torch.enable_grad(), torch.autocast(grad_final.device.type, enabled=False):
            full = Inputs(*(tensor.to(grad_final.dtype) for tensor in (*inputs, *nothing)))
            _, final = chunked.scan(full, reverse=False)
        return None, *torch.autograd.grad(final, inputs, grad_final)


@functools.cache
def _missing() -> str | None:
    # mamba_ssm alone proves nothing: its Mamba-1 kernel is an extension of its own that not every build has.
    try:
        importlib.import_module("selective_scan_cuda")
    except ImportError as error:
        return str(error)
    return None
