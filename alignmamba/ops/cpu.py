"""Selective scan on the CPU by `selective_scan.cpp`: arrays in, arrays out, through a plain C interface."""

from __future__ import annotations

import ctypes
import functools
import logging
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from alignmamba.ops import chunked, cpu_fused
from alignmamba.ops.build import BuildError, Library, load_library
from alignmamba.ops.cpu_fused import rows, split, view
from alignmamba.ops.interface import Inputs, Kernels, Outputs, differentiable

_log = logging.getLogger(__name__)

_DTYPES = cpu_fused.DTYPES
_SELF_CHECK_TOLERANCE = 1e-4  # relative; float32 on 40 steps stays below 1e-6


class _Sequence(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("batch_stride", ctypes.c_int64), ("time_stride", ctypes.c_int64))


class _Arguments(ctypes.Structure):
    """`Arguments` of selective_scan.cpp, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "length", "dim", "states", "parts", "threads")),
        *((name, _Sequence) for name in ("x", "dt", "B", "C", "y", "grad_y", "grad_x", "grad_dt", "grad_B", "grad_C")),
        *((name, ctypes.c_void_p) for name in ("A", "D", "state", "borders", "grad_A", "grad_D", "grad_state")),
    )


def unavailable(device: str, dtype: torch.dtype) -> str | None:
    """Why the kernel cannot run there, or None; builds it at the first call."""
    if device != "cpu":
        return "runs on cpu only"
    if dtype not in _DTYPES:
        return f"computes in {' and '.join(map(str, _DTYPES))}"
    built = _library()
    return str(built) if isinstance(built, BuildError) else None


def describe() -> str:
    """One phrase for the screen and the log: compiler, vector width, threads."""
    library = _library()
    if isinstance(library, BuildError):
        return f"not built: {library}"
    bits = 8 * library.handle.selective_scan_vector_bytes()
    threads = "OpenMP" if library.handle.selective_scan_openmp() else "one thread"
    return f"C++ kernel {library.origin}, {bits}-bit vectors, {threads}"


def kernel() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        BuildError: If there is none; `unavailable` gives the reason.
    """
    library = _library()
    if isinstance(library, BuildError):
        raise library
    return library.handle


def scan(inputs: Inputs, *, reverse: bool) -> Outputs:
    """Run `alignmamba.ops.selective_scan.selective_scan`."""
    return _run(kernel(), inputs, reverse=reverse)


def _run(library: ctypes.CDLL, inputs: Inputs, *, reverse: bool) -> tuple[Tensor, Tensor]:
    return differentiable(Kernels(partial(_forward, library), partial(_backward, library)), inputs, reverse=reverse)


