"""Containers: one guarded way to open a file, and its packets and frames.

Clips come from users, so what a header claims is never trusted where it can be measured.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from extractors.messages import Message, MessageError

# Containers people upload. Playlists and concat scripts, which name other files, are not among them.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mpeg",
    "mpegts",
    "mpegvideo",
    "flv",
    "asf",
    "ogg",
    "wav",
    "mp3",
    "flac",
    "aac",
    "aiff",
    "caf",
    "amr",
    "w64",
    "gif",
)

CAPTION_CODECS = ("mov_text", "subrip", "srt", "webvtt", "ass", "ssa", "text")  # other tracks hold bitmaps

GAP_SECONDS = 0.1  # holes in the sound's time stamps longer than this are filled with silence
DRIFT = 0.9  # of the frames of sound, after which a hole means that the stamps run at another speed than the sound
DRIFT_HOLES = 10  # fewer are believed

if TYPE_CHECKING:
    Packet = av.Packet[Any]
else:
    Packet = av.Packet  # generic in its stub only
Stream = TypeVar("Stream", av.AudioStream, av.VideoStream)
Report = Callable[[Message], None]  # takes a note about an oddity

log = logging.getLogger(__name__)


class MediaError(MessageError):
    """A file cannot be used as a clip."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on what a clip may cost.

    Attributes:
        file_bytes: Size of the file.
        seconds: Time between the first and the last moment, as decoded.
        pixels: Width x height of a frame; the default holds 4K.
        frames: Decoded frames.
    """

    file_bytes: int = 50_000_000
    seconds: float = 120.0
    pixels: int = 4096 * 2304
    frames: int = 20_000

    def check_file(self, path: Path) -> None:
        """Raise `MediaError` if a file is missing, empty or too large."""
        if not path.is_file():
            raise MediaError(Message("file_not_found"), f"{path}: not a regular file")
        size = path.stat().st_size
        if size == 0:
            raise MediaError(Message("file_empty"), f"{path}: 0 bytes")
        if size > self.file_bytes:
            raise MediaError(
                Message("file_too_large", {"size": f"{size / 1e6:.1f}", "limit": f"{self.file_bytes / 1e6:.0f}"}),
                f"{size} bytes",
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise `MediaError` if a frame is too large."""
        if width * height > self.pixels:
            raise MediaError(
                Message("frame_too_large", {"width": width, "height": height, "limit": f"{self.pixels / 1e6:.1f}"}),
                f"{width * height} pixels",
            )

    def check_length(self, seconds: float, frames: int = 0) -> None:
        """Raise `MediaError` if a clip is too long."""
        if seconds > self.seconds:
            raise MediaError(
                Message("clip_too_long", {"limit": f"{self.seconds:.0f}"}),
                f"a time stamp at {seconds:.1f} s",
            )
        if frames > self.frames:
            raise MediaError(
                Message("too_many_frames", {"limit": self.frames}),
                f"frame {frames}",
            )


LIMITS = Limits()
"""What a clip may cost where many clips come at once: over HTTP and in corpora."""

LONG_LIMITS = Limits(file_bytes=500_000_000, seconds=900.0, frames=59_400)
"""What a single clip may cost on screen and at the command line, unless the environment says otherwise."""

SECONDS_VARIABLE, MEGABYTES_VARIABLE = "ALIGNMAMBA_MAX_SECONDS", "ALIGNMAMBA_MAX_MEGABYTES"
FRAMES_PER_SECOND = 66  # that a clip of the longest length may have on average


def configured_limits() -> Limits:
    """Return `LONG_LIMITS`, or the length and size that `ALIGNMAMBA_MAX_SECONDS` and `ALIGNMAMBA_MAX_MEGABYTES` state.

    Raises:
        ValueError: If one of them is not a positive number.
    """
    seconds = _positive(SECONDS_VARIABLE, LONG_LIMITS.seconds)
    megabytes = _positive(MEGABYTES_VARIABLE, LONG_LIMITS.file_bytes / 1e6)
    frames = max(LIMITS.frames, round(FRAMES_PER_SECOND * seconds))
    return replace(LONG_LIMITS, file_bytes=round(1e6 * megabytes), seconds=seconds, frames=frames)


def _positive(variable: str, usual: float) -> float:
    stated = os.environ.get(variable)
    try:
        number = float(stated) if stated else usual
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{variable}: {stated!r}, expected a positive number")
    return number


@dataclass(frozen=True)
class Media:
    """An open clip: its container, its streams and the time stamp that counts as 0 s.

    Attributes:
        container: As PyAV has it.
        audio: The sound track that is used.
        video: The video stream.
        origin: Seconds.
        tracks: All sound tracks that can be decoded.
        captions: All caption tracks that hold text.
    """

    container: InputContainer
    audio: av.AudioStream | None
    video: av.VideoStream | None
    origin: float
    tracks: Sequence[av.AudioStream]
    captions: Sequence[SubtitleStream]


