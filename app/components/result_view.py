"""The result of an analysis on screen: score, transcript, maps, the seven subsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair
import pandas as pd
import streamlit as st

from alignmamba.modality import SUBSETS, Modality
from app.charts import alignment_table, over_time, scores, timeline_table
from app.components import alignment_maps, chart_cache, player, progress, stage
from app.export import downloads
from app.i18n import wording
from app.i18n.messages import translated
from app.i18n.translate import _
from app.services import errors, session
from app.services.analysis import Analysis
from app.services.jobs import Correction

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

LONG_CLIP = 10.0  # seconds, from which the score is shown over time


@st.fragment
def show() -> None:
    """Show the visitor's last result; a fragment, so that toggling a modality redraws this part alone."""
    with errors.plain_sentences():
        analysis = session.current().analysis
        _headline(analysis)
        watch, read = st.columns([5, 7], gap="medium")
        if not analysis.predictions:
            with watch:
                player.player(analysis.clip, number=analysis.number)
            with read:
                downloads.buttons(analysis, ())
            return
        with read:
            used = _choose_modalities(analysis)
            if used:
                _score(analysis, analysis.predictions[used])
            else:
                st.info(_("Choose at least one of them."), icon=":material/toggle_on:")
            downloads.buttons(analysis, used)
        with watch:
            player.player(analysis.clip, number=analysis.number)
            _transcript(analysis, analysis.predictions.get(used))
            _correct(analysis)
        if used:
            _trend(analysis, used)
        _timeline(analysis)
        if used:
            _maps(analysis, analysis.predictions[used])
            _contributions(analysis, analysis.predictions[used])
        _subsets(analysis)
        _details(analysis)


def _headline(analysis: Analysis) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(wording.plain(_(analysis.clip.title)), width="content", anchor=False)
        if analysis.clip.synthetic:
            st.badge(_("synthetic clip"), icon=":material/smart_toy:", color="gray")
    absent = [
        wording.absence(modality, analysis.features.modality(modality).absent)
        for modality in wording.DISPLAY_ORDER
        if modality not in analysis.available
    ]
    if absent:
        st.info(
            "  \n".join(absent)
            if analysis.predictions
            else _("There is nothing to judge in this clip. {reasons}").format(reasons=" ".join(absent)),
            icon=":material/visibility_off:",
        )
    for note in analysis.features.notes:
        st.caption(f":material/info: {wording.plain(translated(note))}")


def _choose_modalities(analysis: Analysis) -> frozenset[Modality]:
    available = [modality for modality in wording.DISPLAY_ORDER if modality in analysis.available]
    chosen = st.pills(
        _("Judge by"),
        available,
        selection_mode="multi",
        default=available,
        format_func=lambda modality: f"{wording.ICONS[modality]} {wording.name(modality)}",
        # Another clip starts with all that it has.
        key=f"modalities-{analysis.number}",
    )
    return frozenset(chosen)


def _score(analysis: Analysis, prediction: Prediction) -> None:
    likeliest = max(prediction.classes, key=prediction.classes.__getitem__)
    share = wording.share(prediction.classes[likeliest])
    with st.container(border=True):
        st.metric(
            _("Sentiment, from -3 to +3"),
            wording.signed(prediction.score),
            f"{_(likeliest)} {share}",
            delta_color="off",
            delta_arrow="off",
        )
        chart_cache.show(
            analysis,
            ("gauge", prediction.used),
            lambda: scores.gauge(prediction.score, prediction.interval),
            alt=_("Score {score} on a scale from -3 to +3").format(score=wording.signed(prediction.score)),
        )
        st.markdown(wording.verdict(prediction.score, prediction.classes, prediction.used))
        chart_cache.show(
            analysis,
            ("classes", prediction.used),
            lambda: scores.class_bars(prediction.classes),
            alt=_("Class probabilities, {likeliest} {share}").format(likeliest=_(likeliest), share=share),
        )
        took = _("Predicted in {milliseconds:.0f} ms.").format(milliseconds=prediction.milliseconds)
        st.caption(f"{wording.caution()} {took}")


def _transcript(analysis: Analysis, prediction: Prediction | None) -> None:
    words = analysis.features.words
    contributions = prediction.contributions.get(Modality.LANGUAGE) if prediction else None
    # Without words it still moves the playhead over the charts.
    stage.stage(words, contributions, number=analysis.number, duration=alignment_table.seconds(analysis.features))
    if not words:
        return
    source = _("Typed words") if analysis.features.transcript_source == "given" else _("Words as recognised")
    colours = _(":blue[▲ blue] raised the score, :orange[▼ orange] lowered it; click a word to go there")
    told_by = colours if contributions is not None else _("not used")
    st.caption(_("{source}; {colours}.").format(source=source, colours=told_by))


