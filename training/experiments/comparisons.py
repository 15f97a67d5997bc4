"""Whether two models differ: paired over clips and seeds, corrected for the number of comparisons of a table.

The unit is a clip; where a clip holds many labels (utterances of one video), it is still the clip, because its labels
are not independent. Two statistics of the same differences:

* an interval by bootstrap: clips and seeds are drawn anew together (scipy.stats.bootstrap, percentile), so that it
  holds for other clips and for other seeds;
* a p-value by Wilcoxon's signed-rank test over clips, each with its mean over seeds (scipy.stats.wilcoxon).

Holm's step-down procedure (statsmodels) then keeps the chance of any false finding in a table below 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats
from statsmodels.stats.multitest import multipletests

from training.experiments.experiment import Measured

RESAMPLES = 2000  # of the bootstrap
CONFIDENCE = 0.95
SIGNIFICANT = 1 - CONFIDENCE  # Holm-corrected p-values below this are marked
BOOTSTRAP_SEED = 0
BATCH = 100  # resamples at a time: memory
METRICS = ("acc2_non0", "mae")  # what is compared


def per_unit(measured: Measured, metric: str) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """Sum of a metric over the labels of each clip, and how many labels count.

    Raises:
        ValueError: If the metric is no mean over labels.
    """
    if metric == "mae":
        value, counts = np.abs(measured.predicted - measured.truth), np.ones(len(measured.truth))
    elif metric == "acc2_non0":
        counts = (measured.truth != 0).astype(float)
        value = ((measured.predicted > 0) == (measured.truth > 0)) * counts
    else:
        raise ValueError(f"metric: {metric!r}, expected one of {METRICS}")
    units = int(measured.unit.max()) + 1
    return np.bincount(measured.unit, value, units), np.bincount(measured.unit, counts, units)


def difference(sums: Float[np.ndarray, "seeds units"], counts: Float[np.ndarray, " units"]) -> dict[str, Any]:
    """Mean difference over labels, its interval and p-value, from the difference of each clip's sums in each seed.

    >>> found = difference(np.ones((2, 30)), np.ones(30))
    >>> found["difference"], found["low"], found["high"], found["p"] < 0.001
    (1.0, 1.0, 1.0, True)
    """
    sums, counts = sums[:, counts > 0], counts[counts > 0]

    def over_both(units: np.ndarray, seeds: np.ndarray | None = None, axis: int = -1) -> np.ndarray:
        units = units.astype(int)  # the bootstrap draws places
        if seeds is None:
            chosen = sums[0, units]  # (..., units)
        else:
            chosen = sums[seeds.astype(int)[..., :, None], units[..., None, :]].mean(-2)
        return chosen.sum(axis) / counts[units].sum(axis)

    found = float(sums.mean(0).sum() / counts.sum())
    apart = sums.mean(0) / counts
    if not apart.any() or len(counts) == 1:
        return {"difference": found, "low": found, "high": found, "p": 1.0}
    places = [np.arange(len(counts)), np.arange(len(sums))]
    drawn = stats.bootstrap(
        places if len(sums) > 1 else places[:1],  # one seed tells nothing about others
        over_both,
        n_resamples=RESAMPLES,
        batch=BATCH,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    p = stats.wilcoxon(apart, zero_method="zsplit", method="approx").pvalue
    return {"difference": found, "low": float(drawn.low), "high": float(drawn.high), "p": float(p)}


def against(ours: Sequence[Measured], theirs: Sequence[Measured]) -> dict[str, dict[str, Any]]:
    """Compare a model with ours by every metric: theirs less ours, seed by seed and clip by clip.

    Raises:
        ValueError: If the two were not measured on the same labels.
    """
    for one, other in zip(ours, theirs, strict=True):
        if not np.array_equal(one.truth, other.truth) or one.masks != other.masks:
            raise ValueError("comparison: other clips or other masks, expected the same for both models")
    found = {}
    for metric in METRICS:
        pairs = [(per_unit(one, metric), per_unit(other, metric)) for one, other in zip(ours, theirs, strict=True)]
        sums = np.stack([other - one for (one, _), (other, _) in pairs])
        found[metric] = difference(sums, pairs[0][0][1])
    return found


def corrected(comparisons: Sequence[Mapping[str, dict[str, Any]]]) -> list[dict[str, dict[str, Any]]]:
    """Add `p_holm` and `significant` to all comparisons of a table, metric by metric."""
    made: list[dict[str, dict[str, Any]]] = [{} for _ in comparisons]
    for metric in METRICS:
        if not comparisons:
            break
        significant, holm = multipletests(
            [each[metric]["p"] for each in comparisons], alpha=SIGNIFICANT, method="holm"
        )[:2]
        for place, each in enumerate(comparisons):
            made[place][metric] = {
                **each[metric], "p_holm": float(holm[place]), "significant": bool(significant[place])
            }  # fmt: skip
    return made
