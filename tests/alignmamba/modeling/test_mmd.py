"""MMD against a float64 double loop."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alignmamba.modeling import mmd
from alignmamba.modeling.mmd import mmd2


def _plain(x, y, scale):
    """The paper's formula, entry by entry."""

    def kernel(a, b):
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / scale)

    def mean(left, right):
        return sum(kernel(a, b) for a in left for b in right) / (len(left) * len(right))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def _all(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize("bandwidth", ["inverse_dim", "median"])
def test_masked_mmd_equals_the_double_loop(bandwidth):
    x, y = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 7, 3, dtype=torch.float64) + 0.5
    x_mask, y_mask = torch.arange(5)[None] < torch.tensor([[5], [3]]), torch.arange(7)[None] < torch.tensor([[4], [7]])
    got = mmd2(x, y, x_mask, y_mask, bandwidth=bandwidth)
    for clip in range(2):
        a, b = x[clip][x_mask[clip]].numpy(), y[clip][y_mask[clip]].numpy()
        points = np.concatenate([a, b])
        distances = sorted(((p - q) ** 2).sum() for i, p in enumerate(points) for q in points[i + 1 :])
        scale = 3 if bandwidth == "inverse_dim" else distances[(len(distances) - 1) // 2]
        assert got[clip].item() == pytest.approx(_plain(a.tolist(), b.tolist(), scale), abs=1e-12)


def test_zero_for_identical_samples_and_never_negative():
    x = torch.randn(64, 6, 4)
    assert mmd2(x, x, _all(x), _all(x)).abs().max() < 1e-6
    y = x + 1e-4 * torch.randn_like(x)
    assert (mmd2(x, y, _all(x), _all(y)) >= 0).all()


def test_biased_estimate_of_one_distribution_is_positive():
    x, y = torch.randn(1, 20, 4), torch.randn(1, 20, 4)
    assert mmd2(x, y, _all(x), _all(y)).item() > 0.01


def test_larger_for_farther_samples_in_high_dimension():
    x = torch.randn(1, 30, 256)
    near, far = (mmd2(x, torch.randn(1, 30, 256) + shift, _all(x), _all(x)).item() for shift in (0.0, 1.0))
    assert far > 2 * near


@pytest.mark.parametrize("bandwidth", ["inverse_dim", "median"])
def test_single_points_and_empty_samples_are_finite(bandwidth):
    x, y = torch.zeros(2, 1, 3), torch.zeros(2, 1, 3)
    mask = torch.tensor([[True], [False]])
    assert mmd2(x, y, mask, mask, bandwidth=bandwidth).tolist() == [0.0, 0.0]


def test_gradient_pulls_the_samples_together():
    x = torch.randn(1, 10, 4, requires_grad=True)
    y = torch.randn(1, 10, 4) + 1
    before = mmd2(x, y, _all(x), _all(y))
    before.sum().backward()
    assert mmd2(x.detach() - x.grad, y, _all(x), _all(y)).item() < before.item()


def test_blocks_give_what_the_whole_gives(monkeypatch):
    x, y = torch.randn(3, 9, 4, dtype=torch.float64), torch.randn(3, 11, 4, dtype=torch.float64)
    x_mask = torch.arange(9)[None] < torch.tensor([[9], [4], [0]])
    y_mask = torch.arange(11)[None] < torch.tensor([[2], [11], [5]])
    learnt = mmd2(x.requires_grad_(), y, x_mask, y_mask)
    assert learnt.requires_grad
    for pairs in (1, 40, 200):  # rows of one, some, most
        monkeypatch.setattr(mmd, "BLOCK_PAIRS", pairs)
        with torch.no_grad():
            torch.testing.assert_close(mmd2(x, y, x_mask, y_mask), learnt)
        assert torch.equal(mmd2(x, y, x_mask, y_mask), learnt)  # where a gradient is wanted, nothing is cut


def test_without_a_gradient_memory_does_not_grow_with_the_square():
    x, every = torch.randn(1, 6000, 8), torch.ones(1, 6000, dtype=torch.bool)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    with torch.no_grad(), Watch():
        mmd2(x, x + 1, every, every)
    assert 0 < largest <= mmd.BLOCK_PAIRS < 6000**2
