"""Export of a clip with its overlay: made on demand in a worker process, with progress, then offered as a download."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from app.components import progress
from app.export import overlaid
from app.i18n.translate import _, language
from app.services import errors, session
from app.services.analysis import Analysis
from app.services.jobs import Overlaying

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction
    from extractors.workers.client import Overlaid

KEPT = "overlaid"  # key of the session state: the clip that was made last
FILE = "clip-with-overlay.mp4"


class _Kept(NamedTuple):
    of: Hashable
    made: Overlaid


@st.fragment
def offer(analysis: Analysis, prediction: Prediction) -> None:
    """Show the button that makes the clip, then the one that downloads it; nothing where the clip has no video.

    Args:
        analysis: Of a clip.
        prediction: Whose running score is drawn.
    """
    if not len(analysis.features.video.start):
        return
    with errors.plain_sentences():
        of = (analysis.number, prediction.used, language())
        kept: _Kept | None = st.session_state.get(KEPT)
        if kept is None or kept.of != of:
            kept = _made(of, analysis, prediction)
        if kept is not None:
            _download(kept.made, analysis)


def _made(of: Hashable, analysis: Analysis, prediction: Prediction) -> _Kept | None:
    """Show the button; return the clip once it was pressed and the work is done."""
    place = st.empty()
    label = _("Make the clip with its overlay (MP4)")
    if not place.button(label, icon=":material/movie_edit:", width="stretch", key=f"overlaid-{analysis.number}"):
        return None
    place.empty()
    work = Overlaying(
        analysis.clip,
        overlaid.plan(analysis, prediction),
        audio_track=overlaid.sound_track(analysis),
        owner=session.current().owner,
    )
    made = progress.follow(
        work,
        running=_("Writing the clip with its overlay · {seconds:.0f} s"),
        done=lambda _made: _("The clip with its overlay is ready."),
    )
    st.session_state[KEPT] = kept = _Kept(of, made)
    return kept


def _download(made: Overlaid, analysis: Analysis) -> None:
    st.download_button(
        _("Clip with overlay (MP4)"),
        lambda: made.data,
        file_name=FILE,
        mime="video/mp4",
        icon=":material/movie:",
        on_click="ignore",
        width="stretch",
        key=f"export-{FILE}-{analysis.number}",
    )
    if made.left_out:
        text = _("{count} caption(s) are left out: no font here has their letters.")
        st.caption(text.format(count=made.left_out))
