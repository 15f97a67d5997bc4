"""Clips: one guarded way to open a file, and its sound and pictures on one clock.

A clip is hostile until decoded: what its headers claim is never believed where it can be measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float32, UInt8

SAMPLE_RATE = 16_000  # Hz, of all decoded sound
GAP_SECONDS = 0.1  # holes in the sound's time stamps longer than this are filled with silence
MAX_CHANNELS = 8
MAX_RATE = 384_000  # Hz; the filter that resamples grows with it
MAX_SIDE = 1280  # pixels; longer pictures are scaled down
GRID_TOLERANCE = 1e-4  # seconds by which a time stamp may miss a grid point that it stands for

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
)

Report = Callable[[str], None]  # takes a sentence about an oddity

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a clip may cost.

    Attributes:
        file_bytes: Size of the file.
        seconds: Time between the first and the last moment, as decoded.
        pixels: Width x height of a picture; the default holds 4K.
        frames: Decoded pictures.
    """

    file_bytes: int = 50_000_000
    seconds: float = 120.0
    pixels: int = 4096 * 2304
    frames: int = 20_000


LIMITS = Limits()


class MediaError(ValueError):
    """A file cannot be used as a clip.

    Attributes:
        sentence: For the user: what is wrong and what to do.
        detail: For the log: what the decoder said.
    """

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What a walk over a clip's packets, without decoding, has found.

    Attributes:
        has_audio: Whether there is a sound stream.
        has_video: Whether there is a picture stream (cover art does not count).
        seconds: Time from the first moment to the end of the last packet.
    """

    has_audio: bool
    has_video: bool
    seconds: float


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


@dataclass(frozen=True)
class Media:
    """An open clip: its container, its streams and the time stamp that counts as 0 s."""

    container: av.container.InputContainer
    audio: av.AudioStream | None
    video: av.VideoStream | None
    origin: float


@contextmanager
def open_media(path: Path | str, limits: Limits = LIMITS) -> Iterator[Media]:
    """Open a clip under guard.

    Only whitelisted containers are tried and only the file protocol may be used, so that a playlist in disguise
    cannot make the decoder read other files; pictures beyond `limits.pixels` are never allocated.

    Args:
        path: A regular file.
        limits: What the clip may cost.

    Yields:
        The open clip, with at least one stream of sound or pictures.

    Raises:
        MediaError: If the file is missing, empty, too large, or not a clip.
    """
    path = Path(path)
    _check_size(path, limits)
    options = {
        "format_whitelist": ",".join(FORMATS),
        "protocol_whitelist": "file",
        "max_pixels": str(limits.pixels),
    }
    try:
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (FFmpegError, ValueError) as error:
        raise MediaError(
            "This file is not a video or sound that can be read. Use MP4, WebM, MOV, MKV, AVI or MPEG.", str(error)
        ) from error
    with container:
        audio = _decodable(container, "audio")
        video = _decodable(container, "video")
        for stream in (audio, video):
            if stream is not None:
                stream.codec_context.options = {"max_pixels": str(limits.pixels)}
        if audio is None and video is None:
            raise MediaError("This file holds neither sound nor moving pictures that can be decoded.")
        if video is not None:
            _check_pixels(video.codec_context.width, video.codec_context.height, limits)
        yield Media(container, audio, video, _origin(container, audio, video))


def probe(path: Path | str, limits: Limits = LIMITS) -> MediaInfo:
    """Measure a clip by walking over its packets, which takes milliseconds; headers are not believed.

    Args:
        path: A regular file.
        limits: What the clip may cost.

    Returns:
        Its streams and its length.

    Raises:
        MediaError: As `open_media`, and if the clip is too long.
    """
    with open_media(path, limits) as media:
        streams = [stream for stream in (media.audio, media.video) if stream is not None]
        end, pictures = 0.0, 0
        for packet in _packets(media.container, streams):
            if packet is None:  # damage, which decoding will tell of
                continue
            pictures += packet.stream is media.video
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - media.origin)
            _check_length(end, pictures, limits)
        return MediaInfo(has_audio=media.audio is not None, has_video=media.video is not None, seconds=end)


def decode_audio(path: Path | str, limits: Limits = LIMITS, report: Report = log.warning) -> Sound | None:
    """Decode a clip's sound.

    Args:
        path: A regular file.
        limits: What the clip may cost.
        report: Told of damage that was skipped.

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
        start = position = None  # seconds of the first and of the coming sample
        strange = 0
        for frame in _decoded(media.container, media.audio, report):
            if frame.layout.nb_channels > MAX_CHANNELS or not 0 < frame.sample_rate <= MAX_RATE:
                strange += 1
                continue
            begin = position if frame.time is None else frame.time - media.origin
            if position is None:
                start = position = begin = begin or 0.0
            if begin - position > GAP_SECONDS:
                _check_length(begin, 0, limits)
                pieces += [*resampler.flush(), np.zeros(round((begin - position) * SAMPLE_RATE), np.float32)]
                position = begin
            position += frame.samples / frame.sample_rate
            _check_length(position, 0, limits)
            pieces += resampler.push(frame)
        pieces += resampler.flush()
        if strange:
            report(
                f"{strange} part(s) of the sound were skipped: "
                f"they have more than {MAX_CHANNELS} channels or {MAX_RATE // 1000} kHz."
            )
        if resampler.met_nan:
            report("Some of the sound is not a number; it counts as silence.")
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        return Sound(samples=samples, start=max(start or 0.0, 0.0))


