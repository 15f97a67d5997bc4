"""Hashes of files: of clips, and of the model files that someone brings along."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

Stamp = tuple[int, int]
"""A file's size in bytes and its date in ns."""


def file_sha256(path: Path) -> str:
    """Hash a file's bytes.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stamps(folder: Path, names: Sequence[str]) -> tuple[Stamp | None, ...]:
    """Return the stamps of a folder's files, None for those that are not there."""
    return tuple(_stamp(folder / name) if (folder / name).is_file() else None for name in names)


def files_sha256(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Hash a folder's files, leaving out those that are not there.

    Each is read once per process, and again when its size or date changes.

    Raises:
        OSError: If one cannot be read.
    """
    return {
        name: _remembered_sha256(folder / name, found)
        for name, found in zip(names, stamps(folder, names), strict=True)
        if found is not None
    }


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _remembered_sha256(path: Path, stamp: Stamp) -> str:
    return file_sha256(path)
