"""Local alignment by optimal transport (AlignMamba, CVPR 2025, token-level alignment; arXiv 2412.00833).

Cost          C(i, j) = 1 - cos(x_i, y_j)                                            `cosine_cost`
Full problem  min_M sum_ij M(i, j) C(i, j), sum_j M(i, j) = 1/T_x, sum_i M(i, j) = 1/T_y, M >= 0    `sinkhorn_plan`
Relaxed       without the constraint on columns: M(i, j*) = 1/T_x at j* = argmin_j C(i, j), else 0  `relaxed_plan`
Aligned       M^T X, one row per target step                                         `IndexPlan.transport`

A relaxed plan is stored as one target index per source step, the full problem's plan as a matrix.

Two scalings of the transported steps: "paper" is M^T X, whose rows shrink with the number of targets; "mean" divides
each row by its column's mass, which makes it a mean of the steps sent there. A target that gets nothing is a zero row
in both.

Everything here is computed in float32 (or float64), whatever autocast surrounds it: in half precision costs that differ
are equal, and ties go to the earliest target.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from alignmamba.config import Scaling
from alignmamba.modeling.precision import at_least_float32, in_float32
from alignmamba.ops import cpu, cpu_fused
from alignmamba.ops.selective_scan import choose_backend

# Costs closer than this count as equal, and the earliest target wins: rounding must not decide.
TIE_TOLERANCE = 1e-6
# Similarities held at once while searching for the best (8 MB in float32; 64 MB on a GPU, where each block costs its
# launches), and the fewest rows of them: a matrix product of a few rows reads all targets for little work.
BLOCK_ENTRIES, GPU_BLOCK_ENTRIES, BLOCK_ROWS = 1 << 21, 1 << 24, 64
# POT imports every tensor library that is installed and starts it, and JAX takes three quarters of a GPU's memory when
# it starts. Who uses POT with one of them in the same process imports `ot` first.
OTHER_LIBRARIES = ("JAX", "CUPY", "TENSORFLOW")
# Rounding of costs, as a share of their size: so much more than the bound is looked at.
REACH_SLACK = 1e-3
# Sinkhorn stops when the marginals are met to this share of mass, or after so many rounds.
SINKHORN_TOLERANCE, SINKHORN_ROUNDS = 1e-6, 1000


class IndexPlan(NamedTuple):
    """A plan whose rows have one entry: 1/T_source at `chosen`."""

    chosen: Int[Tensor, "batch source"]
    source_mask: Bool[Tensor, "batch source"]
    target_steps: int

    def transport(
        self, source: Float[Tensor, "batch source dim"], *, scaling: Scaling
    ) -> Float[Tensor, "batch target dim"]:
        """Transport source steps to their targets, M^T X of the paper, without building M."""
        dtype, source = source.dtype, at_least_float32(source)
        weight = self.source_mask.to(source.dtype)
        if scaling == "paper":
            weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
        else:
            count = source.new_zeros(len(source), self.target_steps).scatter_add(1, self.chosen, weight)
            weight = weight / count.gather(1, self.chosen).clamp(min=1)
        moved = source.new_zeros(len(source), self.target_steps, source.shape[-1])
        # (batch, source) -> (batch, source, dim): one target row and one weight for all columns of a step
        moved = moved.scatter_add(1, self.chosen[:, :, None].expand_as(source), source * weight[:, :, None])
        return moved.to(dtype)

    def dense(self) -> Float[Tensor, "batch source target"]:
        """The plan M as a matrix, for drawing; rows of invalid steps are zero."""
        weight = self.source_mask.to(torch.get_default_dtype())
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
        plan = weight.new_zeros(*self.chosen.shape, self.target_steps)
        return plan.scatter(2, self.chosen[:, :, None], weight[:, :, None])  # one entry per row


class MatrixPlan(NamedTuple):
    """A plan that sends a step's mass to several targets."""

    matrix: Float[Tensor, "batch source target"]

    def transport(
        self, source: Float[Tensor, "batch source dim"], *, scaling: Scaling
    ) -> Float[Tensor, "batch target dim"]:
        """Transport source steps to their targets, M^T X of the paper."""
        moved = _product(self.matrix.mT, source)  # (batch, target, source) @ (batch, source, dim)
        if scaling == "mean":
            mass = self.matrix.sum(1)[:, :, None]  # (batch, target, 1)
            moved = moved / mass.where(mass > 0, 1.0)
        return moved.to(source.dtype)

    def dense(self) -> Float[Tensor, "batch source target"]:
        """The plan M as a matrix."""
        return self.matrix


Plan = IndexPlan | MatrixPlan


@in_float32
def _product(x: Tensor, y: Tensor) -> Tensor:
    return x @ y


