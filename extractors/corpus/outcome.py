"""Tasks and outcomes of a corpus: a clip to extract, and its result, both of JSON types, so that Ray can send them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Literal, TypedDict

from extractors.assets.hashes import file_sha256
from extractors.assets.registry import AssetError
from extractors.language.transcript import TranscriptError
from extractors.media.probe import Limits, MediaError
from extractors.schema import MODALITY_NAMES, ClipFeatures, FeatureSet
from extractors.storage.feature_files import save
from extractors.workers import client
from extractors.workers.errors import AbortedError, AbortKind, UnforeseenError
from extractors.workers.pool import Pool
from extractors.workers.process import Budget

CLIP_SECONDS = 600.0  # wall-clock time a clip may take by default

Stamp = list[int]
FailureKind = Literal["media", "transcript", "error"] | AbortKind


class Task(TypedDict):
    """A clip to extract.

    Attributes:
        id: Of the clip (`extractors.corpus.items.Item`).
        video: Its path as listed.
        path: Where the file is.
        transcript: Of its speech; None to have it recognised.
        recipe: Hash of the extraction's configuration.
        limits: Fields of `Limits`.
        encoder: Of the text.
        feature_set: Columns of audio and video.
        output: The file to write.
    """

    id: str
    video: str
    path: str
    transcript: str | None
    recipe: str
    limits: dict[str, Any]
    encoder: str
    feature_set: FeatureSet
    output: str


class Done(TypedDict):
    """The outcome of a clip that was extracted; `seconds` is its length."""

    status: Literal["done"]
    seconds: float


class Failed(TypedDict):
    """The outcome of a clip that cannot be used: kind, a sentence for the user, and details for the log."""

    status: Literal["failed"]
    kind: FailureKind
    reason: str
    detail: str


class Fatal(TypedDict):
    """The outcome when no clip is to blame, and the others would fare the same."""

    status: Literal["fatal"]
    reason: str


Outcome = Done | Failed | Fatal


def failed(kind: FailureKind, reason: str, detail: str = "") -> Failed:
    """Return the outcome of a clip that cannot be used."""
    return {"status": "failed", "kind": kind, "reason": reason, "detail": detail}


def stamp(path: Path) -> Stamp | None:
    """Return a file's size in bytes and its modification time in ns; None if there is no regular file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns] if path.is_file() else None


def clip_budget(seconds: float) -> Budget:
    """Return the budget of a clip that may take so much wall-clock time, on all processors if it likes."""
    return Budget(seconds=seconds, cpu_seconds=seconds * (os.cpu_count() or 1))


def extract_clip(task: Task, *, pool: Pool, budget: Budget, cancel: threading.Event | None = None) -> Outcome:
    """Extract a clip in a worker process and write its features.

    Args:
        task: The clip.
        pool: Whose process extracts it.
        budget: What that may cost.
        cancel: Stops the extraction once it is set.

    Raises:
        CancelledError: If `cancel` was set.
        WorkerError: If no process can be started.
    """
    path = Path(task["path"])
    before = stamp(path)
    try:
        features = client.extract(
            path,
            task["transcript"],
            limits=Limits(**task["limits"]),
            encoder=task["encoder"],
            feature_set=task["feature_set"],
            budget=budget,
            cancel=cancel,
            pool=pool,
        )
    except AbortedError as error:
        return failed(error.kind, str(error), error.detail)
    except MediaError as error:
        return failed("media", str(error), error.detail)
    except TranscriptError as error:
        return failed("transcript", str(error))
    except AssetError as error:
        return {"status": "fatal", "reason": str(error)}
    except UnforeseenError as error:  # one clip's surprise must not end the others
        return failed("error", error.sentence, str(error))
    except OSError as error:
        return _unwritten(error)
    try:
        digest = file_sha256(path)
    except OSError as error:
        return failed("error", f"{type(error).__name__}: {error}")
    if stamp(path) != before:
        return failed("media", "The file changed while it was read.")
    origin = {
        "id": task["id"],
        "video": task["video"],
        "sha256": digest,
        "stamp": before,
        "recipe": task["recipe"],
        "row": _row(features),
    }
    try:
        save(features, Path(task["output"]), origin=origin)
    except OSError as error:
        return _unwritten(error)
    return {"status": "done", "seconds": features.duration}


def _unwritten(error: OSError) -> Fatal:
    return {"status": "fatal", "reason": f"Features cannot be written: {error}"}


def _row(features: ClipFeatures) -> dict[str, Any]:
    """Return a clip's columns of the manifest."""
    row: dict[str, Any] = {"seconds": round(features.duration, 3), "transcript": features.transcript_source}
    for name in MODALITY_NAMES:
        part = features.modality(name)
        row |= {f"{name}_steps": len(part.valid), f"{name}_valid": int(part.valid.sum())}
        row[f"{name}_absent"] = None if part.absent is None else str(part.absent)
    return row | {"notes": " ".join(map(str, features.notes))}
