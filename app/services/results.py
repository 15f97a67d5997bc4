"""Committed result files as tables; the numbers that the paper reports are kept apart."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from alignmamba.config import read_json
from alignmamba.modality import MODALITIES, Modality
from app.i18n import wording
from app.i18n.translate import N_, _

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks" / "results"
EXPERIMENTS = ROOT / "training" / "results"
PAPER = ROOT / "training" / "reporting" / "paper.json"

# Tables of the experiments in the order of the paper; `title` translates.
TITLES = {
    "complete": N_("Nothing missing"),
    "missing": N_("Modalities missing at random"),
    "fixed": N_("The same modalities missing in every sample"),
    "imbalanced": N_("A missing rate of its own for every modality"),
    "missmac": N_("Trained on complete clips only (MissMAC-Bench)"),
    "within": N_("Moments lost within modalities"),
    "lnln": N_("Moments lost without a mask (LNLN)"),
    "ablation": N_("Parts of the method left out"),
    "distance": N_("Distance between modalities (proxy A-distance)"),
    "variants": N_("Settings of the method"),
    "face_readouts": N_("Read-outs of the face, compared"),
    "choice": N_("How the settings were chosen, by cross-validation"),
    "missing_choice": N_("Ways to bear missing modalities, by cross-validation"),
    "planted": N_("A synthetic dataset with known answers"),
    "schedule": N_("The synthetic dataset, alignment first"),
    "wide": N_("The synthetic dataset, with words as wide as BERT's"),
}
# Columns of a table: name on screen, factor (shares become per cent), decimals.
METRICS = {
    "acc2_non0": ("Acc-2 Non0 %", 100, 1),
    "f1_non0": ("F1 Non0 %", 100, 1),
    "acc2_has0": ("Acc-2 Has0 %", 100, 1),
    "f1_has0": ("F1 Has0 %", 100, 1),
    "acc7": ("Acc-7 %", 100, 1),
    "mae": ("MAE", 1, 3),
    "corr": ("Pearson r", 1, 3),
    "pairs_found": (N_("Pairs found %"), 100, 1),
    "mae_over_rates": (N_("MAE, 0 to 70 % missing"), 1, 3),
    "audio": (N_("Voice to words"), 1, 2),
    "video": (N_("Face to words"), 1, 2),
}
CHECKPOINT_METRICS = ("acc2_non0", "acc2_has0", "f1_non0", "acc7", "mae", "corr")
RATE_KEY = "missing_rate"  # marks a checkpoint's rows that were measured at a missing rate
RATE = re.compile(r"rate ([\d.]+)")


class RecordError(ValueError):
    """A result file cannot be used; the message names it and says why."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A result file.

    Attributes:
        path: Of the file.
        command: That made it.
        date: ISO day.
        device: Hardware and number of cores.
        seeds: Of the runs; empty where none matter.
        rows: Measured rows, including those of the separate table "missing".
    """

    path: Path
    command: str
    date: str
    device: str
    seeds: tuple[int, ...]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    @property
    def shown_path(self) -> str:
        """The path relative to the project."""
        return _shown(self.path)


def read(path: Path) -> Record:
    """Read a result file.

    Raises:
        RecordError: If it is not there or not of the shape that `training.reporting.result_files` writes.
    """
    try:
        plain = read_json(path)
        return Record(
            path=path,
            command=str(plain["command"]),
            date=str(plain["date"])[:10],
            device=f"{plain['device']}, {plain['cpu_count']}",
            seeds=tuple(plain["seeds"] or ()),
            rows=tuple(dict(row) for row in (*plain["rows"], *plain.get("missing", ()))),
        )
    except FileNotFoundError as error:
        raise RecordError(f"{_shown(path)}: is not there") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{_shown(path)}: is no result file ({type(error).__name__}: {error})") from error


def experiments(folder: Path = EXPERIMENTS) -> dict[str, dict[str, Path]]:
    """List result files by dataset and table, in the order of `TITLES`."""
    found: dict[str, dict[str, Path]] = {}
    order = list(TITLES)
    for path in sorted(folder.glob("*/*.json"), key=lambda path: (path.parent.name, _place(order, path.stem))):
        found.setdefault(path.parent.name, {})[path.stem] = path
    return found


def title(table: str) -> str:
    """Return a table's title on screen."""
    return _(TITLES[table]) if table in TITLES else table


def metric_table(record: Record) -> pd.DataFrame:
    """List an experiment's rows: model, setting and each metric as "mean ± deviation over seeds"."""
    known = [key for key in METRICS if any(key in row.get("metric", {}) for row in record.rows)]
    rows = []
    for row in record.rows:
        shown = {_("Model"): row.get("model", ""), _("Setting"): row.get("setting", "")}
        for key in known:
            name, factor, decimals = METRICS[key]
            shown[_(name)] = _spread(row.get("metric", {}).get(key), factor, decimals)
        rows.append(shown)
    return pd.DataFrame(rows)


