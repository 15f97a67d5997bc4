"""Proxy A-distance: how well a linear classifier separates two sets of features (Ben-David et al. 2007)."""

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
    """Proxy A-distance 2 (1 - 2 error) of a cross-validated logistic regression that separates x from y.

    The paper's Table 4 reports it for each modality to language.

    Args:
        x: One set of features.
        y: The other; sets are weighted alike whatever their sizes.
        seed: Of the folds.

    Returns:
        0 where the sets cannot be separated, 2 where no sample is mistaken; lower is better aligned. An error
        above one half counts as one half. None where a set has fewer samples than folds.

    Raises:
        ValueError: If the widths differ.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> proxy_a_distance(x, x + 100)
    2.0
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
