"""Batches: many clips of one visitor, one after the other; what is done stays done.

A batch lives in the visitor's state and owns its running job, so that a rerun of the page, a filter or a look at
another page disturbs nothing. It goes on whenever the page asks it to; while nobody looks, it ends the clip that it has
begun and waits. Clips are known by their content: the same file given again is not analysed again.
"""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from app.i18n.translate import _
from app.services import errors, upload
from app.services.analysis import Clip
from app.services.errors import PlainError
from app.services.jobs import Job, Progress
from extractors.messages import Message

MAX_CLIPS = 100
MAX_BYTES = 500_000_000  # of all clips that wait together
FORMAT, VERSION = "alignmamba-batch", "1.0"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters that spreadsheets take for a formula
NAME_CHARACTERS = 200
COLUMNS = (
    *("file", "status", "score", "interval_low", "interval_high", "class", "p_negative", "p_neutral", "p_positive"),
    *("used", "duration_s", "transcript", "sha256", "error"),
)


class Given(Protocol):
    """A file from the upload field."""

    name: str
    size: int

    def getvalue(self) -> bytes:
        """Return its bytes."""


class Status(StrEnum):
    """Where a clip stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Row:
    """One clip of a batch.

    Attributes:
        name: Of the file, with its folders; for reading only.
        clip: Its bytes; None once nothing is to be done with them any more.
        error: Why it failed; empty where it did not.
        found: What a line of the table says of the result; empty without one.
        packed: The result document as compressed JSON.
    """

    name: str
    clip: Clip | None
    status: Status = Status.WAITING
    error: Message | str = ""
    found: dict[str, Any] = field(default_factory=dict)
    packed: bytes = b""

    def document(self) -> dict[str, Any] | None:
        """Return the result document; None without one."""
        return json.loads(zlib.decompress(self.packed)) if self.packed else None

    def cells(self) -> dict[str, Any]:
        """Return the row's cells: text, numbers, or None."""
        told = {"file": self.name, "status": str(self.status), "error": errors.translated(self.error) or None}
        return {**dict.fromkeys(COLUMNS), **self.found, **told}

    def fail(self, error: Message | str) -> None:
        """Take why there is no result."""
        self.status, self.error, self.found, self.packed = Status.FAILED, error, {}, b""

    def succeed(self, document: dict[str, Any]) -> None:
        """Take the result; the bytes of the clip are not kept longer."""
        self.status, self.error, self.clip = Status.DONE, "", None
        self.found, self.packed = _found(document), zlib.compress(json.dumps(document).encode())


@dataclass
class Batch:
    """A visitor's clips, by the hash of their content or, where it was not looked at, by name.

    Attributes:
        rows: In the order in which they were given.
        going: Whether the next clip is to be begun when the one before has ended.
        twice: Files of the last giving that were there already.
        steps: How far each step of the running clip is.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    going: bool = False
    twice: int = 0
    steps: dict[str, Progress] = field(default_factory=dict)
    _job: Job | None = None

    def add(self, files: Iterable[Given]) -> None:
        """Take files in; those that are there already stay as they are, those that are not taken fail at once."""
        self.twice = 0
        for file in files:
            name = "".join(letter for letter in file.name if letter.isprintable())[:NAME_CHARACTERS]
            try:
                self._check(file)
                clip = upload.clip(file.name, file.getvalue())
            except PlainError as error:
                self.rows.setdefault(f"name:{name}", Row(name=name, clip=None)).fail(error.message)
                continue
            key = clip.content[0]
            if key in self.rows:
                self.twice += 1
            self.rows.setdefault(key, Row(name=name, clip=clip))

    def start(self, *, failed_too: bool = False) -> None:
        """Let the batch go on.

        Args:
            failed_too: Whether to try again what has failed, where its file is still there.
        """
        for row in self.rows.values():
            if failed_too and row.status == Status.FAILED and row.clip is not None:
                row.status, row.error = Status.WAITING, ""
        self.going = True

    def stop(self) -> None:
        """Stop; the clip that was begun waits again."""
        self.going = False
        if self._job is not None:
            self._job.abandon()
            self._running().status = Status.WAITING
            self._job = None

    def advance(self) -> None:
        """Take what has ended, begin what is next, hear how far it is."""
        if self._job is not None and self._job.future.done():
            self._finish(self._running(), self._job)
            self._job = None
        if self._job is None and self.going:
            waiting = self.of(Status.WAITING)
            self.going = bool(waiting)
            if waiting:
                waiting[0].status, self.steps = Status.RUNNING, {}
                self._job = Job(waiting[0].clip)
        if self._job is not None:
            self.steps.update({report.step: report for report in self._job.reports()})

    def of(self, status: Status) -> list[Row]:
        """Return the rows of one status."""
        return [row for row in self.rows.values() if row.status == status]

    def _check(self, file: Given) -> None:
        """Refuse what is too much, before its bytes are copied."""
        upload.mime_type(file.name)
        upload.check_size(file.size)
        held = sum(len(row.clip.data) for row in self.rows.values() if row.clip is not None)
        if len(self.rows) >= MAX_CLIPS or held + file.size > MAX_BYTES:
            raise PlainError(
                _(
                    "A batch takes {clips} clips and {megabytes} MB at most; this one is left out. Start another."
                ).format(clips=MAX_CLIPS, megabytes=MAX_BYTES // upload.MEGABYTE)
            )

    def _running(self) -> Row:
        return self.of(Status.RUNNING)[0]

    def _finish(self, row: Row, job: Job) -> None:
        try:
            row.succeed(job.future.result().document())
        except Exception as error:
            row.fail(error.message if isinstance(error, PlainError) else errors.sentence(error))


def to_csv(rows: Iterable[Row]) -> bytes:
    """Write rows as CSV: UTF-8 with the mark that spreadsheets look for; text never begins a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _no_formula(value) for key, value in row.cells().items()})
    return text.getvalue().encode("utf-8-sig")


def to_json(rows: Iterable[Row]) -> bytes:
    """Write rows as JSON: per file its status, its error, and its result as `alignmamba.result` has it."""
    clips = [
        {"file": row.name, "status": str(row.status), "error": row.cells()["error"], "result": row.document()}
        for row in rows
    ]
    return json.dumps({"format": FORMAT, "version": VERSION, "clips": clips}, ensure_ascii=False, indent=1).encode()


def _found(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a line of the table says of a result."""
    clip, found = document["clip"], {}
    if (prediction := document["prediction"]) is not None:
        classes, interval = prediction["classes"], prediction.get("score_interval", {})
        found = {
            "score": prediction["score"],
            "interval_low": interval.get("low"),
            "interval_high": interval.get("high"),
            "class": max(classes, key=classes.__getitem__),
            **{f"p_{name}": share for name, share in classes.items()},
            "used": " ".join(prediction["used"]),
        }
    words = " ".join(word["text"] for word in document["transcript"]["words"])
    return {**found, "duration_s": clip["duration_s"], "transcript": words or None, "sha256": clip["sha256"]}


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
