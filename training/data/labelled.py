"""Labelled clips of your own: a folder with `labels.csv`, features by the app's extractors."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alignmamba.batch import ModalitySteps
from alignmamba.modality import MODALITIES, Modality
from alignmamba.prediction import SCORE_LIMIT
from extractors.corpus import run
from extractors.corpus.items import Item, item_id
from extractors.corpus.output import Output
from extractors.language.text_encoder import ENCODER
from extractors.media.probe import LIMITS
from extractors.schema import ClipFeatures, FeatureSet
from extractors.storage import feature_files
from training.data.datasets import SPLITS, Dataset, Example, as_steps, sha256, share_of

LABELS = "labels.csv"
COLUMNS = {"video": True, "label": True, "transcript": False, "split": False}  # whether it must be there
CACHE = Path("runs/clips")
HELD_SHARES = {"test": 0.2, "valid": 0.15}  # of the clips, where there is no column for it
MAX_ROWS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class LabelledClip:
    """One line of the table."""

    item: Item
    label: float
    split: str | None


def read(
    path: Path, *, cache: Path = CACHE, workers: int = 1, encoder: str = ENCODER, feature_set: FeatureSet = "steps"
) -> Dataset:
    """Read a folder of clips, extracting what the cache does not hold.

    Args:
        path: Folder with `labels.csv`: columns video (a path below the folder), label (-3..3) and, if you like,
            transcript (else speech is recognised) and split (train, valid, test; else clips are dealt by a hash of
            their path: give it yourself where the same person is in several clips).
        cache: Folder for features; one per folder of clips.
        workers: Clips to extract at once.
        encoder: Of the words: a checkpoint's own where it has one.
        feature_set: Columns of audio and video.

    Returns:
        Dataset "clips". Clips that cannot be extracted are left out and counted in the notes.

    Raises:
        ValueError: If the table or a file in it is not what it should be, before anything is extracted; or if a part
            is empty.
    """
    rows = read_labels(path / LABELS)
    output = Output(cache, limits=LIMITS, encoder=encoder, feature_set=feature_set)
    outcomes = run.in_processes(workers, seconds=run.CLIP_SECONDS)
    summary = run.run([row.item for row in rows], output, outcomes)
    parts: dict[str, list[Example]] = {split: [] for split in SPLITS}
    lost = Counter(summary.failed)
    lost["failed before"] += summary.failed_before
    split_of = deal(rows)
    for row in rows:
        if output.state(row.item) != "done":
            continue
        clip = as_clip(feature_files.load(output.features / f"{row.item.id}{feature_files.SUFFIX}"))
        if clip:
            score = np.array([row.label], np.float32)
            parts[split_of[row.item.id]].append(Example(id=row.item.id, clip=clip, score=score))
        else:
            lost["neither audio, video nor text"] += 1
    return Dataset(
        name="clips",
        level="clip",
        splits={split: tuple(part) for split, part in parts.items()},
        data_sha256={LABELS: sha256(path / LABELS)},
        notes=tuple(f"{count} of {len(rows)} clips left out: {reason}" for reason, count in lost.items() if count),
    )


def as_clip(features: ClipFeatures) -> dict[Modality, ModalitySteps]:
    """Steps of the modalities that a clip has, at the middle of their times."""
    parts = {modality: features.modality(modality.value) for modality in MODALITIES}
    return {
        modality: as_steps(part.values, part.valid, (part.start + part.end) / 2)
        for modality, part in parts.items()
        if part.valid.any()
    }


def read_labels(table: Path) -> list[LabelledClip]:
    """Read and check the table; no clip is opened.

    Raises:
        ValueError: If there is no such table, or a line or a file in it is not what it should be.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, [])
            _check_header(table, header)
            lines = [(reader.line_num, line) for line, _ in zip(reader, range(MAX_ROWS + 1), strict=False) if line]
    except OSError as error:
        raise ValueError(f"{table.name}: {error.strerror}, expected a table in the folder of clips") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table.name}: {error}, expected CSV in UTF-8") from error
    if not 0 < len(lines) <= MAX_ROWS:
        raise ValueError(f"{table.name}: {len(lines)} clips, expected 1 to {MAX_ROWS}")
    rows: dict[str, LabelledClip] = {}
    for number, line in lines:
        if len(line) != len(header):
            raise ValueError(f"{table.name}, line {number}: {len(line)} fields, expected {len(header)}")
        row = _row(table, number, dict(zip(header, line, strict=True)))
        if row.item.id in rows:
            raise ValueError(f"{table.name}, line {number}: {row.item.video!r} stands here twice, expected once")
        rows[row.item.id] = row
    return list(rows.values())


def _check_header(table: Path, header: Sequence[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name, needed in COLUMNS.items() if needed and name not in header]
    if unknown or missing or len(set(header)) != len(header):
        wrong = f"unknown {unknown}" if unknown else f"{missing} missing" if missing else "one twice"
        raise ValueError(f"{table.name}: columns {wrong}, expected video, label and, optionally, transcript, split")


def _row(table: Path, number: int, fields: Mapping[str, str]) -> LabelledClip:
    where = f"{table.name}, line {number}"
    named = fields["video"]
    video = Path(named)
    if not named.strip() or "\0" in named or video.is_absolute() or ".." in video.parts:
        raise ValueError(f"{where}, video: {named!r}, expected a path below the folder")
    path = table.parent / video
    if not os.path.isfile(path):  # False, too, for a name that no file system takes
        raise ValueError(f"{where}, video: there is no file {named!r:.200} in {table.parent.name}/")
    try:
        label = float(fields["label"])
    except ValueError:
        label = math.nan
    if not abs(label) <= SCORE_LIMIT:
        raise ValueError(f"{where}, label: {fields['label']!r}, expected a number in [-3, 3]")
    split = fields.get("split")
    if split is not None and split not in SPLITS:
        raise ValueError(f"{where}, split: {split!r}, expected one of {SPLITS}")
    name = video.as_posix()
    said = fields.get("transcript", "").strip() or None
    return LabelledClip(
        item=Item(id=item_id(name), video=name, path=path.absolute(), transcript=said), label=label, split=split
    )


def deal(rows: Sequence[LabelledClip]) -> dict[str, str]:
    """Split of each clip: the table's, or by the order of the hashes, so that no part of a few clips is empty."""
    if rows[0].split is not None:
        return {row.item.id: row.split for row in rows}
    order = sorted(rows, key=lambda row: share_of(row.item.video))
    tests, valids = (math.ceil(len(rows) * share) for share in HELD_SHARES.values())
    return {
        row.item.id: "test" if place < tests else "valid" if place < tests + valids else "train"
        for place, row in enumerate(order)
    }
