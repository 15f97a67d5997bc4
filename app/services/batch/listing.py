"""Lists of clips: a CSV file that says who speaks in each clip, and what its label is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from app.i18n.translate import _
from app.services.errors import PlainError
from app.services.truth import score_of

COLUMNS = ("file", "speaker", "label")
MAX_BYTES = 1_000_000
SPEAKER_CHARACTERS = 60
DELIMITERS = (",", ";", "\t")  # spreadsheets write any of them

Origin = Literal["list", "folder"]
"""Where the name of a speaker comes from."""

T = TypeVar("T")


@dataclass
class Listing:
    """What lists say of clips, by the clips' names.

    Attributes:
        speakers: Name of the speaker.
        labels: Score that the label stands for, in [-3, 3].
        unreadable: Labels that are neither a score nor the name of a class.
    """

    speakers: dict[str, str] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)
    unreadable: int = 0

    def read(self, data: bytes) -> None:
        """Add what a CSV file says; its first line names the columns.

        Args:
            data: The file's bytes, in UTF-8.

        Raises:
            PlainError: If it is too large, is no such list, or lacks a column.
        """
        if len(data) > MAX_BYTES:
            raise PlainError(_("The list has more than {limit} MB.").format(limit=MAX_BYTES // 1_000_000))
        try:
            rows = list(_rows(data.decode("utf-8-sig")))
        except (UnicodeDecodeError, csv.Error) as error:
            raise PlainError(_("This list is no CSV file in UTF-8.")) from error
        if not rows or "file" not in rows[0] or not {"speaker", "label"} & rows[0].keys():
            raise PlainError(
                _("This list lacks a column. Expected a first line with file and speaker or label: {columns}.").format(
                    columns=",".join(COLUMNS)
                )
            )
        for row in rows:
            self._add(_plain(row["file"]), speaker=row.get("speaker", ""), label=row.get("label", ""))

    def speaker_of(self, name: str) -> tuple[str, Origin] | tuple[None, None]:
        """Return who speaks in a clip, by its name with its folders, and where that is said; None where nowhere."""
        if (listed := _found(self.speakers, name)) is not None:
            return listed, "list"
        folder = _plain(name).rpartition("/")[0].rpartition("/")[2]
        return (folder[:SPEAKER_CHARACTERS], "folder") if folder else (None, None)

    def label_of(self, name: str) -> float | None:
        """Return a clip's label, by its name with its folders."""
        return _found(self.labels, name)

    def unmatched(self, names: Iterable[str]) -> int:
        """Return how many of the listed files are none of the clips of these names."""
        there = {tail for name in names for tail in _tails(name)}
        return len((self.speakers.keys() | self.labels.keys()) - there)

    def _add(self, file: str, *, speaker: str, label: str) -> None:
        if not file:
            return
        if shown := "".join(letter for letter in speaker.strip() if letter.isprintable()):
            self.speakers[file] = shown[:SPEAKER_CHARACTERS]
        if label.strip():
            score = score_of(label)
            if score is None:
                self.unreadable += 1
            else:
                self.labels[file] = score


def _rows(text: str) -> Iterable[dict[str, str]]:
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval=""):
        yield {key.strip().lower(): value for key, value in row.items() if key is not None}


def _plain(name: str) -> str:
    """Return a name as it is compared: "/" between its parts, and none before them."""
    return name.strip().replace("\\", "/").removeprefix("./")


def _tails(name: str) -> list[str]:
    """Return a name with all of its folders, then with fewer: an archive may have a folder around everything.

    >>> _tails("all/anna/1.mp4")
    ['all/anna/1.mp4', 'anna/1.mp4', '1.mp4']
    """
    parts = _plain(name).split("/")
    return ["/".join(parts[place:]) for place in range(len(parts))]


def _found(listed: Mapping[str, T], name: str) -> T | None:
    return next((listed[tail] for tail in _tails(name) if tail in listed), None)
