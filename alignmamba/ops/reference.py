"""Selective scan as a plain float64 loop: slow, obvious, the oracle of the other backends."""

from __future__ import annotations

import torch

from alignmamba.ops.interface import Inputs, Outputs


def unavailable(device: str, dtype: torch.dtype) -> str | None:
    """Why the loop cannot run there: only where there is no float64."""
    return "Apple's GPUs have no float64" if device == "mps" else None


def describe() -> str:
    """One phrase for the screen and the log."""
    return "plain float64 loop"


def scan(inputs: Inputs, *, reverse: bool) -> Outputs:
    """Run `alignmamba.ops.selective_scan.selective_scan`; every step in float64, gradients by autograd."""
    dtype = inputs.x.dtype
    x, dt, A, B, C, D, h = (tensor.double() for tensor in inputs)
    # unbind, not indexing: the backward of L selections would fill L tensors of full length.
    steps = list(zip(x.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True))
    outputs = []
    for x_t, dt_t, B_t, C_t in reversed(steps) if reverse else steps:
        decay = torch.exp(dt_t[:, :, None] * A)
        h = decay * h + (dt_t * x_t)[:, :, None] * B_t[:, None, :]
        outputs.append((h * C_t[:, None, :]).sum(-1) + D * x_t)
    if reverse:
        outputs.reverse()
    return torch.stack(outputs, 1).to(dtype), h.to(dtype)
