"""A part of the clip: its score, its words, the clip without it; the charts can zoom to it, and it can be excluded."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from alignmamba.modality import Modality
from app.charts import alignment_table
from app.components.result.sentences import clock
from app.i18n import wording
from app.i18n.translate import _
from app.services import session
from app.services.analysis import Analysis, Span, excluding

STEP = 0.1  # seconds between two places of the slider
SHORTEST = 2 * STEP  # seconds of a clip that has parts


class View(NamedTuple):
    """What the charts over time show.

    Attributes:
        start: Second at which their axes begin.
        end: Second at which they end.
        zoomed: Whether that is a part of the clip only.
    """

    start: float
    end: float
    zoomed: bool


def view(analysis: Analysis) -> View:
    """Return what the charts over time show, as chosen under them."""
    end = alignment_table.seconds(analysis.features)
    # A widget forgets its value while its tab is closed, so that is kept beside it.
    kept = st.session_state.setdefault(_key("kept", analysis), {})
    for name in ("part", "zoom"):
        kept[name] = st.session_state.get(_key(name, analysis), kept.get(name))
    part = kept["part"]
    if part is None or not kept["zoom"] or part[1] - part[0] < STEP or tuple(part) == (0.0, round(end, 1)):
        return View(0.0, end, zoomed=False)
    return View(float(part[0]), float(part[1]), zoomed=True)


def choose(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the choice of a part, and what is in it.

    Args:
        analysis: Of a clip.
        used: The subset on screen.
    """
    end = round(alignment_table.seconds(analysis.features), 1)
    if end < SHORTEST:
        return
    st.subheader(_("A part of the clip"), anchor=False)
    _used_again(analysis)
    kept = st.session_state.get(_key("kept", analysis), {})
    before = kept.get("part") or (0.0, end)
    start, until = st.slider(
        _("From and to, in seconds"), 0.0, end, before, STEP, format="%.1f", key=_key("part", analysis)
    )
    whole = (start, until) == (0.0, end) or until <= start
    with st.container(horizontal=True, vertical_alignment="center"):
        zoom = _("Zoom all charts over time to it")
        st.toggle(zoom, bool(kept.get("zoom")), key=_key("zoom", analysis), disabled=whole)
        if st.button(
            _("Predict without it"), icon=":material/content_cut:", disabled=whole, key=_key("exclude", analysis)
        ):
            _exclude(analysis, (*analysis.excluded, (start, until)))
    if whole:
        st.caption(_("Choose a part to see its score, its words, and the score of the clip without it."))
    else:
        _part(analysis, used, (start, until))


def _part(analysis: Analysis, used: frozenset[Modality], span: Span) -> None:
    inside, outside = analysis.part_scores(used, span)
    shown = {
        _("This part alone"): inside and inside.score,
        _("The clip without it"): outside and outside.score,
        _("The clip"): analysis.predictions[used].score,
    }
    with st.container(horizontal=True):
        for label, score in shown.items():
            st.metric(label, "–" if score is None else wording.signed(score), border=True)
    words = " ".join(word.text for word in analysis.features.words if span[0] <= (word.start + word.end) / 2 < span[1])
    if words:
        st.markdown(_("Its words: {words}").format(words=wording.plain(words)))


def _used_again(analysis: Analysis) -> None:
    """List the excluded parts, each with a button that takes it back."""
    if not analysis.excluded:
        return
    st.caption(_("Excluded; press one to use it again:"))
    with st.container(horizontal=True):
        for place, (start, until) in enumerate(analysis.excluded):
            label = f"{clock(start)} – {clock(until)}"
            key = _key(f"again-{place}", analysis)
            if st.button(label, icon=":material/undo:", key=key):
                _exclude(analysis, analysis.excluded[:place] + analysis.excluded[place + 1 :])


def _exclude(analysis: Analysis, spans: tuple[Span, ...]) -> None:
    session.current().analysis = excluding(analysis.whole or analysis, spans)
    st.rerun()


def _key(name: str, analysis: Analysis) -> str:
    return f"{name}-{analysis.number}"
