"""The clips of a batch as rows: state, result, and the files that they are written to."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alignmamba.evaluation.dropout import ScoredClip
from alignmamba.modality import SUBSETS, letters, parse_modalities
from alignmamba.prediction import CLASSES
from app.services import errors, upload
from app.services.analysis import Clip
from app.services.batch.archive import Entry
from app.services.batch.listing import Listing, Origin
from extractors.messages import Message
from extractors.storage.csv_table import no_formula

FORMAT, VERSION = "alignmamba-batch", "1.1"
COLUMNS = (
    *("file", "status", "score", "interval_low", "interval_high", "class", *(f"p_{name}" for name in CLASSES)),
    *("used", "duration_s", "transcript", "sha256", "error", "speaker", "speaker_from", "label"),
    *(f"score_{letters(subset)}" for subset in SUBSETS),
)


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
        clip: Its bytes, or its place in an archive; None once they are no longer needed.
        status: Of the clip.
        error: Message of the failure.
        found: Cells of the result; empty without one.
        packed: The result document as compressed JSON.
        speaker: Who speaks in it; None where nothing says so.
        speaker_from: What says so.
        label: Score that a person gave it, in [-3, 3].
    """

    name: str
    clip: Clip | Entry | None
    status: Status = Status.WAITING
    error: Message | str = ""
    found: dict[str, Any] = field(default_factory=dict)
    packed: bytes = b""
    speaker: str | None = None
    speaker_from: Origin | None = None
    label: float | None = None

    def document(self) -> dict[str, Any] | None:
        """Return the result document; None without one."""
        return json.loads(zlib.decompress(self.packed)) if self.packed else None

    def cells(self) -> dict[str, Any]:
        """Return the row's cells: text, numbers, or None."""
        state = {"file": self.name, "status": str(self.status), "error": errors.translated(self.error) or None}
        about = {"speaker": self.speaker, "speaker_from": self.speaker_from, "label": self.label}
        return {**dict.fromkeys(COLUMNS), **self.found, **state, **about}

    def bytes_of_clip(self) -> Clip:
        """Return the clip with its bytes, which come out of an archive only now.

        Raises:
            PlainError: If they cannot be unpacked, or are not accepted as a clip.
        """
        if isinstance(self.clip, Entry):
            return upload.clip(self.clip.name, self.clip.unpack())
        return self.clip

    def scored(self) -> ScoredClip:
        """Return the scores from each subset of the clip's modalities; none before it is done."""
        scores = {subset: self.found.get(f"score_{letters(subset)}") for subset in SUBSETS}
        return ScoredClip(scores={kept: each for kept, each in scores.items() if each is not None}, truth=self.label)

    def name_speaker(self, listing: Listing) -> None:
        """Take speaker and label from lists, else the speaker from the clip's folder."""
        self.speaker, self.speaker_from = listing.speaker_of(self.name)
        self.label = listing.label_of(self.name)

    def fail(self, error: Message | str) -> None:
        """Note a failure and its message."""
        self.status, self.error, self.found, self.packed = Status.FAILED, error, {}, b""

    def succeed(self, document: dict[str, Any]) -> None:
        """Keep the result document; drop the bytes of the clip."""
        self.status, self.error, self.clip = Status.DONE, "", None
        self.found, self.packed = _found(document), zlib.compress(json.dumps(document).encode())


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
        {
            "file": row.name,
            "status": str(row.status),
            "error": row.cells()["error"],
            "speaker": row.speaker,
            "label": row.label,
            "result": row.document(),
        }
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
    for subset in document["subsets"]:
        found[f"score_{letters(parse_modalities(subset['used']))}"] = subset["score"]
    words = " ".join(word["text"] for word in document["transcript"]["words"])
    return {**found, "duration_s": clip["duration_s"], "transcript": words or None, "sha256": clip["sha256"]}
