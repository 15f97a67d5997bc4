"""Measures of sentiment prediction as the field takes them (thuiar/MMSA)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

ACC7_LIMIT = 3  # Acc-7 has the classes -3..3
ACC5_LIMIT = 2  # Acc-5 has the classes -2..2


def weighted_f1(predicted: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"]) -> float:
    """F1 per class of the truth, averaged with the class sizes as weights."""
    total = 0.0
    for label in np.unique(truth):
        hits = np.sum((predicted == label) & (truth == label))
        total += np.sum(truth == label) * 2 * hits / (np.sum(predicted == label) + np.sum(truth == label))
    return float(total / len(truth))


def balanced_accuracy(predicted: Bool[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """Mean of the recalls of both classes."""
    return float(np.mean([np.mean(predicted[truth == label] == label) for label in (False, True)]))


def sentiment_metrics(predicted: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"]) -> dict[str, float]:
    """All measures of a regression on scores in [-3, 3].

    Has0 counts zero as positive; Non0 leaves samples of truth zero out.

    Args:
        predicted: Predicted scores.
        truth: True scores.

    Returns:
        acc2_has0, f1_has0, acc2_non0, f1_non0, acc5, acc7 (shares), mae (score units), corr (Pearson; NaN where
        either side is constant).

    Raises:
        ValueError: If the arrays are empty, or the truth holds no sample other than zero.
    """
    if not len(truth):
        raise ValueError("truth: no sample, expected at least one")
    non0 = truth != 0
    if not non0.any():
        raise ValueError("truth: all samples are 0, expected some negative or positive for Non0 measures")
    has0 = (predicted >= 0).astype(int), (truth >= 0).astype(int)
    signs = (predicted[non0] > 0).astype(int), (truth[non0] > 0).astype(int)

    def rounded_accuracy(limit: int) -> float:
        return float(np.mean(np.round(np.clip(predicted, -limit, limit)) == np.round(np.clip(truth, -limit, limit))))

    constant = np.ptp(predicted) == 0 or np.ptp(truth) == 0
    return {
        "acc2_has0": float(np.mean(has0[0] == has0[1])),
        "f1_has0": weighted_f1(*has0),
        "acc2_non0": float(np.mean(signs[0] == signs[1])),
        "f1_non0": weighted_f1(*signs),
        "acc5": rounded_accuracy(ACC5_LIMIT),
        "acc7": rounded_accuracy(ACC7_LIMIT),
        "mae": float(np.mean(np.abs(predicted - truth))),
        "corr": float("nan") if constant else float(np.corrcoef(predicted, truth)[0, 1]),
    }
