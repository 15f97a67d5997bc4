"""CSV tables of features: tidy, one row per step."""

from __future__ import annotations

import csv
import io
from typing import Any

from extractors.schema import ClipFeatures

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters that a spreadsheet reads as a formula


def no_formula(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula.

    >>> no_formula("=1+1"), no_formula("fine"), no_formula(-1.5)
    ("'=1+1", 'fine', -1.5)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def write_table(features: ClipFeatures, name: str, stream: io.TextIOBase) -> None:
    """Write one modality as tidy CSV: start, end, valid, then a column per feature; words come before theirs.

    >>> from pathlib import Path
    >>> from extractors.storage.feature_files import load
    >>> table = io.StringIO(newline="")
    >>> write_table(load(Path("app/samples/no-sound.safetensors")), "video", table)
    >>> table.getvalue().splitlines()[0]
    'start,end,valid,_neutral,browDownLeft,...'

    Args:
        features: Of any clip.
        name: "audio", "video" or "language".
        stream: Opened with newline="" and UTF-8. Seconds have six decimals, values read back to the same float32;
            no word can start a formula.
    """
    part, schema = features.modality(name), getattr(features.schema, name)
    columns = schema.columns or tuple(f"{name}_{index}" for index in range(schema.dim))
    words = [[no_formula(word.text)] for word in features.words] if name == "language" else [[] for _ in part.start]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["start", "end", "valid", *(["word"] if name == "language" else []), *columns])
    for start, end, valid, word, row in zip(part.start, part.end, part.valid, words, part.values, strict=True):
        writer.writerow([f"{start:.6f}", f"{end:.6f}", int(valid), *word, *map(str, row)])
