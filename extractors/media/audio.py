"""Audio: a clip's sound, mixed to one channel at one rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float32

from extractors.media.container import LIMITS, Limits, Report, decoded_audio, log, open_media
from extractors.messages import Message

SAMPLE_RATE = 16_000  # Hz, of all decoded sound
GAP_SECONDS = 0.1  # holes in the sound's time stamps longer than this are filled with silence
MAX_CHANNELS = 8
MAX_RATE = 384_000  # Hz; the filter that resamples grows with it


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Decoded sound.

    Attributes:
        samples: Mean of all channels at `SAMPLE_RATE`, full scale 1.
        start: Seconds from the start of the clip to the first sample.
    """

    samples: Float32[np.ndarray, " samples"]
    start: float

    @property
    def end(self) -> float:
        """Seconds from the start of the clip to the end of the last sample."""
        return self.start + len(self.samples) / SAMPLE_RATE


def decode_audio(path: Path | str, limits: Limits = LIMITS, report: Report = log.warning) -> Sound | None:
    """Decode a clip's sound.

    Args:
        path: A regular file.
        limits: What the clip may cost.
        report: Called with a note on damage that was skipped.

    Returns:
        The sound; None where there is no sound stream. Holes in the time stamps are silence.

    Raises:
        MediaError: As `open_media`, and if the sound is too long.
    """
    with open_media(path, limits) as media:
        if media.audio is None:
            return None
        pieces: list[np.ndarray] = []
        resampler = _Resampler()
        start: float | None = None  # seconds of the first sample
        position = 0.0  # seconds of the coming sample
        strange = 0
        for frame in decoded_audio(media, media.audio, report):
            if frame.layout.nb_channels > MAX_CHANNELS or not 0 < frame.sample_rate <= MAX_RATE:
                strange += 1
                continue
            begin = position if frame.time is None else frame.time - media.origin
            if start is None:
                start = position = begin
            if begin - position > GAP_SECONDS:
                limits.check_length(begin)
                pieces += [*resampler.flush(), np.zeros(round((begin - position) * SAMPLE_RATE), np.float32)]
                position = begin
            position += frame.samples / frame.sample_rate
            limits.check_length(position)
            pieces += resampler.push(frame)
        pieces += resampler.flush()
        if strange:
            values = {"count": strange, "channels": MAX_CHANNELS, "rate": MAX_RATE // 1000}
            report(Message("audio_format_skipped", values))
        if resampler.met_nan:
            report(Message("audio_not_finite"))
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        return Sound(samples=samples, start=max(start or 0.0, 0.0))


class _Resampler:
    """Sound of any layout and rate to one channel of `SAMPLE_RATE`; both may change on the way."""

    def __init__(self) -> None:
        self.met_nan = False
        self._kind: tuple[str, str, int] | None = None
        self._inner: av.AudioResampler | None = None

    def push(self, frame: av.AudioFrame) -> list[np.ndarray]:
        """Return what comes out for a frame."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        done = self.flush() if kind != self._kind else []
        if self._inner is None:
            # Packed: PyAV (18.1) reads beyond the planes of a planar frame of eight channels.
            self._kind = kind
            self._inner = av.AudioResampler(format="flt", layout=frame.layout, rate=SAMPLE_RATE)
        return done + [self._mono(out) for out in self._inner.resample(frame)]

    def flush(self) -> list[np.ndarray]:
        """Return what is still inside and forget the layout."""
        inner, self._inner, self._kind = self._inner, None, None
        return [] if inner is None else [self._mono(out) for out in inner.resample(None) if out is not None]

    def _mono(self, frame: av.AudioFrame) -> Float32[np.ndarray, " samples"]:
        """Average the channels."""
        channels = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)  # packed -> (samples, channels)
        finite = np.isfinite(channels)
        if not finite.all():
            self.met_nan = True
            channels = np.where(finite, channels, 0)
        return np.asarray(np.clip(channels, -1, 1).mean(axis=1, dtype=np.float32))
