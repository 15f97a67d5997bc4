"""Export of a clip with its overlay: made on demand in a worker process, with progress, then offered as a download."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING

import streamlit as st

from app.components import progress
from app.export import overlaid
from app.i18n.translate import _, language
from app.services import errors, session
from app.services.analysis import Analysis
from app.services.errors import PlainError
from app.services.jobs import Overlaying

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction
    from extractors.workers.client import Overlaid

KEPT = "overlaid"  # key of the session state: the clip that was made last
FILE = "clip-with-overlay.mp4"
HELD_BYTES = 500_000_000  # of the clips of all sessions


class Kept:
    """A clip that was made, for as long as its session lives and there is room.

    Attributes:
        of: What it shows.
        made: None once it had to make room.
    """

    def __init__(self, of: Hashable, made: Overlaid) -> None:
        self.of = of
        self.made: Overlaid | None = made
        with _lock:
            _all.append(weakref.ref(self))
            kept = [each for each in (known() for known in _all) if each is not None and each.made is not None]
            while sum(map(_size, kept)) > HELD_BYTES:
                kept.pop(0).made = None
            _all[:] = map(weakref.ref, kept)

    def content(self) -> bytes:
        """Return the file.

        Raises:
            PlainError: If it had to make room.
        """
        if self.made is None:
            raise PlainError(_("This file is no longer kept; please make it again."))
        return self.made.data


def _size(kept: Kept) -> int:
    return 0 if kept.made is None else len(kept.made.data)


_all: list[weakref.ref[Kept]] = []  # the oldest first
_lock = threading.Lock()


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
        kept: Kept | None = st.session_state.get(KEPT)
        if kept is None or kept.made is None or kept.of != of:
            kept = _made(of, analysis, prediction)
        if kept is not None:
            _download(kept, analysis)


def _made(of: Hashable, analysis: Analysis, prediction: Prediction) -> Kept | None:
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
    st.session_state[KEPT] = kept = Kept(of, made)
    return kept


def _download(kept: Kept, analysis: Analysis) -> None:
    st.download_button(
        _("Clip with overlay (MP4)"),
        kept.content,
        file_name=FILE,
        mime="video/mp4",
        icon=":material/movie:",
        on_click="ignore",
        width="stretch",
        key=f"export-{FILE}-{analysis.number}",
    )
    if kept.made is not None and kept.made.left_out:
        text = _("{count} caption(s) are left out: no font here has their letters.")
        st.caption(text.format(count=kept.made.left_out))
