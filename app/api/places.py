"""Places for uploads: counted apart from analyses, per client and in all, in number and in bytes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

UPLOADS, UPLOADS_PER_CLIENT = 32, 8  # at once
HELD_BYTES = 500_000_000  # of all requests from their first byte to their answer


class NoPlaceError(Exception):
    """There is no place for another upload; the message says of what there are too many."""


class Places:
    """Counts of what is being uploaded and held.

    Args:
        in_all: Uploads at once.
        per_client: Of them by one client.
        held_bytes: Of all requests together.
    """

    def __init__(self, *, in_all: int, per_client: int, held_bytes: int) -> None:
        self._in_all, self._per_client, self._held_bytes = in_all, per_client, held_bytes
        self._uploads: Counter[str] = Counter()
        self._held = 0
        self._lock = threading.Lock()

    @contextmanager
    def upload(self, client: str) -> Iterator[None]:
        """Take a place for the time of an upload.

        Raises:
            NoPlaceError: If there is none.
        """
        with self._lock:
            if self._uploads[client] >= self._per_client:
                raise NoPlaceError(f"{self._per_client} clips of yours are being uploaded already")
            if self._uploads.total() >= self._in_all:
                raise NoPlaceError(f"{self._in_all} clips are being uploaded already")
            self._uploads[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._uploads[client] -= 1
                self._uploads += Counter()  # without the clients that have none

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Take room for the bytes of a request.

        Raises:
            NoPlaceError: If there is not enough.
        """
        with self._lock:
            if self._held + size > self._held_bytes:
                raise NoPlaceError("the clips that wait fill the memory that is set aside for them")
            self._held += size
        try:
            yield
        finally:
            with self._lock:
                self._held -= size
