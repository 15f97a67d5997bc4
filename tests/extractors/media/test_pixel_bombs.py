"""Files of a few kilobytes whose frames would fill the memory are refused by their size, before it is taken."""

from __future__ import annotations

import io
import resource
import struct
import zlib

import av
import numpy as np
import pytest

from extractors.media.probe import LIMITS, MediaError, probe

BYTES = 40  # of memory per allowed pixel: what a few frames in any format take


def encoded(container: str, codec: str, pixel_format: str, *, width: int = 64, height: int = 64) -> bytes:
    """Two frames."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as clip:
        stream = clip.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for level in (40, 90):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), level, np.uint8), format="rgb24")
            clip.mux(stream.encode(frame.reformat(format=pixel_format)))
        clip.mux(stream.encode(None))
    return file.getvalue()


def patched(content: bytes, mark: bytes, skip: int, size: bytes) -> bytes:
    """Put another size behind every mark."""
    made, at = bytearray(content), 0
    while (at := made.find(mark, at)) >= 0:
        at += len(mark)
        made[at + skip : at + skip + len(size)] = size
        if mark == b"IHDR":  # whose checksum is looked at
            made[at + 13 : at + 17] = struct.pack(">I", zlib.crc32(bytes(made[at - 4 : at + 13])))
    assert made != content
    return bytes(made)


BOMBS = {
    "gif": lambda: patched(encoded("gif", "gif", "rgb8"), b"GIF89a", 0, struct.pack("<HH", 65_535, 65_535)),
    "png in mov": lambda: patched(encoded("mov", "png", "rgb24"), b"IHDR", 0, struct.pack(">II", 60_000, 60_000)),
    "png in avi": lambda: patched(encoded("avi", "png", "rgb24"), b"IHDR", 0, struct.pack(">II", 9_000, 9_000)),
    "jpeg in mov": lambda: patched(
        encoded("mov", "mjpeg", "yuvj420p"), b"\xff\xc0\x00\x11\x08", 0, struct.pack(">HH", 65_000, 65_000)
    ),
    "vp8": lambda: patched(
        encoded("webm", "libvpx", "yuv420p"), b"\x9d\x01\x2a", 0, struct.pack("<HH", 16_383, 16_383)
    ),
    "true frames": lambda: encoded("matroska", "ffv1", "yuv420p", width=6_000, height=6_000),
    "true frames in avi": lambda: encoded("avi", "mpeg4", "yuv420p", width=4_800, height=4_800),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_frame_that_is_too_large_is_called_so(tmp_path, name):
    path = tmp_path / "clip.bin"
    path.write_bytes(BOMBS[name]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaError) as refused:
        probe(path)
    assert refused.value.message.code == "frame_too_large"
    width, height = (refused.value.message.values[side] for side in ("width", "height"))
    assert width * height > LIMITS.pixels
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES * LIMITS.pixels


def test_a_gif_whose_frame_leaves_its_screen_is_read_within_it(tmp_path):
    path = tmp_path / "clip.gif"
    path.write_bytes(patched(encoded("gif", "gif", "rgb8"), b"\x2c\0\0\0\0", 0, struct.pack("<HH", 65_535, 65_535)))
    assert (probe(path).width, probe(path).height) == (64, 64)
