"""Altair charts over the time of a clip: measured curves, and the score of windows."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd

from app.charts.scores import NEGATIVE, NEUTRAL, PAIRED, POSITIVE, SCORE_RANGE, on_time
from app.i18n.translate import _

TRACK_PX, TRACK_FRAME_PX = 34, 60
TREND_PX = 190
CURVE, SPAN = "#1b9e8f", "rgba(128,128,128,0.55)"


def timeline(table: pd.DataFrame, names: Sequence[str], duration: float, *, start: float = 0.0) -> alt.LayerChart:
    """Stack the curves that were measured over the clip.

    Args:
        table: Made by `app.charts.timeline_table.tabulate`.
        names: Of the rows, from top to bottom.
        duration: Second at which the axis ends.
        start: Second at which it begins.
    """
    axis = alt.Axis(
        values=[place + 0.5 for place in range(len(names))],
        labelExpr=f"{json.dumps(list(names))}[datum.value - 0.5]",
        labelLimit=170,
        labelOverlap=False,
        ticks=False,
        domain=False,
        grid=False,
    )
    scale = alt.Scale(domain=[len(names), 0], nice=False)
    y, top = (alt.Y(field, title=None, scale=scale, axis=axis) for field in ("foot:Q", "top:Q"))
    x = alt.X("start:Q", title=_("Time in the clip (seconds)"), **_seconds(duration, start))
    tooltip = [
        alt.Tooltip("row:N", title=_("Measured")),
        alt.Tooltip("start:Q", title=_("From (s)"), format=".2f"),
        alt.Tooltip("text:N", title=_("Value")),
    ]
    base = alt.Chart(table)
    curve, span = (base.transform_filter(f"datum.kind === '{kind}'") for kind in ("curve", "span"))
    place = {"x": x, "y": y, "y2": "top:Q", "detail": "row:N"}
    layers = [
        curve.mark_area(color=CURVE, opacity=0.3, clip=True).encode(**place),
        curve.mark_line(color=CURVE, strokeWidth=1.2, clip=True).encode(x=x, y=top, detail="row:N"),
        span.mark_rect(color=SPAN, clip=True).encode(x2="end:Q", **place),
        # The hover target is a row's whole height, so that nobody has to aim at a line.
        base.transform_calculate(head="datum.foot - 1")
        .mark_rect(opacity=0, clip=True)
        .encode(x=x, x2="end:Q", y=y, y2="head:Q", tooltip=tooltip),
    ]
    return on_time(alt.layer(*layers).properties(height=TRACK_FRAME_PX + TRACK_PX * len(names)))


def trend(table: pd.DataFrame, duration: float, *, start: float = 0.0) -> alt.LayerChart:
    """Draw the score window by window.

    Args:
        table: Columns `start`, `end` (seconds), `score` in [-3, 3] (missing for a window without any modality) and
            `used`.
        duration: Second at which the axis ends.
        start: Second at which it begins.
    """
    low, high = SCORE_RANGE
    x = alt.X("start:Q", title=_("Time in the clip (seconds)"), **_seconds(duration, start))
    y = alt.Y("score:Q", title=_("Score"), scale=alt.Scale(domain=[low, high]), axis=alt.Axis(values=[low, 0, high]))
    tooltip = [
        alt.Tooltip("start:Q", title=_("From (s)"), format=".1f"),
        alt.Tooltip("end:Q", title=_("To (s)"), format=".1f"),
        alt.Tooltip("score:Q", title=_("Score"), format="+.2f"),
        alt.Tooltip("used:N", title=_("Predicted from")),
    ]
    sign = alt.condition("datum.score < 0", alt.value(NEGATIVE), alt.value(POSITIVE))
    base = alt.Chart(table)
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=NEUTRAL, strokeDash=[3, 3]).encode(y="zero:Q")
    middle = base.transform_calculate(middle="(datum.start + datum.end) / 2")
    return on_time(
        alt.layer(
            zero,
            middle.mark_line(color=NEUTRAL, strokeWidth=1.5, clip=True).encode(
                x=alt.X("middle:Q", **_seconds(duration, start)), y=y
            ),
            base.mark_bar(height=5, cornerRadius=2, clip=True).encode(
                x=x, x2="end:Q", y=y, color=sign, tooltip=tooltip
            ),
        ).properties(height=TREND_PX)
    )


def running(table: pd.DataFrame) -> alt.LayerChart:
    """Draw the scores of a live view so far.

    Args:
        table: Columns `second` (since the first), `score`, `low` and `high` in [-3, 3].
    """
    x = alt.X("second:Q", title=_("Seconds since the start"), scale=alt.Scale(nice=False), axis=alt.Axis(grid=False))
    scale = alt.Scale(domain=SCORE_RANGE, nice=False)
    y = alt.Y("score:Q", title=_("Score with interval"), scale=scale, axis=alt.Axis(values=[-3, 0, 3]))
    base = alt.Chart(table).encode(x=x)
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=NEUTRAL, strokeDash=[3, 3]).encode(y="zero:Q")
    tooltip = [
        alt.Tooltip("second:Q", title=_("Seconds since the start"), format=".0f"),
        alt.Tooltip("score:Q", title=_("Score"), format="+.2f"),
    ]
    return alt.layer(
        zero,
        base.mark_area(color=PAIRED, opacity=0.25).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_line(color=PAIRED, strokeWidth=2, point=alt.OverlayMarkDef(color=PAIRED)).encode(
            y=y, tooltip=tooltip
        ),
    ).properties(height=TREND_PX)


def _seconds(duration: float, start: float) -> dict[str, object]:
    return {
        "scale": alt.Scale(domain=[start, duration], nice=False),
        "axis": alt.Axis(title=_("Time in the clip (seconds)"), grid=False, tickCount=12),
    }
