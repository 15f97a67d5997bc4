"""Soundtrack: a clip's sound in stereo at one rate, from the clip's start on, without holes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float32

from extractors.media.audio import MAX_CHANNELS, MAX_RATE
from extractors.media.container import (
    GAP_SECONDS,
    LIMITS,
    Clock,
    Limits,
    Report,
    decoded_audio,
    is_drift,
    log,
    open_media,
)

RATE = 48_000  # Hz
BLOCK = 1024  # samples, of an AAC frame
SILENCE = np.zeros((RATE, 2), np.float32)  # is given out piece by piece

Piece = Float32[np.ndarray, "samples 2"]


def blocks(
    path: Path | str, limits: Limits = LIMITS, report: Report = log.warning, *, track: int | None = None
) -> Iterator[Piece]:
    """Decode a clip's sound in blocks of `BLOCK` samples in [-1, 1], the last one shorter; none without sound.

    Args:
        path: A regular file.
        limits: What the clip may cost.
        report: Called with a note on damage that was skipped.
        track: As `audio_track` of `open_media`.

    Raises:
        MediaError: As `open_media`, and if the sound is too long.
    """
    waiting = np.zeros((0, 2), np.float32)
    for piece in _pieces(path, limits, report, track):
        waiting = np.concatenate([waiting, piece])
        whole = len(waiting) - len(waiting) % BLOCK
        for begin in range(0, whole, BLOCK):
            yield waiting[begin : begin + BLOCK]
        waiting = waiting[whole:]
    if len(waiting):
        yield waiting


def _pieces(path: Path | str, limits: Limits, report: Report, track: int | None) -> Iterator[Piece]:
    with open_media(path, limits, audio_track=track) as media:
        if media.audio is None:
            return
        resampler = _Resampler()
        clock = Clock(media.origin, limits)
        position = played = 0.0  # seconds, with holes and without
        frames = holes = 0
        for frame in decoded_audio(media, media.audio, report):
            if frame.layout.nb_channels > MAX_CHANNELS or not 0 < frame.sample_rate <= MAX_RATE:
                continue
            begin = clock.seconds(frame.time, expected=position)
            frames += 1
            if GAP_SECONDS < begin - position and begin <= limits.seconds and not is_drift(holes + 1, frames):
                holes += 1
                yield from resampler.flush()
                yield from _silence(begin - position)
                position = begin
            position += frame.samples / frame.sample_rate
            played += frame.samples / frame.sample_rate
            limits.check_length(played)
            yield from resampler.push(frame)
        yield from resampler.flush()


def _silence(seconds: float) -> Iterator[Piece]:
    left = round(seconds * RATE)
    while left > 0:
        yield SILENCE[:left]
        left -= RATE


class _Resampler:
    """Sound of any layout and rate, which may change on the way, to stereo."""

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._inner: av.AudioResampler | None = None

    def push(self, frame: av.AudioFrame) -> list[Piece]:
        """Return what comes out for a frame."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        done = self.flush() if kind != self._kind else []
        if self._inner is None:
            self._kind = kind
            self._inner = av.AudioResampler(format="flt", layout="stereo", rate=RATE)
        return done + [_samples(out) for out in self._inner.resample(frame)]

    def flush(self) -> list[Piece]:
        """Return what is still inside."""
        inner, self._inner, self._kind = self._inner, None, None
        return [] if inner is None else [_samples(out) for out in inner.resample(None) if out is not None]


def _samples(frame: av.AudioFrame) -> Piece:
    """Return finite samples: the encoder takes no others."""
    samples: Piece = np.clip(np.nan_to_num(frame.to_ndarray().reshape(-1, 2)), -1, 1).astype(np.float32)
    return samples