@in_float32
def cosine_cost(
    source: Float[Tensor, "batch source dim"],
    target: Float[Tensor, "batch target dim"],
    *,
    time_weight: float = 0.0,
    source_seconds: Float[Tensor, "batch source"] | None = None,
    target_seconds: Float[Tensor, "batch target"] | None = None,
) -> Float[Tensor, "batch source target"]:
    """Cost of every pair: 1 - cos(source_i, target_j) + time_weight * |t_i - t_j|.

    A zero vector has cosine 0 with everything. With `time_weight` 0 this is the paper's C.

    Raises:
        ValueError: If a time term is asked for and the times are missing.
    """
    cost = 1 - F.normalize(source, dim=-1) @ F.normalize(target, dim=-1).mT  # (batch, source, target)
    if time_weight == 0:
        return cost
    if source_seconds is None or target_seconds is None:
        raise ValueError(f"time_weight: {time_weight} needs source_seconds and target_seconds, got None")
    return cost + time_weight * (source_seconds[:, :, None] - target_seconds[:, None, :]).abs()


@torch.no_grad()
@in_float32
def relaxed_plan(
    source: Float[Tensor, "batch source dim"],
    target: Float[Tensor, "batch target dim"],
    source_mask: Bool[Tensor, "batch source"],
    target_mask: Bool[Tensor, "batch target"],
    *,
    time_weight: float = 0.0,
    source_seconds: Float[Tensor, "batch source"] | None = None,
    target_seconds: Float[Tensor, "batch target"] | None = None,
) -> IndexPlan:
    """Optimum of the relaxed problem: each source step goes to the target of least cost (paper, M_v2l and M_a2l).

    Works on blocks of source steps, so that the whole cost matrix is never held. With a time term, long streams look
    only at the targets whose times can still win: the plan is the same, and its time grows with length, not its square.

    Raises:
        ValueError: If a clip has no valid target.

    >>> audio = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 0.1]]])
    >>> words = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> every = torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    >>> plan = relaxed_plan(audio, words, *every)
    >>> plan.chosen.tolist()  # the target of each audio step
    [[1, 0, 1]]
    >>> plan.transport(audio, scaling="mean").tolist()  # word by word, the mean of its audio steps
    [[[0.0, 2.0], [2.0, 0.05000000074505806]]]
    """
    valid = None if target_mask.numel() and bool(target_mask.all()) else target_mask
    if valid is not None and not valid.any(1).all():
        raise ValueError("target_mask: a clip has no valid target step, expected at least one")
    if time_weight and (source_seconds is None or target_seconds is None):
        raise ValueError(f"time_weight: {time_weight} needs source_seconds and target_seconds, got None")
    native = cpu_fused.applies(source, target) and choose_backend(source.device, source.dtype) == "cpp"
    search = partial(cpu_fused.search, cpu.kernel()) if native else _search
    (batch, steps, _), targets = source.shape, target.shape[1]
    directions = F.normalize(target, dim=-1).mT  # (batch, dim, target)
    index = torch.zeros(batch, steps, dtype=torch.long, device=source.device)
    seconds = None
    if time_weight and source_seconds is not None and target_seconds is not None:  # checked above
        seconds = source_seconds.to(source.dtype), target_seconds.to(source.dtype)
    entries, reach = GPU_BLOCK_ENTRIES if source.device.type == "cuda" else BLOCK_ENTRIES, None
    if seconds is not None and batch * steps * targets > entries:
        reach = _reach(*seconds, source_mask, valid, time_weight=time_weight)
    memory = source.new_empty(0)  # fresh memory for each block would cost as much as the search
    for rows, columns in _blocks(batch, steps, targets, reach, entries):
        found, width = index[:, rows], columns.stop - columns.start
        if memory.numel() < found.numel() * width:
            memory = source.new_empty(found.numel() * width)
        similarity = memory[: found.numel() * width].view(*found.shape, width)  # (batch, rows, columns)
        torch.bmm(F.normalize(source[:, rows], dim=-1), directions[:, :, columns], out=similarity)
        times = None if seconds is None else (seconds[0][:, rows], seconds[1][:, columns])
        search(
            similarity,
            None if valid is None else valid[:, columns],
            found,
            tolerance=TIE_TOLERANCE,
            time_weight=time_weight,
            seconds=times,
        )
        found += columns.start
    return IndexPlan(index, source_mask, targets)


