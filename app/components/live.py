"""The live view: while one speaks into the camera, the score of the last seconds, again and again.

The browser hands over short recordings, one by one, each of which ends where the last seconds end; each is extracted
and predicted as an upload is. They overlap, so that nothing has to be cut or joined on the server. It keeps them in
memory until the next one comes, and drops them at the end unless one is asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import streamlit as st

from app.charts import over_time, scores
from app.components import chart_cache, recorder
from app.components.result import subset_table
from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, session
from app.services.analysis import Analysis
from app.services.jobs import Job

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

WINDOW_SECONDS = 10  # of the longest recording that is predicted from
MAX_SCORES = 600  # that the curve shows
KEY, CAMERA = "live", "live-camera"  # keys of the session state: the view, and its component

_FRONTEND = Path(__file__).with_name("frontend")
_LIVE = st.components.v2.component(
    "live",
    html="""
    <video id="preview" playsinline hidden></video>
    <button id="begin" type="button"></button>
    <button id="keep" type="button" hidden></button>
    <p id="status" role="status"></p>
    """,
    css=(_FRONTEND / "camera.css").read_text(encoding="utf-8"),
    js="\n".join((_FRONTEND / name).read_text(encoding="utf-8") for name in ("camera.js", "live.js")),
)


class LiveScore(NamedTuple):
    """The score of one recording and its interval."""

    second: float
    """Since the first recording."""
    score: float
    low: float
    high: float


@dataclass(kw_only=True)
class LiveState:
    """What a live view has shown so far.

    Attributes:
        asked: Number of the last recording that came, as the browser counts.
        answered: Number of the last one that was answered.
        began: When the first recording came, by `time.monotonic`.
        job: Analysis of the recording that came last, until it is answered.
        latest: The last analysis.
        problem: Why the last recording has none.
        scores: Of all recordings, the oldest first; at most `MAX_SCORES`.
    """

    asked: int = 0
    answered: int = 0
    began: float = field(default_factory=time.monotonic)
    job: Job | None = None
    latest: Analysis | None = None
    problem: str | None = None
    scores: list[LiveScore] = field(default_factory=list)

    def ask(self, sent: object) -> None:
        """Begin the analysis of what the browser sent; what is no recording is answered at once."""
        number = sent.get("number") if isinstance(sent, dict) else None
        self.end()
        self.asked = number if isinstance(number, int) else self.asked
        try:
            self.job = Job(recorder.received(sent), owner=session.current().owner)
        except Exception as error:
            self._fail(error)

    def collect(self) -> None:
        """Take the analysis that was begun, if it has ended."""
        if self.job is None or not self.job.future.done():
            return
        job, self.job = self.job, None
        try:
            self.latest = job.future.result()
        except Exception as error:
            self._fail(error)
            return
        self.answered, self.problem = self.asked, None
        if self.latest.predictions:
            found = self.latest.predictions[self.latest.available]
            low, high = found.interval or (found.score, found.score)
            self.scores.append(LiveScore(time.monotonic() - self.began, found.score, low, high))
            del self.scores[:-MAX_SCORES]

    def end(self) -> None:
        """Stop the analysis that was begun, if there is one."""
        if self.job is not None:
            self.job.abandon()
            self.job = None

    def _fail(self, error: Exception) -> None:
        self.answered, self.problem = self.asked, errors.sentence(error)


@st.fragment
def show() -> None:
    """Show the live view; a fragment, which runs again whenever the browser sends a recording or asks for its score.

    No run waits for an analysis: while one does, Streamlit holds back what else the browser sends to the fragment, and
    Stop would come late.
    """
    state: LiveState = st.session_state.setdefault(KEY, LiveState())
    state.collect()
    camera, score = st.columns(2, gap="medium")
    with camera:
        sent = _LIVE(
            key=CAMERA,
            data={"seconds": WINDOW_SECONDS, "asked": state.asked, "answered": state.answered, "labels": _labels()},
            on_window_change=_take,
            on_look_change=_nothing,
            on_stopped_change=_nothing,
        )
    if sent.stopped is not None:
        _end(state, keep=isinstance(sent.stopped, dict) and sent.stopped.get("keep") is True)
        return
    if state.problem is not None:
        st.warning(wording.plain(state.problem), icon=":material/error:")
    if state.job is not None and (waiting := state.job.place):
        st.caption(_("Waiting for a free worker · place {place}").format(place=waiting))
    if state.latest is not None:
        _show_latest(state.latest, state.scores, place=score)


def _take() -> None:
    """Take a recording before the run that it causes, so that this run tells the browser that it came.

    Until then the browser sends nothing else, which would take the recording's place where a run is late.
    """
    state: LiveState = st.session_state.setdefault(KEY, LiveState())
    state.ask(st.session_state[CAMERA].window)


def _end(state: LiveState, *, keep: bool) -> None:
    """Drop everything, but for the last recording where that is asked for: it becomes the page's result."""
    state.end()
    del st.session_state[KEY]
    if keep and state.latest is not None:
        session.current().analysis = state.latest
        st.session_state[session.FOLD] = True
        st.rerun()


def _show_latest(analysis: Analysis, earlier: list[LiveScore], *, place: DeltaGenerator) -> None:
    """Show the last recording's score at its place, beside the camera; what it came from, and all scores, below."""
    if not analysis.predictions:
        place.info(_("Nothing to predict from in the last seconds: no face, no voice, no words."))
        return
    prediction = analysis.predictions[analysis.available]
    with place:
        st.metric(
            _("The last {seconds:.0f} seconds").format(seconds=analysis.features.duration),
            wording.signed(prediction.score),
            wording.score_class(prediction.score),
            delta_color="off",
            delta_arrow="off",
        )
        chart_cache.show(
            analysis,
            "live-gauge",
            lambda: scores.gauge(prediction.score, prediction.interval),
            alt=wording.score_alt(prediction.score),
        )
        if doubt := wording.undecided(prediction):
            st.markdown(f":material/help: {doubt}")
        words = " ".join(word.text for word in analysis.features.words)
        heard = _("Heard: {words}").format(words=wording.plain(words)) if words else _("No words were heard.")
        took = _("Analysed in {seconds:.1f} s").format(seconds=analysis.seconds)
        st.caption(f"{heard} · {took}. {wording.caution()}")
    every, curve = st.columns(2, gap="medium")
    with every:
        subset_table.dots(analysis)
    with curve:
        table = pd.DataFrame(earlier)
        chart_cache.show(
            analysis,
            "live-curve",
            lambda: over_time.running(table),
            alt=_("Score of each recording so far, from {low} to {high}").format(
                low=wording.signed(table["score"].min()), high=wording.signed(table["score"].max())
            ),
        )


def _labels() -> dict[str, str]:
    return {
        "begin": _("Start live"),
        "stop": _("Stop"),
        "keep": _("Stop and keep the last seconds"),
        "preview": _("Your camera"),
        "ready": _(
            "Camera and microphone stay off until you press Start. Short recordings of the last {seconds} s then go to "
            "this server one by one, as fast as it answers; Stop drops them all."
        ).format(seconds=WINDOW_SECONDS),
        "waiting": _("the first score comes in a few seconds"),
        "delay": _("scores are {delay} s behind"),
        **recorder.camera_labels(),
    }


def _nothing() -> None:
    """Do nothing: a component's trigger needs a callback, even if the run itself reads it."""
