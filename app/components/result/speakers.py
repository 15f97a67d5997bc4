"""Speakers on screen: a row each, with an editable name, a score of their own, and their turns over the clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import Modality
from app.components.result import sentences
from app.i18n import wording
from app.i18n.translate import _
from app.services import session
from app.services.analysis import Analysis, renamed
from extractors.language.transcript import printable
from extractors.vision import lips

if TYPE_CHECKING:
    from alignmamba.prediction import SegmentScore

MAX_NAME = 40  # characters


def show(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the speakers of a clip that has several.

    Args:
        analysis: Of the clip.
        used: The subset on screen.
    """
    subsets = [used, *(frozenset({modality}) for modality in wording.DISPLAY_ORDER if {modality} < used)]
    columns = {subset: analysis.speaker_scores(subset) for subset in subsets}
    faces = lips.whose(analysis.features.video, analysis.speakers)
    for place, speaker in enumerate(analysis.speakers):
        scores = {subset: found[place] for subset, found in columns.items()}
        _row(analysis, speaker, scores, own_face=faces[speaker])
    unclear = [turn for turn in analysis.turns if turn.speaker is None]
    if unclear:
        seconds = sum(turn.end - turn.start for turn in unclear)
        told = _("Not told apart: {seconds:.1f} s of speech, where voices overlap or speech is too short.")
        st.caption(told.format(seconds=seconds))
    st.caption(
        _(
            "A speaker's score comes from all turns of that person together, the number in a turn from that turn "
            "alone. Give two speakers the same name if they are one person."
        )
    )


def _row(
    analysis: Analysis,
    speaker: str,
    scores: dict[frozenset[Modality], SegmentScore | None],
    *,
    own_face: bool | None,
) -> None:
    used, first = next(iter(scores.items()))
    with st.container(border=True):
        who, score, over_time = st.columns([3, 2, 7], gap="small", vertical_alignment="center")
        with who:
            _name(analysis, speaker)
        with score:
            low_high = ""
            if first is not None and first.interval is not None:
                low_high = sentences.between(first.interval)
            st.metric(
                _("Score"),
                "–" if first is None else wording.signed(first.score),
                low_high or None,
                delta_color="off",
                delta_arrow="off",
            )
        with over_time:
            sentences.turns(analysis, used, speaker)
            st.caption(_summary(analysis.speakers[speaker], scores))
            if Modality.VIDEO in analysis.available:
                st.caption(_face(own_face))


def _summary(turns: tuple[tuple[float, float], ...], scores: dict[frozenset[Modality], SegmentScore | None]) -> str:
    """Say how long somebody speaks, and the score from each modality alone."""
    seconds = sum(end - start for start, end in turns)
    parts = [_("{seconds:.1f} s in {count} turn(s)").format(seconds=seconds, count=len(turns))]
    alone = {subset: score for subset, score in scores.items() if len(subset) == 1}
    parts += [
        f"{wording.subset(subset)} {'–' if score is None else wording.signed(score.score)}"
        for subset, score in alone.items()
    ]
    return wording.plain(" · ".join(parts))


def _face(own: bool | None) -> str:
    """Say whose face is in view in a speaker's turns."""
    if own is None:
        return _("Whose face is in view here cannot be told: it is not seen long enough, or its lips hardly move.")
    if own:
        return _("The lips of the face in view move here: it is taken for this speaker's.")
    return _("The lips of the face in view rest here: it is another speaker's, and is left out of this score.")


def _name(analysis: Analysis, speaker: str) -> None:
    """Let the user name a speaker; the name stays with the clip for the session."""
    shown = wording.speaker(speaker)
    typed = st.text_input(
        _("Name of the speaker"), shown, max_chars=MAX_NAME, key=f"speaker-{analysis.number}-{speaker}"
    )
    name = " ".join(printable(typed or "").split())[:MAX_NAME]
    if not name or name == shown:
        return
    state = session.current()
    state.analysis = renamed(analysis, speaker, name)
    state.kept.keep(analysis.clip, (state.analysis.whole or state.analysis).features)
    st.rerun()
