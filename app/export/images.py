"""Pictures of a result, for files: the page's charts as SVG and PNG, drawn on the server without a browser."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd
import vl_convert

from alignmamba.modality import Modality
from app.charts import alignment_table, map_captions, over_time, scores, timeline_table
from app.i18n import wording
from app.i18n.translate import SOURCE, _, language
from app.services.analysis import Analysis

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

VEGA_LITE = "6.4"  # what Altair writes; `vl_convert.get_vegalite_versions()` lists what can be read
WIDTH_PX = 760
PNG_SCALE = 2.0  # pixels of the file per pixel of the chart
MAX_CELLS = 4_000  # of a map: a file is not hovered over, and every cell costs a hundred bytes
# Two letters that look alike only where neither can be drawn.
LETTERS = {"zh": ("中", "言")}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart on its way into a file.

    Attributes:
        name: For a file, in ASCII.
        alt: What it shows.
        chart: To be drawn, its data inside.
    """

    name: str
    alt: str
    chart: alt.TopLevelMixin

    def svg(self) -> str:
        """Draw it as SVG; all text in it is escaped."""
        return vl_convert.vegalite_to_svg(self._spec(), vl_version=VEGA_LITE, allowed_base_urls=[])

    def png(self) -> bytes:
        """Draw it as PNG."""
        return vl_convert.vegalite_to_png(self._spec(), vl_version=VEGA_LITE, allowed_base_urls=[], scale=PNG_SCALE)

    def _spec(self) -> str:
        fit = alt.AutoSizeParams(type="fit", contains="padding")  # axes and legend within the height, as on the page
        drawn = _with_data_inside(self.chart).properties(width=WIDTH_PX, autosize=fit)
        # Hints for each mark would be most of a file; the picture has a text of its own.
        return drawn.configure(aria=False, background="white").to_json(indent=None)


def draw(analysis: Analysis, used: Collection[Modality]) -> list[Picture]:
    """Choose the charts of a prediction, in the language that is spoken.

    Args:
        analysis: Of a clip.
        used: A subset that was predicted; an empty one has no pictures.
    """
    prediction = analysis.predictions.get(frozenset(used))
    return (
        []
        if prediction is None
        else [*_judgement(prediction), *_over_time(analysis, prediction), *_maps(analysis, prediction)]
    )


def _judgement(prediction: Prediction) -> Iterator[Picture]:
    likeliest = max(prediction.classes, key=prediction.classes.__getitem__)
    score = _("Score {score} on a scale from -3 to +3").format(score=wording.signed(prediction.score))
    yield Picture(name="score", alt=score, chart=scores.gauge(prediction.score, prediction.interval))
    classes = _("Class probabilities, {likeliest} {share}").format(
        likeliest=_(likeliest), share=wording.share(prediction.classes[likeliest])
    )
    yield Picture(name="classes", alt=classes, chart=scores.class_bars(prediction.classes))


def _over_time(analysis: Analysis, prediction: Prediction) -> Iterator[Picture]:
    seconds = alignment_table.seconds(analysis.features)
    if curves := timeline_table.rows(analysis.features):
        names = [row.name for row in curves]
        measured = _("Measured over the clip: {names}").format(names=wording.join(names))
        chart = over_time.timeline(timeline_table.tabulate(curves), names, seconds)
        yield Picture(name="timeline", alt=measured, chart=chart)
    moments = alignment_table.contributions(prediction, analysis.features)
    moved = _("Contribution of each moment to the score, one row per modality")
    yield Picture(name="contributions", alt=moved, chart=scores.contribution_strip(moments, seconds))


def _maps(analysis: Analysis, prediction: Prediction) -> Iterator[Picture]:
    for source, found in prediction.alignments.items():
        table = alignment_table.tabulate(found, analysis.features, max_cells=MAX_CELLS)
        yield Picture(name=f"alignment-{source}", alt=map_captions.summary(table), chart=scores.alignment_map(table))


def drawn_language() -> str:
    """Return the language for PNG: the spoken one, unless no font here has its letters; then English."""
    spoken = language()
    return spoken if spoken not in LETTERS or _can_draw(*LETTERS[spoken]) else SOURCE


@functools.cache
def _can_draw(one: str, other: str) -> bool:
    def drawn(letter: str) -> bytes:
        text = f'<text y="20" font-family="sans-serif">{letter}</text>'
        return vl_convert.svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="30">{text}</svg>')

    return drawn(one) != drawn(other)


def _with_data_inside(chart: alt.TopLevelMixin) -> alt.TopLevelMixin:
    """Copy a chart with its tables as plain values.

    Altair passes tables through a transformer that all threads share, and that Streamlit changes while it draws.
    """
    chart = copy.copy(chart)
    if isinstance(getattr(chart, "data", None), pd.DataFrame):
        chart.data = alt.InlineData(values=json.loads(chart.data.to_json(orient="records")))
    if isinstance(chart, alt.LayerChart):
        chart.layer = [_with_data_inside(layer) for layer in chart.layer]
    return chart
