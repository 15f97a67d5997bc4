"""Comparisons and changes over clips as CSV: the names of the columns stay the same in every language."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from alignmamba.evaluation.dropout import RESAMPLES, SEED, Change
from alignmamba.modality import SUBSETS, letters
from app.charts.word_differences import WordPair
from app.services.analysis import Analysis
from extractors.storage.csv_table import no_formula

DECIMALS = 4  # of scores and shares; times have three, a millisecond
WORDS = (
    *("word_a", "start_a_s", "contribution_a", "word_b", "start_b_s", "contribution_b"),
    "difference",
)
SUBSET = ("used", "score_a", "score_b", "difference")
CHANGES = ("missing", "kept", "measure", "mean", "low", "high", "clips", "resamples", "seed")


def words(pairs: Sequence[WordPair]) -> bytes:
    """Write one row a pair of words; one without a counterpart has empty cells."""
    return _written(
        WORDS,
        [
            {
                "word_a": pair.first and pair.first.text,
                "start_a_s": pair.first and f"{pair.first.start:.3f}",
                "contribution_a": _number(pair.first_moved),
                "word_b": pair.second and pair.second.text,
                "start_b_s": pair.second and f"{pair.second.start:.3f}",
                "contribution_b": _number(pair.second_moved),
                "difference": _number(pair.difference),
            }
            for pair in pairs
        ],
    )


def subsets(first: Analysis, second: Analysis) -> bytes:
    """Write the score of both from each subset of the modalities; an empty cell where a clip lacks one."""
    rows = []
    for used in SUBSETS:
        a, b = (each.predictions[used].score if used in each.predictions else None for each in (first, second))
        difference = None if a is None or b is None else b - a
        numbers = {"score_a": _number(a), "score_b": _number(b), "difference": _number(difference)}
        rows.append({"used": letters(used), **numbers})
    return _written(SUBSET, rows)


def changes(found: Sequence[Change]) -> bytes:
    """Write one row a missing part and measure, with the settings of the bootstrap."""
    return _written(
        CHANGES,
        [
            {
                "missing": letters(change.missing),
                "kept": letters(change.kept),
                "measure": measure,
                "mean": _number(each.mean),
                "low": _number(each.low),
                "high": _number(each.high),
                "clips": each.count,
                "resamples": RESAMPLES,
                "seed": SEED,
            }
            for change in found
            for measure, each in change.means.items()
        ],
    )


def _written(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> bytes:
    """Write rows: UTF-8 with a byte order mark for spreadsheets; no text can start a formula, numbers stay numbers."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: no_formula(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
