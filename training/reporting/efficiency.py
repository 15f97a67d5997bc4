"""Ratios and a figure of the cost of whole models.

The paper compares with Transformers whose attention weights are stored, at 6.4k tokens (its Figures 3 and 4).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from training.reporting.markdown import UNDEFINED, table

OURS = "alignmamba"
STORED = ", stored weights"
BASELINES = tuple(
    f"{streams}-stream-transformer{attention}" for attention in (STORED, "") for streams in ("single", "multi")
)
PAPER_TOKENS, LONG_TOKENS = 6_399, 12_288
FIGURE = {"width": 330, "height": 260}  # pixels of a panel
PANELS = {"time_ms": "time, ms", "peak_mb": "peak memory, MB"}

Row = Mapping[str, Any]


def batches(rows: Sequence[Row]) -> list[int]:
    """The batch sizes that were measured; rows of earlier versions are of batch 1."""
    return sorted({row.get("batch", 1) for row in rows})


def of_batch(rows: Sequence[Row], batch: int) -> list[Row]:
    """Rows of one batch size."""
    return [row for row in rows if row.get("batch", 1) == batch]


def ratio(rows: Sequence[Row], model: str, field: str, *, tokens: int) -> float | None:
    """How many times our model's cost a model's is; None where either was not measured."""
    found = {row["model"]: row.get(field) for row in rows if row["tokens"] == tokens}
    ours, theirs = found.get(OURS), found.get(model)
    return theirs / ours if ours and theirs else None


def faster_from(rows: Sequence[Row], model: str) -> float | None:
    """Tokens from which our model is faster than another at every length that was measured.

    Between the last length where it is not and the next one, interpolated in logarithms; the shortest length where it
    always is; None where it never is.
    """
    ratios = {
        tokens: found
        for tokens in sorted({row["tokens"] for row in rows})
        if (found := ratio(rows, model, "time_ms", tokens=tokens)) is not None
    }
    slower = [tokens for tokens, value in ratios.items() if value <= 1]
    if not ratios or (slower and slower[-1] == max(ratios)):
        return None
    if not slower:
        return float(min(ratios))
    before, after = slower[-1], min(tokens for tokens in ratios if tokens > slower[-1])
    low, high = math.log(ratios[before]), math.log(ratios[after])
    share = -low / (high - low)
    return math.exp(math.log(before) + share * (math.log(after) - math.log(before)))


def ratios_table(result: Mapping[str, Any]) -> str:
    """Time and memory of Transformers as multiples of ours, and the length from which ours is faster."""
    rows = []
    for batch in batches(result["rows"]):
        measured = of_batch(result["rows"], batch)
        for model in BASELINES:
            if not any(row["model"] == model for row in measured):
                continue
            pairs = [
                f"{_times(ratio(measured, model, 'time_ms', tokens=tokens))} / "
                f"{_times(ratio(measured, model, 'peak_mb', tokens=tokens))}"
                for tokens in (PAPER_TOKENS, LONG_TOKENS)
            ]
            begin = faster_from(measured, model)
            rows.append([str(batch), model, *pairs, UNDEFINED if begin is None else f"{begin:,.0f}"])
    columns = [f"time / memory at {tokens:,} tokens" for tokens in (PAPER_TOKENS, LONG_TOKENS)]
    return table(["batch", "model against ours", *columns, "ours is faster from, tokens"], rows)


def _times(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.1f}x"


def figure(result: Mapping[str, Any]) -> str:
    """Time and memory by length at batch 1, as SVG."""
    import altair as alt
    import vl_convert

    drawn = [row for row in of_batch(result["rows"], 1) if row["status"] == "ok" and row["tokens"] <= LONG_TOKENS]
    models = list(dict.fromkeys(row["model"] for row in drawn))
    panels = []
    legend = alt.Legend(orient="bottom", columns=3)
    across = alt.X(
        "tokens:Q", title="tokens", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~s", grid=False)
    )
    for field, title in PANELS.items():
        values = [{"model": row["model"], "tokens": row["tokens"], "cost": row[field]} for row in drawn if row[field]]
        base = alt.Chart(alt.Data(values=values)).encode(
            x=across,
            y=alt.Y("cost:Q", title=title, scale=alt.Scale(type="log"), axis=alt.Axis(format="~s")),
            color=alt.Color("model:N", title=None, sort=models, legend=legend),
            shape=alt.Shape("model:N", sort=models, legend=None),
        )
        panels.append(alt.layer(base.mark_line(), base.mark_point(filled=True, size=50)).properties(**FIGURE))
    about = f"{result['device']}, torch {result['versions']['torch']}, {result['date'][:10]}"
    chart = alt.hconcat(*panels).properties(
        title=alt.Title("Whole models of equal width and depth, batch 1", subtitle=about),
        background="white",
    )
    return f"{vl_convert.vegalite_to_svg(json.dumps(chart.to_dict()))}\n"
