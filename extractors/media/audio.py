"""Audio: a clip's sound, mixed to one channel at one rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float32

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
from extractors.messages import Message

SAMPLE_RATE = 16_000  # Hz, of all decoded sound
MAX_CHANNELS = 8
CHANNEL_WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "LFE": 0.0, "LFE2": 0.0}  # as FFmpeg's matrix to mono
USUAL_LAYOUTS = {4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # FFmpeg's, by the number of channels
SURROUND_WEIGHT = 0.5
CANCELLED = 0.05  # of a channel's energy: less in the average of two means that they cancel (inverted phase)
SILENT = 1e-4  # of the other channel's energy: less is a channel that holds nothing
MAX_RATE = 384_000  # Hz; the filter that resamples grows with it


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Decoded sound.

    Attributes:
        samples: All channels mixed by what they are for, at `SAMPLE_RATE`, full scale 1.
        start: Seconds from the start of the clip to the first sample.
    """

    samples: Float32[np.ndarray, " samples"]
    start: float

    @property
    def end(self) -> float:
        """Seconds from the start of the clip to the end of the last sample."""
        return self.start + len(self.samples) / SAMPLE_RATE


def decode_audio(
    path: Path | str, limits: Limits = LIMITS, report: Report = log.warning, *, track: int | None = None
) -> Sound | None:
    """Decode a clip's sound.

    Args:
        path: A regular file.
        limits: What the clip may cost.
        report: Called with a note on damage that was skipped.
        track: As `audio_track` of `open_media`.

    Returns:
        The sound; None where there is no sound stream. Holes in the time stamps are silence, unless they alone make
        the clip too long.

    Raises:
        MediaError: As `open_media`, and if the sound is too long.
    """
    with open_media(path, limits, audio_track=track) as media:
        if media.audio is None:
            return None
        pieces: list[np.ndarray | float] = []  # a number is a hole of so many seconds
        resampler = _Resampler()
        start: float | None = None  # seconds of the first sample
        position = played = 0.0  # seconds of the coming sample, with holes and without
        strange = frames = holes = 0
        clock = Clock(media.origin, limits)
        for frame in decoded_audio(media, media.audio, report):
            if frame.layout.nb_channels > MAX_CHANNELS or not 0 < frame.sample_rate <= MAX_RATE:
                strange += 1
                continue
            begin = clock.seconds(frame.time, expected=position)
            if start is None:
                start = position = begin
            if begin - position > GAP_SECONDS:
                pieces += [*resampler.flush(), begin - position]
                position, holes = begin, holes + 1
            frames += 1
            position += frame.samples / frame.sample_rate
            played += frame.samples / frame.sample_rate
            limits.check_length(played)
            pieces += resampler.push(frame)
        pieces += resampler.flush()
        if strange:
            values = {"count": strange, "channels": MAX_CHANNELS, "rate": MAX_RATE // 1000}
            report(Message("audio_format_skipped", values))
        if resampler.met_nan:
            report(Message("audio_not_finite"))
        drifted = position > limits.seconds or is_drift(holes, frames)
        if clock.jumps or drifted:
            report(Message("audio_times_wrong"))
        heard = [piece for piece in pieces if not isinstance(piece, float)] if drifted else _with_silence(pieces)
        samples = np.concatenate([np.zeros(0, np.float32), *_one_channel(heard, resampler.gain, report)])
        return Sound(samples=samples, start=0.0 if drifted else max(start or 0.0, 0.0))


def _with_silence(pieces: Sequence[np.ndarray | float]) -> list[np.ndarray]:
    return [np.zeros(round(piece * SAMPLE_RATE), np.float32) if isinstance(piece, float) else piece for piece in pieces]


class _Resampler:
    """Sound of any layout and rate to one or two channels of `SAMPLE_RATE`; both may change on the way."""

    def __init__(self) -> None:
        self.met_nan = False
        self._mixed_energy = 0.0
        self._channel_energy = np.zeros(MAX_CHANNELS)
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
        return done + [self._mixed(out) for out in self._inner.resample(frame)]

    def flush(self) -> list[np.ndarray]:
        """Return what is still inside and forget the layout."""
        inner, self._inner, self._kind = self._inner, None, None
        return [] if inner is None else [self._mixed(out) for out in inner.resample(None) if out is not None]

    @property
    def gain(self) -> float:
        """What mixed channels are multiplied by: they get no louder than the loudest of them is alone."""
        return min(1.0, (self._channel_energy.max() / self._mixed_energy) ** 0.5) if self._mixed_energy else 1.0

    def _mixed(self, frame: av.AudioFrame) -> Float32[np.ndarray, "samples *channels"]:
        """Mix more than two channels to one; two stay, until it is known whether they cancel."""
        channels: np.ndarray = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)  # packed -> (samples, channels)
        finite = np.isfinite(channels)
        if not finite.all():
            self.met_nan = True
            channels = np.where(finite, channels, 0)
        channels = np.clip(channels, -1, 1)
        if channels.shape[1] <= 2:
            return np.asarray(channels if channels.shape[1] == 2 else channels[:, 0], np.float32)
        weights = _weights([channel.name for channel in frame.layout.channels])
        mixed = channels @ weights
        self._mixed_energy += float(np.square(mixed).sum())
        self._channel_energy = self._channel_energy + _padded(np.square(channels).sum(axis=0) * (weights > 0))
        return np.asarray(mixed[:, None], np.float32)


def _weights(names: Sequence[str]) -> Float32[np.ndarray, " channels"]:
    """Return each channel's share of the mix: FFmpeg's matrix to mono where there is a centre, which stays as loud."""
    if not set(names) & {"FL", "FR", "FC"} and len(names) in USUAL_LAYOUTS:  # the file names no channel
        names = [channel.name for channel in av.AudioLayout(USUAL_LAYOUTS[len(names)]).channels]
    if "FC" not in names:
        return np.full(len(names), 1 / len(names), np.float32)
    return np.array([CHANNEL_WEIGHTS.get(name, SURROUND_WEIGHT) for name in names], np.float32)


def _one_channel(pieces: Sequence[np.ndarray], gain: float, report: Report) -> list[Float32[np.ndarray, " samples"]]:
    """Average two channels, unless they cancel or one is silent: then the louder one is taken.

    Args:
        pieces: (samples,) of one channel, (samples, 1) of mixed channels, (samples, 2) of two.
        gain: Of mixed channels.
        report: Called with a note where channels cancel.
    """
    left = right = middle = 0.0
    for piece in pieces:
        if piece.ndim == 2 and piece.shape[1] == 2:
            both = piece.astype(np.float64)
            left += float(np.square(both[:, 0]).sum())
            right += float(np.square(both[:, 1]).sum())
            middle += float(np.square(both.mean(axis=1)).sum())
    louder = int(right > left)
    cancel = middle < CANCELLED * max(left, right)
    if cancel and min(left, right) > SILENT * max(left, right):
        report(Message("audio_channels_cancel"))
    alone = cancel or min(left, right) <= SILENT * max(left, right)

    def one(piece: np.ndarray) -> np.ndarray:
        if piece.ndim == 1:
            return piece
        if piece.shape[1] == 1:
            return np.clip(piece[:, 0] * np.float32(gain), -1, 1)
        return piece[:, louder] if alone else piece.mean(axis=1, dtype=np.float32)

    return [np.asarray(one(piece), np.float32) for piece in pieces]


def _padded(energies: np.ndarray) -> np.ndarray:
    return np.pad(energies, (0, MAX_CHANNELS - len(energies)))
