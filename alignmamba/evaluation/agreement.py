"""Agreement of predicted scores with those that a person gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignmamba.prediction import class_of

FEWEST = 3  # pairs of scores from which a correlation is computed


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of two raters about the same segments.

    Attributes:
        count: Of segments.
        correlation: Pearson's r; None for fewer than `FEWEST` segments or where one rater's scores are all equal.
        error: Mean absolute difference, in points of the score.
        alpha: Krippendorff's alpha at the interval level, 1 for perfect agreement and 0 for chance; None as above.
        same_class: Share of segments with the same class of the score.
    """

    count: int
    correlation: float | None
    error: float
    alpha: float | None
    same_class: float


def agreement(truth: Sequence[float], predicted: Sequence[float]) -> Agreement:
    """Compare scores of the same segments.

    >>> found = agreement([-2.0, 0.0, 1.0, 3.0], [-1.0, 0.0, 1.0, 2.0])
    >>> found.count, found.error, found.same_class, round(found.correlation, 3)
    (4, 0.5, 1.0, 0.992)

    Args:
        truth: Scores in [-3, 3], at least one.
        predicted: Likewise, as many.

    Raises:
        ValueError: If there is none, or not as many of both.
    """
    if not truth or len(truth) != len(predicted):
        raise ValueError(f"truth, predicted: {len(truth)} and {len(predicted)} scores, expected as many of both")
    one, other = np.asarray(truth, float), np.asarray(predicted, float)
    defined = len(one) >= FEWEST and float(np.ptp(one)) > 0 and float(np.ptp(other)) > 0
    return Agreement(
        count=len(one),
        correlation=float(np.corrcoef(one, other)[0, 1]) if defined else None,
        error=float(np.abs(one - other).mean()),
        alpha=_alpha(one.tolist(), other.tolist()) if defined else None,
        same_class=float(np.mean([class_of(a) == class_of(b) for a, b in zip(truth, predicted, strict=True)])),
    )


def _alpha(one: list[float], other: list[float]) -> float:
    # Imported here, as it takes a second and few sessions compare.
    from nltk.metrics import interval_distance
    from nltk.metrics.agreement import AnnotationTask

    rated = [
        (rater, str(item), score) for rater, scores in enumerate((one, other)) for item, score in enumerate(scores)
    ]
    return float(AnnotationTask(data=rated, distance=interval_distance).alpha())
