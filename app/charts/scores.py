"""Altair charts of a prediction; colours read on light and dark pages and for colour-blind eyes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd

from alignmamba.prediction import SCORE_LIMIT, class_of
from app.charts.alignment_table import AlignmentTable
from app.i18n import wording
from app.i18n.translate import _

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

# Okabe and Ito's blue and vermilion, moved towards the middle so that they stand out on white and on near-black.
# Towards the middle of a scale they fade into the page instead of into white, which would glare on a dark page.
NEGATIVE, POSITIVE = "rgba(217,95,14,1)", "rgba(43,127,196,1)"
FADED = "rgba(128,128,128,0.12)"
DIVERGING = [NEGATIVE, FADED, POSITIVE]
NEUTRAL = "rgba(128,128,128,0.75)"
PAIRED = "#9b5de5"
SPOKEN = "rgba(128,128,128,0.9)"
ALIKE = ["rgba(20,140,130,0.85)", "rgba(20,140,130,0.30)", "rgba(20,140,130,0.04)"]

# Okabe and Ito's eight, those first that are furthest from the colours of the scores. A name stands beside each.
SPEAKERS = ["#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#0072B2", "#D55E00", "#999999"]

SCORE_RANGE = (-SCORE_LIMIT, SCORE_LIMIT)
SCORE_TICKS = list(range(-int(SCORE_LIMIT), int(SCORE_LIMIT) + 1))
# Heights in pixels; Streamlit fits a chart's axes and legend into its height.
GAUGE_PX, CLASSES_PX = 100, 140
ROW_PX, MIN_MAP_PX, MAX_MAP_PX, MAP_FRAME_PX = 20, 160, 560, 190
STRIP_PX, STRIP_FRAME_PX = 34, 75
DOT_PX, DOTS_FRAME_PX = 40, 70


def on_time(chart: alt.TopLevelMixin) -> alt.TopLevelMixin:
    """Prepare a chart over the clip's time for the playhead of `app.components.stage`: it is rendered as SVG."""
    chart.usermeta = {"embedOptions": {"renderer": "svg"}}
    # The chart as a whole has alt text; a label for each of thousands of cells would bury it.
    return chart.configure(aria=False, mark=alt.MarkConfig(aria=False))


def gauge(score: float, interval: tuple[float, float] | None = None) -> alt.LayerChart:
    """Draw a score on the scale from -3 to 3.

    Args:
        score: In [-3, 3].
        interval: Where the true score may lie, drawn around it; None draws the score alone.
    """
    low, high = SCORE_RANGE
    stops = [alt.GradientStop(color=colour, offset=place / 2) for place, colour in enumerate(DIVERGING)]
    scale = pd.DataFrame({"from": [low], "to": [high]})
    x = alt.X(
        "from:Q",
        title=_("Sentiment score"),
        scale=alt.Scale(domain=SCORE_RANGE, nice=False),
        axis=alt.Axis(values=[low, 0, high], grid=False, labelExpr=_gauge_labels(), labelFlush=True),
    )
    # In the middle, where the marks are, whatever height is left for the plot.
    middle = {"y": {"expr": "height / 2 - 11"}, "y2": {"expr": "height / 2 + 11"}}
    band = alt.Chart(scale).mark_rect(
        color=alt.Gradient(gradient="linear", stops=stops, x1=0, x2=1, y1=0, y2=0), **middle
    )
    here = alt.Chart(pd.DataFrame({"score": [score]})).encode(
        x=alt.X("score:Q"), tooltip=alt.Tooltip("score:Q", title=_("Score"), format="+.2f")
    )
    layers = [band.encode(x=x, x2="to:Q")]
    if interval is not None:
        low, high = interval
        reach = alt.Chart(pd.DataFrame({"low": [low], "high": [high]})).encode(
            x=alt.X("low:Q"),
            x2="high:Q",
            tooltip=[
                alt.Tooltip("low:Q", title=_("Likely from"), format="+.2f"),
                alt.Tooltip("high:Q", title=_("Likely to"), format="+.2f"),
            ],
        )
        layers.append(reach.mark_rect(color=PAIRED, opacity=0.35, **middle))
        layers.append(reach.mark_rule(color=PAIRED, strokeWidth=2))
    return alt.layer(
        *layers,
        here.mark_tick(thickness=4, size=34, color=PAIRED, orient="vertical"),
        here.mark_point(shape="triangle-down", size=160, filled=True, yOffset=-24, color=PAIRED, opacity=1),
    ).properties(height=GAUGE_PX)


def _gauge_labels() -> str:
    """Return labels for both ends and the middle of the scale, in Vega's expression language."""
    ends = (("-3", -3), ("0", 0), ("+3", 3))
    low, middle, high = (json.dumps(f"{number} {wording.degree(score)}") for number, score in ends)
    return f"datum.value == 0 ? {middle} : datum.value < 0 ? {low} : {high}"


