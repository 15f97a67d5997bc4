"""The charts of a result as SVG and PNG files, rendered on the server without a browser."""

from __future__ import annotations

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
from app.charts.chart_data import with_data
from app.i18n import wording
from app.i18n.translate import SOURCE, _, language
from app.services.analysis import Analysis

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

VEGA_LITE = "6.4"  # the version that Altair writes; `vl_convert.get_vegalite_versions()` lists what can be read
WIDTH_PX = 760
PNG_SCALE = 2.0  # pixels of the file per pixel of the chart
MAX_CELLS = 4_000  # of a map: a file is not hovered over, and every cell costs a hundred bytes
# Two letters that look alike only where no font has them.
LETTERS = {"zh": ("中", "言")}


@dataclass(frozen=True, kw_only=True)
class ChartImage:
    """A chart that can be rendered into a file.

    Attributes:
        name: For a file, in ASCII.
        alt: Alt text.
        chart: To render.
    """

    name: str
    alt: str
    chart: alt.TopLevelMixin

    def svg(self) -> str:
        """Render as SVG; all text in it is escaped."""
        return vl_convert.vegalite_to_svg(self._spec(), vl_version=VEGA_LITE, allowed_base_urls=[])

    def png(self) -> bytes:
        """Render as PNG."""
        return vl_convert.vegalite_to_png(self._spec(), vl_version=VEGA_LITE, allowed_base_urls=[], scale=PNG_SCALE)

    def _spec(self) -> str:
        fit = alt.AutoSizeParams(type="fit", contains="padding")  # axes and legend within the height, as on the page
        chart = with_data(self.chart, _inline).properties(width=WIDTH_PX, autosize=fit)
        # Labels for each mark would be most of a file; the image has alt text of its own.
        return chart.configure(aria=False, background="white").to_json(indent=None)


def render(analysis: Analysis, used: Collection[Modality]) -> list[ChartImage]:
    """Build the charts of a prediction, in the current language.

    Args:
        analysis: Of a clip.
        used: A subset of the clip's modalities; an empty one has no charts.
    """
    prediction = analysis.predictions.get(frozenset(used))
    if prediction is None:
        return []
    return [*_scores(prediction), *_over_time(analysis, prediction), *_maps(analysis, prediction)]


def _scores(prediction: Prediction) -> Iterator[ChartImage]:
    gauge, bars = scores.gauge(prediction.score, prediction.interval), scores.class_bars(prediction.classes)
    yield ChartImage(name="score", alt=wording.score_alt(prediction.score), chart=gauge)
    yield ChartImage(name="classes", alt=wording.classes_alt(prediction.classes), chart=bars)


def _over_time(analysis: Analysis, prediction: Prediction) -> Iterator[ChartImage]:
    seconds = alignment_table.seconds(analysis.features)
    if curves := timeline_table.rows(analysis.features):
        names = [row.name for row in curves]
        measured = _("Measured over the clip: {names}").format(names=wording.join(names))
        chart = over_time.timeline(timeline_table.tabulate(curves), names, seconds)
        yield ChartImage(name="timeline", alt=measured, chart=chart)
    moments = alignment_table.contributions(prediction, analysis.features)
    moved = _("Contribution of each moment to the score, one row per modality")
    yield ChartImage(name="contributions", alt=moved, chart=scores.contribution_strip(moments, seconds))


def _maps(analysis: Analysis, prediction: Prediction) -> Iterator[ChartImage]:
    for source, found in prediction.alignments.items():
        table = alignment_table.tabulate(found, analysis.features, max_cells=MAX_CELLS)
        chart = scores.alignment_map(table)
        yield ChartImage(name=f"alignment-{source}", alt=map_captions.summary(table), chart=chart)


def png_language() -> str:
    """Return the language for PNG: the current one, unless no font here has its letters; then English."""
    code = language()
    return code if code not in LETTERS or _can_render(*LETTERS[code]) else SOURCE


@functools.cache
def _can_render(one: str, other: str) -> bool:
    def rendered(letter: str) -> bytes:
        text = f'<text y="20" font-family="sans-serif">{letter}</text>'
        return vl_convert.svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="30">{text}</svg>')

    return rendered(one) != rendered(other)


def _inline(table: pd.DataFrame) -> alt.InlineData:
    return alt.InlineData(values=json.loads(table.to_json(orient="records")))
