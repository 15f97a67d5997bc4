"""Parts of a clip, each described anew, as if it were a clip of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32

from extractors.audio import acoustic, statistics
from extractors.messages import Message
from extractors.schema import ClipFeatures, ModalityFeatures, inside
from extractors.vision import facial, lips

LEAST_SECONDS = 0.5  # that are observed of a part; a shorter one keeps what describes the clip
ROWS = round(1 / acoustic.AUDIO_RATE / acoustic.HOP_SECONDS)  # of a step
STEPS = round(acoustic.AUDIO_RATE / 2)  # of a piece of the voice's states: half a second

Spans = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Parts:
    """A clip to take parts of.

    Steps of `ClipFeatures.within` carry statistics of the whole clip's voice and face, which tell of everybody in it;
    here they are those of the part. Features without such columns, or without what they are made from, stay as they
    are.

    Attributes:
        whole: The features of the clip.

    Raises:
        ValueError: If the voice's rows are of another clip.
    """

    whole: ClipFeatures

    def __post_init__(self) -> None:
        rows, steps = self.whole.voice_rows, len(self.whole.audio.values)
        if rows is not None and -(-len(rows) // ROWS) != steps:
            raise ValueError(f"voice_rows: {len(rows)}, expected {ROWS} for each of {steps} audio steps")

    @property
    def duration(self) -> float:
        """Seconds of the clip."""
        return self.whole.duration

    def between(self, start: float, end: float) -> ClipFeatures:
        """As `ClipFeatures.between`."""
        return self.within([(start, end)])

    def within(self, spans: Spans) -> ClipFeatures:
        """As `ClipFeatures.within`."""
        cut = self.whole.within(spans)
        voice, face = inside(self.whole.audio, spans), inside(self.whole.video, spans)
        return replace(
            cut,
            audio=_with(cut.audio, self._voice(voice), voice[voice]),
            video=_with(cut.video, self._face(face), face[face]),
        )

    def without(self, spans: Spans) -> ClipFeatures:
        """As `ClipFeatures.without`."""
        left = self.whole.without(spans)
        voice, face = ~inside(self.whole.audio, spans), ~inside(self.whole.video, spans)
        return replace(
            left,
            audio=_with(left.audio, self._voice(voice), voice),
            video=_with(left.video, self._face(face), face),
        )

    def said(self, turns: Sequence[tuple[str | None, Spans]], speakers: Mapping[str, Spans]) -> list[ClipFeatures]:
        """Take what each speaker says; a face that is another speaker's (`lips.whose`) is left out.

        Args:
            turns: Of a speaker, or of nobody.
            speakers: All turns of each.
        """
        whose, parts = lips.whose(self.whole.video, speakers), []
        for speaker, spans in turns:
            part = self.within(spans)
            if speaker is not None and whose.get(speaker) is False:
                dim = part.video.values.shape[1]
                part = replace(part, video=ModalityFeatures.missing(Message("nothing_observed"), dim))
            parts.append(part)
        return parts

    @cached_property
    def _steps(self) -> Float32[np.ndarray, "steps 50"]:
        """Audio steps before they were filled."""
        assert self.whole.voice_rows is not None
        return acoustic.pooled(self.whole.voice_rows.astype(np.float64))[0]

    def _voice(self, kept: Bool[np.ndarray, " steps"]) -> Float32[np.ndarray, "kept columns"] | None:
        """Values of the audio steps that a part keeps; None where they stay as they are."""
        rows, states, audio = self.whole.voice_rows, self.whole.voice_states, self.whole.audio
        observed = kept & audio.valid
        if rows is None or observed.sum() < LEAST_SECONDS * acoustic.AUDIO_RATE or observed.all():
            return None
        steps = np.flatnonzero(observed)
        own = (ROWS * steps[:, None] + np.arange(ROWS)).ravel()
        clip = statistics.clip_statistics(rows[own[own < len(rows)]].astype(np.float64))
        if states is not None:
            # The sound's last tenths may have no piece of their own.
            share = np.bincount(np.minimum(steps // STEPS, len(states) - 1), minlength=len(states))
            clip = np.concatenate([clip, (share @ states.astype(np.float64) / share.sum()).astype(np.float32)])
        filled = acoustic.filled_steps(self._steps[kept] * observed[kept, None])
        values: Float32[np.ndarray, "kept columns"] = np.concatenate(
            [filled, np.broadcast_to(clip, (len(filled), len(clip)))], axis=1
        )
        return values

    def _face(self, kept: Bool[np.ndarray, " steps"]) -> Float32[np.ndarray, "kept columns"] | None:
        """Values of the video steps that a part keeps; None where they stay as they are."""
        video, rate = self.whole.video, self.whole.schema.video.rate or facial.FRAME_RATE
        observed = kept & video.valid
        described = video.values.shape[1] == facial.CLIP_SCHEMA.dim
        if not described or observed.sum() < LEAST_SECONDS * rate or observed.all():
            return None
        plain = ModalityFeatures(
            values=video.values[kept, : facial.SCHEMA.dim],
            start=video.start[kept],
            end=video.end[kept],
            valid=video.valid[kept],
        )
        return facial.with_statistics(plain).values


def _with(
    part: ModalityFeatures, values: Float32[np.ndarray, "kept columns"] | None, kept: Bool[np.ndarray, " steps"]
) -> ModalityFeatures:
    """Put new values into the steps of a part that it keeps; steps that were not observed stay zeros."""
    if values is None:
        return part
    changed = np.zeros_like(part.values)
    changed[kept] = values
    return replace(part, values=changed * part.valid[:, None])
