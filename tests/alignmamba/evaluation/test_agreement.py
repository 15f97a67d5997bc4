"""Agreement of two raters."""

import numpy as np
import pytest

from alignmamba.evaluation.agreement import FEWEST, agreement


def test_known_values():
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): units rated by two, interval level.
    one, other = [1.0, 2.0, 3.0, 3.0, 2.0], [1.0, 2.0, 3.0, 2.0, 2.5]
    found = agreement(one, other)
    pooled = np.array([*one, *other])
    observed = np.mean([(a - b) ** 2 for a, b in zip(one, other, strict=True)])
    expected = np.mean([(a - b) ** 2 for i, a in enumerate(pooled) for j, b in enumerate(pooled) if i != j])
    assert found.alpha == pytest.approx(1 - observed / expected)
    assert found.correlation == pytest.approx(np.corrcoef(one, other)[0, 1])
    assert found.error == pytest.approx(0.3)
    assert agreement(one, one).alpha == pytest.approx(1)


def test_too_few_or_equal_scores_have_no_correlation():
    assert agreement([1.0] * (FEWEST - 1), [2.0] * (FEWEST - 1)).correlation is None
    found = agreement([1.0] * 5, [1.0, 2.0, 3.0, -1.0, 0.0])
    assert found.alpha is None
    assert found.error == pytest.approx(1.2)
    with pytest.raises(ValueError, match="0 and 0"):
        agreement([], [])
    with pytest.raises(ValueError, match="1 and 2"):
        agreement([1.0], [1.0, 2.0])
