"""Many clips on the command line: those of a folder or a ZIP archive, by the batch of the app."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from alignmamba.evaluation import dropout
from app.export import comparison_csv
from app.i18n.translate import SOURCE, spoken_in
from app.services import upload
from app.services.batch import Batch, archive
from app.services.batch.rows import BatchRow, Status, to_csv

POLL_SECONDS = 0.2  # between two looks at the progress


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, read when the batch takes it; has what a file of the upload field has."""

    name: str
    path: Path

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.path.stat().st_size

    def getvalue(self) -> bytes:
        """Return its bytes."""
        return self.path.read_bytes()


def files(source: Path) -> Iterator[LocalFile]:
    """Yield an archive, or the clips and lists below a folder; hidden files and links are passed over."""
    if source.is_file():
        yield LocalFile(source.name, source)
        return
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        wanted = upload.media_type(name) is not None or path.suffix.lower() in (archive.LIST_SUFFIX, archive.SUFFIX)
        hidden = any(part.startswith(".") for part in name.split("/"))
        if wanted and not hidden and path.is_file() and not path.is_symlink():
            yield LocalFile(f"{source.name}/{name}", path)


def analysed(source: Path, *, report: Callable[[str], None]) -> list[BatchRow]:
    """Analyse every clip; an interruption keeps what is done.

    Args:
        source: A folder or a ZIP archive.
        report: Called with a line for each clip that has ended.
    """
    with spoken_in(SOURCE):
        batch = Batch()
        reported: set[str] = set()
        batch.add(files(source))
        batch.start()
        try:
            while batch.active or batch.of(Status.RUNNING):
                batch.advance()
                for key, row in batch.rows.items():
                    if row.status in (Status.DONE, Status.FAILED) and key not in reported:
                        reported.add(key)
                        report(_line(row))
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            batch.stop()
        return list(batch.rows.values())


def clips_csv(rows: list[BatchRow]) -> bytes:
    """Write one row a clip."""
    with spoken_in(SOURCE):
        return to_csv(rows)


def changes_csv(rows: list[BatchRow]) -> bytes:
    """Write what missing modalities change, over the clips that have the same modalities."""
    groups = dropout.groups([row.scored() for row in rows])
    return comparison_csv.changes(
        [change for whole, clips in groups.items() for change in dropout.changes(clips, whole)]
    )


def _line(row: BatchRow) -> str:
    score = row.found.get("score")
    said = row.cells()["error"] or ("nothing to predict from" if score is None else f"{score:+.2f}")
    return f"{row.name}: {said}"
