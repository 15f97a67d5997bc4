"""One HTML report: our figures, and the paper's beside them but visibly apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.reporting import figures
from training.reporting.experiment_tables import RATE, mark, really_missing
from training.reporting.markdown import UNDEFINED, percent, percent_and_deviation

PAPER = Path(figures.__file__).with_name("paper.json")
# Rows of the paper under our names; others have the same in small letters.
NAMES = {"without both alignments": "without both", "single-stream Mamba": "single-stream-mamba"}
NAMES |= {"multi-stream Mamba": "multi-stream-mamba"}


class Table(NamedTuple):
    """A table of the report.

    Attributes:
        title: Of the paper's table.
        columns: Names of the settings.
        rows: Per model its name, our cells and the paper's cells.
        notes: Sentences below it.
        figure: SVG of our figures.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str], Sequence[str]]]
    notes: Sequence[str]
    figure: Markup


def paper_rows(table: str, dataset: str) -> dict[str, dict[str, str]]:
    """What the paper prints: by model and missing rate in percent ("" where there is none), accuracy / F1."""
    found: dict[str, dict[str, str]] = {}
    for row in json.loads(PAPER.read_text(encoding="utf-8"))["rows"]:
        if row["table"] == table and row.get("dataset") == dataset:
            name = NAMES.get(row["model"], row["model"].lower())
            cell = f"{row['accuracy_percent']} / {row['f1_percent']}"
            found.setdefault(name, {})[str(row.get("missing_percent", ""))] = cell
    return found


def missing_table(result: Mapping[str, Any], dataset: str) -> Table:
    """The slides' Table 1: accuracy / F1 by missing rate."""
    ours: dict[str, dict[str, str]] = {}
    for row in result["rows"]:
        if found := RATE.search(row["setting"]):
            metric = row["metric"]
            cell = f"{percent(metric['acc2_non0']['mean'])} / {percent(metric['f1_non0']['mean'])}"
            ours.setdefault(row["model"], {})[f"{100 * float(found['rate']):.0f}"] = cell + mark(row, "acc2_non0")
    printed = paper_rows("missing", dataset)
    rates = list(next(iter(ours.values())))
    rows = [
        (name, [cells[rate] for rate in rates], [printed.get(name, {}).get(rate, UNDEFINED) for rate in rates])
        for name, cells in ours.items()
    ]
    columns = [f"{rate} %" for rate in rates]
    return Table("Table 1: modalities missing at random", columns, rows, notes(result), _svg(result))


def ablation_table(result: Mapping[str, Any], dataset: str) -> Table:
    """The slides' Table 3: what each part contributes."""
    printed = paper_rows("ablation", dataset)
    rows = []
    for row in result["rows"]:
        metric, name = row["metric"], row["model"]
        cell = percent_and_deviation(metric["acc2_non0"]) + mark(row, "acc2_non0")
        rows.append((name, [cell, percent_and_deviation(metric["f1_non0"])], _split(printed.get(name, {}).get(""))))
    return Table("Table 3: ablation", ["accuracy %", "F1 %"], rows, notes(result), _svg(result))


def _split(cell: str | None) -> list[str]:
    return [UNDEFINED, UNDEFINED] if cell is None else cell.split(" / ")


def notes(result: Mapping[str, Any]) -> list[str]:
    """What a table was measured on."""
    first = result["rows"][0]
    missing = ", ".join(f"{name}: {rate} %" for name, rate in really_missing(result["rows"]).items())
    lost = max(row["left_out"] for row in result["rows"])
    return [
        f"Non0, mean over the seeds {', '.join(map(str, result['seeds']))}; {first['clips']} test clips, all scored.",
        f"Really missing: {missing}.",
        f"Clips of which nothing was left: {lost:g}; they get the mean training score.",
        "↑ better, ↓ worse than alignmamba: Wilcoxon over clips and seeds, p < .05 after Holm's correction.",
    ]


def _svg(result: Mapping[str, Any]) -> Markup:
    return Markup(figures.svg(result))  # noqa: S704  (drawn by vl-convert, which escapes texts)


def curve(result: Mapping[str, Any], key: str, title: str) -> Markup:
    """Time or memory of the fusion part against the number of tokens (the slides' Figures 3 and 4)."""
    rows = [{name: row.get(name) for name in ("model", "tokens", key)} for row in result["rows"] if row.get(key)]
    chart = (
        alt.Chart(alt.Data(values=rows), width=figures.WIDTH, height=240, background="white")
        .mark_line(point=True)
        .encode(
            x=alt.X("tokens:Q", scale=alt.Scale(type="log")),
            y=alt.Y(f"{key}:Q", title=title, scale=alt.Scale(type="log")),
            color="model:N",
        )
    )
    return Markup(vl_convert.vegalite_to_svg(chart.to_json(validate=False)))  # noqa: S704


def efficiency() -> list[dict[str, Any]]:
    """What the paper prints of its Figures 3 and 4; the other points of its curves are not in the text."""
    rows = json.loads(PAPER.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if row["table"] == "efficiency"]


def write(
    path: Path, *, dataset: str, tables: Sequence[Table], fusion: Mapping[str, Any] | None, about: Mapping[str, str]
) -> None:
    """Write the report.

    Args:
        path: Of the HTML file.
        dataset: "mosi" or "mosei".
        tables: Of `missing_table` and `ablation_table`.
        fusion: Result of `benchmarks.fusion`; None where it was not run.
        about: Facts of the run by name.
    """
    curves = []
    if fusion is not None:
        curves = [
            ("Figure 3: memory by length", curve(fusion, "peak_mb", "peak memory, MB")),
            ("Figure 4: time by length", curve(fusion, "time_ms", "time of a pass, ms")),
        ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    source = json.loads(PAPER.read_text(encoding="utf-8"))["source"]
    made = environment.get_template("report.html").render(
        dataset=dataset.upper(), tables=tables, curves=curves, efficiency=efficiency(), about=about, source=source
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_text(made, encoding="utf-8")
    draft.replace(path)
