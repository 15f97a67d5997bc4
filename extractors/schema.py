"""Features of a clip and their schema: the contract between extractors, models and app."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from extractors.messages import Message

SCHEMA_VERSION = 2
"""Of the numbers behind equal names: raised by whoever lets an extractor make other features of the same clip although
its `ModalitySchema` stays the same (another pooling, another clock, other zeros). Checkpoints of the version before are
refused then, as they must be. `tests/extractors/test_golden.py` fails where this was forgotten.
"""
DIMENSIONLESS = "1"  # the unit of a column that has none
LISTS = ("columns", "units")  # of `ModalitySchema`
FACE_BOX = ("face x", "face y", "face width", "face height")
"""Names of the tracks that say where the face is: its upper left corner and its size, in shares of the image."""
MAX_OUTLINE_POINTS = 100  # of a face in a frame
STEP_ARRAYS = ("values", "start", "end", "valid")  # of `ModalityFeatures`, each with an entry per step

ModalityName = Literal["audio", "video", "language"]
MODALITY_NAMES: tuple[ModalityName, ...] = get_args(ModalityName)
TranscriptSource = Literal["given", "recognised", "none"]

FeatureSet = Literal["steps", "statistics", "statistics+whisper"]
"""Columns of an audio and a video step: what was measured in the step; that, and statistics of the whole clip; those,
and for audio the mean state of Whisper's encoder."""
FEATURE_SETS: tuple[FeatureSet, ...] = get_args(FeatureSet)

Hook = Callable[[str, int, int], None]
"""Progress of long work: hook(step, completed, total), callable from any thread."""


class SchemaError(ValueError):
    """Features were made by another schema than the one that is needed."""


@dataclass(frozen=True, kw_only=True)
class ModalitySchema:
    """How one modality's steps were made.

    Attributes:
        dim: Columns per step.
        rate: Steps per second; None where steps are words.
        extractor: Name and version of what made them.
        sha256: Hash of the model file that made them; None where the package itself is the model.
        columns: One name per column; empty where columns have no meaning of their own (hidden states).
        units: One per named column; `DIMENSIONLESS` for ratios, shares and flags.
    """

    dim: int
    rate: float | None
    extractor: str
    sha256: str | None = None
    columns: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim: {self.dim}, expected at least 1")
        if self.columns and len(self.columns) != self.dim:
            raise ValueError(f"columns: {len(self.columns)} names, expected dim = {self.dim}")
        if self.units and len(self.units) != len(self.columns):
            raise ValueError(f"units: {len(self.units)}, expected one for each of {len(self.columns)} columns")