def decode_frames(
    path: Path | str, rate: float, limits: Limits = LIMITS, report: Report = log.warning
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Decode the picture that is shown every 1 / rate seconds, from the first picture to the end of the last.

    Args:
        path: A regular file.
        rate: Pictures per second, whatever the clip's own rate, which need not be constant.
        limits: What the clip may cost.
        report: Told of damage that was skipped.

    Yields:
        (seconds from the start of the clip, RGB upright with the long side at most `MAX_SIDE`).

    Raises:
        MediaError: As `open_media`, and if the video is too long.
    """
    with open_media(path, limits) as media:
        if media.video is None:
            return
        first, step, shown = 0.0, 0, None
        for time, frame in _intervals(media, limits, report):
            if shown is None:
                first = time
            else:
                picture = None
                while (moment := first + step / rate) < time - GRID_TOLERANCE:
                    _check_length(moment, 0, limits)
                    picture = _rgb(shown) if picture is None else picture
                    yield moment, picture
                    step += 1
            shown = frame


def _intervals(media: Media, limits: Limits, report: Report) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """Yield every picture with its never falling time, at last (end of the last picture, None)."""
    time = length = 0.0
    count = 0
    video = media.video
    usual = float(1 / video.average_rate) if video.average_rate else 1 / 25
    for frame in _decoded(media.container, video, report):
        moment = time + length if frame.time is None else frame.time - media.origin
        time = max(moment, time)
        length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else usual
        count += 1
        _check_length(time, count, limits)
        yield time, frame
    if count:
        yield time + length, None


def _check_size(path: Path, limits: Limits) -> None:
    if not path.is_file():
        raise MediaError("There is no such file.", f"{path}: not a regular file")
    size = path.stat().st_size
    if size == 0:
        raise MediaError("This file is empty.")
    if size > limits.file_bytes:
        raise MediaError(
            f"This file has {size / 1e6:.1f} MB; the limit is {limits.file_bytes / 1e6:.0f} MB. "
            "Use a shorter or more strongly compressed clip."
        )


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise MediaError(
            f"The picture has {width} x {height} pixels; the limit is {limits.pixels / 1e6:.1f} million. "
            "Use a clip of 4K or less."
        )


def _check_length(seconds: float, pictures: int, limits: Limits) -> None:
    if seconds > limits.seconds:
        raise MediaError(
            f"This clip is longer than {limits.seconds:.0f} seconds, which is the limit. Cut it and try again.",
            f"a time stamp at {seconds:.1f} s",
        )
    if pictures > limits.frames:
        raise MediaError(f"This clip has more than {limits.frames} pictures, which is the limit. Cut it and try again.")


def _decodable(container: av.container.InputContainer, kind: str) -> av.AudioStream | av.VideoStream | None:
    """Return the best stream of a kind that has a decoder and is no cover art."""
    streams = [
        stream
        for stream in container.streams
        if stream.type == kind
        and stream.codec_context is not None
        and not stream.disposition & av.stream.Disposition.attached_pic
    ]
    best = container.streams.best(kind)
    return best if best in streams else next(iter(streams), None)


def _origin(container: av.container.InputContainer, *streams: av.stream.Stream | None) -> float:
    """Return the earliest start of the chosen streams in seconds: MPEG and FLV do not begin at 0."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in streams
        if stream is not None and stream.start_time is not None
    ]
    return min(starts, default=0.0)


def _decoded(
    container: av.container.InputContainer, stream: av.AudioStream | av.VideoStream, report: Report
) -> Iterator[av.AudioFrame | av.VideoFrame]:
    """Yield frames; damaged packets are skipped and reported."""
    stream.thread_type = "AUTO"
    damaged = 0
    for packet in _packets(container, [stream]):
        try:
            if packet is None:
                damaged += 1
            else:
                yield from packet.decode()
        except FFmpegError:
            damaged += 1
    if damaged:
        what = "sound" if stream.type == "audio" else "picture"
        report(f"The {what} is damaged: {damaged} part(s) could not be decoded and were skipped.")


def _packets(container: av.container.InputContainer, streams: Sequence[av.stream.Stream]) -> Iterator[av.Packet | None]:
    """Yield packets to the end of the file, or to where it breaks off and then None."""
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except IndexError:  # PyAV's, at the very end, where streams came up that the header had not announced
            return
        except FFmpegError:
            yield None
            return
        yield packet


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
        channels = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
        finite = np.isfinite(channels)
        if not finite.all():
            self.met_nan = True
            channels = np.where(finite, channels, 0)
        return np.clip(channels, -1, 1).mean(axis=1, dtype=np.float32)


def _rgb(frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """Scale down, convert and turn upright."""
    scale = min(1.0, MAX_SIDE / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))  # both turn anticlockwise
