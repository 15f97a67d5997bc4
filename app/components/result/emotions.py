"""Emotion words beside the score: a small view that is off until it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import Modality, letters
from app.charts import scores
from app.components import chart_cache, notice
from app.i18n import wording
from app.i18n.translate import N_, _
from app.services import model, results
from app.services.analysis import Analysis

if TYPE_CHECKING:
    import numpy as np

NAMES = {
    "neutral": N_("neutral expression"),
    "happy": N_("happy"),
    "sad": N_("sad"),
    "angry": N_("angry"),
    "fearful": N_("fearful"),
    "disgust": N_("disgusted"),
    "surprised": N_("surprised"),
}
MEASURED = "real, left out"  # rows of the figures that the view tells


def show(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the switch, and the words once it is on; nothing for a checkpoint that has none.

    Args:
        analysis: Of a clip.
        used: Modalities that are chosen; only voice and face have emotion words.
    """
    words = analysis.predictor.emotion_words
    if words is None:
        return
    if not st.toggle(_("Emotion words of voice and face"), key=f"emotions-{analysis.number}"):
        return
    found = statistics(analysis)
    chosen = {modality: values for modality, values in found.items() if modality in used}
    if not chosen:
        st.caption(_("Words of a transcript get no emotion words: choose voice or face."))
        return
    st.caption(notice.not_at_work())
    names = [_(NAMES[name]) for name in NAMES]
    probabilities = dict(zip(names, words.probabilities(chosen).tolist(), strict=True))
    chart_cache.show(
        analysis,
        ("emotions", frozenset(chosen)),
        lambda: scores.emotion_bars(names, list(probabilities.values())),
        alt=_("Probability of each emotion word, {likeliest}").format(likeliest=_likeliest(probabilities)),
    )
    st.caption(_about(analysis.checkpoint, frozenset(chosen)))


def statistics(analysis: Analysis) -> dict[Modality, np.ndarray]:
    """Return the clip-level columns of voice and face, of those that the clip has."""
    config = analysis.predictor.config
    counts = {Modality.AUDIO: config.audio_statistics, Modality.VIDEO: config.video_statistics}
    found = {}
    for modality, count in counts.items():
        part = analysis.features.modality(modality)
        if part.valid.any():
            found[modality] = part.values[part.valid][0, -count:]  # the same in every step
    return found


def _likeliest(probabilities: Mapping[str, float]) -> str:
    name = max(probabilities, key=probabilities.__getitem__)
    return f"{name} {wording.share(probabilities[name])}"


def _about(checkpoint: str, chosen: frozenset[Modality]) -> str:
    """Say what the words are, and how often they were right for people who were not trained on."""
    own = _("Classes of acted voices and faces that these measures resemble; the score does not depend on them.")
    try:
        rows = results.read(model.FOLDER / checkpoint / "emotions" / "emotions.json").rows
    except results.RecordError:
        return own
    row = next(r for r in rows if r["people"] == MEASURED and r["modalities"] == letters(chosen))
    measured = _(
        "For {count} acted clips of people whom the model never met, the likeliest word was right in {share} (by "
        "chance {chance})."
    ).format(count=row["n"], share=wording.share(row["balanced_accuracy"]), chance=wording.share(row["chance"]))
    return f"{own} {measured}"
