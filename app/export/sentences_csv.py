"""The sentences of a clip as CSV: the names of its columns stay the same in every language."""

from __future__ import annotations

import csv
import io

from alignmamba.modality import MODALITIES, Modality, letters
from alignmamba.prediction import class_of
from app.charts.sentence_table import SentenceRow, rows
from app.services.analysis import Analysis
from extractors.storage.csv_table import no_formula

DECIMALS = 4  # of scores; times have three, a millisecond


def table(analysis: Analysis, used: frozenset[Modality]) -> list[SentenceRow]:
    """Return the sentences of a clip with their scores from a subset and from each of its modalities alone."""
    return rows(analysis.sentences, analysis.scored_sentences(used), analysis.features.words)


def to_csv(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    """Write one row a sentence: UTF-8 with a byte order mark for spreadsheets; no text can start a formula.

    Args:
        analysis: Of a clip.
        used: The subset whose score comes first; `score_l` is from the words alone, `_a` from voice, `_v` from face.
    """
    listed = table(analysis, used)
    text = io.StringIO(newline="")
    cells = [_cells(number, row) for number, row in enumerate(listed, start=1)]
    names = list(cells[0]) if cells else ["sentence", "start_s", "end_s", "speaker", "words"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: no_formula(value) for name, value in row.items()} for row in cells)
    return text.getvalue().encode("utf-8-sig")


def _cells(number: int, row: SentenceRow) -> dict[str, object]:
    sentence = row.sentence
    cells: dict[str, object] = {
        "sentence": number,
        "start_s": f"{sentence.start:.3f}",
        "end_s": f"{sentence.end:.3f}",
        "speaker": sentence.speaker or "",
        "words": sentence.text,
    }
    for subset, score in row.scores.items():
        short, interval = letters(subset), score.interval if score else None
        cells[f"score_{short}"] = _number(score.score if score else None)
        cells[f"low_{short}"] = _number(interval[0] if interval else None)
        cells[f"high_{short}"] = _number(interval[1] if interval else None)
        cells[f"class_{short}"] = class_of(score.score) if score else ""
    for modality in MODALITIES:
        cells[f"moved_by_{modality}"] = _number(row.moved.get(modality))
    return cells | {"strongest_words": " ".join(word for word, _value in row.words)}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.{DECIMALS}f}"
