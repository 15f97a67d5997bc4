"""Measures of sentiment prediction as the field takes them (thuiar/MMSA)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.metrics import f1_score, recall_score

from alignmamba.prediction import CLASSES, SCORE_LIMIT

ACC7_LIMIT = int(SCORE_LIMIT)  # Acc-7 has the classes -3..3
ACC5_LIMIT = 2  # Acc-5 has the classes -2..2
ACC3_LIMIT = 1  # Acc-3 has the classes -1..1
CALIBRATION_BINS = 15  # of equal width over [0, 1] (Guo et al., ICML 2017)
SCORE_BINS = 10  # of equal number of samples
NEGATIVE, NEUTRAL, POSITIVE = range(len(CLASSES))  # what `sentiment_class` returns
NEUTRAL_BAND = 0.5  # |score| below this is the class "neutral"


def sentiment_class(score: float) -> int:
    """Class of a score, as an index into `alignmamba.prediction.CLASSES`.

    >>> [CLASSES[sentiment_class(score)] for score in (-2.0, 0.4, 1.0)]
    ['negative', 'neutral', 'positive']
    """
    if abs(score) < NEUTRAL_BAND:
        return NEUTRAL
    return NEGATIVE if score < 0 else POSITIVE


def balanced_accuracy(
    predicted: Bool[np.ndarray, " n"] | Int[np.ndarray, " n"], truth: Bool[np.ndarray, " n"] | Int[np.ndarray, " n"]
) -> float:
    """Mean of the recalls of the classes that the truth has.

    `balanced_accuracy_score` without its warning about predicted classes that the truth does not have.

    Raises:
        ValueError: If there is no sample.

    >>> balanced_accuracy(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    0.8333333333333333
    """
    if not len(truth):
        raise ValueError("truth: no sample, expected at least one")
    return float(recall_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0))


def expected_calibration_error(
    probabilities: Float[np.ndarray, "n classes"], truth: Int[np.ndarray, " n"], *, bins: int = CALIBRATION_BINS
) -> float:
    """How far a classifier's confidence is from its accuracy (ECE; Guo et al., ICML 2017).

    Samples are put into bins of equal width by the probability of their likeliest class; the error is the mean of
    |accuracy - mean confidence| over bins, weighted with their samples.

    Args:
        probabilities: Of each class; rows sum to 1.
        truth: Class of each sample.
        bins: How many, over (0, 1]; a bin holds its upper edge.

    Returns:
        Share from 0 (calibrated) to 1.

    Raises:
        ValueError: If there is no sample, or a row is no distribution.
    """
    if not len(truth):
        raise ValueError("truth: no sample, expected at least one")
    if not ((probabilities >= 0).all() and np.allclose(probabilities.sum(1), 1, atol=1e-4)):
        raise ValueError("probabilities: expected rows of numbers from 0 that sum to 1")
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == truth
    # Upper edges belong to their bin; confidence above 1 by rounding belongs to the last.
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def score_calibration_error(
    predicted: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"], *, bins: int = SCORE_BINS
) -> float:
    """How far predicted scores are from the mean truth of samples scored alike.

    Samples are sorted by prediction and cut into bins of equal number; the error is the mean of |mean truth - mean
    prediction| over bins, weighted with their samples: the ECE's counterpart for a regression. Samples of the same
    prediction may fall into two bins.

    Args:
        predicted: Predicted scores.
        truth: True scores.
        bins: How many; no more than samples are used.

    Returns:
        Error in units of the score, 0 for a calibrated prediction.

    Raises:
        ValueError: If there is no sample.
    """
    if not len(truth):
        raise ValueError("truth: no sample, expected at least one")
    order = np.argsort(predicted, kind="stable")
    gaps = [np.sum(truth[part] - predicted[part]) for part in np.array_split(order, min(bins, len(order)))]
    return float(np.abs(gaps).sum() / len(truth))


def sentiment_metrics(predicted: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"]) -> dict[str, float]:
    """All measures of a regression on scores in [-3, 3].

    Has0 counts zero as positive; Non0 leaves samples of truth zero out.

    Args:
        predicted: Predicted scores.
        truth: True scores.

    Returns:
        acc2_has0, f1_has0, acc2_non0, f1_non0, acc3, acc5, acc7 (shares), mae and calibration (score units, see
        `score_calibration_error`), corr (Pearson; NaN where either side is constant: it is undefined there).

    Raises:
        ValueError: If the arrays are empty or hold NaN or inf, or the truth holds no sample other than zero.

    >>> found = sentiment_metrics(np.array([1.8, -0.3, -2.4]), np.array([2.0, 0.4, -3.0]))
    >>> round(found["acc2_non0"], 3), round(found["f1_non0"], 3), round(found["mae"], 2)
    (0.667, 0.667, 0.5)
    """
    if not len(truth):
        raise ValueError("truth: no sample, expected at least one")
    for name, values in (("predicted", predicted), ("truth", truth)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: {int((~np.isfinite(values)).sum())} of {len(values)} are NaN or inf")
    non0 = truth != 0
    if not non0.any():
        raise ValueError("truth: all samples are 0, expected some negative or positive for Non0 measures")
    has0 = (predicted >= 0).astype(int), (truth >= 0).astype(int)
    signs = (predicted[non0] > 0).astype(int), (truth[non0] > 0).astype(int)

    def weighted_f1(predicted: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"]) -> float:
        return float(f1_score(truth, predicted, average="weighted", zero_division=0))

    def rounded_accuracy(limit: int) -> float:
        return float(np.mean(np.round(np.clip(predicted, -limit, limit)) == np.round(np.clip(truth, -limit, limit))))

    constant = np.ptp(predicted) == 0 or np.ptp(truth) == 0
    return {
        "acc2_has0": float(np.mean(has0[0] == has0[1])),
        "f1_has0": weighted_f1(*has0),
        "acc2_non0": float(np.mean(signs[0] == signs[1])),
        "f1_non0": weighted_f1(*signs),
        "acc3": rounded_accuracy(ACC3_LIMIT),
        "acc5": rounded_accuracy(ACC5_LIMIT),
        "acc7": rounded_accuracy(ACC7_LIMIT),
        "mae": float(np.mean(np.abs(predicted - truth))),
        "calibration": score_calibration_error(predicted, truth),
        "corr": float("nan") if constant else float(np.corrcoef(predicted, truth)[0, 1]),
    }
