"""The timeline on screen: every series that was measured over the clip, chosen by name and group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.charts import over_time, timeline_table
from app.components import stage
from app.components.result.spans import View
from app.i18n import wording
from app.i18n.translate import _
from app.services.analysis import Analysis

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

MAX_SERIES = 20  # at once; more would not be read, and cost a browser much


def show(analysis: Analysis, prediction: Prediction | None, view: View) -> None:
    """Show the timeline and the choice of its series.

    Args:
        analysis: Of a clip.
        prediction: The one on screen, for the contributions of its steps.
        view: What the charts show.
    """
    series = timeline_table.measured(analysis.features, prediction.contributions if prediction else {})
    if not series:
        return
    st.subheader(_("Voice and face over time"), anchor=False)
    usual = [row.name for row in timeline_table.rows(analysis.features)]
    kept = f"kept-series-{analysis.number}"  # the widget forgets its value while its tab is closed
    before = [name for name in st.session_state.get(kept, usual) if name in series]
    names = st.multiselect(
        _("Series, by group: type to search"), list(series), default=before, max_selections=MAX_SERIES
    )
    st.session_state[kept] = names
    chosen = [series[name] for name in names]
    if not chosen:
        return
    stage.chart(
        analysis,
        "timeline",
        lambda: over_time.timeline(
            timeline_table.tabulate(chosen, view=view[:2]), [row.name for row in chosen], view.end, start=view.start
        ),
        alt=_("Measured over the clip: {names}").format(names=wording.join([row.name for row in chosen])),
        place="timeline",
        keep=names == usual and not view.zoomed,
    )
