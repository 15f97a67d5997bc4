"""Truncation: whether a file breaks off within its last part, by the sizes that its container states."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

SEGMENT, CLUSTER, EBML = 0x18538067, 0x1F43B675, 0x1A45DFA3  # Matroska's elements
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"styp", b"uuid", b"mfra", b"meta")
MAX_PARTS = 100_000  # of a file; further ones are not looked at


def breaks_off(path: Path) -> bool:
    """Whether a Matroska, WebM, MP4 or MOV file ends before its last part does; False for other formats."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if start[:4] == EBML.to_bytes(4, "big"):
            return _matroska(file, size)
        return start[4:8] in BOXES and _boxes(file, size)


def _matroska(file: BinaryIO, size: int) -> bool:
    """Walk over the elements; those of a live stream may state no size, and are walked into."""
    for _ in range(MAX_PARTS):
        name, length = _number(file, keep_marker=True), _number(file)
        if name is None or length is None:
            return file.tell() > size or (name is not None and length is None)
        if name == SEGMENT and file.tell() + length > size and not _unknown(length):
            return True
        if name != SEGMENT and not (name == CLUSTER and _unknown(length)):
            if file.tell() + length > size:
                return True
            file.seek(length, 1)
    return False


def _unknown(length: int) -> bool:
    """Whether all bits of a length are set, up to eight bytes of seven bits each."""
    return length in {(1 << 7 * count) - 1 for count in range(1, 9)}


def _number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """Read EBML's number of variable length; None at the end of the file."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return None
    head = first[0] if keep_marker else first[0] & ((1 << (8 - length)) - 1)
    return int.from_bytes(bytes([head]) + rest, "big")


def _boxes(file: BinaryIO, size: int) -> bool:
    position = 0
    for _ in range(MAX_PARTS):
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return 0 < len(head)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # to the end of the file
            return False
        if length < 8:
            return False
        position += length
        if position >= size:
            return position > size
    return False