class Clock:
    """Time stamps of one stream to seconds of the clip.

    A stream that would begin, or sound that would go on, later than a whole clip may last has wrong stamps, as
    wall-clock times beside a stream that begins at 0: it goes on where it was, and later stamps are shifted likewise.

    >>> clock = Clock(origin=0.0, limits=Limits(seconds=120.0))
    >>> clock.seconds(1.7e9, expected=0.0), clock.seconds(1.7e9 + 0.5, expected=0.25)
    (0.0, 0.5)
    >>> clock.jumps
    1
    """

    def __init__(self, origin: float, limits: Limits, *, first_only: bool = False) -> None:
        """Begin at `origin`; with `first_only`, later jumps are believed, as of a frame that is shown for hours."""
        self.jumps = 0
        self._trusted, self._first_only = False, first_only
        self._origin, self._limit = origin, limits.seconds

    def seconds(self, stamp: float | None, *, expected: float) -> float:
        """Return the seconds of a stamp.

        Args:
            stamp: In seconds; None where there is none.
            expected: Seconds at which what came before ends.
        """
        if stamp is None:
            return expected
        if abs(stamp - self._origin - expected) > self._limit and not self._trusted:
            self.jumps += 1
            self._origin = stamp - expected
        self._trusted = self._first_only
        return stamp - self._origin


def is_drift(holes: int, frames: int) -> bool:
    """Whether a stream of sound has so many holes between its frames that its time stamps are wrong."""
    return holes >= DRIFT_HOLES and holes > DRIFT * frames


@contextmanager
def open_media(path: Path | str, limits: Limits = LIMITS, *, audio_track: int | None = None) -> Iterator[Media]:
    """Open a clip under guard.

    Only whitelisted containers are tried and only the file protocol may be used, so that a playlist in disguise
    cannot make the decoder read other files; frames beyond `limits.pixels` are never allocated here. (FLV and MPEG
    programme streams announce their streams only in their packets. FFmpeg decodes a first frame to learn its size
    before any limit can be set: one of 16384 x 8192 costs about 365 MB for a moment, then it is refused.)

    Args:
        path: A regular file.
        limits: What the clip may cost.
        audio_track: Which of the sound tracks is used, from 1; None for the one that the file prefers.

    Yields:
        The open clip, with at least one audio or video stream.

    Raises:
        MediaError: If the file is missing, empty, too large, or not a clip, or has no such track.
    """
    path = Path(path)
    limits.check_file(path)
    options = {
        "format_whitelist": ",".join(FORMATS),
        "protocol_whitelist": "file",
        "max_pixels": str(limits.pixels),
    }
    try:
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (FFmpegError, ValueError) as error:
        raise MediaError(Message("file_unreadable"), str(error)) from error
    with container:
        tracks = _usable(container.streams.audio)
        audio = _track(tracks, audio_track)
        videos = _usable(container.streams.video)
        best = container.streams.best("video")
        video = next((stream for stream in videos if stream is best), next(iter(videos), None))
        for stream in (audio, video):
            if stream is not None:
                stream.codec_context.options = {"max_pixels": str(limits.pixels)}
        if audio is None and video is None:
            raise MediaError(
                Message("no_streams"),
                f"{container.format.name} with {len(container.streams)} stream(s)",
            )
        if video is not None:
            limits.check_size(video.codec_context.width, video.codec_context.height)
        captions = [
            stream
            for stream in container.streams.subtitles
            if stream.codec_context is not None and stream.codec_context.name in CAPTION_CODECS
        ]
        yield Media(container, audio, video, _origin(audio, video), tracks, captions)


def packets(
    media: Media, streams: Sequence[av.AudioStream | av.VideoStream | SubtitleStream]
) -> Iterator[Packet | None]:
    """Yield packets to the end of the file, or to where it breaks off and then None."""
    demuxed = media.container.demux(streams)
    while True:
        try:
            packet = next(demuxed)
        except StopIteration:
            return
        except IndexError:  # PyAV's, at the very end, where streams came up that the header had not announced
            return
        except FFmpegError:
            yield None
            return
        yield packet


def decoded_audio(media: Media, stream: av.AudioStream, report: Report) -> Iterator[av.AudioFrame]:
    """Yield an audio stream's frames; damaged packets are skipped and reported."""
    return _decoded(media, stream, report)


def decoded_video(media: Media, stream: av.VideoStream, report: Report) -> Iterator[av.VideoFrame]:
    """Yield a video stream's frames; damaged packets are skipped and reported."""
    return _decoded(media, stream, report)


def _decoded(media: Media, stream: av.AudioStream | av.VideoStream, report: Report) -> Iterator[Any]:
    stream.codec_context.thread_type = "AUTO"
    damaged = 0
    for packet in packets(media, [stream]):
        try:
            if packet is None:
                damaged += 1
            else:
                yield from packet.decode()
        except FFmpegError:
            damaged += 1
    if damaged:
        report(Message("audio_damaged" if stream.type == "audio" else "video_damaged", {"count": damaged}))


def _usable(streams: Iterable[Stream]) -> list[Stream]:
    """Return the streams that have a decoder and are no cover art."""
    return [
        stream
        for stream in streams
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]


def _track(tracks: Sequence[av.AudioStream], number: int | None) -> av.AudioStream | None:
    """Return a sound track by its number from 1, or else the default one, an English one, or the first.

    The bit rate says nothing about who speaks: FFmpeg's own choice by it takes the music.
    """
    if number is not None:
        if not 1 <= number <= len(tracks):
            raise MediaError(Message("audio_track_missing", {"track": number, "count": len(tracks)}))
        return tracks[number - 1]

    def preferred(stream: av.AudioStream) -> tuple[bool, bool]:
        return not stream.disposition & Disposition.default, (stream.language or "")[:2].lower() != "en"

    return min(tracks, key=preferred, default=None)


def _origin(*streams: av.AudioStream | av.VideoStream | None) -> float:
    """Return the earliest start of the chosen streams in seconds: MPEG and FLV do not begin at 0."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in streams
        if stream is not None and stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=0.0)
