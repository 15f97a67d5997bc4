"""Rewriting: a clip as an MP4 that every player takes, each of its frames changed on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8

from extractors.media import soundtrack
from extractors.media.container import LIMITS, Limits, MediaError
from extractors.media.video import MAX_SIDE, decode_paced
from extractors.messages import Message

Draw = Callable[[UInt8[np.ndarray, "height width 3"], float], None]
"""Changes an RGB frame at a second of the clip."""
Report = Callable[[int, int], None]
"""Progress: (milliseconds done, milliseconds in all)."""

SLOWEST, FASTEST = 10.0, 30.0  # frames per second
USUAL_SIDE, LEAST_SIDE = 640, 16  # pixels: what is drawn can be read on the long side; the encoder takes the short one
BASE = Fraction(1, 90_000)  # seconds, of the frames' time stamps
QUALITY = {"preset": "veryfast", "crf": "23"}
MOST_BITS, SOUND_BITS = 4_000_000, 128_000  # a second
MAX_BYTES = 100_000_000  # of the file
FILLED = 0.9  # of `MAX_BYTES`, by frames and sound at their most; containers and peaks take room, too
BT709 = 1  # in ITU-T H.273


def rewrite(
    path: Path | str,
    target: Path,
    draw: Draw,
    *,
    seconds: float,
    comment: str = "",
    audio_track: int | None = None,
    limits: Limits = LIMITS,
    report: Report = lambda done, total: None,
) -> None:
    """Write a clip as H.264 and AAC: upright, with square pixels and even sides of at most `MAX_SIDE`.

    Args:
        path: A clip with video.
        target: The MP4 to write.
        draw: Called for each frame.
        seconds: Length of the clip.
        comment: For the file's metadata.
        audio_track: As in `open_media`; a clip without sound gets none.
        limits: What the clip may cost.
        report: Called with the progress; what it raises ends the work.

    Raises:
        MediaError: As `extractors.media.video.decode_frames`, if no frame can be decoded, and if the file would have
            more than `MAX_BYTES`.
        OSError: If the file cannot be written.
    """
    frames = decode_paced(path, slowest=SLOWEST, fastest=FASTEST, limits=limits)
    first = next(frames, None)
    if first is None:
        raise MediaError(Message("nothing_decoded"), f"{path}: no frame")
    sound = soundtrack.blocks(path, limits, track=audio_track)
    opening = next(sound, None)
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = comment
        video = _Video(container, _size(first[1]), seconds)
        audio = None if opening is None else _Audio(container, _chained(opening, sound))
        written = 0
        shown = _lasting(_chained(first, frames), seconds)
        for packet in _packets(shown, video, audio, draw, seconds, report):
            written += packet.size
            if written > MAX_BYTES:
                raise MediaError(Message("export_too_large", {"limit": MAX_BYTES // 1_000_000}), f"{path}: {seconds} s")
            container.mux(packet)


def _packets(
    frames: Iterable[tuple[float, np.ndarray]],
    video: _Video,
    audio: _Audio | None,
    draw: Draw,
    seconds: float,
    report: Report,
) -> Iterator[Any]:
    """Encode frames and sound side by side, so that no stream waits for long in memory."""
    total = max(1, round(1000 * seconds))
    for second, image in frames:
        report(min(round(1000 * second), total), total)
        if audio is not None:
            yield from audio.until(second)
        fitted = video.fit(image)
        draw(fitted, second)
        yield from video.encode(fitted, second)
    if audio is not None:
        yield from audio.until(None)
    yield from video.end()
    report(total, total)


class _Video:
    """The encoder of the frames."""

    def __init__(self, container: OutputContainer, size: tuple[int, int], seconds: float) -> None:
        self._size = size
        bits = round(min(MOST_BITS, FILLED * 8 * MAX_BYTES / max(seconds, 1.0) - SOUND_BITS))
        self._stream = container.add_stream(
            "libx264", rate=round(FASTEST), options={**QUALITY, "maxrate": str(bits), "bufsize": str(2 * bits)}
        )
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = BASE
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG

    def fit(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "high wide 3"]:
        """Return a copy of the stream's size: a clip may change its own on the way."""
        width, height = self._size
        if image.shape[:2] == (height, width):
            return image.copy()
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        return frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()

    def encode(self, image: np.ndarray, second: float) -> list[Any]:
        """Return the packets that come out for a frame."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = round(second / BASE), BASE
        return self._stream.encode(frame)

    def end(self) -> list[Any]:
        """Return the packets that were still inside."""
        return self._stream.encode(None)


class _Audio:
    """The encoder of the sound."""

    def __init__(self, container: OutputContainer, pieces: Iterator[soundtrack.Piece]) -> None:
        self._pieces, self._done = pieces, 0
        self._stream = container.add_stream("aac", rate=soundtrack.RATE, layout="stereo", bit_rate=SOUND_BITS)

    def until(self, second: float | None) -> Iterator[Any]:
        """Yield the packets up to a second of the clip; with None all that are left."""
        while second is None or self._done / soundtrack.RATE <= second:
            if (piece := next(self._pieces, None)) is None:
                break
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece.T), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = soundtrack.RATE, self._done, Fraction(1, soundtrack.RATE)
            self._done += len(piece)
            yield from self._stream.encode(frame)
        if second is None:
            yield from self._stream.encode(None)


def _size(image: UInt8[np.ndarray, "height width 3"]) -> tuple[int, int]:
    """Return (width, height) of the video, both even, that fits a frame."""
    height, width = image.shape[:2]
    scale = max(1.0, USUAL_SIDE / max(width, height))
    even_width, even_height = (max(LEAST_SIDE, 2 * round(scale * side / 2)) for side in (width, height))
    return min(even_width, MAX_SIDE), min(even_height, MAX_SIDE)


def _lasting(frames: Iterable[tuple[float, np.ndarray]], seconds: float) -> Iterator[tuple[float, np.ndarray]]:
    """Go on with the last frame where the sound lasts longer: what is drawn still moves then."""
    for second, image in frames:
        yield second, image
    for step in range(1, math.ceil((seconds - second) * SLOWEST)):
        yield second + step / SLOWEST, image


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