def subset_dots(predictions: Mapping[str, Prediction]) -> alt.LayerChart:
    """Draw the score of each subset of the modalities as a dot, with its interval as a line.

    Args:
        predictions: By the subset's name, from top to bottom.
    """
    table = pd.DataFrame(
        [
            (name, found.score, *(found.interval or (found.score, found.score)), _(class_of(found.score)))
            for name, found in predictions.items()
        ],
        columns=["subset", "score", "low", "high", "class"],
    )
    x = alt.X(
        "score:Q",
        title=_("Score with interval"),
        scale=alt.Scale(domain=SCORE_RANGE, nice=False),
        axis=alt.Axis(values=SCORE_TICKS, labelExpr="datum.value == 0 ? '0' : format(datum.value, '+d')", grid=False),
    )
    y = alt.Y("subset:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=170))
    tooltip = [
        alt.Tooltip("subset:N", title=_("Predicted from")),
        alt.Tooltip("score:Q", title=_("Score"), format="+.2f"),
        alt.Tooltip("low:Q", title=_("Likely from"), format="+.2f"),
        alt.Tooltip("high:Q", title=_("Likely to"), format="+.2f"),
        alt.Tooltip("class:N", title=_("Class")),
    ]
    sign = alt.condition("datum.score < 0", alt.value(NEGATIVE), alt.value(POSITIVE))
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=NEUTRAL, strokeDash=[3, 3]).encode(x="zero:Q")
    base = alt.Chart(table).encode(y=y, tooltip=tooltip)
    return alt.layer(
        zero,
        base.mark_rule(strokeWidth=3, opacity=0.55).encode(x=alt.X("low:Q"), x2="high:Q", color=sign),
        base.mark_point(filled=True, size=130, opacity=1).encode(x=x, color=sign),
        base.mark_text(dy=-11, fontSize=10, color=NEUTRAL).encode(x=x, text=alt.Text("score:Q", format="+.2f")),
    ).properties(height=DOTS_FRAME_PX + DOT_PX * len(table))


def class_bars(classes: dict[str, float]) -> alt.LayerChart:
    """Draw the class probabilities as bars, one per class."""
    colours = dict(zip((_(name).capitalize() for name in classes), (NEGATIVE, NEUTRAL, POSITIVE), strict=True))
    return _bars(list(colours), list(classes.values()), colours=list(colours.values()), title=_("Class"))


def emotion_bars(names: list[str], probabilities: list[float]) -> alt.LayerChart:
    """Draw the probabilities of emotion words as bars of one colour: a word is neither good nor bad."""
    return _bars(names, probabilities, colours=[NEUTRAL] * len(names), title=_("Emotion word"))


def _bars(names: list[str], probabilities: list[float], *, colours: list[str], title: str) -> alt.LayerChart:
    table = pd.DataFrame({"class": names, "probability": probabilities})
    table["text"] = [wording.share(probability) for probability in probabilities]
    base = alt.Chart(table).encode(
        y=alt.Y("class:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=8)),
        x=alt.X(
            "probability:Q",
            title=_("Probability of each class"),
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], grid=False),
        ),
        tooltip=[
            alt.Tooltip("class:N", title=title),
            alt.Tooltip("probability:Q", title=_("Probability"), format=".1%"),
        ],
    )
    colour = alt.Color("class:N", scale=alt.Scale(domain=names, range=colours), legend=None)
    return alt.layer(
        base.mark_bar(height=16, cornerRadiusEnd=3).encode(color=colour),
        base.mark_text(align="left", dx=5, color=NEUTRAL).encode(text="text:N"),
    ).properties(height=CLASSES_PX * len(names) // 3)


def alignment_map(table: AlignmentTable, *, view: tuple[float, float] | None = None) -> alt.LayerChart:
    """Draw which step of a source the model aligned to which step of its anchor.

    Args:
        table: Rows to draw, made by `app.charts.alignment_table.tabulate`.
        view: Seconds of the source from and to that are drawn; all of them by default.

    Returns:
        Seconds of the source from left to right, the anchor's steps from top to bottom; colour is the cost
        (1 - cosine, and the time between them), filled cells are the plan, as strong as their share of a step's weight,
        outlines show when a word was spoken.
    """
    # Steps of a long clip are thinner than a pixel: pairs get a margin, outlines step back.
    dense = table.averaged > 1
    time = alt.Scale(domain=[0, table.duration] if view is None else list(view), nice=False)
    x = alt.X(
        "start:Q",
        title=_("{name} (seconds)").format(name=table.source),
        scale=time,
        axis=alt.Axis(grid=False, tickCount=8),
    )
    y, y2 = _anchor_axis(table)
    tooltip = _map_tooltip(table)
    cost = alt.Color(
        "cost:Q",
        scale=alt.Scale(range=ALIKE, domain=table.cost_domain, clamp=True),
        legend=alt.Legend(title=_("Cost, low = alike and near"), orient="top", gradientLength=160, titleLimit=260),
    )
    # A step that has one pair gives it all its weight.
    share = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None)
    # One encoding for every layer: layers that name the same axis differently would draw it twice.
    place = {"x": x, "x2": "end:Q", "y": y, **({"y2": y2} if y2 else {})}
    cells = alt.Chart(table.cells).mark_rect(strokeWidth=0, clip=True).encode(color=cost, tooltip=tooltip, **place)
    plan = (
        alt.Chart(table.plan)
        .mark_rect(color=PAIRED, stroke=PAIRED, strokeWidth=2 if dense else 0, clip=True)
        .encode(tooltip=tooltip, opacity=share, **place)
    )
    layers = [cells, plan]
    if table.words:
        outline = {"filled": False, "stroke": SPOKEN, "strokeWidth": 0.4 if dense else 1.2}
        spoken = alt.Chart(table.spoken).mark_rect(clip=True, **outline)
        layers.append(spoken.encode(**place))
    chart = alt.layer(*layers).properties(
        title=_("{source} aligned to {anchor} ({solver})").format(
            source=table.source, anchor=table.anchor.lower(), solver=_(table.solver)
        ),
        height=MAP_FRAME_PX + int(np.clip(ROW_PX * table.rows, MIN_MAP_PX, MAX_MAP_PX)),
    )
    return on_time(chart)


