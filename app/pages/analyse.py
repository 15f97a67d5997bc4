"""Analyse a clip: choose one, watch the steps, read the result."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import streamlit as st

from app import player, result, state, wording
from app.translate import N_, _
from extractors.media import LIMITS

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
MEGABYTE = 1_000_000
MAX_MEGABYTES = LIMITS.file_bytes // MEGABYTE
POLL_SECONDS = 0.15
# What samples.json says.
SAMPLE_TEXTS = (
    N_("Delighted"),
    N_("Glad words, a lively voice and a smile."),
    N_("Disappointed"),
    N_("Bitter words, a flat voice and a frown."),
    N_("Matter of fact"),
    N_("Plain facts, said plainly."),
    N_("Without sound"),
    N_("A smile only: the clip has no sound, so voice and words are absent."),
    N_("Without a face"),
    N_("Glad words over a landscape: no face is there, so only voice and words count."),
)


@st.cache_data(show_spinner=False)
def samples() -> list[dict[str, Any]]:
    """Read what the shipped samples are."""
    return json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))


def choose_sample() -> state.Clip | None:
    """Show the samples as cards; return the one whose button was pressed."""
    chosen = None
    with st.grid(5, min_column_width=150, gap="xsmall"):
        for sample in samples():
            path, title, description = SAMPLES / sample["file"], sample["title"], sample["description"]
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.video(path, format=player.mime_type(path.name), muted=True, alt=_(description))
                st.markdown(f"**{_(title)}**", help=f"{_(description)} {sample['credit']}")
                st.space("stretch")
                if sample["synthetic"]:
                    st.badge(_("synthetic"), icon=":material/smart_toy:", color="gray")
                if st.button(_("Analyse"), key=f"sample-{path.stem}", icon=":material/play_arrow:", width="stretch"):
                    chosen = state.Clip(
                        title=_(title),
                        data=path.read_bytes(),
                        mime=player.mime_type(path.name),
                        synthetic=sample["synthetic"],
                    )
    return chosen


def choose_upload() -> state.Clip | None:
    """Show the upload form; return the clip once it is submitted.

    Raises:
        PlainError: If there is no file, or one that is not taken.
    """
    with st.form("upload", border=False):
        st.caption(wording.notice())
        uploaded = st.file_uploader(
            _("A video of one speaker: at most {seconds:.0f} seconds and {megabytes} MB").format(
                seconds=LIMITS.seconds, megabytes=MAX_MEGABYTES
            ),
            type=list(player.MIME_TYPES),
            max_upload_size=MAX_MEGABYTES,
            key="clip",
        )
        typed = st.text_area(
            _("Transcript (optional, replaces speech recognition)"),
            key="typed",
            placeholder=_("Type what is said in the clip, or leave this empty."),
            height=80,
        )
        if not st.form_submit_button(_("Analyse my clip"), type="primary", icon=":material/play_arrow:"):
            return None
    if uploaded is None:
        raise state.PlainError(_("Choose a video file first."))
    # The browser checks these two as well, but a request need not come from a browser.
    if (mime := player.mime_type(uploaded.name)) is None:
        raise state.PlainError(
            _("This kind of file is not taken, expected one of: {kinds}.").format(kinds=", ".join(player.MIME_TYPES))
        )
    if uploaded.size > LIMITS.file_bytes:
        raise state.PlainError(
            _("This file has {size:.0f} MB; the limit is {limit} MB. Cut it and try again.").format(
                size=uploaded.size / MEGABYTE, limit=MAX_MEGABYTES
            )
        )
    return state.Clip(title=_("Your clip"), data=uploaded.getvalue(), mime=mime, transcript=typed.strip() or None)


class ProgressBars:
    """One bar per extraction step, each with its own clock."""

    def __init__(self) -> None:
        self._bars: dict[str, tuple[Any, float]] = {}
        self._shares: dict[str, float] = {}

    def draw(self, reports: Iterable[state.Progress]) -> None:
        """Take new reports and redraw the bars of steps that are under way."""
        running = {step for step, share in self._shares.items() if share < 1}
        for step, completed, total in reports:
            self._bars.setdefault(step, (st.empty(), time.perf_counter()))
            self._shares[step] = min(max(completed / total, 0.0), 1.0) if total else 1.0
            running.add(step)
        for step in running:
            slot, began = self._bars[step]
            slot.progress(self._shares[step], text=f"{wording.step(step)} · {time.perf_counter() - began:.1f} s")


def run(clip: state.Clip) -> state.Analysis:
    """Analyse a clip in a worker thread and draw its progress meanwhile; at once where its features are kept."""
    began = time.perf_counter()
    if (features := visitor.kept.get(clip)) is not None:
        return state.judge(clip, features, began=began, again=True)
    job = state.Job(clip)
    bars = ProgressBars()
    try:
        with st.status(_("Waiting for a free place"), expanded=True) as status:
            while not job.future.done():
                bars.draw(job.reports())
                if job.future.running():
                    status.update(
                        label=_("Analysing · {seconds:.0f} s").format(seconds=time.perf_counter() - began),
                        expanded=True,
                    )
                time.sleep(POLL_SECONDS)
            bars.draw(job.reports())
            try:
                analysis = job.future.result()
            except Exception:
                status.update(label=_("Stopped"), state="error", expanded=False)
                raise
            visitor.kept.keep(clip, analysis.features)
            status.update(
                label=_("Analysed in {seconds:.1f} s").format(seconds=analysis.seconds),
                state="complete",
                expanded=False,
            )
            return analysis
    finally:
        # Reached early, by Streamlit's own control flow, when the visitor has left or asked for something else.
        job.abandon()


st.title("AlignMamba")
st.markdown(
    _(
        "How positive or negative does a short clip come across? Voice and face are aligned with the words, then "
        "judged together."
    )
)
from_samples, from_upload = st.tabs([_("Samples"), _("Your own clip")])
visitor = state.session()
clip = None
with from_samples, state.plain_sentences():
    clip = choose_sample()
try:
    with from_upload:
        clip = choose_upload() or clip
    if clip is not None:
        visitor.problem = None
        visitor.analysis = run(clip)
except Exception as error:
    visitor.problem = state.sentence(error)

if visitor.problem is not None:
    st.error(wording.plain(visitor.problem), icon=":material/error:")
if visitor.analysis is not None:
    result.show()
