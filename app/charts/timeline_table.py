"""Measurements of voice and face over the clip as rows of a table, for a chart that stacks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from app.i18n.translate import N_, _
from extractors.schema import ClipFeatures

MAX_POINTS = 400  # per row, a few pixels each on a wide screen
PEAK = 0.86  # height of a row's curve, in rows

# Three expressions that most people recognise at a glance; left and right are averaged.
EXPRESSIONS = {
    N_("Smile"): ("mouthSmileLeft", "mouthSmileRight"),
    N_("Brow lowered"): ("browDownLeft", "browDownRight"),
    N_("Jaw open"): ("jawOpen",),
}


@dataclass(frozen=True, kw_only=True)
class TimelineRow:
    """One curve of the timeline.

    Attributes:
        name: On screen.
        unit: Of the values; empty for shares in [0, 1].
        seconds: When each value begins.
        values: NaN where there is none.
        low: Value at the row's foot.
        high: Value at its top.
        spans: Whether the values are on or off, drawn as blocks.
    """

    name: str
    unit: str
    seconds: Float[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]
    low: float
    high: float
    spans: bool = False


def rows(features: ClipFeatures) -> list[TimelineRow]:
    """List the clip's curves from top to bottom; those that the clip does not have are left out."""
    return [*_voice(features), *_face(features)]


def tabulate(curves: list[TimelineRow]) -> pd.DataFrame:
    """Stack curves into the table that `app.charts.over_time.timeline` draws.

    Returns:
        Columns `row` (its name), `kind` ("curve" or "span"), `start`, `end` (seconds), `foot` and `top` (in rows, from
        above; `top` is missing where there is no value), `text` (value with unit).
    """
    tables = [_table(place, row) for place, row in enumerate(curves)]
    columns = ["row", "kind", "start", "end", "foot", "top", "text"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _voice(features: ClipFeatures) -> Iterator[TimelineRow]:
    tracks = {track.name: track for track in features.tracks}
    if (loudness := tracks.get("loudness")) is not None:
        yield _scaled(_("Loudness"), "", loudness.seconds, loudness.values, from_zero=True)
    if (pitch := tracks.get("F0")) is not None:
        yield _scaled(_("Pitch (F0)"), "Hz", pitch.seconds, pitch.values)
    if (activity := tracks.get("voice activity")) is not None:
        yield _on_off(_("Someone speaks"), activity.seconds, activity.values)
    if (ratio := tracks.get("signal-to-noise")) is not None:
        yield _scaled(_("Signal-to-noise"), "dB", ratio.seconds, ratio.values)


def _face(features: ClipFeatures) -> Iterator[TimelineRow]:
    video = features.video
    if not len(video.start):
        return
    yield _on_off(_("Face in view"), video.start, video.valid.astype(float))
    if video.absent is not None:
        return
    columns = features.schema.video.columns
    for name, parts in EXPRESSIONS.items():
        if set(parts) <= set(columns):
            values = video.values[:, [columns.index(part) for part in parts]].mean(1).astype(float)
            values[~video.valid] = np.nan
            yield TimelineRow(name=_(name), unit="", seconds=video.start, values=values, low=0, high=1)


def _scaled(name: str, unit: str, seconds: np.ndarray, values: np.ndarray, *, from_zero: bool = False) -> TimelineRow:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return TimelineRow(name=name, unit=unit, seconds=seconds, values=values, low=0.0 if from_zero else low, high=high)


def _on_off(name: str, seconds: np.ndarray, values: np.ndarray) -> TimelineRow:
    return TimelineRow(name=name, unit="", seconds=seconds, values=values, low=0, high=1, spans=True)


def _table(place: int, row: TimelineRow) -> pd.DataFrame:
    every = max(1, int(np.ceil(len(row.values) / MAX_POINTS)))
    starts = np.arange(0, len(row.values), every)
    known = np.isfinite(row.values)
    count = np.add.reduceat(known.astype(float), starts)
    total = np.add.reduceat(np.where(known, row.values, 0.0), starts)
    value = np.divide(total, count, out=np.full(len(starts), np.nan), where=count > 0)
    step = float(np.median(np.diff(row.seconds))) if len(row.seconds) > 1 else 0.1
    share = np.clip((value - row.low) / ((row.high - row.low) or 1.0), 0, 1)
    if row.spans:
        share = np.where(share >= 0.5, 1.0, np.nan)
    table = pd.DataFrame(
        {
            "row": row.name,
            "kind": "span" if row.spans else "curve",
            "start": row.seconds[starts],
            "end": row.seconds[starts] + every * step,
            "foot": place + 1.0,
            "top": place + 1.0 - PEAK * share,
            "text": [_text(each, row) for each in value],
        }
    )
    return table[table["top"].notna()] if row.spans else table


def _text(value: float, row: TimelineRow) -> str:
    if not np.isfinite(value):
        return "–"
    if row.spans:
        return _("yes") if value >= 0.5 else _("no")
    return f"{value:.0f} {row.unit}" if row.unit else f"{value:.2f}"
