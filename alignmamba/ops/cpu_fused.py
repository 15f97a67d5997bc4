"""What surrounds the scan in a Mamba block, and the search of the relaxed plan, each in one pass over memory.

Thin calls of `fused.cpp`, without gradients, float32 or float64 on the CPU. Callers decide whether they apply
(`applies`) and keep the plain operations that these replace, for gradients and for machines without the kernels.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

DTYPES = {torch.float32: "float", torch.float64: "double"}
_TASKS_PER_THREAD = 4  # so that a thread that is held up does not hold up the others
_STATE_STEPS_PER_THREAD = 1 << 19  # some 100 microseconds of work; below that, a busy machine loses by waking a thread
# What one entry costs beside a step of one state of the scan.
_CONVOLUTION_WORK, _GATED_SCAN_WORK, _SEARCH_WORK = 4, 2, 1
_SELF_CHECK_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}  # relative to the largest number


def _integers(*names: str) -> tuple[tuple[str, type], ...]:
    return tuple((name, ctypes.c_int64) for name in names)


def _pointers(*names: str) -> tuple[tuple[str, type], ...]:
    return tuple((name, ctypes.c_void_p) for name in names)


def _sequences(*names: str) -> tuple[tuple[str, type], ...]:
    """`Sequence` of simd.hpp, flat: what `view` returns."""
    ends = (("data", ctypes.c_void_p), ("batch_stride", ctypes.c_int64), ("time_stride", ctypes.c_int64))
    return tuple((f"{name}_{end}", kind) for name in names for end, kind in ends)


class _Convolution(ctypes.Structure):
    """`Convolution` of fused.cpp, field by field."""

    _fields_ = (
        *_integers("batch", "length", "dim", "taps", "parts", "threads"),
        *_sequences("input", "mask", "before", "out", "after"),
        *_pointers("weight", "bias"),
    )


class _GatedScan(ctypes.Structure):
    """`GatedScan` of fused.cpp, field by field."""

    _fields_ = (
        *_integers("batch", "length", "dim", "states", "rank", "parts", "threads"),
        *_sequences("x", "gate", "projected", "mask", "gating"),
        *_pointers("dt_weight", "dt_bias", "A_log", "D", "before", "after"),
    )


class _Search(ctypes.Structure):
    """`Search` of fused.cpp, field by field."""

    _fields_ = (
        *_integers("batch", "rows", "targets", "threads"),
        *_pointers("similarity", "mask"),
        *_sequences("source_seconds", "index"),
        *_pointers("target_seconds"),
        ("time_weight", ctypes.c_double),
        ("tolerance", ctypes.c_double),
    )


_FUNCTIONS = {"mamba_convolve": _Convolution, "mamba_gated_scan": _GatedScan, "transport_search": _Search}


class StepSizes(NamedTuple):
    """Parameters of a block that its scan needs beside its inputs."""

    dt_weight: Float[Tensor, "dim rank"]
    dt_bias: Float[Tensor, " dim"]
    A_log: Float[Tensor, "dim state"]
    D: Float[Tensor, " dim"]


def applies(*tensors: Tensor) -> bool:
    """Whether the kernels take tensors of this device and dtype, and nothing here records or recasts them."""
    dtype = tensors[0].dtype
    return (
        dtype in DTYPES
        and all(tensor.is_cpu and tensor.dtype == dtype for tensor in tensors)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def convolve(
    kernel: ctypes.CDLL,
    x: Float[Tensor, "batch time dim"],
    mask: Bool[Tensor, "batch time"] | None,
    before: Float[Tensor, "batch reach dim"],
    weight: Float[Tensor, "dim 1 taps"],
    bias: Float[Tensor, " dim"],
    *,
    reverse: bool,
) -> tuple[Float[Tensor, "batch time dim"], Float[Tensor, "batch reach dim"]]:
    """SiLU of the causal depthwise convolution of x * mask.

    Args:
        kernel: The library.
        x: Input, any strides.
        mask: True where a step counts; None: everywhere.
        before: The taps - 1 inputs next to the first step that is run.
        weight: Of `nn.Conv1d`, the last tap meets the step itself.
        bias: Of `nn.Conv1d`.
        reverse: Run from the last step to the first.

    Returns:
        The result, contiguous, and the taps - 1 inputs that the next piece needs before it.

    Raises:
        ValueError: If a shape or dtype does not fit.
    """
    (batch, length, dim), taps = x.shape, weight.shape[-1]
    _check("before", before, (batch, taps - 1, dim), x.dtype)
    _check("weight", weight, (dim, 1, taps), x.dtype)
    _check("bias", bias, (dim,), x.dtype)
    mask = _whole(mask, batch, length)
    out, after = x.new_empty(batch, length, dim), torch.empty_like(before, memory_format=torch.contiguous_format)
    x, before, weight, bias = rows(x), rows(before), weight.contiguous(), bias.contiguous()
    _call(
        kernel, "mamba_convolve", x.dtype,
        batch, length, dim, taps, *split(_CONVOLUTION_WORK * x.numel(), batch),
        *view(x, reverse), *_optional_view(mask, reverse), *view(before, reverse), *view(out, reverse),
        *view(after, reverse), weight.data_ptr(), bias.data_ptr(),
    )  # fmt: skip
    return out, after


def gated_scan_(
    kernel: ctypes.CDLL,
    x: Float[Tensor, "batch time dim"],
    gate: Float[Tensor, "batch time dim"],
    projected: Float[Tensor, "batch time projections"],
    mask: Bool[Tensor, "batch time"] | None,
    before: Float[Tensor, "batch dim state"],
    sizes: StepSizes,
    *,
    gating: Float[Tensor, "batch time dim"] | None = None,
    reverse: bool,
) -> Float[Tensor, "batch dim state"]:
    """Turn x, in place, into silu(gate) * scan(x) and return the state after it.

    The scan's step sizes are gating * mask * softplus(low_rank @ dt_weight.T + dt_bias), its A is -exp(A_log).

    Args:
        kernel: The library.
        x: Input and output, contiguous.
        gate: Any strides.
        projected: (low_rank, B, C) side by side, of rank, state and state columns.
        mask: True where a step counts; None: everywhere.
        before: State before the first step that is run.
        sizes: Parameters.
        gating: Factors of the step sizes; None: one.
        reverse: Run from the last step to the first.

    Raises:
        ValueError: If a shape or dtype does not fit.
    """
    (batch, length, dim), (_, states) = x.shape, sizes.A_log.shape
    rank = projected.shape[-1] - 2 * states
    for name, tensor, shape in (
        ("gate", gate, (batch, length, dim)),
        ("projected", projected, (batch, length, rank + 2 * states)),
        ("before", before, (batch, dim, states)),
        ("dt_weight", sizes.dt_weight, (dim, rank)),
        ("dt_bias", sizes.dt_bias, (dim,)),
        ("A_log", sizes.A_log, (dim, states)),
        ("D", sizes.D, (dim,)),
    ):
        _check(name, tensor, shape, x.dtype)
    if gating is not None:
        _check("gating", gating, (batch, length, dim), x.dtype)
        gating = rows(gating)
    mask = _whole(mask, batch, length)
    gate, projected, before = rows(gate), rows(projected), before.contiguous()
    after = torch.empty_like(before)
    parameters = [parameter.contiguous() for parameter in sizes]
    _call(
        kernel, "mamba_gated_scan", x.dtype,
        batch, length, dim, states, rank, *split(_GATED_SCAN_WORK * x.numel() * states, batch),
        *view(x, reverse), *view(gate, reverse), *view(projected, reverse), *_optional_view(mask, reverse),
        *_optional_view(gating, reverse),
        *(parameter.data_ptr() for parameter in parameters), before.data_ptr(), after.data_ptr(),
    )  # fmt: skip
    return after


def search(
    kernel: ctypes.CDLL,
    similarity: Float[Tensor, "batch source target"],
    mask: Bool[Tensor, "batch target"] | None,
    index: Int[Tensor, "batch source"],
    *,
    tolerance: float,
    time_weight: float = 0.0,
    seconds: tuple[Float[Tensor, "batch source"], Float[Tensor, "batch target"]] | None = None,
) -> None:
    """Write into `index` each row's first target whose similarity - time_weight * |t_i - t_j| is the best.

    Args:
        kernel: The library.
        similarity: Contiguous; used up.
        mask: False where a target is barred; None: nowhere.
        index: Where the answer goes.
        tolerance: Similarities closer than this to the best are as good.
        time_weight: Weight of a second.
        seconds: Times of the sources and of the targets; needed where `time_weight` is not 0.

    Raises:
        ValueError: If a shape or dtype does not fit.
    """
    batch, sources, targets = similarity.shape
    _check("index", index, (batch, sources), torch.long)
    now: tuple[int | None, int, int] = (None, 0, 0)
    then = None
    mask = _whole(mask, batch, targets)
    if mask is not None:
        mask = mask.contiguous()
    if time_weight:
        if seconds is None:
            raise ValueError(f"time_weight: {time_weight} needs seconds, got None")
        source_seconds, target_seconds = (tensor.to(similarity.dtype).contiguous() for tensor in seconds)
        _check("source_seconds", source_seconds, (batch, sources), similarity.dtype)
        _check("target_seconds", target_seconds, (batch, targets), similarity.dtype)
        now, then = view(source_seconds), target_seconds.data_ptr()
    _call(
        kernel, "transport_search", similarity.dtype,
        batch, sources, targets, split(_SEARCH_WORK * similarity.numel(), 1)[1],
        similarity.data_ptr(), None if mask is None else mask.data_ptr(),
        *now, *view(index), then, time_weight, tolerance,
    )  # fmt: skip


def _call(kernel: ctypes.CDLL, name: str, dtype: torch.dtype, *fields: int | float | None) -> None:
    getattr(kernel, f"{name}_{DTYPES[dtype]}")(ctypes.byref(_FUNCTIONS[name](*fields)))


def view(tensor: Tensor, reverse: bool = False) -> tuple[int, int, int]:
    """A (batch, length, ...) tensor as the kernels walk it: from the last step backwards under `reverse`."""
    data, (batch_stride, time_stride, *_) = tensor.data_ptr(), tensor.stride()
    if not reverse:
        return data, batch_stride, time_stride
    return data + (tensor.shape[1] - 1) * time_stride * tensor.element_size(), batch_stride, -time_stride


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Refuse a wrong shape, dtype or device: the kernels trust the sizes that they are given."""
    if tensor.shape != shape or tensor.dtype != dtype or not tensor.is_cpu:
        raise ValueError(
            f"{name}: {tuple(tensor.shape)} in {tensor.dtype} on {tensor.device}, expected {shape} in {dtype} on cpu"
        )


