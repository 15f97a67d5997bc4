"""The result of an analysis on screen: score, transcript, maps, the seven subsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from alignmamba.modality import SUBSETS, Modality
from app import alignment, charts, player, state, wording
from app.told import told
from app.translate import N_, _

if TYPE_CHECKING:
    from alignmamba.predictor import Prediction

LONG_TRANSCRIPT = 70  # words, from which the transcript scrolls
TRANSCRIPT_PX = 300
# What may be drawn of the plans: by which ways to solve the transport problem.
PLANS = {
    N_("Relaxed (used by the model)"): (wording.RELAXED,),
    N_("Sinkhorn (both marginals)"): (wording.SINKHORN,),
    N_("Side by side"): (wording.RELAXED, wording.SINKHORN),
}


@st.fragment
def show() -> None:
    """Show the visitor's last result; a fragment, so that toggling a modality redraws this part alone."""
    with state.plain_sentences():
        analysis = state.session().analysis
        _headline(analysis)
        watch, read = st.columns([5, 7], gap="medium")
        if not analysis.predictions:
            with watch:
                player.player(analysis.clip)
            return
        with read:
            used = _choose_modalities(analysis)
            if used:
                _score(analysis.predictions[used])
            else:
                st.info(_("Choose at least one of them."), icon=":material/toggle_on:")
        with watch:
            player.player(analysis.clip)
            _transcript(analysis, analysis.predictions.get(used))
        if used:
            _maps(analysis, analysis.predictions[used])
            _contributions(analysis, analysis.predictions[used])
        _subsets(analysis)
        _details(analysis)


def _headline(analysis: state.Analysis) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(analysis.clip.title, width="content", anchor=False)
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
        st.caption(f":material/info: {wording.plain(told(note))}")


def _choose_modalities(analysis: state.Analysis) -> frozenset[Modality]:
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


def _score(prediction: Prediction) -> None:
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
        st.altair_chart(
            charts.gauge(prediction.score),
            alt=_("Score {score} on a scale from -3 to +3").format(score=wording.signed(prediction.score)),
        )
        st.markdown(wording.verdict(prediction.score, prediction.classes, prediction.used))
        st.altair_chart(
            charts.class_bars(prediction.classes),
            alt=_("Class probabilities, {likeliest} {share}").format(likeliest=_(likeliest), share=share),
        )
        took = _("Predicted in {milliseconds:.0f} ms.").format(milliseconds=prediction.milliseconds)
        st.caption(f"{wording.caution()} {took}")


def _transcript(analysis: state.Analysis, prediction: Prediction | None) -> None:
    if not analysis.features.words:
        return
    contributions = prediction.contributions.get(Modality.LANGUAGE) if prediction else None
    words = analysis.features.words
    with st.container(height=TRANSCRIPT_PX if len(words) > LONG_TRANSCRIPT else "content"):
        player.transcript(words, contributions)
    source = _("Typed words") if analysis.features.transcript_source == "given" else _("Words as recognised")
    colours = _(":blue[blue] raised the score, :orange[orange] lowered it")
    st.caption(f"{source}; {colours if contributions is not None else _('not used')}.")


def _maps(analysis: state.Analysis, prediction: Prediction) -> None:
    if not prediction.alignments:
        return
    st.subheader(_("What the model paired"), anchor=False)
    chosen = st.segmented_control(
        _("Plans"), PLANS, default=next(iter(PLANS)), format_func=_, required=True, key="plans"
    )
    solvers = PLANS[chosen]
    plans = {wording.RELAXED: prediction.alignments}
    if wording.SINKHORN in solvers:
        try:
            with st.spinner(_("Solving the full transport problem")):
                plans[wording.SINKHORN] = analysis.sinkhorn(prediction.used)
        except state.PlainError as error:
            st.info(wording.plain(str(error)), icon=":material/hourglass_disabled:")
            solvers = (wording.RELAXED,)
    st.caption(wording.map_legend(words=prediction.anchor == Modality.LANGUAGE, solvers=solvers))
    tables = [
        alignment.tabulate(plans[solver][source], analysis.features, solver=solver)
        for source in prediction.alignments
        for solver in solvers
    ]
    # Two solvers: a row for each modality; one: all in a row.
    columns = max(len(solvers), len(tables) // len(solvers))
    for first in range(0, len(tables), columns):
        for column, table in zip(st.columns(columns, gap="medium"), tables[first:], strict=False):
            with column:
                _map(table)


def _map(table: alignment.AlignmentTable) -> None:
    st.altair_chart(charts.alignment_map(table), alt=wording.map_summary(table))
    st.caption(wording.map_note(table))


def _contributions(analysis: state.Analysis, prediction: Prediction) -> None:
    table = alignment.contributions(prediction, analysis.features)
    st.subheader(_("What moved the score, and when"), anchor=False)
    st.caption(
        _(
            "Gradient times input, in points of the score: what a moment adds (blue) or takes away (orange), to first "
            "order, so the rows need not add up to the score. The number is a row's sum; its strongest moment has the "
            "full colour."
        )
    )
    chart = charts.contribution_strip(table, analysis.features.duration)
    st.altair_chart(chart, alt=_("Contribution of each moment to the score, one row per modality"))


def _subsets(analysis: state.Analysis) -> None:
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


def _subset_row(analysis: state.Analysis, subset: frozenset[Modality], reference: float) -> dict[str, object]:
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


def _details(analysis: state.Analysis) -> None:
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