def _reach(
    source_seconds: Tensor, target_seconds: Tensor, source_mask: Tensor, valid: Tensor | None, *, time_weight: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Per source step the first target that can win, and the one after the last, over the whole batch.

    A cosine lies in [-1, 1]: no target wins whose time term is over 2 above that of the target nearest in time. None
    where the times of the valid targets do not rise, and all targets have to be looked at.
    """
    times = target_seconds if valid is None else target_seconds.where(valid, torch.inf)
    times = times.contiguous()
    if time_weight < 0 or not bool((times[:, 1:] >= times[:, :-1]).all()):
        return None
    now = source_seconds.contiguous()
    after = torch.searchsorted(times, now)
    beside = torch.stack([(after - 1).clamp(min=0), after.clamp(max=times.shape[1] - 1)])  # (2, batch, source)
    nearest = (times.expand(2, -1, -1).gather(2, beside) - now).abs().amin(0)
    slack = REACH_SLACK * (1 + time_weight * nearest)
    furthest = nearest + (2 + slack) / time_weight
    first = torch.searchsorted(times, now - furthest)
    last = torch.searchsorted(times, now + furthest, right=True)
    # Padding may choose whatever there is: it moves nothing.
    first = first.where(source_mask, times.shape[1]).amin(0)
    last = last.where(source_mask, 0).amax(0)
    return first.cpu().numpy(), last.cpu().numpy()


def _blocks(
    batch: int, steps: int, targets: int, reach: tuple[np.ndarray, np.ndarray] | None, entries: int
) -> Iterator[tuple[slice, slice]]:
    """Blocks of source steps with the targets that they have to look at."""
    widest = targets if reach is None else max(1, 2 * int((reach[1] - reach[0]).max(initial=0)))
    block = max(BLOCK_ROWS, entries // (batch * widest))
    if reach is not None:  # a block looks at what its first step reaches, its last step, and all between
        block = max(BLOCK_ROWS, min(block, widest))
    for first in range(0, steps, block):
        rows = slice(first, min(first + block, steps))
        if reach is None:
            yield rows, slice(0, targets)
            continue
        columns = slice(int(reach[0][rows].min()), int(reach[1][rows].max()))
        if columns.start < columns.stop:  # else all of it is padding
            yield rows, columns


def _search(
    similarity: Tensor,
    mask: Tensor | None,
    index: Tensor,
    *,
    tolerance: float,
    time_weight: float,
    seconds: tuple[Tensor, Tensor] | None,
) -> None:
    """`fused.search` in plain operations, for every device."""
    if seconds is not None:
        similarity -= time_weight * (seconds[0][:, :, None] - seconds[1][:, None, :]).abs()
    if mask is not None:
        similarity.masked_fill_(~mask[:, None, :], -torch.inf)
    best = similarity.amax(-1, keepdim=True)
    index.copy_((similarity >= best - tolerance).to(torch.uint8).argmax(-1))


def uniform_plan(source_mask: Bool[Tensor, "batch source"], target_mask: Bool[Tensor, "batch target"]) -> IndexPlan:
    """Plan by position alone: each source step goes to the target at the same relative place.

    Stands for the ablation "without local alignment". Both masks must be prefixes.
    """
    source_length = source_mask.sum(1, keepdim=True).clamp(min=1)
    target_length = target_mask.sum(1, keepdim=True)
    position = torch.arange(source_mask.shape[1], device=source_mask.device)
    index = torch.minimum(position * target_length // source_length, target_length - 1)
    return IndexPlan(index, source_mask, target_mask.shape[1])


@in_float32
def sinkhorn_plan(
    cost: Float[Tensor, "batch source target"],
    source_mask: Bool[Tensor, "batch source"],
    target_mask: Bool[Tensor, "batch target"],
    *,
    blur: float,
) -> MatrixPlan:
    """Plan of the full problem, both marginals kept (paper, before the relaxation), smoothed by entropy.

    Solved by POT's `ot.solve_batch` in the log domain; padding has mass zero. The plan itself takes no gradient, as
    in the relaxed case: encoders learn through the transported steps.

    Args:
        cost: Of every pair.
        source_mask: True where a source step counts.
        target_mask: True where a target step counts.
        blur: Weight of the entropy in units of the cost; the plan tends to the exact optimum as it falls.

    Returns:
        Row sums 1/T_source, column sums 1/T_target; zeros for a clip without a source.
    """
    for library in OTHER_LIBRARIES:
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{library}", "1")
    import ot

    here = source_mask.any(1)
    # A clip without a source has no marginal to keep: solve it as if it had every step, then blank it.
    rows = (source_mask | ~here[:, None]).to(cost.dtype)
    columns = target_mask.to(cost.dtype)
    solved = ot.solve_batch(
        cost.detach(),
        reg=blur,
        a=rows / rows.sum(1, keepdim=True),
        b=columns / columns.sum(1, keepdim=True),
        max_iter=SINKHORN_ROUNDS,
        tol=SINKHORN_TOLERANCE,
        grad="detach",
    )
    return MatrixPlan(solved.plan * here[:, None, None])
