"""Features that the model reads, and the predictions that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from alignmamba.modality import Modality

SCORE_LIMIT = 3.0  # scores live in [-3, 3], as in CMU-MOSI
CLASSES = ("negative", "neutral", "positive")


def class_of(score: float) -> str:
    """Return the class of a score: that of the nearest whole degree of the scale, so that the two never contradict.

    >>> class_of(-1.06), class_of(-0.31), class_of(0.7)
    ('negative', 'neutral', 'positive')
    """
    step = round(max(-SCORE_LIMIT, min(SCORE_LIMIT, score)))
    return CLASSES[(step > 0) - (step < 0) + 1]


@runtime_checkable
class Schema(Protocol):
    """Schema of the features: names, dimensions, rates, encoders."""

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain JSON types."""


@runtime_checkable
class ModalityFeatures(Protocol):
    """Steps of one modality with their times; `str(absent)` is the reason if there are none."""

    values: np.ndarray
    start: np.ndarray
    end: np.ndarray
    valid: np.ndarray
    absent: object | None


@runtime_checkable
class Features(Protocol):
    """Features of a clip; `extractors.schema.ClipFeatures` is one implementation."""

    @property
    def schema(self) -> Schema:
        """Schema of the features."""

    def modality(self, name: str) -> ModalityFeatures:
        """Steps of one modality."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Alignment of the steps of `source` to those of `target`.

    Attributes:
        source: Modality whose steps are the rows.
        target: The anchor, whose steps are the columns.
        plan: M of the paper: rows sum to 1/T_source (all of it at one target if relaxed), zero for invalid steps.
        cost: 1 - cosine, plus the time term if the model has one; NaN where a step is invalid.
    """

    source: Modality
    target: Modality
    plan: Float[np.ndarray, "source target"]
    cost: Float[np.ndarray, "source target"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Prediction for a clip from some of its modalities.

    Attributes:
        score: Sentiment in [-3, 3].
        classes: Probability of each of `CLASSES`; calibrated where the checkpoint is.
        used: Modalities that took part.
        anchor: Modality that the others were aligned to.
        alignments: Per aligned modality its plan and cost.
        mmd: Squared MMD of each aligned modality to the anchor.
        contributions: Per used modality and step, gradient times encoded step: its first-order share in the score.
        running_scores: Score in [-3, 3] after each step of the anchor (word), NaN at invalid steps; None if the model
            is bidirectional.
        backend: Scan implementation and device.
        milliseconds: Wall-clock time of this prediction.
        interval: Where the true score lies with `interval_coverage`, within [-3, 3]; None where the checkpoint was not
            calibrated.
        interval_coverage: Share of held-out clips whose interval held the truth, as it was fitted; None without one.
    """

    score: float
    classes: dict[str, float]
    used: frozenset[Modality]
    anchor: Modality
    alignments: dict[str, Alignment]
    mmd: dict[str, float]
    contributions: dict[str, Float[np.ndarray, " steps"]]
    running_scores: Float[np.ndarray, " anchor"] | None
    backend: str
    milliseconds: float
    interval: tuple[float, float] | None = None
    interval_coverage: float | None = None

    @property
    def undecided(self) -> bool:
        """Whether the interval covers both signs, so that the sign of the score cannot be told."""
        return self.interval is not None and self.interval[0] < 0 < self.interval[1]


@dataclass(frozen=True, kw_only=True)
class SegmentScore:
    """Score of a segment of a clip: what a table of many segments needs of a `Prediction`.

    Attributes:
        score: As in `Prediction`.
        used: As in `Prediction`.
        contributions: As in `Prediction`, one per step of the segment.
        interval: As in `Prediction`.
    """

    score: float
    used: frozenset[Modality]
    contributions: dict[str, Float[np.ndarray, " steps"]]
    interval: tuple[float, float] | None = None
