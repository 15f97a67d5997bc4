"""Configuration of an extraction: all that decides a clip's features beside the clip itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from extractors.audio import acoustic
from extractors.language import asr, text_encoder
from extractors.language.asr import RECOGNISER
from extractors.language.text_encoder import ENCODER
from extractors.language.transcript import Transcript
from extractors.media.probe import LIMITS, Limits
from extractors.schema import FeatureSchema
from extractors.vision import facial


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """How a clip's features are made; the fields are the arguments of `extractors.pipeline.extract`.

    >>> ExtractionConfig(frame_rate=5.0).schema().video.rate
    5.0
    >>> ExtractionConfig(transcript="good").sha256() == ExtractionConfig(transcript="bad").sha256()
    False

    Raises:
        ValueError: If there are no such descriptors or the frame rate is out of range.
    """

    transcript: str | Transcript | None = None
    limits: Limits = LIMITS
    recogniser: str = RECOGNISER
    encoder: str = ENCODER
    descriptors: str = acoustic.EGEMAPS.name
    frame_rate: float = facial.FRAME_RATE
    audio_track: int | None = None

    def __post_init__(self) -> None:
        acoustic.descriptor_set(self.descriptors)
        if not 0 < self.frame_rate <= 100:
            raise ValueError(f"frame_rate: {self.frame_rate}, expected a number of frames per second in (0, 100]")

    @property
    def given(self) -> str | Transcript | None:
        """The transcript; a blank one counts as not given."""
        blank = isinstance(self.transcript, str) and not self.transcript.strip()
        return None if blank else self.transcript

    def schema(self) -> FeatureSchema:
        """Return the schema of the features.

        Raises:
            AssetError: If the encoder is none.
        """
        return FeatureSchema(
            audio=acoustic.descriptor_set(self.descriptors).schema,
            video=facial.schema(self.frame_rate),
            language=text_encoder.schema(self.encoder),
        )

    def sha256(self) -> str:
        """Hash everything that decides the features: schema, transcript, model files, limits.

        What computes them, this code and its libraries on this machine, is not in it, except as the schema names it.

        Raises:
            AssetError: If a model file of one's own cannot be read.
        """
        plain = {
            "schema": self.schema().to_dict(),
            "encoder": text_encoder.fingerprint(self.encoder),
            "transcript": self.given.to_dict() if isinstance(self.given, Transcript) else self.given,
            "limits": asdict(self.limits),
        }
        if self.audio_track is not None:
            plain["audio_track"] = self.audio_track
        if self.given is None:  # else nothing is recognised
            plain["recogniser"] = {
                "library": version("faster-whisper"),
                "name": Path(self.recogniser).name,  # a note names it
                "files": asr.fingerprint(self.recogniser),
            }
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