def rate_curves(record: Record, metric: str = "acc2_non0") -> pd.DataFrame:
    """Return a metric against the missing rate.

    Returns:
        Columns `model`, `rate` (as asked for; 0 is "complete"), `reached` (as drawn), `mean`, `low`, `high` (one
        deviation over seeds around it); shares in per cent. Rows whose setting names no rate are left out.
    """
    factor = METRICS[metric][1]
    rows = []
    for row in record.rows:
        found, measured = RATE.search(row.get("setting", "")), row.get("metric", {}).get(metric)
        if measured is None or measured.get("mean") is None or not (found or row.get("setting") == "complete"):
            continue
        mean, std = factor * measured["mean"], factor * (measured.get("std") or 0.0)
        rate = float(found[1]) if found else 0.0
        rows.append(
            {
                "model": row.get("model", ""),
                "rate": rate,
                "reached": row.get("reached_rate", rate),
                "mean": mean,
                "low": mean - std,
                "high": mean + std,
            }
        )
    return pd.DataFrame(rows, columns=["model", "rate", "reached", "mean", "low", "high"])


def checkpoint_table(record: Record) -> pd.DataFrame:
    """List a checkpoint's metrics per test set and subset of the modalities."""
    rows = []
    for row in record.rows:
        if RATE_KEY in row:
            continue
        shown = {
            _("Test set"): row["test_set"],
            _("Predicted from"): wording.subset(parse_letters(row["modalities"])),
            "n": row["n"],
        }
        for key in CHECKPOINT_METRICS:
            name, factor, _decimals = METRICS[key]
            shown[name] = _number(row.get(key), factor)
        shown[_("Balanced accuracy %")] = _number(row.get("balanced_accuracy"), 100)
        rows.append(shown)
    return pd.DataFrame(rows)


def by_subset(record: Record, metric: str, *, test_set: str = "composed") -> dict[frozenset[Modality], float]:
    """Return a checkpoint's metric per subset of the modalities."""
    return {
        frozenset(parse_letters(row["modalities"])): float(row[metric])
        for row in record.rows
        if row.get("test_set") == test_set and metric in row and RATE_KEY not in row
    }


def missing_rows(record: Record, metric: str) -> pd.DataFrame:
    """Return a checkpoint's measured metric at missing rates: columns `rate` and `mean`; may be empty."""
    factor = METRICS[metric][1]
    rows = [(row[RATE_KEY], factor * row[metric]) for row in record.rows if RATE_KEY in row and metric in row]
    return pd.DataFrame(rows, columns=["rate", "mean"])


def predictions_table(record: Record, subset: str) -> pd.DataFrame:
    """List the test predictions from one subset.

    Args:
        record: Of `predictions.json`.
        subset: Letters as in the file: "avl", "l".

    Returns:
        Columns `id`, `truth`, `score`, `error` (score - truth), `right` (True, False, or None where the truth is 0,
        which has no sign). Clips without a score of this subset are left out.
    """
    rows = [
        (row["id"], float(row["truth"]), float(row["score"][subset])) for row in record.rows if subset in row["score"]
    ]
    table = pd.DataFrame(rows, columns=["id", "truth", "score"])
    table["error"] = table["score"] - table["truth"]
    same = (table["score"] > 0) == (table["truth"] > 0)
    table["right"] = same.astype(object).where(table["truth"] != 0, None)
    return table


def efficiency(record: Record) -> pd.DataFrame:
    """Return the cost of models by length: `batch`, `model`, `tokens`, `time_ms`, `peak_mb`, `gflop`, `status`."""
    columns = ["model", "tokens", "time_ms", "peak_mb", "gflop", "status"]
    rows = [{"batch": row.get("batch", 1), **{name: row.get(name) for name in columns}} for row in record.rows]
    return pd.DataFrame(rows, columns=["batch", *columns])


def paper(table: str, *, dataset: str | None = None) -> list[dict[str, Any]]:
    """Return the rows that the paper reports in a table.

    Args:
        table: "complete", "missing", "ablation", "distance" or "efficiency".
        dataset: "mosi" or "mosei"; None for all.
    """
    rows = json.loads(PAPER.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if row["table"] == table and dataset in (None, row.get("dataset"))]


def paper_source() -> tuple[str, str]:
    """Return the source of the paper's numbers, and its URL."""
    plain = json.loads(PAPER.read_text(encoding="utf-8"))
    return plain["source"], plain["url"]


def parse_letters(letters: str) -> list[Modality]:
    """Return the modalities of a file's short name ("avl")."""
    return [modality for modality in MODALITIES if modality.letter in letters]


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _spread(summary: Mapping[str, Any] | None, factor: int, decimals: int) -> str:
    if summary is None or summary.get("mean") is None:
        return "–"
    mean = f"{factor * summary['mean']:.{decimals}f}"
    return mean if summary.get("std") is None else f"{mean} ± {factor * summary['std']:.{decimals}f}"


def _number(value: float | None, factor: int) -> float | None:
    return None if value is None else factor * value


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
