"""The page About: how it works, the model card, limits, licences and privacy."""

from __future__ import annotations

import streamlit as st

from app.charts import diagram
from app.components import clip_header, modality_pills, notice
from app.i18n import wording
from app.i18n.translate import SOURCE, _, language
from app.services import documents, errors, model, session

CARD = model.CHECKPOINT / "README.md"
GRAPH_PX = 680  # width; less on a narrow screen


def how() -> None:
    """Show the model from features to score, with the tensor shapes of the current clip."""
    st.markdown(
        _(
            "Three encoders process voice, face and words. **Local alignment**: every moment of voice and face is "
            "transported to the word that fits it best (relaxed optimal transport). **Global alignment**: in training, "
            "a loss (MMD) made the distributions of the modalities alike. **Fusion**: the aligned steps are "
            "interleaved by time and processed by Mamba, whose cost grows linearly with the length, not quadratically."
        )
    )
    analysis = clip_header.opened()
    if analysis is None:
        return
    clip_header.headline(analysis)
    used = modality_pills.choose(analysis, page="about")
    if not used:
        modality_pills.none_chosen()
        return
    shapes, prediction = analysis.predictor.shapes(used), analysis.predictions[used]
    graph = diagram.dot(shapes, prediction, fusion_layers=analysis.predictor.config.fusion_layers)
    st.graphviz_chart(graph, width=GRAPH_PX, alt=diagram.described(shapes, prediction))
    st.caption(_("Shapes of this clip, read from the tensors: steps × features. Dotted: what a plan compares with."))


def card() -> None:
    """Show the checkpoint's model card."""
    if language() != SOURCE:
        st.caption(_("The model card is written in English."))
    with st.expander(
        _("Sizes and settings of this checkpoint (our choice: the paper names none)"), icon=":material/tune:"
    ):
        config = model.default().config.to_dict()
        settings = {_("Setting"): list(config), _("Value"): [_text(value) for value in config.values()]}
        st.table(settings, hide_index=True, border="horizontal", width="content", alt=_("Settings of the model"))
    st.markdown(documents.read(CARD, below=1))


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def limits() -> None:
    """Show what the model cannot do."""
    points = [
        _("It reads English; speech in other languages is translated by a machine first, and the app says so."),
        _("The voices and faces it learnt from were acted by few people, all adults, most of them white."),
        _(
            "It has never seen one person's words, voice and face together: sarcasm, restraint and mixed feelings are "
            "beyond it. Voice alone is weak."
        ),
        _("A score is what a model reads from a performance. Culture, illness, acting and a bad camera mislead it."),
        _("Contributions and maps show what moved the model, not what moved the person."),
    ]
    st.markdown(wording.bullets(points))
    st.header(_("Before you use it on people"), anchor=False)
    notice.show()


def licences() -> None:
    """Show the licences of code, weights and parts."""
    if language() != SOURCE:
        st.caption(_("This part is written in English."))
    st.markdown(documents.section(documents.readme(), "Licences"))


def privacy() -> None:
    """Show what is stored, where and for how long."""
    points = [
        _("Uploads are kept in a folder that only this program can read while they are analysed, then deleted."),
        _(
            "The features of your last {count} clips stay in memory, so that a repeat is quick. They are gone when "
            "your visit ends."
        ).format(count=session.KEPT_CLIPS),
        _(
            "Nothing is stored on disk permanently, nothing is sent anywhere, and visits are not counted. The models "
            "run on this machine."
        ),
        _("Voices are compared within a clip to tell its speakers apart; what describes a voice is not kept."),
        _("A link holds the language, a sample, the modalities and the tab; never a clip, words or a score."),
        _("Errors are logged with an id and without your clip."),
    ]
    st.markdown(wording.bullets(points))


st.title(_("About"), anchor=False)
PARTS = {
    _("How it works"): how,
    _("Model card"): card,
    _("Limits"): limits,
    _("Licences"): licences,
    _("Privacy"): privacy,
}
for tab, show in zip(st.tabs(list(PARTS)), PARTS.values(), strict=True):
    with tab, errors.plain_sentences():
        show()
