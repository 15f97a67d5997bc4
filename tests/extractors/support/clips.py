"""Clips made for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from skimage import data

from extractors.media.audio import SAMPLE_RATE

MILLISECOND = Fraction(1, 1000)
CONSTANT_RATE = ("mpeg1video", "mpeg2video")  # codecs that know no other
# Container -> (video codec, pixel format, audio codec, sample format)
CODECS = {
    ".mkv": ("ffv1", "yuv420p", "pcm_f32le", "flt"),
    ".mp4": ("libx264", "yuv420p", "aac", "fltp"),
    ".mov": ("libx264", "yuv420p", "pcm_s16le", "s16"),
    ".webm": ("libvpx", "yuv420p", "libopus", "flt"),
    ".avi": ("mpeg4", "yuv420p", "pcm_s16le", "s16"),
    ".mpg": ("mpeg1video", "yuv420p", "mp2", "s16"),
    ".ts": ("libx264", "yuv420p", "mp2", "s16"),
    ".flv": ("flv", "yuv420p", "aac", "fltp"),
}


def make_clip(
    path: Path,
    *,
    frames: Iterable[tuple[float, np.ndarray]] = (),
    sound: np.ndarray | None = None,
    rate: int = SAMPLE_RATE,
    sound_start: float = 0.0,
    fps: int = 25,
    codec: str | None = None,
    pixel_format: str | None = None,
    options: Mapping[str, str] | None = None,
    set_up: Callable[[av.VideoStream], None] = lambda _: None,
) -> Path:
    """Write a clip.

    Args:
        path: Its suffix chooses container and codecs.
        frames: (seconds, RGB) in time order.
        sound: (channels, samples) in [-1, 1].
        rate: Hz of the sound.
        sound_start: Time stamp of the first sample in seconds.
        fps: Frame rate written to the header.
        codec: Of the video, instead of the container's usual one.
        pixel_format: Likewise.
        options: For the video encoder.
        set_up: Does more to the video stream before anything is encoded.
    """
    usual_codec, usual_format, audio_codec, sample_format = CODECS[path.suffix]
    codec = codec or usual_codec
    constant_rate = codec in CONSTANT_RATE
    frames = list(frames)
    with av.open(str(path), "w") as container:
        if frames:
            video = container.add_stream(codec, rate=fps, options=dict(options or {}))
            video.height, video.width = frames[0][1].shape[:2]
            video.pix_fmt = pixel_format or usual_format
            if not constant_rate:
                video.codec_context.time_base = MILLISECOND
            set_up(video)
        if sound is not None:
            layout = {1: "mono", 2: "stereo"}[len(sound)]
            audio = container.add_stream(audio_codec, rate=rate, layout=layout)
        if frames:
            for seconds, image in frames:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                base = Fraction(1, fps) if constant_rate else MILLISECOND
                frame.pts, frame.time_base = round(seconds / base), base
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if sound is not None:
            resampler = av.AudioResampler(
                format=sample_format, layout=layout, rate=rate, frame_size=audio.codec_context.frame_size or 1024
            )
            whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound, np.float32), format="fltp", layout=layout)
            whole.sample_rate, whole.time_base, whole.pts = rate, Fraction(1, rate), 0
            for frame in [*resampler.resample(whole), *resampler.resample(None)]:
                frame.pts, frame.time_base = (frame.pts or 0) + round(sound_start * rate), Fraction(1, rate)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def make_sound(path, tracks, *, layout="mono", default=None, shift=0.0, languages=()):
    """Write sound tracks of (channels, samples), the first shifted in time."""
    with av.open(str(path), "w") as container:
        streams = []
        for index, _ in enumerate(tracks):
            stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout=layout)
            if languages:
                stream.metadata["language"] = languages[index]
            if default is not None:
                stream.disposition = av.stream.Disposition.default if index == default else av.stream.Disposition(0)
            streams.append(stream)
        for stream, sound in zip(streams, tracks, strict=True):
            packed = (np.clip(sound, -1, 1).T.reshape(1, -1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = round(shift * SAMPLE_RATE)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def tone(seconds: float, *, rate: int = SAMPLE_RATE, channels: int = 1, hertz: float = 220.0) -> np.ndarray:
    """A vowel-like sound: harmonics of a voice's pitch, (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 8))
    return np.tile((0.2 * wave).astype(np.float32), (channels, 1))


def grey(level: int, *, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def face() -> np.ndarray:
    """A public-domain portrait, 512 x 512."""
    return data.astronaut()


def every(seconds: float, frame: np.ndarray, *, fps: int = 25) -> list[tuple[float, np.ndarray]]:
    """One frame, shown for some seconds."""
    return [(index / fps, frame) for index in range(round(seconds * fps))]
