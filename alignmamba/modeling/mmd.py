"""Global alignment by maximum mean discrepancy (AlignMamba, CVPR 2025, distribution-level alignment; arXiv 2412.00833).

k(x, y) = exp(-||x - y||^2 / (2 sigma^2))
MMD^2(X, Y) = mean k(x, x') + mean k(y, y') - 2 mean k(x, y)                        `mmd2`
L_align = MMD^2(X~_v, X_l) + MMD^2(X~_a, X_l), X~ the transported streams           `alignmamba.modeling.loss`

Computed in float32 (or float64) whatever autocast surrounds it: a small difference of large means is lost in half.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignmamba.config import Bandwidth
from alignmamba.modeling.precision import in_float32

BLOCK_PAIRS = 2**22  # points that are compared at once where no gradient is wanted: 16 MB of float32


def _squared_distances(x: Float[Tensor, "batch n dim"], y: Float[Tensor, "batch m dim"]) -> Float[Tensor, "batch n m"]:
    """||x_i - y_j||^2 by the expanded square; never negative."""
    square = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None, :]  # (batch, n, m)
    return (square - 2 * x @ y.mT).clamp(min=0)


def _median_scale(
    x: Float[Tensor, "batch n dim"],
    y: Float[Tensor, "batch m dim"],
    x_mask: Bool[Tensor, "batch n"],
    y_mask: Bool[Tensor, "batch m"],
) -> Float[Tensor, " batch"]:
    """2 sigma^2 as the median squared distance between distinct valid points of both samples, one per clip."""
    points, mask = torch.cat([x, y], 1).detach(), torch.cat([x_mask, y_mask], 1)  # (batch, n + m, ...)
    pair = (mask[:, :, None] & mask[:, None, :]).triu(1)  # (batch, n + m, n + m), each pair once
    distances = _squared_distances(points, points).masked_fill(~pair, torch.nan)
    median = distances.flatten(1).nanmedian(1).values  # (batch, pairs) -> (batch,)
    return torch.where(median > 0, median, torch.ones_like(median))  # one point, or all the same: any scale will do


@in_float32
def mmd2(
    x: Float[Tensor, "batch n dim"],
    y: Float[Tensor, "batch m dim"],
    x_mask: Bool[Tensor, "batch n"],
    y_mask: Bool[Tensor, "batch m"],
    *,
    bandwidth: Bandwidth = "inverse_dim",
) -> Float[Tensor, " batch"]:
    """Biased squared MMD per clip with k(x, y) = exp(-||x - y||^2 / 2 sigma^2), diagonal included as in the paper.

    Args:
        x: First sample.
        y: Second sample.
        x_mask: True where a point of `x` counts.
        y_mask: True where a point of `y` counts.
        bandwidth: "inverse_dim" takes 2 sigma^2 = dim; "median" the median squared distance, without gradient.

    Returns:
        MMD^2 >= 0; zero where either sample is empty.

    >>> x, every = torch.randn(1, 100, 8), torch.ones(1, 100, dtype=torch.bool)
    >>> mmd2(x, x, every, every).item()
    0.0
    >>> mmd2(x, x + 5, every, every).item() > 0.1
    True
    """
    scale = x.new_full((len(x),), x.shape[-1]) if bandwidth == "inverse_dim" else _median_scale(x, y, x_mask, y_mask)

    def kernels(a: Tensor, b: Tensor, a_mask: Tensor, b_mask: Tensor) -> Tensor:
        pair = (a_mask[:, :, None] & b_mask[:, None, :]).to(a.dtype)
        return (torch.exp(-_squared_distances(a, b) / scale[:, None, None]) * pair).sum((1, 2))

    def mean_kernel(a: Tensor, b: Tensor, a_mask: Tensor, b_mask: Tensor) -> Tensor:
        learns = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
        rows = a.shape[1] if learns else max(1, BLOCK_PAIRS // max(1, len(a) * b.shape[1]))
        parts = zip(a.split(rows, 1), a_mask.split(rows, 1), strict=True)
        total = sum((kernels(part, b, mask, b_mask) for part, mask in parts), a.new_zeros(len(a)))
        return total / (a_mask.sum(1) * b_mask.sum(1)).clamp(min=1)

    both = x_mask.any(1) & y_mask.any(1)
    value = (
        mean_kernel(x, x, x_mask, x_mask) + mean_kernel(y, y, y_mask, y_mask) - 2 * mean_kernel(x, y, x_mask, y_mask)
    )
    return torch.where(both, value.clamp(min=0), torch.zeros_like(value))