def _correct(analysis: Analysis) -> None:
    """Let the visitor correct the words; only what depends on them is worked on again."""
    with st.expander(_("Correct the words"), icon=":material/edit:"), errors.plain_sentences():
        with st.form(f"correct-{analysis.number}", border=False):
            text = st.text_area(
                _("Words of the clip"),
                " ".join(word.text for word in analysis.features.words),
                key=f"words-{analysis.number}",
                help=_("Only the words are read again; voice and face stay as they were measured."),
            )
            if not st.form_submit_button(_("Judge with these words"), icon=":material/refresh:"):
                return
        session.current().analysis = progress.watch(Correction(analysis, text))
        st.rerun()


def _trend(analysis: Analysis, used: frozenset[Modality]) -> None:
    if analysis.features.duration <= LONG_CLIP:
        return
    st.subheader(_("How the score went"), anchor=False)
    table = alignment_table.windows(analysis.over_time(used))
    stage.chart(
        analysis,
        ("trend", used),
        lambda: over_time.trend(table, alignment_table.seconds(analysis.features)),
        alt=_("Score of each window of the clip, from {low} to {high}").format(
            low=wording.signed(table["score"].min()), high=wording.signed(table["score"].max())
        ),
        place="trend",
    )
    about = _("Each bar is a window of {seconds:.0f} s, judged by itself; a gap is a window with nothing to judge by.")
    st.caption(about.format(seconds=table["end"].iloc[0] - table["start"].iloc[0]))


def _timeline(analysis: Analysis) -> None:
    curves = timeline_table.rows(analysis.features)
    if not curves:
        return
    names = [row.name for row in curves]
    st.subheader(_("What was heard and seen"), anchor=False)
    stage.chart(
        analysis,
        "timeline",
        lambda: over_time.timeline(timeline_table.tabulate(curves), names, alignment_table.seconds(analysis.features)),
        alt=_("Measured over the clip: {names}").format(names=wording.join(names)),
        place="timeline",
    )


def _maps(analysis: Analysis, prediction: Prediction) -> None:
    if not prediction.alignments:
        return
    st.subheader(_("What the model paired"), anchor=False)
    alignment_maps.show(analysis, prediction)


def _contributions(analysis: Analysis, prediction: Prediction) -> None:
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
        return scores.contribution_strip(table, alignment_table.seconds(analysis.features))

    alt = _("Contribution of each moment to the score, one row per modality")
    stage.chart(analysis, ("contributions", prediction.used), strip, alt=alt, place="contributions")


def _subsets(analysis: Analysis) -> None:
    best = analysis.predictions[analysis.available]
    complete = len(analysis.available) == len(Modality)
    reference = _("all three") if complete else wording.subset(analysis.available).lower()
    st.subheader(_("Every combination of words, voice and face"), anchor=False)
    st.dataframe(
        pd.DataFrame([_subset_row(analysis, subset, best.score) for subset in SUBSETS]),
        hide_index=True,
        alt=_("Score and class for each of the seven subsets of the modalities"),
        column_config={
            "Score": st.column_config.NumberColumn(_("Score"), format="%+.2f", width="small"),
            "Difference": st.column_config.NumberColumn(
                _("Difference to {reference}").format(reference=reference), format="%+.2f"
            ),
            "Remark": None if complete else _("Remark"),
            "Judged by": _("Judged by"),
            "Class": _("Class"),
        },
        placeholder="",
    )


def _subset_row(analysis: Analysis, subset: frozenset[Modality], reference: float) -> dict[str, object]:
    prediction = analysis.predictions.get(subset)
    row: dict[str, object] = {"Judged by": wording.subset(subset), "Score": None, "Class": "", "Difference": None}
    if prediction is not None:
        likeliest = max(prediction.classes, key=prediction.classes.__getitem__)
        row |= {
            "Score": prediction.score,
            "Class": f"{_(likeliest)} {wording.share(prediction.classes[likeliest])}",
            "Difference": prediction.score - reference,
        }
    return row | {"Remark": wording.missing_from(subset, analysis.available)}


def _details(analysis: Analysis) -> None:
    with st.expander(_("How long it took"), icon=":material/timer:"):
        times = {wording.step(name): f"{seconds:.2f}" for name, seconds in analysis.features.step_seconds.items()}
        st.table(
            pd.DataFrame({_("Step"): times.keys(), _("Seconds"): times.values()}),
            hide_index=True,
            border="horizontal",
            width="content",
            alt=_("Seconds that each extraction step took"),
        )
        predictions = analysis.predictions.values()
        how = _("The steps were taken earlier in this visit") if analysis.again else _("Steps run side by side")
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
