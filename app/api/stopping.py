"""The end of the server: analyses under way get some seconds more, then their clients get an answer without a result.

uvicorn, asked to stop, waits for its requests without a bound, and an analysis may take minutes. A container is killed
long before.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 6.0  # and what follows takes one or two: containers are killed after 10
POLL_SECONDS = 0.2
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_asked_at: list[float] = []  # when the server was asked to stop, on the monotonic clock


@contextmanager
def noticed() -> Iterator[None]:
    """Notice the signals that stop the server, on their way to its own handlers."""
    if threading.current_thread() is not threading.main_thread():  # a server in a test: no signal reaches it
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        _asked_at.append(time.monotonic())
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


async def grace_is_over() -> None:
    """Wait until the server was asked to stop and its requests have had their time."""
    while not _asked_at or time.monotonic() < _asked_at[0] + GRACE_SECONDS:
        await asyncio.sleep(POLL_SECONDS)
