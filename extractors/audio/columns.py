"""Audio columns of a feature set: openSMILE's steps, alone or followed by what describes the whole clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from extractors.audio import acoustic, statistics
from extractors.audio.acoustic import EGEMAPS, AudioFeatures
from extractors.audio.units import unit
from extractors.messages import Message
from extractors.schema import ModalityFeatures, ModalitySchema

DESCRIBED = "clip statistics"  # as `ModalitySchema.extractor` names them


@dataclass(frozen=True, kw_only=True)
class ClipState:
    """A model's description of a whole clip's sound, as further columns.

    Attributes:
        extractor: Name of the model.
        sha256: Hash of its file.
        columns: One name per value.
        describe: Makes the values, from mono samples at 16 kHz, and what they are the mean of, each half second.
    """

    extractor: str
    sha256: str
    columns: tuple[str, ...]
    describe: Callable[
        [Float32[np.ndarray, " samples"]], tuple[Float32[np.ndarray, " columns"], Float32[np.ndarray, "pieces columns"]]
    ]


@dataclass(frozen=True, kw_only=True)
class AudioColumns:
    """What the columns of an audio step are.

    >>> AudioColumns().schema.dim, AudioColumns(statistics=True).schema.dim
    (50, 311)

    Attributes:
        descriptors: A name of `acoustic.DESCRIPTOR_SETS`.
        statistics: Whether unvoiced steps are filled (`acoustic.filled_steps`) and the clip's statistics
            (`extractors.audio.statistics`), the same in every valid step, follow; of eGeMAPS only.
        state: What follows the statistics; None for nothing.

    Raises:
        ValueError: If there is no such set of descriptors, or it has no statistics.
    """

    descriptors: str = EGEMAPS.name
    statistics: bool = False
    state: ClipState | None = None

    def __post_init__(self) -> None:
        acoustic.descriptor_set(self.descriptors)
        if self.statistics and self.descriptors != EGEMAPS.name:
            raise ValueError(f"descriptors: {self.descriptors!r}, expected {EGEMAPS.name!r} for clip statistics")
        if self.state is not None and not self.statistics:
            raise ValueError(f"state: {self.state.extractor!r} without statistics, expected them too")

    @property
    def schema(self) -> ModalitySchema:
        """Schema of the steps."""
        plain = acoustic.descriptor_set(self.descriptors).schema
        if not self.statistics:
            return plain
        columns = (*acoustic.FILLED_COLUMNS, *statistics.NAMES)
        parts = [plain.extractor, DESCRIBED]
        if self.state is not None:
            columns += self.state.columns
            parts.append(self.state.extractor)
        return replace(
            plain,
            dim=len(columns),
            columns=columns,
            units=tuple(unit(name) for name in columns),
            extractor=", ".join(parts),
            sha256=None if self.state is None else self.state.sha256,
        )

    def read(self, samples: Float32[np.ndarray, " samples"], *, start: float = 0.0) -> AudioFeatures:
        """Extract features of a voice.

        Args:
            samples: Mono at 16 kHz, full scale 1.
            start: Seconds from the start of the clip to the first sample.

        Raises:
            ValueError: As `acoustic.read`.
        """
        audio = acoustic.read(samples, start=start, descriptors=self.descriptors)
        steps = audio.features
        if not self.statistics:
            return audio
        if steps.absent is not None or audio.rows is None:
            nothing = np.zeros((len(steps.values), self.schema.dim), np.float32)
            return replace(audio, features=replace(steps, values=nothing))
        clip, pieces = statistics.clip_statistics(audio.rows), None
        if self.state is not None:
            state, pieces = self.state.describe(samples)
            clip = np.concatenate([clip, state])
        repeated = np.broadcast_to(clip, (len(steps.values), len(clip)))
        values = np.concatenate([acoustic.filled_steps(steps.values), repeated], axis=1)
        values[~steps.valid] = 0
        return replace(audio, features=replace(steps, values=values), states=pieces)

    def missing(self, reason: Message) -> ModalityFeatures:
        """Return features of a clip without sound."""
        return ModalityFeatures.missing(reason, self.schema.dim)
