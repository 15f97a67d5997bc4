"""Measurements of voice and face over the clip as rows of a table, for a chart that stacks them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from alignmamba.modality import Modality
from app.i18n import wording
from app.i18n.translate import N_, _
from extractors.schema import ClipFeatures

MAX_POINTS = 400  # per row, a few pixels each on a wide screen
PEAK = 0.86  # height of a row's curve, in rows

# Columns of the schema, as the extractors name them.
DESCRIPTOR = re.compile(r"(?P<name>.+)_sma3(?P<voiced>nz)?_mean(?:_filled)?")
VOICED, HEAD, ABOVE_REST, OF_CLIP = "voiced", "head_", "_above_rest", "_clip_"

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
        decimals: Of values without a unit, as they are told.
    """

    name: str
    unit: str
    seconds: Float[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]
    low: float
    high: float
    spans: bool = False
    decimals: int = 2


def rows(features: ClipFeatures) -> list[TimelineRow]:
    """List the clip's curves from top to bottom; those that the clip does not have are left out."""
    return [*_voice(features), *_face(features)]


def measured(features: ClipFeatures, contributions: Mapping[str, np.ndarray]) -> dict[str, TimelineRow]:
    """List every series that was measured over the clip, those of `rows` first.

    Args:
        features: Of the clip.
        contributions: Of each step of each modality to the score, as a prediction has them.

    Returns:
        By a name that begins with its group, as on screen.
    """
    series = {row.name: row for row in rows(features)}
    for modality, values in contributions.items():
        label = _("Contribution: {name}").format(name=wording.name(Modality(modality)).lower())
        series[label] = _scaled(label, "", features.modality(modality).start, values.astype(float), decimals=3)
    series |= {row.name: row for row in _descriptors(features)}
    series |= {row.name: row for row in _columns(features)}
    return series


def _descriptors(features: ClipFeatures) -> Iterator[TimelineRow]:
    """Yield openSMILE's descriptors, as means over a step; those of voiced sound only where there is a voice."""
    audio, columns = features.audio, features.schema.audio.columns
    voiced = audio.values[:, columns.index(VOICED)] > 0 if VOICED in columns else audio.valid
    for place, column in enumerate(columns):
        if (found := DESCRIPTOR.fullmatch(column)) is not None and len(audio.start):
            known = audio.valid & voiced if found["voiced"] else audio.valid
            values = np.where(known, audio.values[:, place], np.nan)
            yield _scaled(_("Voice: {name}").format(name=found["name"]), "", audio.start, values)


def _columns(features: ClipFeatures) -> Iterator[TimelineRow]:
    """Yield blendshapes and the head's angles."""
    video = features.video
    for place, column in enumerate(features.schema.video.columns):
        if column.endswith(ABOVE_REST) or OF_CLIP in column or not len(video.start):
            continue
        values = np.where(video.valid, video.values[:, place], np.nan).astype(float)
        if column.startswith(HEAD):
            angle = column.removeprefix(HEAD)
            yield _scaled(_("Head: {name}").format(name=angle), "°", video.start, np.degrees(values))
        else:
            label = _("Face: {name}").format(name=column)
            yield TimelineRow(name=label, unit="", seconds=video.start, values=values, low=0, high=1)


def tabulate(curves: Sequence[TimelineRow], *, view: tuple[float, float] = (0.0, np.inf)) -> pd.DataFrame:
    """Stack curves into the table that `app.charts.over_time.timeline` draws.

    Args:
        curves: From top to bottom.
        view: Seconds from and to that are drawn, in as many points as the whole clip.

    Returns:
        Columns `row` (its name), `kind` ("curve" or "span"), `start`, `end` (seconds), `foot` and `top` (in rows, from
        above; `top` is missing where there is no value), `text` (value with unit).
    """
    tables = [_table(place, _within(row, view)) for place, row in enumerate(curves)]
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


def _within(row: TimelineRow, view: tuple[float, float]) -> TimelineRow:
    """Return the part of a curve in a view, with the value before it, which reaches into it."""
    first = max(0, int(np.searchsorted(row.seconds, view[0], side="right")) - 1)
    last = int(np.searchsorted(row.seconds, view[1]))
    return replace(row, seconds=row.seconds[first:last], values=row.values[first:last])


def _scaled(
    name: str, unit: str, seconds: np.ndarray, values: np.ndarray, *, from_zero: bool = False, decimals: int = 2
) -> TimelineRow:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    foot = 0.0 if from_zero else low
    return TimelineRow(
        name=name, unit=unit, seconds=seconds, values=values.astype(float), low=foot, high=high, decimals=decimals
    )


def _on_off(name: str, seconds: np.ndarray, values: np.ndarray) -> TimelineRow:
    return TimelineRow(name=name, unit="", seconds=seconds, values=values, low=0, high=1, spans=True)


def _table(place: int, row: TimelineRow) -> pd.DataFrame:
    every = max(1, int(np.ceil(len(row.values) / MAX_POINTS)))
    starts = np.arange(0, len(row.values), every)
    if not len(starts):
        return pd.DataFrame()
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
    return f"{value:.0f} {row.unit}" if row.unit else f"{value:.{row.decimals}f}"
