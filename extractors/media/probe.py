"""Probe: what a clip holds, measured by a walk over its packets.

The names that other packages need of `container`, `audio` and `video` are exported here too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError

from extractors.media.audio import SAMPLE_RATE, Sound, decode_audio
from extractors.media.captions import decode_captions
from extractors.media.container import (
    GAP_SECONDS,
    LIMITS,
    LONG_LIMITS,
    Clock,
    Limits,
    Media,
    MediaError,
    Packet,
    configured_limits,
    is_drift,
    open_media,
    packets,
)
from extractors.media.decoder_log import refused_sizes
from extractors.media.truncation import breaks_off
from extractors.media.video import decode_frames, pixel_aspect, rotation, shown_size

__all__ = [
    "LIMITS",
    "LONG_LIMITS",
    "SAMPLE_RATE",
    "Limits",
    "MediaError",
    "MediaInfo",
    "Sound",
    "configured_limits",
    "decode_audio",
    "decode_captions",
    "decode_frames",
    "open_media",
    "probe",
]

EXACT_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv")  # whose headers state a length
EARLY_SECONDS = 0.5  # by which a clip must fall short of the length in its header to end early
UNKNOWN = "und"  # ISO 639's code of an undetermined language
FIRST_PACKETS = 50  # of the frames, one of which must be decodable for size and rotation to be known


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """Streams, length and frame size of a clip.

    Attributes:
        container: FFmpeg's name of the format, for example "mov,mp4,m4a,3gp,3g2,mj2".
        audio_codec: Of the audio, for example "aac"; None where there is no audio stream.
        video_codec: Of the video (cover art does not count); None where there is no video stream.
        seconds: Time from the first moment to the end of the last packet.
        width: Of the first frame in square pixels, as it is shown; None where none can be decoded.
        height: As `width`.
        rotation: Degrees by which frames are turned anticlockwise to be shown: 0, 90, 180 or 270.
        fps: Pictures per second on average, as counted; None for fewer than two.
        audio_tracks: How many sound tracks can be decoded.
        audio_track: Number, from 1, of the one that the file prefers; None where there is none.
        caption_tracks: Language of each caption track that holds text; "und" where the file does not say.
        ends_early: Whether the file breaks off, or before the length in its header.
    """

    container: str
    audio_codec: str | None
    video_codec: str | None
    seconds: float
    width: int | None
    height: int | None
    rotation: int
    fps: float | None
    audio_tracks: int = 0
    audio_track: int | None = None
    caption_tracks: tuple[str, ...] = ()
    ends_early: bool = False


def probe(path: Path | str, limits: Limits = LIMITS) -> MediaInfo:
    """Measure a clip by walking over its packets, which takes milliseconds; headers are not believed.

    Args:
        path: A regular file.
        limits: What the clip may cost.

    Returns:
        Its container, its streams, its length, and its frames' size, rotation and rate.

    Raises:
        MediaError: As `open_media`, and if the clip is too long, or its frames are too large to be decoded.
    """
    with _opened(path, limits) as media:
        end, frames, first = 0.0, 0, None
        if media.video is not None:
            media.video.codec_context.thread_count = 1  # what the decoder logs is found by its thread
        moments: list[float] = []
        clocks = {
            stream.index: Clock(media.origin, limits, first_only=stream is media.video)
            for stream in (media.audio, media.video)
            if stream is not None
        }
        ends = dict.fromkeys(clocks, 0.0)
        played, sounds, holes = 0.0, 0, 0  # seconds of sound, whatever its time stamps say; its packets, and holes
        for packet in packets(media, [stream for stream in (media.audio, media.video) if stream is not None]):
            if packet is None:  # damage, which decoding will report
                continue
            index = packet.stream.index
            stamp = _stamp(packet)
            begin = None if stamp is None else clocks[index].seconds(stamp, expected=ends[index])
            if begin is not None:
                holes += packet.stream is media.audio and begin - ends[index] > GAP_SECONDS
                ends[index] = max(ends[index], begin + float((packet.duration or 0) * packet.time_base))
            if packet.stream is media.audio:
                sounds += 1
                played += float((packet.duration or 0) * packet.time_base)
            else:
                end = max(end, ends[index])
            if packet.stream is media.video and packet.size:
                frames += 1
                moments += [] if begin is None else [begin]
                if first is None and frames <= FIRST_PACKETS:
                    first = _picture(packet, limits)
            limits.check_length(max(end, played), frames)
        wrong = False
        if media.audio is not None:
            heard = ends[media.audio.index]
            # Stamps that alone make the clip too long are wrong, as where each is a multiple of what it should be.
            wrong = played > 0 and (heard > limits.seconds or is_drift(holes, sounds))
            end = max(end, played if wrong else heard)
            limits.check_length(end)
        size = (None, None) if first is None or media.video is None else shown_size(first, pixel_aspect(media.video))
        span = max(moments) - min(moments) if moments else 0.0
        return MediaInfo(
            container=media.container.format.name,
            audio_codec=None if media.audio is None else media.audio.codec_context.name,
            video_codec=None if media.video is None else media.video.codec_context.name,
            seconds=end,
            width=size[0],
            height=size[1],
            rotation=0 if first is None else rotation(first),
            fps=(len(moments) - 1) / span if span > 0 else None,
            audio_tracks=len(media.tracks),
            audio_track=None if media.audio is None else media.tracks.index(media.audio) + 1,
            caption_tracks=tuple(stream.language or UNKNOWN for stream in media.captions),
            ends_early=_ends_early(
                Path(path), media, end, jumped=wrong or any(clock.jumps for clock in clocks.values())
            ),
        )


@contextmanager
def _opened(path: Path | str, limits: Limits) -> Iterator[Media]:
    """Do what `open_media` does; frames whose size the decoder refuses at once are too large."""
    with contextlib.ExitStack() as stack:
        with refused_sizes() as refused:
            media = stack.enter_context(open_media(path, limits))
        for width, height in refused if media.video is not None and not media.video.codec_context.width else ():
            limits.check_size(width, height)
        yield media


def _stamp(packet: Packet) -> float | None:
    """Return when a packet is shown, in seconds; AVI states only when it is decoded."""
    stamp = packet.dts if packet.pts is None else packet.pts
    return None if stamp is None else float(stamp * packet.time_base)


def _ends_early(path: Path, media: Media, end: float, *, jumped: bool) -> bool:
    """Whether a file breaks off, by its parts or, where its header counts these streams alone, by its length."""
    container = media.container
    streams = sum(stream is not None for stream in (media.audio, media.video))
    exact = container.format.name in EXACT_FORMATS and len(container.streams) == streams and not jumped
    short = exact and container.duration is not None and end < container.duration / av.time_base - EARLY_SECONDS
    return short or breaks_off(path)


def _picture(packet: Packet, limits: Limits) -> av.VideoFrame | None:
    """Decode a frame; None where that fails for another reason than its size, which the file's header may hide."""
    frame = None
    with refused_sizes() as sizes, contextlib.suppress(FFmpegError):
        frame = next(iter(packet.decode()), None)
    for width, height in sizes if frame is None else ():
        limits.check_size(width, height)
    return frame
