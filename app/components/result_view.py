"""The result of an analysis: clip, score and the seven subsets at a glance, everything else in tabs below."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import altair
import pandas as pd
import streamlit as st

from alignmamba.modality import Modality
from app.charts import alignment_table, over_time, scores
from app.components import (
    chart_cache,
    clip_header,
    modality_pills,
    player,
    stage,
    tracks,
)
from app.components.result import (
    alignment_maps,
    annotations,
    clip_export,
    emotions,
    overlay,
    sentences,
    spans,
    speakers,
    subset_table,
    timeline,
)
from app.export import downloads
from app.i18n import wording
from app.i18n.messages import translated
from app.i18n.translate import _
from app.services import errors, session
from app.services.analysis import Analysis
from app.services.jobs import Correction

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from alignmamba.prediction import Prediction

TABS = "result-tabs"  # key of the session state; holds the open tab's label
LONG_CLIP_SECONDS = 10.0  # longer clips show the score over time


@st.fragment
def show() -> None:
    """Show the session's last result; a fragment, so that toggling a modality reruns this part alone.

    The score comes first in the run as it does for the reader: what is slower to draw must not hold it up.
    """
    with errors.plain_sentences():
        analysis = session.current().analysis
        _headline(analysis)
        watch, read, every = st.columns([4, 5, 5], gap="medium")
        if not analysis.predictions:
            with watch:
                player.player(analysis.clip, number=analysis.number)
            with read:
                downloads.buttons(analysis, ())
            _more(analysis, None)
            return
        with read:
            used = modality_pills.choose(analysis, page="analyse")
            prediction = analysis.predictions.get(used)
            gauge = modality_pills.none_chosen() if prediction is None else _score(prediction)
            overlaid = None if prediction is None else lambda: clip_export.offer(analysis, prediction)
            downloads.buttons(analysis, used, more=overlaid)
        with watch:
            player.player(analysis.clip, number=analysis.number)
            if prediction is not None:
                sentences.strip(analysis, prediction.used)
                overlay.switch(analysis, prediction)
        with every:
            subset_table.dots(analysis)
        if prediction is not None and gauge is not None:
            with gauge:
                chart_cache.show(
                    analysis,
                    ("gauge", prediction.used),
                    lambda: scores.gauge(prediction.score, prediction.interval),
                    alt=wording.score_alt(prediction.score),
                )
        with watch:
            _transcript(analysis, prediction)
        _more(analysis, prediction)


def _more(analysis: Analysis, prediction: Prediction | None) -> None:
    """Show what takes the whole width in tabs, of which only the open one is made."""
    makers = dict(_tabs(analysis, prediction))
    if st.session_state.get(TABS) not in makers:  # another language, or another clip
        st.session_state.pop(TABS, None)
    for tab, make in zip(st.tabs(list(makers), key=TABS, on_change="rerun"), makers.values(), strict=True):
        if tab.open:
            with tab:
                make()


def _tabs(analysis: Analysis, prediction: Prediction | None) -> Iterator[tuple[str, Callable[[], None]]]:
    """List the tabs that a clip has."""
    if prediction is not None and analysis.speakers:
        yield _("Speakers"), lambda: speakers.show(analysis, prediction.used)
    if prediction is not None and analysis.sentences:
        yield _("Sentences"), lambda: _sentences(analysis, prediction.used)
    yield _("Over time"), lambda: _over_time(analysis, prediction)
    if prediction is not None and prediction.alignments:
        yield _("Alignment"), lambda: _maps(analysis, prediction)
    if analysis.predictions:
        yield _("All combinations"), lambda: _subsets(analysis, prediction)
        yield _("Words and annotations"), lambda: _words(analysis, prediction)
        yield _("How long it took"), lambda: _details(analysis)


def _over_time(analysis: Analysis, prediction: Prediction | None) -> None:
    view = spans.view(analysis)
    if prediction is not None:
        _trend(analysis, prediction.used, view)
    timeline.show(analysis, prediction, view)
    if prediction is not None:
        _contributions(analysis, prediction, view)
        spans.choose(analysis, prediction.used)


def _words(analysis: Analysis, prediction: Prediction | None) -> None:
    _correct(analysis)
    annotations.show(analysis, prediction.used if prediction else frozenset())


def _headline(analysis: Analysis) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        clip_header.title(analysis)
    absent = [
        wording.absence(modality, analysis.features.modality(modality).absent)
        for modality in wording.DISPLAY_ORDER
        if modality not in analysis.available
    ]
    if absent:
        st.info(
            "  \n".join(absent)
            if analysis.predictions
            else _("There is nothing to predict from in this clip. {reasons}").format(reasons=" ".join(absent)),
            icon=":material/visibility_off:",
        )
    for note in analysis.features.notes:
        st.caption(f":material/info: {wording.plain(translated(note))}")
    tracks.choose(analysis)


def _score(prediction: Prediction) -> DeltaGenerator:
    """Show the score in words; return the place of its gauge."""
    with st.container(border=True):
        st.metric(
            _("Sentiment, from -3 to +3"),
            wording.signed(prediction.score),
            wording.score_class(prediction.score),
            delta_color="off",
            delta_arrow="off",
        )
        gauge = st.container()
        st.markdown(wording.verdict(prediction.score, prediction.classes, prediction.used))
        if doubt := wording.undecided(prediction):
            st.markdown(f":material/help: {doubt}")
        took = _("Predicted in {milliseconds:.0f} ms.").format(milliseconds=prediction.milliseconds)
        st.caption(f"{wording.caution()} {took}")
    return gauge


def _transcript(analysis: Analysis, prediction: Prediction | None) -> None:
    words = analysis.features.words
    contributions = prediction.contributions.get(Modality.LANGUAGE) if prediction else None
    # Without words the stage still moves the playhead over the charts.
    view = spans.view(analysis)
    stage.stage(words, contributions, number=analysis.number, duration=view.end, start=view.start)
    if not words:
        return
    source = _("Typed words") if analysis.features.transcript_source == "given" else _("Words as recognised")
    colours = _("▲ on blue raised the score, ▼ on orange lowered it; click a word to go there")
    legend = colours if contributions is not None else _("not used")
    st.caption(_("{source}; {colours}.").format(source=source, colours=legend))


def _correct(analysis: Analysis) -> None:
    """Let the user correct the words; only the features of the words are extracted again."""
    with st.expander(_("Correct the words"), icon=":material/edit:"), errors.plain_sentences():
        with st.form(f"correct-{analysis.number}", border=False):
            text = st.text_area(
                _("Words of the clip"),
                " ".join(word.text for word in analysis.features.words),
                key=f"words-{analysis.number}",
                help=_("Only the words are encoded again; voice and face stay as they were measured."),
            )
            if not st.form_submit_button(_("Predict with these words"), icon=":material/refresh:"):
                return
        state = session.current()
        state.job = Correction(analysis.whole or analysis, text, owner=state.owner)
        st.rerun()


def _sentences(analysis: Analysis, used: frozenset[Modality]) -> None:
    sentences.table(analysis, used)
    st.caption(
        _(
            "Each sentence is scored on its own. The interval is the one of whole clips, so take it as a hint. A click "
            "on a row plays it, a click on a heading sorts."
        )
    )


def _trend(analysis: Analysis, used: frozenset[Modality], view: spans.View) -> None:
    if analysis.features.duration <= LONG_CLIP_SECONDS:
        return
    st.subheader(_("Score over time"), anchor=False)
    table = alignment_table.windows(analysis.over_time(used))
    stage.chart(
        analysis,
        ("trend", used),
        lambda: over_time.trend(table, view.end, start=view.start),
        alt=_("Score of each window of the clip, from {low} to {high}").format(
            low=wording.signed(table["score"].min()), high=wording.signed(table["score"].max())
        ),
        place="trend",
        keep=not view.zoomed,
    )
    about = _(
        "Each bar is the score of a {seconds:.0f} s window on its own; a gap is a window with nothing to predict from."
    )
    st.caption(about.format(seconds=table["end"].iloc[0] - table["start"].iloc[0]))


def _maps(analysis: Analysis, prediction: Prediction) -> None:
    view = spans.view(analysis)
    alignment_maps.show(analysis, prediction, view=view[:2] if view.zoomed else None)


def _contributions(analysis: Analysis, prediction: Prediction, view: spans.View) -> None:
    st.subheader(_("What moved the score, and when"), anchor=False)
    st.caption(
        _(
            "Gradient times input, in points of the score: what a moment adds (blue) or takes away (orange), to first "
            "order, so the rows need not add up to the score. The number is a row's sum; its strongest moment has the "
            "full colour."
        )
    )

    def strip() -> altair.TopLevelMixin:
        table = alignment_table.contributions(prediction, analysis.features)
        return scores.contribution_strip(table, view.end, start=view.start)

    alt = _("Contribution of each moment to the score, one row per modality")
    name, keep = ("contributions", prediction.used), not view.zoomed
    stage.chart(analysis, name, strip, alt=alt, place="contributions", keep=keep)


def _subsets(analysis: Analysis, prediction: Prediction | None) -> None:
    subset_table.show(analysis, alt=_("Score and class for each of the seven subsets of the modalities"))
    if prediction is not None:
        chart_cache.show(
            analysis,
            ("classes", prediction.used),
            lambda: scores.class_bars(prediction.classes),
            alt=wording.classes_alt(prediction.classes),
        )
        emotions.show(analysis, prediction.used)


def _details(analysis: Analysis) -> None:
    times = {wording.step(name): f"{seconds:.2f}" for name, seconds in analysis.features.step_seconds.items()}
    st.table(
        pd.DataFrame({_("Step"): times.keys(), _("Seconds"): times.values()}),
        hide_index=True,
        border="horizontal",
        width="content",
        alt=_("Seconds that each extraction step took"),
    )
    predictions = analysis.predictions.values()
    how = _("The steps ran earlier in this visit") if analysis.reused else _("Steps run side by side")
    st.caption(
        _(
            "{how}; {total:.1f} s in all for {duration:.1f} s of clip, of which {predicting:.2f} s went into "
            "{count} predictions. Scan: {backend}."
        ).format(
            how=how,
            total=analysis.seconds,
            duration=analysis.features.duration,
            predicting=sum(each.milliseconds for each in predictions) / 1000,
            count=len(predictions),
            backend=next(iter(predictions)).backend,
        )
    )
