"""Proxy A-distance: how well a linear classifier tells two sets of features apart (Ben-David et al. 2007)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS = 5


def proxy_a_distance(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim_of_y"], *, seed: int = 1111
) -> float | None:
    """2 (1 - 2 error) of telling x from y, by cross-validated logistic regression (paper, Table 4).

    Args:
        x: One set of features.
        y: The other; sets are weighted alike whatever their sizes.
        seed: Of the folds.

    Returns:
        0 where the sets cannot be told apart, 2 where no sample is mistaken; lower is better aligned. An error
        above one half counts as one half. None where a set has fewer samples than folds.

    Raises:
        ValueError: If the widths differ.
    """
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y: {y.shape[1]} columns, expected {x.shape[1]} as x has")
    if min(len(x), len(y)) < FOLDS:
        return None
    classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    label = np.repeat([0, 1], [len(x), len(y)])
    accuracy = cross_val_score(classifier, np.concatenate([x, y]), label, cv=folds, scoring="balanced_accuracy").mean()
    return float(2 * (1 - 2 * min(1 - accuracy, 0.5)))
