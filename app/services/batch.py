"""Batches: many clips of one session, analysed one after the other; finished clips stay finished.

A batch lives in the session state and owns its running job, so that a rerun of the page, a filter or a visit to another
page does not disturb it. It advances whenever the page asks it to; while the page is not open, it finishes the running
clip and waits. Clips are identified by their content: the same file is not analysed twice.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from alignmamba.prediction import CLASSES
from app.i18n.translate import _
from app.services import errors, upload
from app.services.analysis import Clip
from app.services.errors import PlainError
from app.services.jobs import Job, Progress
from extractors.messages import Message
from extractors.storage.csv_table import no_formula
from extractors.workers.fair_queue import FullError

MAX_CLIPS = 100
MAX_BYTES = 500_000_000  # of all waiting clips together
FORMAT, VERSION = "alignmamba-batch", "1.0"
NAME_CHARACTERS = 200
COLUMNS = (
    *("file", "status", "score", "interval_low", "interval_high", "class", *(f"p_{name}" for name in CLASSES)),
    *("used", "duration_s", "transcript", "sha256", "error"),
)


class UploadedFile(Protocol):
    """A file of the upload field."""

    name: str
    size: int

    def getvalue(self) -> bytes:
        """Return its bytes."""


class Status(StrEnum):
    """The state of a clip in a batch."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class BatchRow:
    """One clip of a batch.

    Attributes:
        name: Of the file, with its folders; only shown.
        clip: Its bytes; None once they are no longer needed.
        status: Of the clip.
        error: Message of the failure.
        found: Cells of the result; empty without one.
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
        state = {"file": self.name, "status": str(self.status), "error": errors.translated(self.error) or None}
        return {**dict.fromkeys(COLUMNS), **self.found, **state}

    def fail(self, error: Message | str) -> None:
        """Note a failure and its message."""
        self.status, self.error, self.found, self.packed = Status.FAILED, error, {}, b""

    def succeed(self, document: dict[str, Any]) -> None:
        """Keep the result document; drop the bytes of the clip."""
        self.status, self.error, self.clip = Status.DONE, "", None
        self.found, self.packed = _found(document), zlib.compress(json.dumps(document).encode())


@dataclass
class Batch:
    """The clips of a session, by the hash of their content or, where a file was refused, by name.

    Attributes:
        rows: In the order of the uploads.
        active: Whether the next clip starts when the running one has ended.
        duplicates: Files of the last upload that were in the batch already.
        steps: Progress of each step of the running clip.
    """

    rows: dict[str, BatchRow] = field(default_factory=dict)
    active: bool = False
    duplicates: int = 0
    steps: dict[str, Progress] = field(default_factory=dict)
    _job: Job | None = None

    def add(self, files: Iterable[UploadedFile]) -> None:
        """Add files; duplicates are counted and skipped, files that are not accepted fail at once."""
        self.duplicates = 0
        for file in files:
            name = "".join(letter for letter in file.name if letter.isprintable())[:NAME_CHARACTERS]
            try:
                self._check(file)
                clip = upload.clip(file.name, file.getvalue())
            except PlainError as error:
                self.rows.setdefault(f"name:{name}", BatchRow(name=name, clip=None)).fail(error.message)
                continue
            key = clip.content[0]
            if key in self.rows:
                self.duplicates += 1
            self.rows.setdefault(key, BatchRow(name=name, clip=clip))

    def start(self, *, failed_too: bool = False) -> None:
        """Start or continue the batch.

        Args:
            failed_too: Whether to try failed clips again whose bytes are still there.
        """
        for row in self.rows.values():
            if failed_too and row.status == Status.FAILED and row.clip is not None:
                row.status, row.error = Status.WAITING, ""
        self.active = True

    def stop(self) -> None:
        """Stop the batch; the running clip waits again."""
        self.active = False
        if self._job is not None:
            self._job.abandon()
            self._running().status = Status.WAITING
            self._job = None

    def advance(self) -> None:
        """Collect the result of a finished clip, start the next one, and update the progress."""
        if self._job is not None and self._job.future.done():
            self._finish(self._running(), self._job)
            self._job = None
        if self._job is None and self.active:
            waiting = self.of(Status.WAITING)
            self.active = bool(waiting)
            if waiting:
                self.steps = {}
                with contextlib.suppress(FullError):  # then it is tried again
                    self._job = Job(waiting[0].clip, owner=id(self))
                    waiting[0].status = Status.RUNNING
        if self._job is not None:
            self.steps.update({report.step: report for report in self._job.reports()})

    def of(self, status: Status) -> list[BatchRow]:
        """Return the rows with a status."""
        return [row for row in self.rows.values() if row.status == status]

    def _check(self, file: UploadedFile) -> None:
        """Check a file against the limits before its bytes are copied."""
        upload.check_size(file.size)
        held = sum(len(row.clip.data) for row in self.rows.values() if row.clip is not None)
        if len(self.rows) >= MAX_CLIPS or held + file.size > MAX_BYTES:
            raise PlainError(
                _(
                    "A batch takes {clips} clips and {megabytes} MB at most; this one is left out. Start another."
                ).format(clips=MAX_CLIPS, megabytes=MAX_BYTES // upload.MEGABYTE)
            )

    def _running(self) -> BatchRow:
        return self.of(Status.RUNNING)[0]

    def _finish(self, row: BatchRow, job: Job) -> None:
        try:
            row.succeed(job.future.result().document())
        except Exception as error:
            row.fail(error.message if isinstance(error, PlainError) else errors.sentence(error))


def to_csv(rows: Iterable[BatchRow]) -> bytes:
    """Write rows as CSV: UTF-8 with a byte order mark for spreadsheets; no text can start a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: no_formula(value) for key, value in row.cells().items()})
    return text.getvalue().encode("utf-8-sig")


def to_json(rows: Iterable[BatchRow]) -> bytes:
    """Write rows as JSON: per file its status, its error, and its result document as `alignmamba.result` defines it."""
    clips = [
        {"file": row.name, "status": str(row.status), "error": row.cells()["error"], "result": row.document()}
        for row in rows
    ]
    return json.dumps({"format": FORMAT, "version": VERSION, "clips": clips}, ensure_ascii=False, indent=1).encode()


def _found(document: dict[str, Any]) -> dict[str, Any]:
    """Return the table cells of a result document."""
    clip, found = document["clip"], {}
    if (prediction := document["prediction"]) is not None:
        classes, interval = prediction["classes"], prediction.get("score_interval", {})
        found = {
            "score": prediction["score"],
            "interval_low": interval.get("low"),
            "interval_high": interval.get("high"),
            "class": prediction["class"],
            **{f"p_{name}": share for name, share in classes.items()},
            "used": " ".join(prediction["used"]),
        }
    words = " ".join(word["text"] for word in document["transcript"]["words"])
    return {**found, "duration_s": clip["duration_s"], "transcript": words or None, "sha256": clip["sha256"]}
