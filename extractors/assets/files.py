"""Files: the folder for caches, and writes that leave the whole file or none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_path

CACHE_VARIABLE = "ALIGNMAMBA_CACHE"  # names another cache folder than the platform's


def cache_folder() -> Path:
    """Return the folder for whatever can be fetched or made again, as `~/.cache/alignmamba`; it need not exist yet."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    return user_cache_path("alignmamba", appauthor=False, opinion=False)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden neighbour (".NAME.RANDOM.tmp") that takes the place of a file once it is written and on disk.

    A process killed in the middle leaves the neighbour behind and `path` as it was.

    Raises:
        OSError: If it cannot be written. After this or any other error the neighbour is removed.
    """
    neighbour = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with neighbour.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        neighbour.replace(path)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name, too, outlives a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file as `replacing` does.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(path) as stream:
        stream.write(content)