def _forward(
    library: ctypes.CDLL, inputs: Inputs, keep: bool, reverse: bool
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    x, dt, A, B, C, D, state = inputs
    (batch, length, dim), states = x.shape, A.shape[1]
    x, dt, B, C = (rows(tensor) for tensor in (x, dt, B, C))
    scaled_A, D = (A * math.log2(math.e)).t().contiguous(), D.contiguous()
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    running = state.transpose(1, 2).clone(memory_format=torch.contiguous_format)
    borders = x.new_empty(batch, -(-length // library.selective_scan_chunk()), states, dim) if keep else None
    _call(
        library, "forward", reverse, sizes=(batch, length, dim, states, *split(x.numel() * states, batch)),
        sequences={"x": x, "dt": dt, "B": B, "C": C, "y": y},
        arrays={"A": scaled_A, "D": D, "state": running, "borders": borders},
    )  # fmt: skip
    return y, running.transpose(1, 2).contiguous(), (x, dt, scaled_A, B, C, D, borders)


def _backward(
    library: ctypes.CDLL, saved: tuple[Any, ...], grad_y: Tensor, grad_final: Tensor, reverse: bool
) -> tuple[Tensor, ...]:
    x, dt, scaled_A, B, C, D, borders = saved
    (batch, length, dim), states = x.shape, len(scaled_A)
    parts, threads = split(x.numel() * states, batch)
    grad_y = rows(grad_y)
    grad_x, grad_dt = (torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in (x, dt))
    grad_B, grad_C = (x.new_empty(batch, parts, length, states) for _ in range(2))
    grad_A, grad_D = x.new_zeros(batch, states, dim), x.new_zeros(batch, dim)
    grad_state = grad_final.transpose(1, 2).clone(memory_format=torch.contiguous_format)
    _call(
        library, "backward", reverse, sizes=(batch, length, dim, states, parts, threads),
        sequences={
            "x": x, "dt": dt, "B": B, "C": C, "grad_y": grad_y, "grad_x": grad_x, "grad_dt": grad_dt,
            "grad_B": grad_B.flatten(0, 1), "grad_C": grad_C.flatten(0, 1),
        },
        arrays={
            "A": scaled_A, "D": D, "borders": borders, "grad_A": grad_A, "grad_D": grad_D, "grad_state": grad_state,
        },
    )  # fmt: skip
    return (
        grad_x, grad_dt, grad_A.sum(0).t(), grad_B.sum(1), grad_C.sum(1), grad_D.sum(0), grad_state.transpose(1, 2),
    )  # fmt: skip


def _call(
    kernel: ctypes.CDLL,
    direction: str,
    reverse: bool,
    *,
    sizes: tuple[int, int, int, int, int, int],
    sequences: dict[str, Tensor],
    arrays: dict[str, Tensor | None],
) -> None:
    arguments = _Arguments(
        *sizes,
        **{name: _Sequence(*view(tensor, reverse)) for name, tensor in sequences.items()},
        **{name: tensor.data_ptr() for name, tensor in arrays.items() if tensor is not None},
    )  # fmt: skip
    function = getattr(kernel, f"selective_scan_{direction}_{_DTYPES[sequences['x'].dtype]}")
    function(ctypes.byref(arguments))


@functools.cache
def _library() -> Library | BuildError:
    """The kernel, or why there is none: built and logged once per process."""
    try:
        return load_library(_self_check)
    except BuildError as error:
        _log.warning("no C++ scan, the torch loop (several times slower) takes its place: %s", error)
        return error


def _self_check(library: ctypes.CDLL) -> None:
    """Compare a small scan and its gradients with the torch loop, then what is fused around it with plain operations.

    Raises:
        AttributeError: If a function is missing.
        ArithmeticError: If numbers differ.
    """
    for name in ("selective_scan_chunk", "selective_scan_vector_bytes", "selective_scan_openmp"):
        getattr(library, name).restype = ctypes.c_int64
    for direction in ("forward", "backward"):
        for kind in _DTYPES.values():
            function = getattr(library, f"selective_scan_{direction}_{kind}")
            function.argtypes, function.restype = (ctypes.POINTER(_Arguments),), None
    shapes = ((2, 40, 19), (2, 40, 19), (19, 5), (2, 40, 5), (2, 40, 5), (19,), (2, 19, 5))
    # The first scan of a process may be one under inference mode or autocast; the check must not be.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        for dtype in _DTYPES:
            generator = torch.Generator().manual_seed(0)
            draws = (torch.randn(shape, generator=generator, dtype=dtype, device="cpu") for shape in shapes)
            x, dt, A, B, C, D, state = draws
            inputs = Inputs(*(tensor.requires_grad_() for tensor in (x, dt.abs(), -A.abs(), B, C, D, state)))
            results = []
            for y, final in (_run(library, inputs, reverse=True), chunked.scan(inputs, reverse=True)):
                loss = y.square().sum() + final.square().sum()
                results.append([y, final, *torch.autograd.grad(loss, inputs)])
            for ours, theirs in zip(*results, strict=True):
                if not (ours - theirs).abs().max() <= _SELF_CHECK_TOLERANCE * theirs.abs().max():
                    raise ArithmeticError("the library computes wrong numbers")
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        cpu_fused.self_check(library)
