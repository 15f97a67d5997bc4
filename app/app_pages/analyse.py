"""The page Analyse: choose a clip, follow the steps, read the result."""

from __future__ import annotations

import logging
import time

import streamlit as st

from app.components import live, notice, progress, recorder, result_view
from app.i18n import wording
from app.i18n.translate import N_, _
from app.services import errors, samples, session, upload
from app.services.analysis import Analysis, Clip, predict_all
from app.services.errors import PlainError
from app.services.jobs import Job
from app.services.sharing import links
from extractors.media.probe import configured_limits

# The texts of samples.json, marked for translation.
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

CHOOSER = "chooser"  # key of the session state

log = logging.getLogger(__name__)


def choose_sample() -> Clip | None:
    """Show the samples as cards; return the one whose button was pressed."""
    chosen = None
    with st.grid(5, min_column_width=150, gap="xsmall"):
        for sample in samples.shipped():
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.video(sample.path, format=upload.media_type(sample.file), muted=True, alt=_(sample.description))
                st.markdown(f"**{_(sample.title)}**", help=f"{_(sample.description)} {sample.credit}")
                st.space("stretch")
                if sample.synthetic:
                    st.badge(_("synthetic"), icon=":material/smart_toy:", color="gray")
                if st.button(_("Analyse"), key=f"sample-{sample.name}", icon=":material/play_arrow:", width="stretch"):
                    chosen = samples.of_sample(sample)
    return chosen


def choose_upload() -> Clip | None:
    """Show the upload form, after the notice; return the clip once it is submitted.

    Raises:
        PlainError: If there is no file, or one that is not accepted.
    """
    if not notice.agreed():
        return None
    limits = configured_limits()
    megabytes = limits.file_bytes // upload.MEGABYTE
    with st.form("upload", border=False):
        uploaded = st.file_uploader(
            _(
                "A video or recording of one or several speakers: at most {seconds:.0f} seconds and {megabytes} MB"
            ).format(seconds=limits.seconds, megabytes=megabytes),
            type=list(upload.MIME_TYPES),
            max_upload_size=megabytes,
            key="clip",
        )
        typed = st.text_area(
            _("Transcript (optional, replaces speech recognition)"),
            key="typed",
            placeholder=_("Type what is said in the clip, or leave this empty."),
            height=80,
        )
        captions = st.file_uploader(
            _("Captions (optional, replace speech recognition): SRT, WebVTT and others"),
            type=list(upload.CAPTION_KINDS),
            max_upload_size=upload.MAX_CAPTION_BYTES // upload.MEGABYTE,
            key="captions",
        )
        if not st.form_submit_button(_("Analyse my clip"), icon=":material/play_arrow:"):
            return None
    if uploaded is None:
        raise PlainError(_("Choose a video or sound file first."))
    # The browser checks the size as well, but a request need not come from a browser.
    upload.check_size(uploaded.size, limits)
    written = None if captions is None else captions.getvalue()
    return upload.clip(uploaded.name, uploaded.getvalue(), transcript=typed, captions=written, limits=limits)


def choose_recording() -> Clip | None:
    """Show the recorder or the live view, after the notice; return the recording once it is sent.

    Raises:
        PlainError: If what the browser sent is not accepted.
    """
    if not st.session_state.get(notice.KEY, False):
        st.info(_("Read the notice under “Your own clip” first, then you can record here."), icon=":material/info:")
        return None
    ways = {_("Record, then analyse"): recorder.record, _("Live, while you speak"): live.show}
    way = st.segmented_control(
        _("Camera"),
        list(ways),
        default=next(iter(ways)),
        required=True,
        key="camera-way",
        label_visibility="collapsed",
    )
    return ways[way]()


def greeting() -> Clip | None:
    """Return the sample that a new session begins with: the one that the link names, else the first."""
    if state.greeted or state.analysis is not None:
        return None
    state.greeted = True
    asked = st.query_params.get(links.SAMPLE)
    return samples.of_sample(next((each for each in samples.shipped() if each.name == asked), samples.shipped()[0]))


def from_kept_features(clip: Clip) -> Analysis | None:
    """Predict from kept or precomputed features; None where the features have to be extracted."""
    began = time.perf_counter()
    if (features := state.kept.get(clip)) is not None:
        return predict_all(clip, features, began=began, reused=True)
    if clip.sample is None:
        return None
    try:
        return samples.precomputed(next(each for each in samples.shipped() if each.name == clip.sample))
    except samples.StaleError as error:
        log.warning("%s", error)
        state.remark = _(
            "The precomputed features of this sample do not fit the loaded model; the sample was analysed again."
        )
        return None


def run(clip: Clip) -> Analysis:
    """Analyse a clip in a worker and show its progress; at once where its features exist already."""
    if (analysis := from_kept_features(clip)) is not None:
        return analysis
    return finished(Job(clip, owner=state.owner))


def finished(job: Job) -> Analysis:
    """Show the progress of a job to its end and keep what it extracted, where that is all of the clip."""
    analysis = progress.watch(job)
    if job.extracts:
        state.kept.keep(job.clip, analysis.features)
    return analysis


def choose() -> Clip | None:
    """Show the ways to choose a clip; return the one that was chosen.

    Raises:
        PlainError: If what was sent is not accepted.
    """
    # Closed while there is a result, and then empty: the result has the screen, and nothing else waits to be drawn.
    if st.session_state.pop(session.FOLD, False):
        st.session_state[CHOOSER] = False
    chooser = st.expander(
        _("Choose a clip: samples, your own, camera"), icon=":material/video_library:", on_change="rerun", key=CHOOSER
    )
    if not chooser.open:
        return None
    with chooser:
        from_samples, from_upload, from_camera = st.tabs([_("Samples"), _("Your own clip"), _("Camera")])
        clip = None
        with from_samples, errors.plain_sentences():
            clip = choose_sample()
        with from_upload:
            clip = choose_upload() or clip
        with from_camera:
            return choose_recording() or clip


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("AlignMamba", anchor=False, width="content")
    st.caption(
        _(
            "How positive or negative does a short clip come across? Voice and face are aligned with the words, then "
            "all three are fused into one prediction."
        ),
        width="stretch",
    )
state = session.current()
try:
    chosen = choose()
    clip = chosen or greeting()
    # Empty in later runs, yet there: what is below keeps its place on the page, and an open menu stays open.
    with st.container():
        if state.job is not None:
            job, state.job = state.job, None
            state.problem = state.remark = None
            state.analysis = finished(job)
        elif clip is not None:
            state.problem = state.remark = None
            state.analysis = run(clip)
            links.put(links.SAMPLE, clip.sample)
            if chosen is not None and chosen.sample is not None:
                st.session_state[session.FOLD] = True
                st.rerun()
except Exception as error:
    state.problem = errors.sentence(error)

if state.problem is not None:
    st.error(wording.plain(state.problem), icon=":material/error:")
if state.remark is not None:
    st.info(state.remark, icon=":material/update:")
if state.analysis is not None:
    result_view.show()
