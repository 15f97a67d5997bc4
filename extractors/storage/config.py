"""Configuration of an extraction: all that decides a clip's features beside the clip itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from extractors.audio import acoustic
from extractors.audio.columns import AudioColumns
from extractors.language import asr, languages, speech_states, text_encoder
from extractors.language.asr import RECOGNISER
from extractors.language.text_encoder import ENCODER
from extractors.language.transcript import MAX_CHARACTERS, Transcript, TranscriptError
from extractors.media.probe import LIMITS, Limits
from extractors.messages import Message
from extractors.schema import FEATURE_SETS, FeatureSchema, FeatureSet, ModalitySchema, SchemaError
from extractors.vision import facial


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """How a clip's features are made; the fields are the arguments of `extractors.pipeline.extract`.

    >>> ExtractionConfig(frame_rate=5.0).schema().video.rate
    5.0
    >>> ExtractionConfig(transcript="good").sha256() == ExtractionConfig(transcript="bad").sha256()
    False

    Raises:
        TranscriptError: If a transcript is given beside a caption track.
        ValueError: If there are no such descriptors or feature set, the descriptors have no statistics, or the frame
            rate is out of range.
    """

    transcript: str | Transcript | None = None
    limits: Limits = LIMITS
    recogniser: str = RECOGNISER
    encoder: str = ENCODER
    descriptors: str = acoustic.EGEMAPS.name
    frame_rate: float = facial.FRAME_RATE
    feature_set: FeatureSet = "steps"
    audio_track: int | None = None
    caption_track: int | None = None

    def __post_init__(self) -> None:
        if self.feature_set not in FEATURE_SETS:
            raise ValueError(f"feature_set: {self.feature_set!r}, expected one of {FEATURE_SETS}")
        AudioColumns(descriptors=self.descriptors, statistics=self.statistics)
        if self.caption_track is not None and self.given is not None:
            raise TranscriptError(Message("captions_given_twice"))
        if not 0 < self.frame_rate <= 100:
            raise ValueError(f"frame_rate: {self.frame_rate}, expected a number of frames per second in (0, 100]")

    @property
    def given(self) -> str | Transcript | None:
        """The transcript; a blank one counts as not given."""
        blank = isinstance(self.transcript, str) and not self.transcript.strip()
        return None if blank else self.transcript

    @property
    def hears(self) -> bool:
        """Whether the recogniser is used: no words are given, or words that the encoder does not read, or for states.

        Raises:
            AssetError: If the encoder's files cannot be had.
        """
        given = self.given
        if given is None or self.states:  # a caption track may turn out to be in another language
            return True
        text = given if isinstance(given, str) else given.text
        return languages.foreign(text[:MAX_CHARACTERS], encoder=self.encoder) is not None

    @property
    def statistics(self) -> bool:
        """Whether steps carry statistics of the whole clip."""
        return self.feature_set != "steps"

    @property
    def states(self) -> bool:
        """Whether audio steps carry the mean state of Whisper's encoder."""
        return self.feature_set == "statistics+whisper"

    @property
    def audio(self) -> AudioColumns:
        """Columns of an audio step.

        Raises:
            AssetError: If a recogniser of one's own cannot be read.
        """
        state = speech_states.clip_state(self.recogniser) if self.states else None
        return AudioColumns(descriptors=self.descriptors, statistics=self.statistics, state=state)

    @property
    def video(self) -> ModalitySchema:
        """Schema of a video step."""
        return facial.schema(self.frame_rate, statistics=self.statistics)

    def schema(self) -> FeatureSchema:
        """Return the schema of the features.

        Raises:
            AssetError: If the encoder is none, or a recogniser of one's own cannot be read.
        """
        return FeatureSchema(
            audio=self.audio.schema,
            video=self.video,
            language=text_encoder.schema(self.encoder),
        )

    def sha256(self) -> str:
        """Hash everything that decides the features: schema, transcript, model files, limits.

        What computes them, this code and its libraries on this machine, is not in it, except as the schema names it.

        Raises:
            AssetError: If a model file of one's own cannot be read.
        """
        plain: dict[str, Any] = {
            "schema": self.schema().to_dict(),
            "encoder": text_encoder.fingerprint(self.encoder),
            "transcript": self.given.to_dict() if isinstance(self.given, Transcript) else self.given,
            "limits": asdict(self.limits),
        }
        if self.audio_track is not None:
            plain["audio_track"] = self.audio_track
        if self.caption_track is not None:
            plain["caption_track"] = self.caption_track
        if self.hears:
            plain["recogniser"] = {
                "library": version("faster-whisper"),
                "name": Path(self.recogniser).name,  # a note names it
                "files": asr.fingerprint(self.recogniser),
            }
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def feature_set_of(schema: Mapping[str, Any]) -> FeatureSet:
    """Return the feature set whose audio and video columns a schema names, as a checkpoint's.

    >>> feature_set_of(ExtractionConfig(feature_set="statistics").schema().to_dict())
    'statistics'

    Args:
        schema: `FeatureSchema.to_dict()`.

    Raises:
        SchemaError: If no feature set has these columns.
    """
    wanted = [tuple(schema.get(name, {}).get("columns", ())) for name in ("audio", "video")]
    for feature_set in FEATURE_SETS:
        config = ExtractionConfig(feature_set=feature_set)
        if wanted == [config.audio.schema.columns, config.video.columns]:
            return feature_set
    raise SchemaError(
        f"schema: {len(wanted[0])} audio and {len(wanted[1])} video columns, expected those of a feature set of "
        f"{FEATURE_SETS}; load a checkpoint that was trained on one"
    )
