"""Markdown tables and their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

UNDEFINED = "–"  # what a cell holds when there is no number


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table, one line a row; cells stay as they are written."""
    return tabulate(rows, header, tablefmt="github", disable_numparse=True) + "\n"


def percent(share: float) -> str:
    """A share as percent with one digit."""
    return f"{100 * share:.1f}"


def mean_and_deviation(summary: Mapping[str, Any], *, factor: float = 1.0, digits: int = 3) -> str:
    """Mean ± standard deviation over seeds; a dash where it is undefined."""
    if summary["mean"] is None:
        return UNDEFINED
    return f"{factor * summary['mean']:.{digits}f} ± {factor * summary['std']:.{digits}f}"


def percent_and_deviation(summary: Mapping[str, Any]) -> str:
    """Mean ± standard deviation over seeds of a share, in percent."""
    return mean_and_deviation(summary, factor=100.0, digits=1)


def modalities(letters: str) -> str:
    """Names of modalities ("audio + text") from their letters ("al"), as `alignmamba.modality.letters` writes them."""
    names = {"a": "audio", "v": "video", "l": "text"}
    return " + ".join(names[letter] for letter in letters)
