"""Altair charts over many clips or pairs: scores by speaker, changes with intervals, two numbers a row."""

from __future__ import annotations

from typing import Literal

import altair as alt
import pandas as pd

from app.charts.curves import PALETTE
from app.charts.scores import NEUTRAL, PAIRED, SCORE_RANGE, SCORE_TICKS
from app.i18n.translate import _

ROW_PX, FRAME_PX = 44, 90
PAIR_PX, PAIR_FRAME_PX = 26, 140
LABEL_PX, EDGE_PX = 130, 14
LANES = 5  # heights within a speaker's row, so that equal scores do not hide each other
SIGNED = "datum.value == 0 ? '0' : format(datum.value, '+~g')"  # labels of an axis, in Vega's expression language

Number = Literal["score", "share"]


def speaker_strip(table: pd.DataFrame, means: pd.DataFrame) -> alt.LayerChart:
    """Draw the score of every clip as a dot in the row of its speaker, and the mean of each as a diamond.

    Args:
        table: Columns `speaker`, `file`, `score` in [-3, 3].
        means: Columns `speaker`, `mean`, `count`, from top to bottom.
    """
    drawn = table.assign(lane=table.groupby("speaker").cumcount() % LANES)
    x = alt.X(
        "score:Q",
        title=_("Score"),
        scale=alt.Scale(domain=SCORE_RANGE, nice=False),
        axis=alt.Axis(values=SCORE_TICKS, labelExpr=SIGNED, grid=False),
    )
    y = alt.Y("speaker:N", sort=list(means["speaker"]), title=None, axis=_names())
    lane = alt.YOffset("lane:O", scale=alt.Scale(domain=list(range(LANES)), paddingOuter=0.6))
    dots = (
        alt.Chart(drawn)
        .mark_point(filled=True, size=55, opacity=0.65, color=PALETTE[0])
        .encode(
            x=x,
            y=y,
            yOffset=lane,
            tooltip=[
                alt.Tooltip("file:N", title=_("File")),
                alt.Tooltip("speaker:N", title=_("Speaker")),
                alt.Tooltip("score:Q", title=_("Score"), format="+.2f"),
            ],
        )
    )
    average = (
        alt.Chart(means)
        .mark_point(shape="diamond", filled=True, size=190, opacity=1, color=PAIRED)
        .encode(
            x=alt.X("mean:Q"),
            y=y,
            tooltip=[
                alt.Tooltip("speaker:N", title=_("Speaker")),
                alt.Tooltip("mean:Q", title=_("Mean score"), format="+.2f"),
                alt.Tooltip("count:Q", title=_("Clips")),
            ],
        )
    )
    return alt.layer(_zero(), dots, average).properties(height=FRAME_PX + ROW_PX * len(means))


def change_dots(table: pd.DataFrame, *, x_title: str, number: Number) -> alt.LayerChart:
    """Draw what changes without some modalities: the mean over clips as a dot, its interval as a line.

    Args:
        table: Columns `missing`, `mean`, `low`, `high` and `count`, from top to bottom; an interval may be missing.
        x_title: Of the axis.
        number: Whether the means are points of the score or shares.
    """
    short = "+.2f" if number == "score" else "+.0%"
    labels = SIGNED if number == "score" else "datum.value == 0 ? '0' : format(datum.value, '+.0%')"
    axis = alt.Axis(labelExpr=labels, grid=False, tickCount=6)
    x = alt.X("mean:Q", title=x_title, axis=axis, scale=alt.Scale(padding=EDGE_PX))
    base = alt.Chart(table).encode(
        y=alt.Y("missing:N", sort=None, title=None, axis=_names()),
        tooltip=[
            alt.Tooltip("missing:N", title=_("Missing")),
            alt.Tooltip("mean:Q", title=x_title, format=short),
            alt.Tooltip("low:Q", title=_("Likely from"), format=short),
            alt.Tooltip("high:Q", title=_("Likely to"), format=short),
            alt.Tooltip("count:Q", title=_("Clips")),
        ],
    )
    return alt.layer(
        _zero(),
        base.mark_rule(strokeWidth=3, opacity=0.55, color=PALETTE[0]).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=130, opacity=1, color=PALETTE[0]).encode(x=x),
        base.mark_text(dy=-12, fontSize=11, color=NEUTRAL).encode(x=x, text=alt.Text("mean:Q", format=short)),
    ).properties(height=FRAME_PX + ROW_PX * len(table))


def pairs(table: pd.DataFrame, *, names: tuple[str, str], x_title: str, whole_scale: bool = False) -> alt.LayerChart:
    """Draw two numbers a row, joined by a line; a row may have one of them.

    Args:
        table: Columns `row` (unique), `label`, `first` and `second`, from top to bottom.
        names: Of the two sides.
        x_title: Of the axis.
        whole_scale: Whether the axis goes over all scores, from -3 to 3.
    """
    long = table.melt(["row", "label"], ["first", "second"], var_name="side", value_name="number").dropna()
    long["side"] = long["side"].map(dict(zip(("first", "second"), names, strict=True)))
    order = list(table["row"])
    shown = alt.Axis(
        labelExpr="slice(datum.label, indexof(datum.label, ' ') + 1)",
        labelLimit=LABEL_PX,
        labelOverlap=False,
        labelFlush=False,
        ticks=False,
        domain=False,
        grid=True,
        gridDash=[1, 4],
    )
    y = alt.Y("row:N", sort=order, scale=alt.Scale(domain=order), title=None, axis=shown)
    scale = alt.Scale(domain=SCORE_RANGE, nice=False) if whole_scale else alt.Scale(zero=True, padding=EDGE_PX)
    ticks = {"values": SCORE_TICKS} if whole_scale else {"tickCount": 6}
    x = alt.X("number:Q", title=x_title, scale=scale, axis=alt.Axis(labelExpr=SIGNED, grid=False, **ticks))
    sides = alt.Scale(domain=list(names), range=PALETTE[:2])
    shapes = alt.Scale(domain=list(names), range=["circle", "diamond"])
    legend = alt.Legend(orient="top", title=None, labelLimit=260, columns=1)
    both = table.dropna(subset=["first", "second"])
    line = alt.Chart(both).mark_rule(strokeWidth=2, color=NEUTRAL).encode(x=alt.X("first:Q"), x2="second:Q", y=y)
    dots = (
        alt.Chart(long)
        .mark_point(filled=True, size=95, opacity=0.95)
        .encode(
            x=x,
            y=y,
            color=alt.Color("side:N", scale=sides, legend=legend),
            shape=alt.Shape("side:N", scale=shapes, legend=legend),
            tooltip=[
                alt.Tooltip("label:N", title=_("Row")),
                alt.Tooltip("side:N", title=_("Side")),
                alt.Tooltip("number:Q", title=x_title, format="+.3f"),
            ],
        )
    )
    return alt.layer(_zero(), line, dots).properties(height=PAIR_FRAME_PX + PAIR_PX * len(table))


def _zero() -> alt.Chart:
    return alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=NEUTRAL, strokeDash=[3, 3]).encode(x="zero:Q")


def _names() -> alt.Axis:
    return alt.Axis(ticks=False, domain=False, labelLimit=LABEL_PX, grid=False)
