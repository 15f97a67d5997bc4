"""Altair curves over something other than time: missing rates, lengths."""

from __future__ import annotations

import altair as alt
import pandas as pd

from app.charts.scores import NEUTRAL, PAIRED, SCORE_RANGE, SCORE_TICKS
from app.i18n.translate import _

CURVE_PX = 380
# Okabe and Ito's colours, as in app.charts.scores; the shape of a point tells lines apart without them.
PALETTE = ["#2b7fc4", "#d95f0e", "#1b9e8f", "#9b5de5", "#c9a400", "#c0569b", "#7f7f7f", "#5aa9e6"]


def score_curve(
    points: pd.DataFrame, summary: pd.DataFrame, *, x_title: str, full: float, decibels: bool = False
) -> alt.LayerChart:
    """Draw a clip's score while more and more of it is missing.

    Args:
        points: One row per draw: `x`, `seed`, `score`, `lost`.
        summary: One row per x: `x`, `mean`, `low`, `high`.
        x_title: Of the axis.
        full: Score of the whole clip, drawn as a dashed line.
        decibels: Whether x is in decibels, which fall as more is lost, and not a share.
    """
    number = "+.0f" if decibels else ".0%"
    scale = alt.Scale(nice=False, zero=not decibels, reverse=decibels)
    x = alt.X("x:Q", title=x_title, scale=scale, axis=alt.Axis(format=number, grid=False))
    y = alt.Y(
        "mean:Q",
        title=_("Score"),
        scale=alt.Scale(domain=list(SCORE_RANGE)),
        axis=alt.Axis(values=SCORE_TICKS),
    )
    numbers = [
        alt.Tooltip("x:Q", title=x_title, format=number),
        alt.Tooltip("mean:Q", title=_("Mean score"), format="+.2f"),
        alt.Tooltip("low:Q", title=_("One deviation below"), format="+.2f"),
        alt.Tooltip("high:Q", title=_("One deviation above"), format="+.2f"),
    ]
    base = alt.Chart(summary)
    layers = [
        alt.Chart(pd.DataFrame({"full": [full]})).mark_rule(color=NEUTRAL, strokeDash=[4, 4]).encode(y="full:Q"),
        base.mark_area(color=PALETTE[0], opacity=0.22).encode(x=x, y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(
            color=PALETTE[0], strokeWidth=2.5, point={"filled": True, "size": 45, "color": PALETTE[0]}
        ).encode(x=x, y=y, tooltip=numbers),
        _draws(points, x, x_title=x_title, number=number).mark_point(color=PAIRED, size=40, opacity=0.75),
    ]
    return alt.layer(*layers).properties(height=CURVE_PX)


def _draws(points: pd.DataFrame, x: alt.X, *, x_title: str, number: str) -> alt.Chart:
    """Encode single draws, the seed by the shape of the point; `number` is the format of x."""
    return alt.Chart(points).encode(
        x=x,
        y=alt.Y("score:Q"),
        shape=alt.Shape("seed:N", title=_("Seed"), legend=alt.Legend(orient="bottom")),
        tooltip=[
            alt.Tooltip("seed:N", title=_("Seed")),
            alt.Tooltip("x:Q", title=x_title, format=number),
            alt.Tooltip("score:Q", title=_("Score"), format="+.2f"),
            alt.Tooltip("lost:N", title=_("What was lost")),
        ],
    )


def rate_curves(table: pd.DataFrame, *, y_title: str, x_title: str) -> alt.LayerChart:
    """Draw a metric against the missing rate, one line per model.

    Args:
        table: Columns `model`, `rate`, `mean`, `low`, `high`.
        y_title: Of the axis.
        x_title: Of the axis.
    """
    x = alt.X("rate:Q", title=x_title, axis=alt.Axis(format=".0%", grid=False), scale=alt.Scale(nice=False))
    legend = alt.Legend(orient="bottom", columns=3) if table["model"].nunique() > 1 else None
    base = alt.Chart(table).encode(
        x=x,
        color=alt.Color("model:N", title=_("Model"), scale=alt.Scale(range=PALETTE), legend=legend),
        tooltip=[
            alt.Tooltip("model:N", title=_("Model")),
            alt.Tooltip("rate:Q", title=x_title, format=".1%"),
            alt.Tooltip("mean:Q", title=y_title, format=".2f"),
            alt.Tooltip("low:Q", title=_("One deviation below"), format=".2f"),
            alt.Tooltip("high:Q", title=_("One deviation above"), format=".2f"),
        ],
    )
    y = alt.Y("mean:Q", title=y_title, scale=alt.Scale(zero=False))
    shape = alt.Shape("model:N", legend=legend)
    layers = [
        base.mark_rule(opacity=0.6).encode(y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_point(filled=True, size=55).encode(y=y, shape=shape),
    ]
    return alt.layer(*layers).properties(height=CURVE_PX)


def cost_curves(table: pd.DataFrame, field: str, *, y_title: str) -> alt.LayerChart:
    """Draw what models cost by length, both axes logarithmic.

    Args:
        table: Columns `model`, `tokens` and `field`; rows without a number are left out.
        field: What is drawn.
        y_title: Of the axis.
    """
    drawn = table.dropna(subset=[field])
    base = alt.Chart(drawn).encode(
        x=alt.X("tokens:Q", title=_("Tokens"), scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", grid=False)),
        y=alt.Y(f"{field}:Q", title=y_title, scale=alt.Scale(type="log"), axis=alt.Axis(format="~s")),
        color=alt.Color(
            "model:N", title=_("Model"), scale=alt.Scale(range=PALETTE), legend=alt.Legend(orient="bottom", columns=2)
        ),
        tooltip=[
            alt.Tooltip("model:N", title=_("Model")),
            alt.Tooltip("tokens:Q", title=_("Tokens"), format=","),
            alt.Tooltip(f"{field}:Q", title=y_title, format=",.3~f"),
        ],
    )
    shape = alt.Shape("model:N", legend=alt.Legend(orient="bottom", columns=2))
    return alt.layer(
        base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=55).encode(shape=shape)
    ).properties(height=CURVE_PX)


def prediction_scatter(table: pd.DataFrame) -> alt.LayerChart:
    """Draw predictions against the truth; right and wrong by shape as well as by colour.

    Args:
        table: Columns `id`, `truth`, `score` and `sign`, on screen "right", "wrong" or "no sign".
    """
    low, high = SCORE_RANGE
    axis = {"scale": alt.Scale(domain=[low, high]), "axis": alt.Axis(values=SCORE_TICKS)}
    kinds = [_("right"), _("wrong"), _("no sign")]
    points = (
        alt.Chart(table)
        .mark_point(filled=True, size=45, opacity=0.65)
        .encode(
            x=alt.X("truth:Q", title=_("Truth"), **axis),
            y=alt.Y("score:Q", title=_("Score"), **axis),
            color=alt.Color(
                "sign:N",
                title=_("Sign"),
                scale=alt.Scale(domain=kinds, range=[*PALETTE[:2], NEUTRAL]),
                legend=alt.Legend(orient="bottom"),
            ),
            shape=alt.Shape("sign:N", scale=alt.Scale(domain=kinds, range=["circle", "cross", "diamond"])),
            tooltip=[
                alt.Tooltip("id:N", title=_("Clip")),
                alt.Tooltip("truth:Q", title=_("Truth"), format="+.2f"),
                alt.Tooltip("score:Q", title=_("Score"), format="+.2f"),
            ],
        )
    )
    ideal = pd.DataFrame({"a": [low, high]})
    return alt.layer(
        alt.Chart(ideal).mark_line(color=NEUTRAL, strokeDash=[4, 4]).encode(x="a:Q", y="a:Q"), points
    ).properties(height=CURVE_PX)
