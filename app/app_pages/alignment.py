"""The page Alignment: plans and costs, the frames of a word, distances between the modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from alignmamba.modality import Modality
from app.charts import alignment_table
from app.components import clip_header, player, stage
from app.components.result import alignment_maps
from app.i18n import wording
from app.i18n.translate import N_, _
from app.i18n.wording import Solver
from app.services import errors, session
from app.services.analysis import Analysis
from app.services.errors import PlainError

if TYPE_CHECKING:
    from alignmamba.prediction import Alignment, Prediction

# The choices of the page: which solvers' plans to show.
PLANS: dict[str, tuple[Solver, ...]] = {
    N_("Relaxed (used by the model)"): (wording.RELAXED,),
    N_("Sinkhorn (both marginals)"): (wording.SINKHORN,),
    N_("Side by side"): (wording.RELAXED, wording.SINKHORN),
}

FRAME_PX = 120  # width


@st.fragment
def show() -> None:
    """Show the alignments of the session's last clip."""
    with errors.plain_sentences():
        analysis = session.current().analysis
        prediction = analysis.predictions[analysis.available]
        if not prediction.alignments:
            st.info(
                _("This clip has only one of words, voice and face, so there is nothing to align."),
                icon=":material/visibility_off:",
            )
            return
        watch, read = st.columns([3, 7], gap="medium")
        with watch:
            player.player(analysis.clip, number=analysis.number)
        with read:
            word = _choose_word(analysis, prediction)
            if word is not None and Modality.VIDEO in prediction.alignments:
                _frames(analysis, prediction, word)
        _plans(analysis, prediction)
        _distances(analysis, prediction)


def _choose_word(analysis: Analysis, prediction: Prediction) -> int | None:
    words = analysis.features.words
    contributions = prediction.contributions.get(Modality.LANGUAGE)
    strongest = int(np.abs(contributions).argmax()) if words and contributions is not None else None
    picked = stage.stage(
        words,
        contributions,
        number=analysis.number,
        duration=alignment_table.seconds(analysis.features),
        chosen=strongest,
        picks=bool(words),
    )
    return strongest if picked is None else picked


def _frames(analysis: Analysis, prediction: Prediction, word: int) -> None:
    text = analysis.features.words[word].text
    st.markdown(_("Frames aligned to **{word}**").format(word=wording.plain(text)))
    chosen = alignment_table.moments(prediction.alignments[Modality.VIDEO], analysis.features, word)
    if not chosen:
        st.caption(_("No frame fits this word best: each frame is aligned to one word, so some words get none."))
        return
    with st.spinner(_("Extracting the frames")):
        frames = analysis.stills(chosen)
    # With a fixed width a phone shows them in as many rows as it needs.
    with st.container(horizontal=True, gap="small"):
        for moment, frame in zip(chosen, frames, strict=False):
            when = _("{second:.1f} s").format(second=moment.second)
            alt = _("Frame at {second:.1f} s with the face mesh").format(second=moment.second)
            st.image(frame, caption=when, width=FRAME_PX, alt=alt)


def _plans(analysis: Analysis, prediction: Prediction) -> None:
    st.subheader(_("Plan and cost"), anchor=False)
    chosen = st.segmented_control(
        _("Plans"), PLANS, default=next(iter(PLANS)), format_func=_, required=True, key="plans"
    )
    plans: dict[Solver, dict[str, Alignment]] = {}
    for solver in PLANS[chosen]:
        if solver == wording.RELAXED:
            plans[solver] = prediction.alignments
            continue
        try:
            with st.spinner(_("Solving the full transport problem")):
                plans[solver] = analysis.sinkhorn(prediction.used)
        except PlainError as error:
            st.info(wording.plain(str(error)), icon=":material/hourglass_disabled:")
            plans[wording.RELAXED] = prediction.alignments
    alignment_maps.show(analysis, prediction, plans)


def _distances(analysis: Analysis, prediction: Prediction) -> None:
    st.subheader(_("Similarity after alignment"), anchor=False)
    distances = analysis.distances()
    for modality in wording.DISPLAY_ORDER:
        if modality in prediction.alignments:
            st.markdown(
                "- "
                + wording.distance(
                    modality, anchor=prediction.anchor, mmd=prediction.mmd[modality], a_distance=distances.get(modality)
                )
            )
    st.caption(
        _(
            "MMD² compares the distributions of two sets of vectors: 0 means equal, 2 means nothing in common. The "
            "proxy A-distance says how well a linear classifier separates them, by cross-validation over the words of "
            "this clip alone: 0 is guessing, 2 is never wrong. A short clip has few words, so take it as a hint."
        )
    )


st.title(_("Alignment"), anchor=False)
st.markdown(
    _(
        "Before it predicts, the model aligns every moment of voice and face to a word. Click a word or a map to go "
        "there."
    )
)
analysis = clip_header.opened()
if analysis is not None:
    clip_header.headline(analysis)
    show()
