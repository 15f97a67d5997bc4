"""The clips of a corpus: found in a folder or a list, checked before any work, and split into shards."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COLUMNS = {"video": True, "transcript": False}  # of a list; whether it must be there
# fmt: off
SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".flv", ".wmv",
    ".asf", ".ogv", ".ogg", ".oga", ".opus", ".wav", ".mp3", ".m4a", ".flac", ".aac",
})
# fmt: on
ID_BYTES = 10  # of a SHA-256: two of a billion clips share an id with a chance of 1e-6
MAX_STEM = 60  # characters of a file's name that its id shows


class ItemsError(ValueError):
    """A folder or list cannot be used; the message is for the user."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A clip to extract.

    Attributes:
        id: Stable: decided by `video` alone.
        video: Path as listed: relative to the folder or list, "/" between parts; or absolute.
        path: Where the file is.
        transcript: Of its speech; None to have it recognised.
    """

    id: str
    video: str
    path: Path
    transcript: str | None = None


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a corpus; `index` counts from 1."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ItemsError(f"shard: {self.index}/{self.count}, expected i/n with 1 <= i <= n")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "i/n"."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not match:
            raise ItemsError(f"shard: {text!r}, expected i/n with 1 <= i <= n")
        return cls(int(match[1]), int(match[2]))

    def holds(self, item: Item) -> bool:
        """Return whether a clip belongs to this part; every clip belongs to exactly one."""
        return int(item.id.rsplit("-", 1)[1], 16) % self.count == self.index - 1


def find(source: Path) -> list[Item]:
    """Find the clips of a folder or a list.

    Args:
        source: A folder, walked for media files, or a CSV file with the columns video and, optionally, transcript.

    Returns:
        At least one clip, sorted by `video`, none twice.

    Raises:
        ItemsError: If there are none or the list cannot be used.
    """
    if source.is_dir():
        items = list(_walk(source))
        if not items:
            raise ItemsError(f"{source}: there is no video or sound in this folder.")
    elif source.is_file():
        items = _listed(source)
    else:
        raise ItemsError(f"{source}: there is no such folder or list.")
    return sorted(items, key=lambda item: item.video)


def item_id(video: str) -> str:
    """Return the id of a clip: its readable name and a hash of its path."""
    readable = re.sub(r"[^A-Za-z0-9_]+", "_", Path(video).stem)[:MAX_STEM].strip("_") or "clip"
    return f"{readable}-{hashlib.sha256(os.fsencode(video)).hexdigest()[: 2 * ID_BYTES]}"


def _walk(folder: Path) -> Iterator[Item]:
    """Yield the media files below a folder; hidden ones and linked folders are passed over."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                video = path.relative_to(folder).as_posix()
                yield Item(id=item_id(video), video=video, path=path.absolute())


def _listed(source: Path) -> list[Item]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, [])
            _check_header(source, header)
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ItemsError(f"{source}: is no CSV file in UTF-8: {error}.") from error
    items: dict[str, Item] = {}
    for line, row in rows:
        item = _item(source, line, header, row)
        before = items.setdefault(item.id, item)
        if before.transcript != item.transcript:
            raise ItemsError(f"{source}, line {line}: {item.video!r} is listed again with another transcript.")
    if not items:
        raise ItemsError(f"{source}: lists no video.")
    return list(items.values())


def _check_header(source: Path, header: Sequence[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name, needed in COLUMNS.items() if needed and name not in header]
    if unknown or missing or len(set(header)) != len(header):
        wrong = f"unknown {unknown}" if unknown else f"{missing} missing" if missing else "one twice"
        raise ItemsError(f"{source}: columns {wrong}, expected video and, optionally, transcript.")


def _item(source: Path, line: int, header: Sequence[str], row: Sequence[str]) -> Item:
    if len(row) != len(header):
        raise ItemsError(f"{source}, line {line}: {len(row)} fields, expected {len(header)}.")
    fields = dict(zip(header, row, strict=True))
    named = fields["video"]
    if not named.strip() or "\0" in named:
        raise ItemsError(f"{source}, line {line}: {named!r}, expected the path of a video.")
    video = Path(os.path.normpath(named)).as_posix()
    folder = source.absolute().parent
    path = folder / video
    # A path may lead out of the list's folder only on purpose: to a file that is there.
    if (Path(video).is_absolute() or video.startswith("../")) and not path.is_file():
        raise ItemsError(f"{source}, line {line}: {named!r} leaves the list's folder and is no file.")
    return Item(id=item_id(video), video=video, path=path, transcript=fields.get("transcript", "").strip() or None)
