"""Uploads to the screen: the files of all sessions together are bounded, where Streamlit bounds each file alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive
from streamlit import runtime

from app.api.places import NoPlaceError

ADDRESS = "/_stcore/upload_file/"
HELD_BYTES = 2_000_000_000  # of all files that sessions hold, and of those on their way, as far as they have come


class Room:
    """Room for the files of all sessions; used on the event loop only.

    Args:
        held_bytes: Of them together.
        kept: Returns the bytes of those that have come.
    """

    def __init__(self, *, held_bytes: int, kept: Callable[[], int]) -> None:
        self._held_bytes, self._kept = held_bytes, kept
        self._arriving = 0

    @contextmanager
    def counted(self, receive: Receive) -> Iterator[Receive]:
        """Count the body of an upload while it comes, by what comes and not by what is claimed.

        Args:
            receive: The client's next message.

        Yields:
            The same, which raises `NoPlaceError` where there is no room.
        """
        size = 0

        async def counting() -> Message:
            nonlocal size
            message = await receive()
            more = len(message.get("body", b""))
            size += more
            self._arriving += more
            if more and self._kept() + self._arriving > self._held_bytes:
                raise NoPlaceError("the files of all visitors fill the memory that is set aside for them")
            return message

        try:
            yield counting
        finally:
            self._arriving -= size


def kept_bytes() -> int:
    """Return the bytes of all files that sessions hold."""
    found = runtime.get_instance().uploaded_file_mgr.get_stats()
    return sum(stat.byte_length for stats in found.values() for stat in stats)
