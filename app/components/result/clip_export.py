"""Export of a clip with its overlay: made on demand in a worker process, with progress, then offered as a download.

The work goes on while the page is used; a fragment of the page looks at it. A run of the script that waited for it
could not be stopped: clicks within a fragment wait until it has run.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING

import streamlit as st

from app.components.progress import seconds_left
from app.export import overlaid
from app.i18n import wording
from app.i18n.translate import _, language
from app.services import errors, session
from app.services.analysis import Analysis
from app.services.errors import PlainError
from app.services.jobs import Overlaying

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction
    from extractors.workers.client import Overlaid

MAKING, KEPT, PROBLEM = "overlaying", "overlaid", "overlaid-problem"  # keys of the session state
FILE = "clip-with-overlay.mp4"
HELD_BYTES = 500_000_000  # of the clips of all sessions
POLL_SECONDS = 0.5


class Making:
    """A clip that is being made; the work stops where its session ends.

    Attributes:
        of: What it shows.
        work: In a worker process.
        share: Of the work that is done.
    """

    def __init__(self, of: Hashable, work: Overlaying) -> None:
        self.of, self.work = of, work
        self.share, self._began = 0.0, time.perf_counter()
        weakref.finalize(self, work.abandon)

    def label(self) -> str:
        """Take new progress and return it in words."""
        for _step, completed, total in self.work.reports():
            self.share = min(completed / total, 1.0)
        seconds = time.perf_counter() - self._began
        text = _("Writing the clip with its overlay · {seconds:.0f} s").format(seconds=seconds)
        if place := self.work.place:
            text = _("Waiting for a free worker · place {place}").format(place=place)
        elif (left := seconds_left(self.share, seconds)) is not None:
            text += " · " + _("about {seconds:.0f} s left").format(seconds=left)
        return text


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


def offer(analysis: Analysis, prediction: Prediction) -> None:
    """Show the button that makes the clip, then its progress, then the download; nothing for a clip without video.

    Args:
        analysis: Of a clip.
        prediction: Whose running score is drawn.
    """
    if not len(analysis.features.video.start):
        return
    if (making := st.session_state.get(MAKING)) is None:
        st.fragment(_offer)(analysis, prediction)
    else:
        # A fragment of its own, which is gone once the clip is made: a poll that comes late would renew the download
        # while somebody clicks it, and Streamlit no longer knows the one that was on screen.
        st.fragment(_watch, run_every=POLL_SECONDS)(making)


def _offer(analysis: Analysis, prediction: Prediction) -> None:
    with errors.plain_sentences():
        of = (analysis.number, prediction.used, language())
        kept: Kept | None = st.session_state.get(KEPT)
        if kept is not None and kept.made is not None and kept.of == of:
            _download(kept, kept.made.left_out, analysis)
            return
        label = _("Make the clip with its overlay (MP4)")
        if st.button(label, icon=":material/movie_edit:", width="stretch", key=f"overlaid-{analysis.number}"):
            _begin(of, analysis, prediction)
        if (problem := st.session_state.get(PROBLEM)) is not None:
            st.error(wording.plain(problem), icon=":material/error:")


def _begin(of: Hashable, analysis: Analysis, prediction: Prediction) -> None:
    st.session_state.pop(PROBLEM, None)
    work = Overlaying(
        analysis.clip,
        overlaid.plan(analysis, prediction),
        audio_track=overlaid.sound_track(analysis),
        owner=session.current().owner,
    )
    st.session_state[MAKING] = Making(of, work)
    st.rerun()


def _watch(making: Making) -> None:
    """Show the progress; keep the result, or the error, once there is one."""
    if making.work.future.done():
        st.session_state.pop(MAKING, None)
        try:
            st.session_state[KEPT] = Kept(making.of, making.work.future.result())
        except Exception as error:
            st.session_state[PROBLEM] = errors.sentence(error)
        st.rerun()
    label = making.label()
    st.progress(making.share, text=label)
    if st.button(_("Cancel"), key="cancel-overlaid", icon=":material/stop_circle:"):
        making.work.abandon()
        st.session_state.pop(MAKING, None)
        st.rerun()


def _download(kept: Kept, left_out: int, analysis: Analysis) -> None:
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
    if left_out:
        st.caption(_("{count} caption(s) are left out: no font here has their letters.").format(count=left_out))
