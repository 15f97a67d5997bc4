"""Sets that are alike, apart, and in between."""

import numpy as np
import pytest
from scipy.stats import norm

from alignmamba.evaluation.distance import proxy_a_distance


def _pair(shift, n=800, m=400):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(m, 3))
    y[:, 0] += shift
    return rng.normal(size=(n, 3)), y


def test_between_alike_and_apart():
    alike, apart = (proxy_a_distance(*_pair(shift)) for shift in (0.0, 50.0))
    assert alike < 0.15
    assert apart == 2.0


def test_known_overlap():
    error = norm.cdf(-1.0)  # of the best linear classifier between unit normals two apart
    assert proxy_a_distance(*_pair(2.0)) == pytest.approx(2 * (1 - 2 * error), abs=0.06)


def test_sets_that_cannot_be_compared():
    with pytest.raises(ValueError, match="y: 2 columns, expected 3"):
        proxy_a_distance(np.zeros((9, 3)), np.zeros((9, 2)))
    assert proxy_a_distance(np.zeros((9, 3)), np.zeros((4, 3))) is None
