"""Means and deviations over seeds, as result files hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and each seed's value; NaN (Pearson of a constant) becomes null."""
    known = bool(np.isfinite(values).all())
    return {
        "mean": float(np.mean(values)) if known else None,
        "std": float(np.std(values)) if known else None,
        "per_seed": [float(value) if np.isfinite(value) else None for value in values],
    }


def summary(metrics: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """`over_seeds` of every metric, from the metrics of each seed."""
    return {key: over_seeds([float(each[key]) for each in metrics]) for key in metrics[0]}
