"""A clip's result on the command line, from the jobs, documents and reports of the app."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from alignmamba.result import to_json
from app.export import report
from app.i18n import wording
from app.i18n.translate import SOURCE, spoken_in
from app.services import errors, upload
from app.services.analysis import Analysis
from app.services.batch import rows
from app.services.errors import PlainError
from app.services.jobs import Job
from extractors.progress import ProgressHook
from extractors.workers.client import WorkerError

Format = Literal["text", "json", "csv", "html"]
FAILURES = (PlainError, WorkerError, OSError)
POLL_SECONDS = 0.1  # between two looks at the progress


def made(file: Path, form: Format, *, transcript: str | None = None, captions: Path | None = None) -> bytes:
    """Analyse a clip as the app does, with a bar per step, and write its result.

    Args:
        file: A video or audio file.
        form: What to write.
        transcript: What is said; None lets speech be recognised.
        captions: A file with what is said, instead.

    Raises:
        PlainError: If the clip cannot be analysed.
        WorkerError: If no process can do it.
        OSError: If a file cannot be read.
    """
    with spoken_in(SOURCE):
        upload.check_size(file.stat().st_size)
        said = upload.said(transcript, None if captions is None else _beginning(captions))
        clip = upload.clip(file.name, file.read_bytes(), transcript=said)
        return _WRITERS[form](_followed(Job(clip, owner="command line")))


def _beginning(captions: Path) -> bytes:
    """Return a file's bytes, one more than is accepted at most."""
    with captions.open("rb") as stream:
        return stream.read(upload.MAX_CAPTION_BYTES + 1)


def reason(error: Exception) -> str:
    """Return the sentence of one of `FAILURES`."""
    with spoken_in(SOURCE):
        return errors.sentence(error) if isinstance(error, PlainError) else str(error)


def _followed(job: Job) -> Analysis:
    with ProgressHook(transient=True) as hook:
        try:
            while not job.future.done():
                wait([job.future], timeout=POLL_SECONDS)
                for step, completed, total in job.reports():
                    hook(step, int(completed), int(total))
        finally:
            job.abandon()
    return job.future.result()


def _text(analysis: Analysis) -> bytes:
    return "\n".join(_lines(analysis)).encode() + b"\n"


def _lines(analysis: Analysis) -> Iterator[str]:
    features = analysis.features
    for modality in wording.DISPLAY_ORDER:
        if modality not in analysis.available:
            yield f"{modality}: {features.modality(modality).absent}"
    for used, prediction in sorted(analysis.predictions.items(), key=lambda pair: -len(pair[0])):
        yield f"{wording.signed(prediction.score)}  {wording.score_class(prediction.score)}  ({wording.subset(used)})"
    yield from filter(None, [" ".join(word.text for word in features.words)])
    yield from map(str, features.notes)


def _json(analysis: Analysis) -> bytes:
    return to_json(analysis.document()).encode()


def _csv(analysis: Analysis) -> bytes:
    row = rows.BatchRow(name=analysis.clip.title, clip=analysis.clip)
    row.succeed(analysis.document())
    return rows.to_csv([row])


def _html(analysis: Analysis) -> bytes:
    return report.html(analysis, analysis.available).encode()


_WRITERS: Mapping[Format, Callable[[Analysis], bytes]] = MappingProxyType(
    {"text": _text, "json": _json, "csv": _csv, "html": _html}
)
