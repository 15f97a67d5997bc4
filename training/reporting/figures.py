"""A figure next to each table: a dot per model with its interval, ours in another colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import vl_convert

from training.reporting.experiment_tables import OURS, RATE
from training.reporting.result_files import ROOT

FOLDER = ROOT / "docs" / "figures"
WIDTH, ROW = 420, 20  # pixels: of the plot, and of a model's line
COLOUR, OTHERS = "#d1495b", "#30638e"
METRIC = "acc2_non0"


class Dot(NamedTuple):
    """A model's value with its interval, in percent."""

    model: str
    value: float
    low: float
    high: float


def dots(result: Mapping[str, Any]) -> tuple[list[Dot], str]:
    """The dots of a table, and what they and their intervals are.

    Of a table of missing rates the mean over the rates, with one deviation over seeds; else Acc-2 with its interval
    over clips and seeds, or one deviation over seeds where an older file has no interval.
    """
    if any(RATE.search(row["setting"]) for row in result["rows"]):
        by_model: dict[str, list[Sequence[float]]] = {}
        for row in result["rows"]:
            if RATE.search(row["setting"]):
                by_model.setdefault(row["model"], []).append(row["metric"][METRIC]["per_seed"])
        means = {model: 100 * np.mean(values, axis=0) for model, values in by_model.items()}
        found = [
            Dot(model, each.mean(), each.mean() - each.std(), each.mean() + each.std()) for model, each in means.items()
        ]
        return found, "Acc-2 Non0 %, mean over the missing rates ± standard deviation over seeds"
    measured = [(row["model"], row["metric"][METRIC]) for row in result["rows"]]
    if all("low" in metric for _, metric in measured):
        found = [Dot(name, *(100 * metric[key] for key in ("mean", "low", "high"))) for name, metric in measured]
        return found, "Acc-2 Non0 %, 95 % interval over clips and seeds (bootstrap)"
    found = [
        Dot(name, *(100 * (metric["mean"] + sign * metric["std"]) for sign in (0, -1, 1))) for name, metric in measured
    ]
    return found, "Acc-2 Non0 %, mean ± standard deviation over seeds"


def svg(result: Mapping[str, Any]) -> str:
    """The figure of a table as SVG, best model first."""
    found, title = dots(result)
    rows = [each._asdict() for each in sorted(found, key=lambda dot: -dot.value)]
    colour = alt.condition(alt.datum.model == OURS, alt.value(COLOUR), alt.value(OTHERS))
    names = [row["model"] for row in rows]
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("model:N", sort=names, title=None), color=colour)
    scale = alt.Scale(zero=False, nice=True)
    line = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale, title=title), x2="high:Q")
    dot = base.mark_point(filled=True, size=60, opacity=1).encode(x=alt.X("value:Q", scale=scale))
    chart = (line + dot).properties(width=WIDTH, height=ROW * len(rows), background="white")
    made: str = vl_convert.vegalite_to_svg(chart.to_json(validate=False))
    return made + "\n"


def path(name: str) -> Path:
    """Where the figure of a table stands."""
    return FOLDER / f"{name}.svg"
