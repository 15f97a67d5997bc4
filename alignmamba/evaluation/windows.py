"""Score over time: predictions for overlapping windows of a clip."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from alignmamba.modality import Modality, parse_modalities
from alignmamba.prediction import Features
from alignmamba.predictor import Predictor

WINDOW_SECONDS = 5.0  # about a spoken sentence; utterances of CMU-MOSI last 4 s on average
HOP_SECONDS = 2.5


@runtime_checkable
class Sliceable(Protocol):
    """What can be cut into features: `extractors.schema.ClipFeatures`, and `extractors.storage.parts.Parts`."""

    duration: float

    def between(self, start: float, end: float) -> Features:
        """Return the steps whose middle lies in [start, end)."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A segment of a clip and its score.

    Attributes:
        start: Seconds.
        end: Seconds.
        score: In [-3, 3]; None where none of the asked modalities is there.
        used: Modalities that took part.
    """

    start: float
    end: float
    score: float | None
    used: frozenset[Modality]


def scores_over_time(
    predictor: Predictor,
    features: Sliceable,
    modalities: Iterable[str],
    *,
    seconds: float = WINDOW_SECONDS,
    hop: float = HOP_SECONDS,
) -> list[Window]:
    """Predict overlapping windows of a clip.

    Args:
        predictor: Any; the clip that it holds is left alone.
        features: As in `segments.score_segments`.
        modalities: Modalities to predict from; in a window, whichever of them are present.
        seconds: Length of a window; the last one ends with the clip.
        hop: From one window's start to the next one's.

    Raises:
        ValueError: If a modality is unknown, none is given, or `seconds` or `hop` is not positive.
    """
    if seconds <= 0 or hop <= 0:
        raise ValueError(f"seconds, hop: {seconds}, {hop}, expected positive numbers")
    asked = parse_modalities(modalities)
    fork = predictor.fork()
    count = 1 + max(0, math.ceil((features.duration - seconds) / hop - 1e-9))
    windows = []
    for index in range(count):
        start = max(0.0, min(index * hop, features.duration - seconds))
        end = min(start + seconds, features.duration)
        fork.set_clip(features.between(start, end))
        used = asked & fork.available
        score = fork.predict(used).score if used else None
        windows.append(Window(start=start, end=end, score=score, used=used))
    return windows