@dataclass(frozen=True, kw_only=True)
class FeatureSchema:
    """All modalities' schemas; travels in every checkpoint.

    >>> words = ModalitySchema(dim=384, rate=None, extractor="a BERT encoder")
    >>> ten_hertz = ModalitySchema(dim=2, rate=10.0, extractor="a detector", columns=("x", "y"))
    >>> schema = FeatureSchema(audio=ten_hertz, video=ten_hertz, language=words)
    >>> FeatureSchema.from_dict(schema.to_dict()) == schema
    True
    """

    audio: ModalitySchema
    video: ModalitySchema
    language: ModalitySchema
    version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; lists stand for tuples."""
        # By hand, as `asdict` copies hundreds of column names one by one, for every window of a clip.
        parts = {str(name): getattr(self, name) for name in MODALITY_NAMES}
        plain: dict[str, Any] = {
            name: {**vars(part), **{key: list(getattr(part, key)) for key in LISTS}} for name, part in parts.items()
        }
        return {**plain, "version": self.version}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> FeatureSchema:
        """Inverse of `to_dict`."""
        parts = {
            name: ModalitySchema(**{**plain[name], **{key: tuple(plain[name].get(key, ())) for key in LISTS}})
            for name in MODALITY_NAMES
        }
        return cls(version=plain["version"], **parts)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A spoken word.

    Attributes:
        text: As recognised or typed.
        start: Seconds from the start of the clip.
        end: Likewise.
        speaker: Who says it, as captions name them; None where nobody is named.
    """

    text: str
    start: float
    end: float
    speaker: str | None = None

    def to_list(self) -> list[str | float]:
        """Return [text, start, end], and the speaker where there is one."""
        return [self.text, float(self.start), float(self.end), *([] if self.speaker is None else [self.speaker])]

    @classmethod
    def from_list(cls, plain: Sequence[Any]) -> Word:
        """Inverse of `to_list`."""
        text, start, end, *speaker = plain
        return cls(text=str(text), start=float(start), end=float(end), speaker=speaker[0] if speaker else None)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A stretch of speech of one speaker.

    Attributes:
        start: Seconds from the start of the clip.
        end: Likewise.
        speaker: Who speaks, as `Word.speaker`; None where it cannot be told.
    """

    start: float
    end: float
    speaker: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModalityFeatures:
    """Steps of one modality in time order.

    >>> steps = ModalityFeatures(
    ...     values=np.array([[0.5, 1.0], [0.0, 0.0]], np.float32),
    ...     start=np.array([0.0, 0.1]),
    ...     end=np.array([0.1, 0.2]),
    ...     valid=np.array([True, False]),
    ... )
    >>> steps.values.shape, steps.absent
    ((2, 2), None)

    Attributes:
        values: (steps, dim); rows where `valid` is False hold zeros.
        start: Seconds from the start of the clip, one per step, never falling.
        end: Seconds, `end >= start`.
        valid: Whether the step was really observed (a frame without a face stays, with valid False).
        absent: Why the modality is absent (as "no_face"); None when it is there.
        apart: Like `values`, each step read without what lies beyond its own sentence; parts of a clip are cut from
            these, since a word's state tells of the words around it. None where they would be `values`.
    """

    values: Float32[np.ndarray, "steps dim"]
    start: Float[np.ndarray, " steps"]
    end: Float[np.ndarray, " steps"]
    valid: Bool[np.ndarray, " steps"]
    absent: Message | None = None
    apart: Float32[np.ndarray, "steps dim"] | None = None

    def __post_init__(self) -> None:
        steps = len(self.values)
        for name in ("start", "end", "valid"):
            if len(getattr(self, name)) != steps:
                raise ValueError(f"{name}: {len(getattr(self, name))} entries, expected one per step = {steps}")
        for name, values in (("values", self.values), ("apart", self.apart)):
            if values is None:
                continue
            if values.shape != self.values.shape:
                raise ValueError(f"{name}: shape {values.shape}, expected that of values = {self.values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: holds NaN or inf, expected finite numbers")
            if values[~self.valid].any():
                raise ValueError(f"{name}: invalid steps hold numbers, expected zeros")
        if (np.diff(self.start) < 0).any() or (self.end < self.start).any():
            raise ValueError("start, end: expected start never falling and end >= start")
        if self.absent is None and not self.valid.any():
            raise ValueError("absent: None although no step is valid, expected the reason")
        if self.absent is not None and self.valid.any():
            raise ValueError(
                f"absent: {str(self.absent)!r} although {int(self.valid.sum())} steps are valid, expected None"
            )

    @classmethod
    def missing(cls, reason: Message, dim: int) -> ModalityFeatures:
        """Return features of a modality that is not there at all: no steps and the reason."""
        none = np.zeros(0)
        return cls(values=np.zeros((0, dim), np.float32), start=none, end=none, valid=np.zeros(0, bool), absent=reason)


@dataclass(frozen=True, kw_only=True)
class Track:
    """A curve for the timeline, which no model reads.

    Attributes:
        name: What is drawn ("F0", "face x").
        unit: Of the values; empty for shares and flags.
        seconds: Seconds from the start of the clip, one per value, never falling.
        values: NaN where unknown (pitch without voice, the box of a face not found).
    """

    name: str
    unit: str
    seconds: Float[np.ndarray, " samples"]
    values: Float[np.ndarray, " samples"]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.seconds):
            raise ValueError(f"values: {len(self.values)}, expected one per second stamp = {len(self.seconds)}")
        if not np.isfinite(self.seconds).all() or (np.diff(self.seconds) < 0).any():
            raise ValueError(f"seconds: of track {self.name!r}, expected finite and never falling")
        if np.isinf(self.values).any():
            raise ValueError(f"values: inf in track {self.name!r}, expected finite numbers or NaN")


@dataclass(frozen=True, kw_only=True)
class ClipFeatures:
    """Features of all modalities of a clip, its transcript, and notes on how they were made.

    Attributes:
        audio: Of the voice, one step per 1/rate seconds.
        video: Of the face, one step per sampled frame.
        language: Of the transcript, one step per word of `words`.
        words: The transcript's words with their times.
        duration: Seconds of the clip (the longer of audio and video).
        schema: How the features were made.
        transcript_source: Where the words come from.
        notes: For the user, about fallbacks and oddities.
        step_seconds: Wall-clock seconds that each extraction step took.
        tracks: Curves for the timeline, each name once.
        outlines: Lines of the face (`extractors.vision.outline`) in each frame of the tracks `FACE_BOX`, as shares of
            that box in 1/255, zeros without a face; None where they were not kept.
        voice_rows: What audio steps were pooled from; `extractors.storage.parts` describes parts of the voice by it.
        voice_states: What the mean Whisper state was averaged from, a row each half second; likewise.
    """

    audio: ModalityFeatures
    video: ModalityFeatures
    language: ModalityFeatures
    words: tuple[Word, ...]
    duration: float
    schema: FeatureSchema
    transcript_source: TranscriptSource
    notes: tuple[Message, ...] = ()
    step_seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    tracks: tuple[Track, ...] = ()
    outlines: UInt8[np.ndarray, "frames points 2"] | None = None
    voice_rows: Float32[np.ndarray, "rows descriptors"] | None = None
    voice_states: Float32[np.ndarray, "pieces columns"] | None = None

    def __post_init__(self) -> None:
        if len(self.words) != len(self.language.values):
            raise ValueError(f"words: {len(self.words)}, expected one per language step = {len(self.language.values)}")
        for name in MODALITY_NAMES:
            dim, expected = self.modality(name).values.shape[1], getattr(self.schema, name).dim
            if dim != expected:
                raise SchemaError(f"{name}: {dim} columns, expected {expected} as its schema says")
        names = [track.name for track in self.tracks]
        if len(set(names)) != len(names):
            raise ValueError(f"tracks: {names}, expected each name once")
        self._check_outlines()

    def _check_outlines(self) -> None:
        if self.outlines is None:
            return
        frames = next((len(track.seconds) for track in self.tracks if track.name == FACE_BOX[0]), 0)
        shape = self.outlines.shape
        if len(shape) != 3 or shape[0] != frames or not 1 <= shape[1] <= MAX_OUTLINE_POINTS or shape[2] != 2:
            raise ValueError(
                f"outlines: {shape}, expected ({frames}, points, 2), a frame for each value of the track "
                f"{FACE_BOX[0]!r} and 1 to {MAX_OUTLINE_POINTS} points"
            )

    def modality(self, name: str) -> ModalityFeatures:
        """Return the features of "audio", "video" or "language"."""
        if name not in MODALITY_NAMES:
            raise ValueError(f"modality: {name!r}, expected one of {MODALITY_NAMES}")
        features: ModalityFeatures = getattr(self, name)
        return features

    def between(self, start: float, end: float) -> ClipFeatures:
        """Cut out the steps whose middle lies in [start, end); times stay those of the whole clip.

        Words know of their own sentence only. A modality without an observed step there is absent from the cut; tracks,
        outlines and what describes parts are left out.
        """
        return self.within([(start, end)])

    def within(self, spans: Sequence[tuple[float, float]]) -> ClipFeatures:
        """Cut out the steps whose middle lies in one of several spans, as `between` does for one."""
        parts: dict[str, Any] = {name: _cut(self.modality(name), spans) for name in MODALITY_NAMES}
        there = inside(self.language, spans)
        words = tuple(word for word, kept in zip(self.words, there, strict=True) if kept)
        return replace(self, **parts, words=words, tracks=(), outlines=None, voice_rows=None, voice_states=None)

    def without(self, spans: Sequence[tuple[float, float]]) -> ClipFeatures:
        """Mark the steps whose middle lies in one of the spans as not observed; every time stays as it was.

        Words that are left know of their own sentence only, and so of none that is marked, but for its own. A modality
        without an observed step left is absent; statistics of the whole clip are not measured again.
        """
        parts: dict[str, Any] = {name: _unobserved(self.modality(name), spans) for name in MODALITY_NAMES}
        return replace(self, **parts)


def inside(part: ModalityFeatures, spans: Sequence[tuple[float, float]]) -> Bool[np.ndarray, " steps"]:
    """Tell which steps have their middle in one of the spans."""
    middles = (part.start + part.end) / 2
    found = np.zeros(len(middles), bool)
    for start, end in spans:
        found |= (middles >= start) & (middles < end)
    return found


def _unobserved(part: ModalityFeatures, spans: Sequence[tuple[float, float]]) -> ModalityFeatures:
    hidden = inside(part, spans)
    if not hidden.any():
        return part
    valid = part.valid & ~hidden
    absent = None if valid.any() else (part.absent or Message("nothing_observed"))
    left = (part.values if part.apart is None else part.apart) * valid[:, None]
    return replace(part, values=left, valid=valid, absent=absent, apart=None if part.apart is None else left)


def _cut(part: ModalityFeatures, spans: Sequence[tuple[float, float]]) -> ModalityFeatures:
    there = inside(part, spans)
    absent = None if part.valid[there].any() else (part.absent or Message("nothing_observed"))
    arrays = {name: getattr(part, name)[there] for name in STEP_ARRAYS}
    if part.apart is not None:
        arrays["values"] = arrays["apart"] = part.apart[there]
    return ModalityFeatures(**arrays, absent=absent)
