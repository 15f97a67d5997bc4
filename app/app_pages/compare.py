"""The page Compare: two clips or two checkpoints side by side, word by word; and pinned results."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.components import clip_header, notice, progress
from app.components.result import comparison, pinned
from app.i18n import wording
from app.i18n.translate import N_, _
from app.services import errors, model, samples, session, upload
from app.services.analysis import Analysis
from app.services.jobs import Job
from app.services.sharing import links, pins
from app.services.sharing.checkpoints import Reanalysis
from extractors.media.probe import configured_limits

VIEWS = {"clips": N_("Two clips"), "checkpoints": N_("Two checkpoints"), "pins": N_("Pinned results")}
Place = Literal["first", "second"]
PLACES: tuple[Place, Place] = ("first", "second")
PARAMETERS: dict[Place, links.Parameter] = {"first": links.SAMPLE, "second": links.SECOND}
CURRENT, OWN = "current", "own"  # choices beside the samples' names; no sample has one of them
KEPT_ANALYSES = 6  # of a session, by other checkpoints; the oldest makes room


def choose_view() -> str:
    """Show the choice of what is compared; the pins come first where there are some."""
    asked = links.checked(lambda: links.choice(links.TAB, VIEWS), links.TAB)
    first = "pins" if pins.all_pins() else next(iter(VIEWS))
    view = st.segmented_control(
        _("Compare"),
        VIEWS,
        default=asked or first,
        required=True,
        format_func=lambda name: _(VIEWS[name]),
        label_visibility="collapsed",
        key="compare-view",
    )
    links.put(links.TAB, None if view == next(iter(VIEWS)) and not pins.all_pins() else view)
    return view


def two_clips() -> None:
    """Show two clips side by side: samples, the current clip, or files of the user."""
    st.markdown(_("Choose two clips: each may be a sample, the clip of the other pages, or a file of your own."))
    columns = st.columns(2, gap="medium")
    choices = []
    for column, place in zip(columns, PLACES, strict=True):
        with column:
            choices.append(choose_clip(place))
    if OWN in choices and not notice.agreed():
        return
    found = []
    for column, place, choice in zip(columns, PLACES, choices, strict=True):
        with column, errors.plain_sentences():
            found.append(opened(place, choice))
    first, second = found if len(found) == len(PLACES) else (None, None)
    if first is None or second is None:
        return
    if first.clip.content == second.clip.content:
        st.info(_("These are the same clip. Choose another one for one of the sides."), icon=":material/info:")
        return
    comparison.show((first, second), (f"A: {_(first.clip.title)}", f"B: {_(second.clip.title)}"), one_clip=False)


def choose_clip(place: Place) -> str:
    """Show the choice of one side; a link may name its sample."""
    current, parameter = session.current().analysis, PARAMETERS[place]
    shipped = {sample.name: sample.title for sample in samples.shipped()}
    own = {CURRENT: current.clip.title} if current is not None and current.clip.sample is None else {}
    names = {**own, **shipped, OWN: N_("A file of your own")}
    here = current.clip.sample if current is not None and not own else next(iter(names))
    other = next(name for name in shipped if name != here)
    asked = links.checked(lambda: links.choice(parameter, list(shipped)), parameter)
    choice = st.selectbox(
        _("First clip") if place == "first" else _("Second clip"),
        list(names),
        index=list(names).index(asked or (here if place == "first" else other)),
        format_func=lambda name: _(names[name]),
        key=f"compare-{place}-{len(names)}",
    )
    links.put(parameter, choice if choice in shipped else None)
    return choice


def opened(place: Place, choice: str) -> Analysis | None:
    """Return the analysis of a choice, kept from one run of the page to the next; None where there is none yet.

    Raises:
        PlainError: If a file is not accepted or cannot be analysed.
    """
    if choice == CURRENT:
        return session.current().analysis
    kept = st.session_state.setdefault("compared", {})
    if choice == OWN:
        if (analysis := uploaded(place)) is not None:
            kept[place] = (OWN, analysis)
    elif kept.get(place, ("", None))[0] != choice:
        sample = next(each for each in samples.shipped() if each.name == choice)
        kept[place] = (choice, samples.analysed(sample))
    of, analysis = kept.get(place, ("", None))
    return analysis if of == choice else None


def uploaded(place: Place) -> Analysis | None:
    """Show the upload field of one side; return the analysis of a file once it is sent.

    Raises:
        PlainError: If there is no file, or one that is not accepted.
    """
    limits = configured_limits()
    megabytes = limits.file_bytes // upload.MEGABYTE
    with st.form(f"compare-upload-{place}", border=False):
        file = st.file_uploader(
            _(
                "A video or recording of one or several speakers: at most {seconds:.0f} seconds and {megabytes} MB"
            ).format(seconds=limits.seconds, megabytes=megabytes),
            type=list(upload.MIME_TYPES),
            max_upload_size=megabytes,
            key=f"compare-file-{place}",
        )
        if not st.form_submit_button(_("Analyse this clip"), icon=":material/play_arrow:"):
            return None
    if file is None:
        raise errors.PlainError(_("Choose a video or sound file first."))
    upload.check_size(file.size, limits)
    state = session.current()
    clip = upload.clip(file.name, file.getvalue(), limits=limits)
    return progress.watch(Job(clip, owner=state.owner))


def two_checkpoints() -> None:
    """Show what two checkpoints predict from the current clip."""
    st.markdown(_("Choose two checkpoints: both predict from the same clip, with the same words."))
    analysis = clip_header.opened()
    if analysis is None:
        return
    clip_header.headline(analysis)
    known = model.names()
    if len(known) < len(PLACES):
        st.info(_("There is only one checkpoint. Put another folder under checkpoints/."), icon=":material/info:")
        return
    chosen = []
    for place, (column, label) in enumerate(
        zip(st.columns(2, gap="medium"), (_("First checkpoint"), _("Second checkpoint")), strict=True)
    ):
        with column:
            chosen.append(st.selectbox(label, known, index=place, key=f"compare-checkpoint-{place}"))
    if chosen[0] == chosen[1]:
        st.info(
            _("This is the same checkpoint twice. Choose another one for one of the sides."), icon=":material/info:"
        )
        return
    first, second = (by_checkpoint(analysis, name) for name in chosen)
    comparison.show((first, second), (f"A: {chosen[0]}", f"B: {chosen[1]}"), one_clip=True)


def by_checkpoint(analysis: Analysis, name: str) -> Analysis:
    """Return the analysis of a clip by a checkpoint; features that it needs are extracted, with progress.

    Raises:
        PlainError: If the checkpoint cannot be used, or its features cannot be extracted from the clip.
    """
    if name == analysis.checkpoint:
        return analysis
    kept = st.session_state.setdefault("by-checkpoint", {})
    if (analysis.number, name) not in kept:
        owner = session.current().owner
        kept[analysis.number, name] = progress.watch(Reanalysis(analysis, checkpoint=name, owner=owner))
        while len(kept) > KEPT_ANALYSES:
            del kept[next(iter(kept))]
        st.rerun()  # so that nothing is left of the progress
    return kept[analysis.number, name]


st.title(_("Compare"), anchor=False)
if not pins.all_pins() and "pins-restored" not in st.session_state:
    links.checked(pins.restore, links.PINS)
st.session_state["pins-restored"] = True
state = session.current()
if state.remark is not None:
    st.info(wording.plain(state.remark), icon=":material/update:")
    state.remark = None
with errors.plain_sentences():
    {"clips": two_clips, "checkpoints": two_checkpoints, "pins": pinned.show}[choose_view()]()
