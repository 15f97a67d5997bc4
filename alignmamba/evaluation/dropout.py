"""What missing modalities change over several clips: mean changes, each with an interval by bootstrap over the clips.

A clip is compared with itself: its score from a part of its modalities against its score from all of them. Clips with
the same modalities form one comparison; a clip that lacks one more belongs to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from alignmamba.modality import MODALITIES, SUBSETS, Modality

SEED = 1111  # as in the project's experiments
RESAMPLES = 10_000
COVERAGE = 0.95
MIN_CLIPS = 2  # for an interval

Measure = Literal["score", "distance", "accuracy", "error"]


@dataclass(frozen=True, kw_only=True)
class ScoredClip:
    """The scores of a clip.

    Attributes:
        scores: In [-3, 3], per subset of the modalities that the clip has; empty where it has none.
        truth: The score that a person gave it; None where nobody did.
    """

    scores: Mapping[frozenset[Modality], float]
    truth: float | None = None

    @property
    def available(self) -> frozenset[Modality]:
        """Modalities that the clip has."""
        return max(self.scores, key=len, default=frozenset())


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over clips with its interval.

    Attributes:
        mean: Of the clips.
        low: Lower end of the interval; None with fewer than `MIN_CLIPS` clips.
        high: Upper end.
        count: How many clips.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """What changes where some modalities are missing.

    Attributes:
        missing: The modalities that are left out.
        kept: Those that the model predicts from.
        means: Per measure; those of the truth only where some clips have one. "score": the score without them minus
            the score with all. "distance": the same without its sign. "accuracy": how much smaller the share of clips
            is whose sign is right, over clips whose truth is not 0. "error": how much larger the mean absolute error.
    """

    missing: frozenset[Modality]
    kept: frozenset[Modality]
    means: Mapping[Measure, Interval]


def bootstrap_mean(
    values: Float[np.ndarray, " clips"], *, seed: int = SEED, resamples: int = RESAMPLES, coverage: float = COVERAGE
) -> Interval:
    """Mean of some numbers, one per clip, with an interval: clips are drawn anew with replacement (percentile).

    Args:
        values: At least one.
        seed: The same seed, the same interval.
        resamples: How often they are drawn.
        coverage: Share of the resampled means that the interval holds.

    Raises:
        ValueError: If there is no number.

    >>> bootstrap_mean(np.array([0.5, 0.5, 0.5]))
    Interval(mean=0.5, low=0.5, high=0.5, count=3)
    """
    count = len(values)
    if not count:
        raise ValueError("values: none, expected at least one")
    mean = float(values.mean())
    if count < MIN_CLIPS:
        return Interval(mean=mean, low=None, high=None, count=count)
    # How often each clip is drawn, instead of which: the means are then one product of matrices.
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    tails = [(1 - coverage) / 2, (1 + coverage) / 2]
    low, high = np.quantile(drawn @ values / count, tails)
    return Interval(mean=mean, low=float(low), high=float(high), count=count)


def groups(clips: Sequence[ScoredClip]) -> dict[frozenset[Modality], list[ScoredClip]]:
    """Group clips by the modalities that they have, more of them first; those with one or none have none to lose."""
    found = {whole: [clip for clip in clips if clip.available == whole] for whole in SUBSETS if len(whole) > 1}
    return {whole: each for whole, each in found.items() if each}


def changes(clips: Sequence[ScoredClip], whole: frozenset[Modality], *, seed: int = SEED) -> list[Change]:
    """Compare each part of some modalities with all of them, over clips that have exactly these.

    Args:
        clips: With `whole` as their modalities; at least one.
        whole: Two or three modalities.
        seed: Of the bootstrap.

    Returns:
        One missing modality first, the words before face and voice; then two.

    Raises:
        ValueError: If there is no clip, or one has other modalities.
    """
    if not clips or any(clip.available != whole for clip in clips):
        raise ValueError(f"clips: expected at least one, each with {sorted(whole)} and no other modality")
    parts = [part for part in SUBSETS if part < whole]
    ordered = sorted(parts, key=lambda part: [len(whole - part), *(m in part for m in reversed(MODALITIES))])
    return [
        Change(missing=whole - kept, kept=kept, means=dict(_means(clips, whole=whole, kept=kept, seed=seed)))
        for kept in ordered
    ]


def _means(
    clips: Sequence[ScoredClip], *, whole: frozenset[Modality], kept: frozenset[Modality], seed: int
) -> list[tuple[Measure, Interval]]:
    full = np.array([clip.scores[whole] for clip in clips])
    part = np.array([clip.scores[kept] for clip in clips])
    truth = np.array([np.nan if clip.truth is None else clip.truth for clip in clips])
    labelled, signed = ~np.isnan(truth), ~np.isnan(truth) & (truth != 0)

    def right(scores: Float[np.ndarray, " clips"]) -> Float[np.ndarray, " clips"]:
        return np.equal(scores > 0, truth > 0).astype(np.float64)

    values: dict[Measure, tuple[np.ndarray, np.ndarray]] = {
        "score": (part - full, np.full(len(clips), True)),
        "distance": (np.abs(part - full), np.full(len(clips), True)),
        "accuracy": (right(full) - right(part), signed),
        "error": (np.abs(part - truth) - np.abs(full - truth), labelled),
    }
    return [
        (measure, bootstrap_mean(each[where], seed=seed)) for measure, (each, where) in values.items() if where.any()
    ]