def _map_tooltip(table: AlignmentTable) -> list[alt.Tooltip]:
    source, step = table.source, _("Word") if table.words else table.anchor
    word = [alt.Tooltip("word:N", title=_("Word"))] if table.words else []
    return [
        *word,
        alt.Tooltip("anchor_start:Q", title=_("{name} from (s)").format(name=step), format=".2f"),
        alt.Tooltip("anchor_end:Q", title=_("{name} to (s)").format(name=step), format=".2f"),
        alt.Tooltip("start:Q", title=_("{name} from (s)").format(name=source), format=".2f"),
        alt.Tooltip("end:Q", title=_("{name} to (s)").format(name=source), format=".2f"),
        alt.Tooltip("cost:Q", title=_("Cost (distance in content and time)"), format=".3f"),
        alt.Tooltip("weight:Q", title=_("Weight in the plan"), format=".4f"),
    ]


def _anchor_axis(table: AlignmentTable) -> tuple[alt.Y, str | None]:
    """Return the y axis: one row a word, or the seconds of another anchor, from top to bottom."""
    if table.words:
        labels = list(table.words)
        # The number before a word keeps two rows of one word apart and need not be read.
        text = "slice(datum.label, indexof(datum.label, ' ') + 1)"
        axis = alt.Axis(
            labelExpr=text,
            labelOverlap="greedy",
            labelSeparation=-2,
            labelFlush=False,
            labelBound=False,
            labelLimit=110,
            ticks=False,
            grid=False,
        )
        return alt.Y("label:N", title=None, scale=alt.Scale(domain=labels), axis=axis), None
    scale = alt.Scale(domain=[table.duration, 0], nice=False)
    return alt.Y(
        "anchor_start:Q", title=_("{name} (seconds)").format(name=table.anchor), scale=scale, axis=alt.Axis(grid=False)
    ), ("anchor_end:Q")


def contribution_strip(table: pd.DataFrame, duration: float, *, start: float = 0.0) -> alt.Chart:
    """Draw how much each moment moved the score, one row per modality.

    Args:
        table: Columns `row`, `what`, `start`, `end` (seconds), `contribution` and `strength` in [-1, 1], the share of
            the row's strongest moment.
        duration: Second at which the axis ends.
        start: Second at which it begins.
    """
    return on_time(
        alt.Chart(table)
        .mark_rect(strokeWidth=0, clip=True)
        .encode(
            x=alt.X(
                "start:Q",
                title=_("Time in the clip (seconds)"),
                scale=alt.Scale(domain=[start, duration], nice=False),
                axis=alt.Axis(grid=False, tickCount=12),
            ),
            x2="end:Q",
            y=alt.Y(
                "row:N",
                sort=None,
                title=None,
                axis=alt.Axis(ticks=False, domain=False, labelFlush=False, labelLimit=140),
            ),
            color=alt.Color("strength:Q", scale=alt.Scale(domain=[-1, 0, 1], range=DIVERGING), legend=None),
            tooltip=[
                alt.Tooltip("row:N", title=_("Row")),
                alt.Tooltip("what:N", title=_("Word")),
                alt.Tooltip("start:Q", title=_("From (s)"), format=".2f"),
                alt.Tooltip("end:Q", title=_("To (s)"), format=".2f"),
                alt.Tooltip("contribution:Q", title=_("Contribution"), format="+.3f"),
            ],
        )
        .properties(height=STRIP_FRAME_PX + STRIP_PX * table["row"].nunique())
    )
