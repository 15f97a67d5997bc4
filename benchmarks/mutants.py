"""Broken clips: real containers of every accepted format, and mutations of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from fractions import Fraction

import av
import numpy as np

SECONDS = 0.4
FRAME_RATE = 25  # frames per second
SIDE = 64  # pixels
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
HEAD_BYTES = 512  # in which half of all mutations lie: sizes, counts and codecs are there
MOST_MUTATIONS = 6  # of a clip
# Name -> (container, video codec, audio codec, Hz); one per format of `extractors.media.container.FORMATS`, and more
# where formats differ inside.
FORMATS: Mapping[str, tuple[str, str | None, str | None, int]] = {
    "mp4": ("mp4", "libx264", "aac", 16_000),
    "m4a": ("ipod", None, "alac", 16_000),
    "mov": ("mov", "png", "pcm_s16be", 16_000),
    "3gp": ("3gp", "mpeg4", "libopencore_amrnb", 8_000),
    "mkv": ("matroska", "ffv1", "flac", 16_000),
    "webm": ("webm", "libvpx", "libopus", 48_000),
    "webm-vp9": ("webm", "libvpx-vp9", "libopus", 48_000),
    "avi": ("avi", "mpeg4", "pcm_s16le", 16_000),
    "avi-mjpeg": ("avi", "mjpeg", "libmp3lame", 16_000),
    "mpg": ("mpeg", "mpeg1video", "mp2", 16_000),
    "ts": ("mpegts", "libx264", "aac", 16_000),
    "m2v": ("mpeg2video", "mpeg2video", None, 0),
    "flv": ("flv", "flv", "libmp3lame", 22_050),
    "wmv": ("asf", "wmv2", "wmav2", 44_100),
    "ogg": ("ogg", None, "libopus", 48_000),
    "ogg-flac": ("ogg", None, "flac", 16_000),
    "wav": ("wav", None, "pcm_s16le", 16_000),
    "w64": ("w64", None, "pcm_s16le", 16_000),
    "mp3": ("mp3", None, "libmp3lame", 16_000),
    "flac": ("flac", None, "flac", 16_000),
    "aac": ("adts", None, "aac", 16_000),
    "aiff": ("aiff", None, "pcm_s16be", 16_000),
    "caf": ("caf", None, "pcm_s16be", 16_000),
    "amr": ("amr", None, "libopencore_amrnb", 8_000),
    "gif": ("gif", "gif", None, 0),
}
# Of libx264, which else looks ahead in a thread and makes other bytes now and then; other encoders ignore it.
REPEATABLE = {"preset": "ultrafast", "x264-params": "threads=1:lookahead_threads=1:rc-lookahead=0:sync-lookahead=0"}
PIXELS = {"ffv1": "yuv420p", "png": "rgb24", "gif": "rgb8", "mjpeg": "yuvj420p"}  # of the others "yuv420p"


def clip(name: str) -> bytes:
    """Make a sound clip of a format: moving stripes and a tone.

    Args:
        name: A key of `FORMATS`.
    """
    container, video_codec, audio_codec, rate = FORMATS[name]
    file = io.BytesIO()
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as made:  # no random ids, no dates
        video = made.add_stream(video_codec, rate=FRAME_RATE, options=REPEATABLE) if video_codec else None
        audio = made.add_stream(audio_codec, rate=rate, layout="mono") if audio_codec else None
        if audio_codec == "wmav2":
            audio.bit_rate = 64_000  # its own default is none
        if video is not None:
            video.codec_context.thread_count = 1  # the same bytes every time
            video.width = video.height = SIDE
            video.pix_fmt = PIXELS.get(video_codec or "", "yuv420p")
            for index in range(round(SECONDS * FRAME_RATE)):
                stripes = np.add.outer(np.arange(SIDE) * 4, np.arange(SIDE)) + 8 * index
                image = np.repeat((stripes % 256).astype(np.uint8)[:, :, None], 3, axis=2)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=video.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
                made.mux(video.encode(frame))
            made.mux(video.encode(None))
        if audio is not None:
            wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(round(SECONDS * rate)) / rate)
            whole = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            whole.sample_rate, whole.time_base, whole.pts = rate, Fraction(1, rate), 0
            codec = audio.codec_context
            if not codec.is_open:  # the first frame of a video has opened it
                codec.open()
            resampler = av.AudioResampler(
                format=codec.format, layout="mono", rate=rate, frame_size=codec.frame_size or 1024
            )
            for part in [*resampler.resample(whole), *resampler.resample(None)]:
                made.mux(audio.encode(part))
            made.mux(audio.encode(None))
    return file.getvalue()


def mutant(content: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """Break a clip in up to `MOST_MUTATIONS` places.

    Args:
        content: Of the clip.
        other: Of another one, parts of which are spliced in.
        random: Decides everything.
    """
    broken = bytearray(content)
    for _ in range(int(random.integers(1, MOST_MUTATIONS + 1))):
        if not broken:
            break
        _MUTATIONS[int(random.integers(len(_MUTATIONS)))](broken, other, random)
    return bytes(broken)


def _place(broken: bytearray, random: np.random.Generator) -> int:
    reach = min(HEAD_BYTES, len(broken)) if random.random() < 0.5 else len(broken)
    return int(random.integers(reach))


def _length(broken: bytearray, random: np.random.Generator) -> int:
    """Return a length, of which short ones are as likely as long ones."""
    return int(np.exp(random.uniform(0, np.log(max(len(broken) // 2, 2)))))


def _flip_bits(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    for _ in range(int(random.integers(1, 20))):
        broken[_place(broken, random)] ^= 1 << int(random.integers(8))


def _write_extreme(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    """Put the least, the largest or a negative number in place of a size or count."""
    width, order = int(random.choice([1, 2, 4, 8])), ("big", "little")[int(random.integers(2))]
    number = EXTREMES[int(random.integers(len(EXTREMES)))] & (1 << (8 * width)) - 1
    at = _place(broken, random)
    broken[at : at + width] = number.to_bytes(width, order)[: len(broken) - at]


def _write_noise(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    at = _place(broken, random)
    size = min(_length(broken, random), len(broken) - at)
    broken[at : at + size] = random.bytes(size)


def _write_zeros(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    at = _place(broken, random)
    size = min(_length(broken, random), len(broken) - at)
    broken[at : at + size] = bytes(size)


def _cut_off(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    del broken[int(random.integers(len(broken))) :]


def _cut_out(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    at = _place(broken, random)
    del broken[at : at + _length(broken, random)]


def _repeat(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    at, to = _place(broken, random), _place(broken, random)
    broken[to:to] = broken[at : at + _length(broken, random)] * int(random.integers(1, 5))


def _splice(broken: bytearray, other: bytes, random: np.random.Generator) -> None:
    at, to = int(random.integers(len(other))), _place(broken, random)
    broken[to:to] = other[at : at + _length(broken, random)]


_MUTATIONS: tuple[Callable[[bytearray, bytes, np.random.Generator], None], ...] = (
    _flip_bits,
    _write_extreme,
    _write_extreme,
    _write_noise,
    _write_zeros,
    _cut_off,
    _cut_out,
    _repeat,
    _splice,
)
