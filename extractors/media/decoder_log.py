"""What FFmpeg says in its log only: the size of a frame that it refuses to decode."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

# From av_image_check_size2, which every decoder asks before it allocates a frame.
_SIZE = re.compile(r"Picture size (\d+)x(\d+) (?:is invalid|exceeds)")
_lock = threading.Lock()  # the level of the log is the process's


@contextmanager
def refused_sizes() -> Iterator[list[tuple[int, int]]]:
    """Collect the sizes that decoders refuse in this thread during the block.

    The log is on for the block only. While it is, FFmpeg's own threads need Python's lock to write a line, and whoever
    ends such a thread may hold it: so let decoders in the block have one thread, and close none there.

    Yields:
        (width, height) in pixels; filled at the end of the block.
    """
    sizes: list[tuple[int, int]] = []
    with _lock:
        skips = av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        try:
            with av.logging.Capture() as lines:
                yield sizes
        finally:
            av.logging.set_level(None)
            av.logging.set_skip_repeated(skips)
            found = (_SIZE.search(text) for _level, _part, text in lines)
            sizes += [(int(size[1]), int(size[2])) for size in found if size]
