"""Selective scan on a GPU by own Triton kernels, which need no CUDA toolkit.

At first use Triton builds a small driver of its own, for which gcc and Python's headers have to be there.

Tiles and block sizes suit d_state 16 and are the best of a sweep on one Hopper GPU (H200). With `TRITON_INTERPRET=1`
set before triton is imported, the kernels run on CPU tensors in its interpreter, which is how tests check them without
a GPU.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from typing import Any

import torch
from torch import Tensor

from alignmamba.ops.interface import Inputs, Kernels, Outputs, differentiable

_log = logging.getLogger(__name__)

CHUNK = 64  # steps a tile, and between two kept states
_TILE = 2048  # numbers in a (time, channel, state) tile
_WARPS = 4


def unavailable(device: str, dtype: torch.dtype) -> str | None:
    """Why the kernels cannot run there, or None; builds Triton's driver at the first call."""
    try:
        importlib.import_module("triton")
    except ImportError as error:
        return str(error)
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    return _no_driver() if device == "cuda" else "runs on GPUs only (elsewhere with TRITON_INTERPRET=1, slowly)"


@functools.cache
def _no_driver() -> str | None:
    """Why Triton has no driver for the GPU, or None: asked and logged once per process."""
    try:
        importlib.import_module("triton.runtime.driver").driver.active.get_current_target()
    except Exception as error:  # a compiler, a header or a library that is missing, or a GPU that is too old
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        _log.warning(
            "no Triton kernels on the GPU, the torch loop (several times slower) takes their place: %s. Triton builds "
            "its driver at first use and needs gcc and Python's headers for it (Debian: gcc, python3-dev)",
            reason,
        )
        return f"its driver cannot be built or loaded: {reason}"
    return None


def describe() -> str:
    """One phrase for the screen and the log."""
    return f"Triton {importlib.import_module('triton').__version__} kernel"


def scan(inputs: Inputs, *, reverse: bool) -> Outputs:
    """Run `alignmamba.ops.selective_scan.selective_scan`.

    The gradients of B and C are added up by atomic operations: their last bits may differ from run to run.
    """
    return differentiable(_KERNELS, inputs, reverse=reverse)


def _forward(inputs: Inputs, keep: bool, reverse: bool) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    x, dt, A, B, C, D, state = (tensor.contiguous() for tensor in inputs)
    (batch, length, dim), states = x.shape, A.shape[1]
    y, final = torch.empty_like(x), torch.empty_like(state)
    borders = x.new_empty(batch, -(-length // CHUNK), dim, states) if keep else None
    grid, blocks = _launch(batch, dim, states)
    with torch.cuda.device_of(x):  # Triton launches on the current device, whatever the tensors' one is
        _module().forward_kernel[grid](
            x, dt, A, B, C, D, state, y, final, borders if keep else final, length, dim, states,
            REVERSE=reverse, KEEP=keep, **blocks,
        )  # fmt: skip
    return y, final, (x, dt, A, B, C, D, borders)


def _backward(saved: tuple[Any, ...], grad_y: Tensor, grad_final: Tensor, reverse: bool) -> tuple[Tensor, ...]:
    x, dt, A, B, C, D, borders = saved
    (batch, length, dim), states = x.shape, A.shape[1]
    grad_x, grad_dt = torch.empty_like(x), torch.empty_like(dt)
    grad_B, grad_C = torch.zeros_like(B), torch.zeros_like(C)
    grad_A, grad_state = (x.new_empty(batch, dim, states) for _ in range(2))
    grad_D = x.new_empty(batch, dim)
    grid, blocks = _launch(batch, dim, states)
    with torch.cuda.device_of(x):
        _module().backward_kernel[grid](
            x, dt, A, B, C, D, borders, grad_y.contiguous(), grad_final.contiguous(),
            grad_x, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_state, length, dim, states,
            REVERSE=reverse, **blocks,
        )  # fmt: skip
    return grad_x, grad_dt, grad_A.sum(0), grad_B, grad_C, grad_D.sum(0), grad_state


_KERNELS = Kernels(_forward, _backward)


def _launch(batch: int, dim: int, states: int) -> tuple[tuple[int, int], dict[str, int]]:
    """Grid of programs and the sizes of their tiles, powers of two."""
    states = 1 << (states - 1).bit_length()
    dims = max(1, _TILE // (CHUNK * states))
    dims = min(dims, 1 << (dim - 1).bit_length())
    return (batch, -(-dim // dims)), {"CHUNK": CHUNK, "DIMS": dims, "STATES": states, "num_warps": _WARPS}


@functools.cache
def _module() -> Any:
    return importlib.import_module("alignmamba.ops.triton_kernels")
