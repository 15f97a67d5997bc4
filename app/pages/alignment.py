"""Which moments of voice and face the model matched to which word: plans, costs, the frames of a word, distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import maps, player, stage, state, wording
from app.alignment import seconds
from app.translate import N_, _

if TYPE_CHECKING:
    from alignmamba.predictor import Alignment, Prediction

# What may be drawn of the plans: by which ways to solve the transport problem.
PLANS = {
    N_("Relaxed (used by the model)"): (wording.RELAXED,),
    N_("Sinkhorn (both marginals)"): (wording.SINKHORN,),
    N_("Side by side"): (wording.RELAXED, wording.SINKHORN),
}


@st.fragment
def show() -> None:
    """Show the alignments of the visitor's last clip."""
    with state.plain_sentences():
        analysis = state.session().analysis
        prediction = analysis.predictions[analysis.available]
        st.subheader(wording.plain(_(analysis.clip.title)), anchor=False)
        if not prediction.alignments:
            st.info(
                _("This clip has only one of words, voice and face, so there is nothing to align."),
                icon=":material/visibility_off:",
            )
            return
        _words(analysis, prediction)
        _plans(analysis, prediction)


def _words(analysis: state.Analysis, prediction: Prediction) -> None:
    watch, read = st.columns([3, 7], gap="medium")
    with watch:
        player.player(analysis.clip, number=analysis.number)
    with read:
        stage.stage(
            analysis.features.words,
            prediction.contributions.get("language"),
            number=analysis.number,
            duration=seconds(analysis.features),
            picks=True,
        )


def _plans(analysis: state.Analysis, prediction: Prediction) -> None:
    chosen = st.segmented_control(
        _("Plans"), PLANS, default=next(iter(PLANS)), format_func=_, required=True, key="plans"
    )
    plans: dict[str, dict[str, Alignment]] = {}
    for solver in PLANS[chosen]:
        if solver == wording.RELAXED:
            plans[solver] = prediction.alignments
            continue
        try:
            with st.spinner(_("Solving the full transport problem")):
                plans[solver] = analysis.sinkhorn(prediction.used)
        except state.PlainError as error:
            st.info(wording.plain(str(error)), icon=":material/hourglass_disabled:")
            plans[wording.RELAXED] = prediction.alignments
    maps.show(analysis, prediction, plans)


st.title(_("Alignment"))
st.markdown(
    _(
        "Before it judges, the model matches every moment of voice and face to a word. Click a word or a map to go "
        "there."
    )
)
if state.session().analysis is None or not state.session().analysis.predictions:
    st.info(_("Analyse a clip first; its alignments are shown here."), icon=":material/movie:")
    st.page_link("pages/analyse.py", label=_("Choose a clip"), icon=":material/arrow_forward:")
else:
    show()
