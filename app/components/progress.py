"""Progress of a running job: a bar and a clock for every step, and a button that stops it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import streamlit as st

from app.i18n import wording
from app.i18n.translate import _
from app.services import session
from app.services.analysis import Analysis
from app.services.jobs import Job, Progress

POLL_SECONDS = 0.15
EARLY_SECONDS = 5.0  # of a step, before which the time left is not estimated; nor where less is left


class ProgressBars:
    """One bar per extraction step, each with its own clock."""

    def __init__(self) -> None:
        self._bars: dict[str, tuple[Any, float]] = {}
        self._shares: dict[str, float] = {}

    def update(self, reports: Iterable[Progress]) -> None:
        """Take new progress and redraw the bars of running steps."""
        running = {step for step, share in self._shares.items() if share < 1}
        for step, completed, total in reports:
            self._bars.setdefault(step, (st.empty(), time.perf_counter()))
            self._shares[step] = min(max(completed / total, 0.0), 1.0) if total else 1.0
            running.add(step)
        for step in running:
            slot, began = self._bars[step]
            text = f"{wording.step(step)} · {time.perf_counter() - began:.1f} s"
            if (left := seconds_left(self._shares[step], time.perf_counter() - began)) is not None:
                text += " · " + _("about {seconds:.0f} s left").format(seconds=left)
            slot.progress(self._shares[step], text=text)


def seconds_left(share: float, elapsed: float) -> float | None:
    """Estimate how long a step still takes at the pace so far; None where it is too early to say, or soon over.

    >>> seconds_left(0.25, 10.0)
    30.0

    Args:
        share: Of the step that is done.
        elapsed: Seconds since it began.
    """
    if not 0 < share < 1 or elapsed < EARLY_SECONDS:
        return None
    left = elapsed * (1 - share) / share
    return left if left >= EARLY_SECONDS else None


def watch(job: Job) -> Analysis:
    """Show a job's progress until it has ended.

    For runs of whole pages: Streamlit lets no click in a fragment interrupt a run of a fragment, so Cancel would act
    when there is nothing left to cancel. A fragment leaves its job to the page (`Session.job`).

    Returns:
        The analysis.

    Raises:
        Exception: Any exception of the job.
    """
    began = time.perf_counter()
    bars = ProgressBars()
    stop = st.empty()
    # A click runs the page again, which ends this run below and the job with it.
    stop.button(_("Cancel"), key="cancel", icon=":material/stop_circle:", on_click=_note_the_stop)
    try:
        with st.status(_("Waiting for a free worker"), expanded=True) as status:
            while not job.future.done():
                bars.update(job.reports())
                if job.future.running():
                    seconds = time.perf_counter() - began
                    status.update(label=_("Analysing · {seconds:.0f} s").format(seconds=seconds), expanded=True)
                elif place := job.place:
                    status.update(label=_("Waiting for a free worker · place {place}").format(place=place))
                time.sleep(POLL_SECONDS)
            bars.update(job.reports())
            try:
                analysis = job.future.result()
            except Exception:
                status.update(label=_("Stopped"), state="error", expanded=False)
                raise
            label = _("Analysed in {seconds:.1f} s").format(seconds=analysis.seconds)
            status.update(label=label, state="complete", expanded=False)
            return analysis
    finally:
        # Reached early, by Streamlit's control flow, when the user has left or clicked something else.
        job.abandon()
        stop.empty()


def _note_the_stop() -> None:
    session.current().remark = _("Stopped. Nothing of this clip was kept.")
