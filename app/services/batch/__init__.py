"""Batches: many clips of one session, analysed one after the other; finished clips stay finished.

A batch lives in the session state and owns its running job, so that a rerun of the page, a filter or a visit to another
page does not disturb it. It advances whenever the page asks it to; while the page is not open, it finishes the running
clip and waits. Clips are identified by their content: the same file is not analysed twice. Those of a ZIP archive stay
packed until their turn comes, and are identified by archive and place.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from app.i18n.translate import _
from app.services import errors, upload
from app.services.batch import archive, listing
from app.services.batch.archive import Archive, Entry
from app.services.batch.listing import Listing
from app.services.batch.rows import BatchRow, Status
from app.services.errors import PlainError
from app.services.jobs import Job, Progress
from extractors.messages import Message
from extractors.workers.fair_queue import FullError

MAX_CLIPS = 100
MAX_BYTES = 500_000_000  # of all waiting clips together, and of the archives that they wait in
NAME_CHARACTERS = 200


class UploadedFile(Protocol):
    """A file of the upload field."""

    name: str
    size: int

    def getvalue(self) -> bytes:
        """Return its bytes."""


@dataclass
class Batch:
    """The clips of a session, by the hash of their content or, where a file was refused, by name.

    Attributes:
        rows: In the order of the uploads.
        active: Whether the next clip starts when the running one has ended.
        duplicates: Files of the last upload that were in the batch already.
        passed_over: Files of the archives of the last upload that are neither clips nor lists.
        listing: What lists say of the clips.
        steps: Progress of each step of the running clip.
    """

    rows: dict[str, BatchRow] = field(default_factory=dict)
    active: bool = False
    duplicates: int = 0
    passed_over: int = 0
    listing: Listing = field(default_factory=Listing)
    steps: dict[str, Progress] = field(default_factory=dict)
    _job: Job | None = None

    def add(self, files: Iterable[UploadedFile]) -> None:
        """Add clips, ZIP archives of clips and lists; duplicates are counted, what is not accepted fails at once."""
        self.duplicates = self.passed_over = 0
        for file in files:
            name = _shown(file.name)
            try:
                if name.lower().endswith(archive.LIST_SUFFIX):
                    self.listing.read(file.getvalue())
                elif name.lower().endswith(archive.SUFFIX):
                    self._check(file.size)
                    self._add_archive(name, file.getvalue())
                else:
                    upload.check_size(file.size)
                    self._check(file.size)
                    clip = upload.clip(file.name, file.getvalue())
                    self._add_row(clip.content[0], BatchRow(name=name, clip=clip))
            except PlainError as error:
                self._refuse(name, error.message)
        for row in self.rows.values():
            row.name_speaker(self.listing)

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
                self._begin(waiting[0])
        if self._job is not None:
            self.steps.update({report.step: report for report in self._job.reports()})

    def of(self, status: Status) -> list[BatchRow]:
        """Return the rows with a status."""
        return [row for row in self.rows.values() if row.status == status]

    def _check(self, size: int) -> None:
        """Check the size of a clip or an archive against the limits of the batch before its bytes are copied."""
        waiting = [row.clip for row in self.rows.values() if row.clip is not None]
        archives = {id(each.archive): each.archive.size for each in waiting if isinstance(each, Entry)}
        held = sum(archives.values()) + sum(len(each.data) for each in waiting if not isinstance(each, Entry))
        if len(self.rows) >= MAX_CLIPS or held + size > MAX_BYTES:
            raise PlainError(_full())

    def _add_archive(self, name: str, data: bytes) -> None:
        """Add the clips of an archive, which stay packed, and what its lists say."""
        opened, digest, left_out = Archive.open(data), hashlib.sha256(data).hexdigest(), 0
        for entry in opened.entries():
            shown = _shown(entry.name)
            try:
                if entry.kind == "list":
                    self.listing.read(entry.unpack(most=listing.MAX_BYTES))
                elif entry.kind == "other":
                    self.passed_over += 1
                else:
                    entry.check()
                    key = f"{digest}:{entry.info.header_offset}"
                    if key not in self.rows and len(self.rows) >= MAX_CLIPS:
                        left_out += 1
                    else:
                        self._add_row(key, BatchRow(name=shown, clip=entry))
            except PlainError as error:
                self._refuse(shown, error.message)
        if left_out:
            self._refuse(
                name,
                _("A batch takes {clips} clips at most; left out of this archive: {count}.").format(
                    clips=MAX_CLIPS, count=left_out
                ),
            )

    def _add_row(self, key: str, row: BatchRow) -> None:
        if key in self.rows:
            self.duplicates += 1
        self.rows.setdefault(key, row)

    def _refuse(self, name: str, reason: Message | str) -> None:
        """Add a row for a file that is not accepted."""
        self.rows.setdefault(f"name:{name}", BatchRow(name=name, clip=None)).fail(reason)

    def _begin(self, row: BatchRow) -> None:
        """Start the job of a clip; one that cannot be unpacked fails here."""
        self.steps = {}
        try:
            clip = row.bytes_of_clip()
        except Exception as error:
            row.clip = None
            row.fail(_reason(error))
            return
        with contextlib.suppress(FullError):  # then it is tried again
            self._job = Job(clip, owner=id(self))
            row.status = Status.RUNNING

    def _running(self) -> BatchRow:
        return self.of(Status.RUNNING)[0]

    def _finish(self, row: BatchRow, job: Job) -> None:
        try:
            row.succeed(job.future.result().document())
        except Exception as error:
            row.fail(_reason(error))


def _shown(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())[:NAME_CHARACTERS]


def _full() -> str:
    return _("A batch takes {clips} clips and {megabytes} MB at most; this one is left out. Start another.").format(
        clips=MAX_CLIPS, megabytes=MAX_BYTES // upload.MEGABYTE
    )


def _reason(error: Exception) -> Message | str:
    return error.message if isinstance(error, PlainError) else errors.sentence(error)
