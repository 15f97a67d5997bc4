"""Scores of segments of a clip: of each sentence, turn or chosen span, on its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alignmamba.evaluation.windows import Sliceable
from alignmamba.prediction import SegmentScore
from alignmamba.predictor import Predictor


def score_segments(
    predictor: Predictor,
    features: Sliceable,
    spans: Sequence[tuple[float, float]],
    modalities: Iterable[str],
) -> list[SegmentScore | None]:
    """Predict segments of a clip, in batches.

    Args:
        predictor: Any; the clip that it holds is left alone.
        features: Of the whole clip; `extractors.storage.parts.Parts` describes each segment anew, as a clip of its own.
        spans: Seconds from and to; a step belongs to a span that holds its middle.
        modalities: Modalities to predict from; in a segment, whichever of them are present.

    Returns:
        One score per span; None where none of the modalities is there.

    Raises:
        ValueError: If a modality is unknown or none is given, or a span ends before it begins.
    """
    if backwards := [span for span in spans if not span[0] <= span[1]]:
        raise ValueError(f"spans: {backwards}, expected each to end after it begins")
    return predictor.predict_many([features.between(start, end) for start, end in spans], modalities)
