"""Media: what a clip is, its sound and its pictures on one clock.

What other modules need of clips stands here; the parts are `container`, `sound` and `frames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError

from extractors.media.audio import SAMPLE_RATE, Sound, decode_audio
from extractors.media.container import LIMITS, Limits, Media, MediaError, open_media, packets
from extractors.media.video import decode_frames, pixel_aspect, rotation, shown_size

__all__ = [
    "LIMITS",
    "SAMPLE_RATE",
    "Limits",
    "MediaError",
    "MediaInfo",
    "Sound",
    "decode_audio",
    "decode_frames",
    "open_media",
    "probe",
]

FIRST_PACKETS = 50  # of the pictures, among which one must be decodable to tell size and rotation


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What a walk over a clip's packets has found.

    Attributes:
        container: FFmpeg's name of the format, for example "mov,mp4,m4a,3gp,3g2,mj2".
        audio_codec: Of the sound, for example "aac"; None where there is no sound stream.
        video_codec: Of the pictures (cover art does not count); None where there is no picture stream.
        seconds: Time from the first moment to the end of the last packet.
        width: Of the first picture in square pixels, as it is shown; None where none can be decoded.
        height: As `width`.
        rotation: Degrees by which pictures are turned anticlockwise to be shown: 0, 90, 180 or 270.
        fps: Pictures per second on average, as counted; None for fewer than two.
    """

    container: str
    audio_codec: str | None
    video_codec: str | None
    seconds: float
    width: int | None
    height: int | None
    rotation: int
    fps: float | None


def probe(path: Path | str, limits: Limits = LIMITS) -> MediaInfo:
    """Measure a clip by walking over its packets, which takes milliseconds; headers are not believed.

    Args:
        path: A regular file.
        limits: What the clip may cost.

    Returns:
        Its container, its streams, its length, and its pictures' size, rotation and rate.

    Raises:
        MediaError: As `open_media`, and if the clip is too long.
    """
    with open_media(path, limits) as media:
        end, pictures, moments, first = 0.0, 0, [], None
        for packet in packets(media, [stream for stream in (media.audio, media.video) if stream is not None]):
            if packet is None:  # damage, which decoding will tell of
                continue
            begin = _seconds(packet, media)
            if begin is not None:
                end = max(end, begin + float((packet.duration or 0) * packet.time_base))
            if packet.stream is media.video and packet.size:
                pictures += 1
                moments += [] if begin is None else [begin]
                if first is None and pictures <= FIRST_PACKETS:
                    first = _picture(packet)
            limits.check_length(end, pictures)
        size = (None, None) if first is None else shown_size(first, pixel_aspect(media.video))
        span = max(moments) - min(moments) if moments else 0.0
        return MediaInfo(
            container=media.container.format.name,
            audio_codec=media.audio and media.audio.codec_context.name,
            video_codec=media.video and media.video.codec_context.name,
            seconds=end,
            width=size[0],
            height=size[1],
            rotation=0 if first is None else rotation(first),
            fps=(len(moments) - 1) / span if span > 0 else None,
        )


def _seconds(packet: av.Packet, media: Media) -> float | None:
    """Return when a packet is shown, from the start of the clip; AVI tells only when it is decoded."""
    stamp = packet.dts if packet.pts is None else packet.pts
    return None if stamp is None else float(stamp * packet.time_base) - media.origin


def _picture(packet: av.Packet) -> av.VideoFrame | None:
    try:
        return next(iter(packet.decode()), None)
    except FFmpegError:
        return None
