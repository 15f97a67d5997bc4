"""About: how it works, what the model is and is not, licences and privacy."""

from __future__ import annotations

import streamlit as st

from app.charts import diagram
from app.components import clip_header, notice
from app.i18n import wording
from app.i18n.translate import SOURCE, _, language
from app.services import documents, errors, model, session

CARD = model.CHECKPOINT / "README.md"
GRAPH_PX = 680  # at most; a narrow screen makes it narrower


def how() -> None:
    """Show the way from a clip to its score, with the shapes of the clip at hand."""
    st.markdown(
        _(
            "Three encoders read voice, face and words. **Local alignment**: every moment of voice and face is carried "
            "to the word that fits it best (optimal transport, relaxed). **Global alignment**: while the model was "
            "trained, a loss (MMD) made the senses look alike. **Fusion**: the aligned steps are interleaved by time, "
            "and Mamba, whose cost grows with the length and not with its square, reads them."
        )
    )
    analysis = clip_header.opened()
    if analysis is None or not analysis.predictions:
        clip_header.offer()
        return
    clip_header.headline(analysis)
    available = [modality for modality in wording.DISPLAY_ORDER if modality in analysis.available]
    chosen = st.pills(
        _("Judge by"),
        available,
        selection_mode="multi",
        default=available,
        format_func=lambda modality: f"{wording.ICONS[modality]} {wording.name(modality)}",
        key=f"about-senses-{analysis.number}",
    )
    used = frozenset(chosen)
    if not used:
        st.info(_("Choose at least one of them."), icon=":material/toggle_on:")
        return
    shapes, prediction = analysis.predictor.shapes(used), analysis.predictions[used]
    graph = diagram.dot(shapes, prediction, fusion_layers=analysis.predictor.config.fusion_layers)
    st.graphviz_chart(graph, width=GRAPH_PX, alt=diagram.described(shapes, prediction))
    st.caption(_("Shapes of this clip, read from the tensors: steps × features. Dotted: what a plan compares with."))


def card() -> None:
    """Show the model card that lies beside the weights."""
    if language() != SOURCE:
        st.caption(_("The model card is written in English."))
    with st.expander(
        _("Sizes and settings of this checkpoint (our choice: the paper names none)"), icon=":material/tune:"
    ):
        config = model.default().config.to_dict()
        settings = {_("Setting"): list(config), _("Value"): [_shown(value) for value in config.values()]}
        st.table(settings, hide_index=True, border="horizontal", width="content", alt=_("Settings of the model"))
    st.markdown(documents.read(CARD, below=1))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def limits() -> None:
    """Say what it cannot do."""
    points = [
        _("It reads English; speech in other languages is translated by a machine first, and the app says so."),
        _("Voices and faces that it learnt from were acted, by few people, adults, most of them white."),
        _(
            "It has never seen one person's words, voice and face together: sarcasm, restraint and mixed feelings are "
            "beyond it. Voice alone is weak."
        ),
        _("A score is what a model reads from a performance. Culture, illness, acting and a bad camera mislead it."),
        _("Contributions and maps show what moved the model, not what moved the person."),
    ]
    st.markdown("\n".join(f"- {point}" for point in points))
    st.header(_("Before you use it on people"), anchor=False)
    notice.show()


def licences() -> None:
    """Show the licences of code, weights and parts."""
    if language() != SOURCE:
        st.caption(_("This part is written in English."))
    st.markdown(documents.section(documents.ROOT / "README.md", "Licences"))


def privacy() -> None:
    """Say what is kept, where and how long."""
    points = [
        _("Uploads lie in a folder that only this program may read, while they are analysed; then they are deleted."),
        _(
            "Measured features of your last {count} clips stay in memory, so that asking again is quick. They are gone "
            "when the visit ends."
        ).format(count=session.KEPT_CLIPS),
        _(
            "Nothing is written to disk for good, nothing is sent to anybody, nobody is counted. The models run on "
            "this machine."
        ),
        _("A link carries the language, a sample, the senses and the tab; never a clip, words or a score."),
        _("Errors are logged with an id and without your clip."),
    ]
    st.markdown("\n".join(f"- {point}" for point in points))


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