def _whole(mask: Tensor | None, batch: int, length: int) -> Tensor | None:
    """The mask, one row for each clip."""
    if mask is None:
        return None
    if mask.dtype != torch.bool or mask.ndim != 2 or mask.shape[0] not in (1, batch) or mask.shape[1] != length:
        raise ValueError(f"mask: {tuple(mask.shape)} in {mask.dtype}, expected {(batch, length)} in torch.bool")
    return mask.expand(batch, length)


def _optional_view(tensor: Tensor | None, reverse: bool) -> tuple[int | None, int, int]:
    return (None, 0, 0) if tensor is None else view(tensor, reverse)


def rows(tensor: Tensor) -> Tensor:
    """The tensor, copied unless its last axis is contiguous."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def split(state_steps: int, batch: int) -> tuple[int, int]:
    """Tasks per batch item (as few as keep all threads busy: each re-reads shared rows) and threads."""
    threads = max(1, min(torch.get_num_threads(), state_steps // _STATE_STEPS_PER_THREAD))
    return (1 if threads == 1 else -(-_TASKS_PER_THREAD * threads // batch)), threads


def self_check(kernel: ctypes.CDLL) -> None:
    """Compare each function with plain operations on small inputs; the caller has gradients and autocast off.

    Raises:
        AttributeError: If a function is missing.
        ArithmeticError: If numbers differ.
    """
    for name, structure in _FUNCTIONS.items():
        for kind in DTYPES.values():
            function = getattr(kernel, f"{name}_{kind}")
            function.argtypes, function.restype = (ctypes.POINTER(structure),), None
    for dtype in DTYPES:
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int, dtype: torch.dtype = dtype, generator: torch.Generator = generator) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=dtype, device="cpu")

        mask = torch.arange(40, device="cpu")[None] < torch.tensor([[40], [23]], device="cpu")
        x, before, weight, bias = draw(2, 40, 19), draw(2, 3, 19), draw(19, 1, 4), draw(19)
        padded = torch.cat([before, x * mask[:, :, None]], 1)
        expected = F.silu(F.conv1d(padded.mT, weight, bias, groups=19)).mT
        out, after = convolve(kernel, x, mask, before, weight, bias, reverse=False)
        _compare(out, expected)
        _compare(after, padded[:, 40:])

        gate, projected, state = draw(2, 40, 19), draw(2, 40, 13), draw(2, 19, 5)
        sizes = StepSizes(draw(19, 3), draw(19), draw(19, 5), draw(19))
        low_rank, B, C = projected.split([3, 5, 5], -1)
        gating = draw(2, 40, 19).sigmoid()
        dt = F.softplus(F.linear(low_rank, sizes.dt_weight, sizes.dt_bias)) * mask[:, :, None] * gating
        expected, final = torch.empty_like(x), state
        for t in range(40):
            decay = torch.exp(-dt[:, t, :, None] * sizes.A_log.exp())
            final = decay * final + (dt * x)[:, t, :, None] * B[:, t, None, :]
            expected[:, t] = (final * C[:, t, None, :]).sum(-1) + sizes.D * x[:, t]
        expected *= F.silu(gate)
        _compare(gated_scan_(kernel, x, gate, projected, mask, state, sizes, gating=gating, reverse=False), final)
        _compare(x, expected)

        similarity, index = draw(2, 7, 300), torch.empty(2, 7, dtype=torch.long, device="cpu")
        expected = similarity.argmax(-1)
        search(kernel, similarity, None, index, tolerance=0.0)
        if not torch.equal(index, expected):
            raise ArithmeticError("the library computes wrong numbers")


def _compare(ours: Tensor, expected: Tensor) -> None:
    if not (ours - expected).abs().max() <= _SELF_CHECK_TOLERANCE[ours.dtype] * expected.abs().max():
        raise ArithmeticError("the library computes wrong numbers")
