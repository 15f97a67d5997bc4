"""Results as plain JSON types: the predictions for a clip, with the words, times and pairs that they rest on.

`schema.json` beside this file is the JSON Schema (2020-12) of a document. Its `version` counts up when a reader
of an older one could go wrong: the first number where something is renamed or removed, the second where it is added.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from alignmamba.modality import MODALITIES, SUBSETS, Modality
from alignmamba.prediction import Alignment, Features, Prediction, SegmentScore, class_of

FORMAT = "alignmamba-result"
VERSION = "1.2"
DECIMALS = 6  # of every number but counts; the model computes in float32
SCHEMA_FILE = Path(__file__).with_name("schema.json")

Predictions = Mapping[frozenset[Modality], Prediction]
"""One per subset of the modalities that a clip has."""


@runtime_checkable
class SpokenWord(Protocol):
    """A word, its time span in seconds from the start of the clip, and who says it where that is named."""

    text: str
    start: float
    end: float
    speaker: str | None


@runtime_checkable
class SpokenSentence(Protocol):
    """A run of words, its time span, and who says it where that is named; `last` belongs to it."""

    first: int
    last: int
    start: float
    end: float
    speaker: str | None


ScoredSentence = tuple[SpokenSentence, Sequence[SegmentScore | None]]
"""A sentence and its scores from some subsets; None where it has nothing of a subset."""


class Analysed(Features, Protocol):
    """What a document contains of a clip beside its predictions; `extractors.schema.ClipFeatures` has it."""

    words: Sequence[SpokenWord]
    duration: float
    transcript_source: str
    notes: Sequence[object]  # `str(note)` is the sentence
    step_seconds: Mapping[str, float]


@functools.cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema that every document follows."""
    plain: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return plain


def document(
    features: Analysed,
    predictions: Predictions,
    *,
    used: Iterable[str] | None = None,
    sentences: Sequence[ScoredSentence] = (),
    clip: Mapping[str, Any],
    checkpoint: str,
) -> dict[str, Any]:
    """Build the document of one result.

    Args:
        features: Of the clip.
        predictions: Per subset; empty where no prediction was possible.
        used: The subset that is written in full; by default the largest.
        sentences: Of the transcript in order, the score from `used` first.
        clip: `title` and, where known, `sha256`, `bytes` and `synthetic`.
        checkpoint: Name of the checkpoint that predicted.

    Returns:
        Plain JSON types that follow `schema`. Seconds count from the start of the clip; NaN and infinity become None.

    Raises:
        ValueError: If the subset was not predicted.
    """
    by_names: Mapping[frozenset[str], Prediction] = {subset: found for subset, found in predictions.items()}
    chosen = max(by_names, key=len, default=None) if used is None else frozenset(used)
    if chosen is not None and chosen not in by_names:
        raise ValueError(f"used: {_names(chosen)} not predicted, expected one of {list(map(_names, by_names))}")
    return {
        "format": FORMAT,
        "version": VERSION,
        "clip": {
            "title": clip["title"],
            "sha256": clip.get("sha256"),
            "bytes": clip.get("bytes"),
            "synthetic": bool(clip.get("synthetic", False)),
            "duration_s": _number(features.duration),
        },
        "checkpoint": checkpoint,
        "modalities": {str(modality): _modality(features, modality) for modality in MODALITIES},
        "transcript": {
            "source": features.transcript_source,
            "words": [_word(word) for word in features.words],
        },
        "sentences": [_sentence(features, sentence, scores) for sentence, scores in sentences],
        "notes": [str(note) for note in features.notes],
        "extraction_s": {step: _number(seconds) for step, seconds in features.step_seconds.items()},
        "subsets": [_score(predictions[subset]) for subset in SUBSETS if subset in predictions],
        "prediction": None if chosen is None else _prediction(features, by_names[chosen]),
    }


def to_json(plain: Mapping[str, Any]) -> str:
    """Write a document as text: UTF-8 when encoded, one key a line, numbers that every reader of JSON takes."""
    return json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _word(word: SpokenWord) -> dict[str, Any]:
    """Return a word with its times, and with its speaker where one is named."""
    plain = {"text": word.text, "start_s": _number(word.start), "end_s": _number(word.end)}
    return plain if word.speaker is None else {**plain, "speaker": word.speaker}


def _sentence(features: Analysed, sentence: SpokenSentence, scores: Sequence[SegmentScore | None]) -> dict[str, Any]:
    words = features.words[sentence.first : sentence.last + 1]
    full = scores[0] if scores else None
    plain = {
        "start_s": _number(sentence.start),
        "end_s": _number(sentence.end),
        "first_word": sentence.first,
        "last_word": sentence.last,
        "text": " ".join(word.text for word in words),
        "scores": [_segment(score) for score in scores if score is not None],
        "contributions": {
            name: _number(float(values.sum())) for name, values in (full.contributions if full else {}).items()
        },
    }
    return plain if sentence.speaker is None else {**plain, "speaker": sentence.speaker}


def _segment(found: SegmentScore) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "used": _names(found.used),
        "score": _number(found.score),
        "class": class_of(found.score),
    }
    if found.interval is not None:
        low, high = map(_number, found.interval)
        plain["interval"] = {"low": low, "high": high}
    return plain


def _score(prediction: Prediction) -> dict[str, Any]:
    plain = {
        "used": _names(prediction.used),
        "score": _number(prediction.score),
        "class": class_of(prediction.score),
        "classes": {name: _number(share) for name, share in prediction.classes.items()},
        "undecided": prediction.undecided,
    }
    if prediction.interval is not None:
        low, high = map(_number, prediction.interval)
        plain["score_interval"] = {"low": low, "high": high, "coverage": _number(prediction.interval_coverage)}
    return plain


def _prediction(features: Analysed, prediction: Prediction) -> dict[str, Any]:
    running = prediction.running_scores
    return {
        **_score(prediction),
        "anchor": str(prediction.anchor),
        "mmd": {name: _number(value) for name, value in prediction.mmd.items()},
        "contributions": {
            name: {
                "start_s": _numbers(features.modality(name).start),
                "end_s": _numbers(features.modality(name).end),
                "value": _numbers(values),
            }
            for name, values in prediction.contributions.items()
        },
        "running_scores": None if running is None else _numbers(running),
        "alignments": [_alignment(found) for found in prediction.alignments.values()],
        "backend": prediction.backend,
        "milliseconds": _number(prediction.milliseconds),
    }


def _alignment(found: Alignment) -> dict[str, Any]:
    """List a plan's pairs; cells without weight are left out."""
    rows, columns = np.nonzero(found.plan)
    weight, cost = found.plan[rows, columns], found.cost[rows, columns]
    return {
        "source": str(found.source),
        "target": str(found.target),
        "cost": _number(float((weight.astype(float) * cost).sum())),
        "pairs": {
            "source_step": rows.tolist(),
            "target_step": columns.tolist(),
            "weight": _numbers(weight),
            "cost": _numbers(cost),
        },
    }


def _modality(features: Analysed, modality: Modality) -> dict[str, Any]:
    part = features.modality(modality)
    absent = None if part.absent is None else str(part.absent)
    return {"absent": absent, "steps": len(part.valid), "valid_steps": int(part.valid.sum())}


def _names(modalities: Iterable[str]) -> list[str]:
    return sorted(str(modality) for modality in modalities)


def _numbers(values: Float[np.ndarray, " values"]) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float | None) -> float | None:
    return round(float(value), DECIMALS) if value is not None and math.isfinite(value) else None
