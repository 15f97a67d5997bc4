"""A figure next to each table: a dot per model or candidate with its interval, ours in another colour."""

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
CHOSEN_BY = "mae_over_rates"  # of candidates
AS_CHOSEN = "as chosen"  # the candidate that the tables are made with


class Dot(NamedTuple):
    """A value of a row of the table, with its interval; shares in percent."""

    name: str
    value: float
    low: float
    high: float


def dots(result: Mapping[str, Any]) -> tuple[list[Dot], str]:
    """The dots of a table, and what they and their intervals are.

    Of a table with several protocols the mean over those by which something is missing, with one deviation over seeds;
    of candidates their error with one deviation over folds; else Acc-2 with its interval over clips and seeds, or one
    deviation over seeds where an older file has no interval.
    """
    rows = result["rows"]
    if _of_candidates(result):
        found = [_deviation(row["setting"], row["metric"][CHOSEN_BY]) for row in rows]
        return found, "MAE over the missing rates, mean ± standard deviation over folds"
    if len({row["model"] for row in rows}) < len(rows):
        return _over_protocols(rows)
    if all("low" in row["metric"][METRIC] for row in rows):
        keys = ("mean", "low", "high")
        found = [Dot(row["model"], *(100 * row["metric"][METRIC][key] for key in keys)) for row in rows]
        return found, "Acc-2 Non0 %, 95 % interval over clips and seeds (bootstrap)"
    found = [_deviation(row["model"], row["metric"][METRIC], unit=100) for row in rows]
    return found, "Acc-2 Non0 %, mean ± standard deviation over seeds"


def _of_candidates(result: Mapping[str, Any]) -> bool:
    return all(CHOSEN_BY in row["metric"] for row in result["rows"])


def _deviation(name: str, metric: Mapping[str, Any], *, unit: float = 1) -> Dot:
    return Dot(name, *(unit * (metric["mean"] + sign * metric["std"]) for sign in (0, -1, 1)))


def _over_protocols(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Dot], str]:
    """Of each model the mean over protocols: over the rates of a table of rates, else where something is missing."""
    rates = [row for row in rows if RATE.search(row["setting"])]
    least = min(row["reached_rate"] for row in rows)
    missing = [row for row in rows if row["reached_rate"] > least]
    of_rates = len({row["setting"] for row in rates}) >= len({row["setting"] for row in missing})
    by_model: dict[str, list[Sequence[float]]] = {}
    for row in rates if of_rates else missing:
        by_model.setdefault(row["model"], []).append(row["metric"][METRIC]["per_seed"])
    means = {model: 100 * np.mean(values, axis=0) for model, values in by_model.items()}
    found = [Dot(name, each.mean(), each.mean() - each.std(), each.mean() + each.std()) for name, each in means.items()]
    over = "the missing rates" if of_rates else "all patterns with something missing"
    return found, f"Acc-2 Non0 %, mean over {over} ± standard deviation over seeds"


def svg(result: Mapping[str, Any]) -> str:
    """The figure of a table as SVG, best first."""
    found, title = dots(result)
    highest_first = not _of_candidates(result)  # which have an error
    rows = [each._asdict() for each in sorted(found, key=lambda dot: dot.value, reverse=highest_first)]
    colour = alt.condition(alt.FieldOneOfPredicate("name", [OURS, AS_CHOSEN]), alt.value(COLOUR), alt.value(OTHERS))
    names = [row["name"] for row in rows]
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("name:N", sort=names, title=None), color=colour)
    scale = alt.Scale(zero=False, nice=True)
    line = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale, title=title), x2="high:Q")
    dot = base.mark_point(filled=True, size=60, opacity=1).encode(x=alt.X("value:Q", scale=scale))
    chart = (line + dot).properties(width=WIDTH, height=ROW * len(rows), background="white")
    made: str = vl_convert.vegalite_to_svg(chart.to_json(validate=False))
    return made + "\n"


def path(name: str) -> Path:
    """Where the figure of a table stands."""
    return FOLDER / f"{name}.svg"
