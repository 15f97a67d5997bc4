"""The clip that a page is about: the visitor's last one, else the sample that the link names."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Hashable
from typing import Any

import streamlit as st

from alignmamba.modality import Modality
from app import address, player, prerun, state, wording
from app.translate import _


@st.cache_data(show_spinner=False)
def samples() -> list[prerun.Sample]:
    """Read what the shipped samples are."""
    return prerun.samples()


def of_sample(sample: prerun.Sample) -> state.Clip:
    """Make a clip of a sample."""
    return state.Clip(
        title=sample.title,
        data=sample.path.read_bytes(),
        mime=player.mime_type(sample.file),
        synthetic=sample.synthetic,
        sample=sample.name,
    )


@st.cache_resource(show_spinner=False)
def _drawn(sample: str) -> dict[Hashable, dict[str, Any]]:
    """Keep a sample's charts for all visitors: what is prepared is the same for each."""
    return {}


def prepared(sample: prerun.Sample) -> state.Analysis:
    """Judge a sample by the features that were prepared for it.

    Raises:
        StaleError: If they do not fit.
        PlainError: As `state.judge`.
    """
    began = time.perf_counter()
    features = prerun.load(sample, schema=state.model().schema)
    analysis = state.judge(of_sample(sample), features, began=began, again=True)
    return dataclasses.replace(analysis, drawn=_drawn(sample.name))


def judged(sample: prerun.Sample) -> state.Analysis:
    """Judge a sample by the features that were prepared for it.

    Raises:
        PlainError: If they do not fit; the page *Analyse* can extract them anew.
    """
    try:
        return prepared(sample)
    except prerun.StaleError as error:
        raise state.PlainError(
            _("What was prepared for this sample does not fit the model that is loaded. Analyse it first.")
        ) from error


def opened() -> state.Analysis | None:
    """Return the visitor's last result; a visit that begins here gets the link's sample, else the first one.

    Returns:
        None where what was prepared cannot be used, which is told.
    """
    visitor = state.session()
    asked = address.checked(lambda: address.choice(address.SAMPLE, [each.name for each in samples()]), address.SAMPLE)
    if visitor.analysis is None:
        chosen = next((each for each in samples() if each.name == asked), samples()[0])
        with state.plain_sentences():
            visitor.analysis = judged(chosen)
            visitor.greeted = True
    if visitor.analysis is not None:
        address.tell(address.SAMPLE, visitor.analysis.clip.sample)
    return visitor.analysis


def headline(analysis: state.Analysis) -> None:
    """Show which clip the page is about, and let another sample be chosen."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(wording.plain(_(analysis.clip.title)), width="content", anchor=False)
        if analysis.clip.synthetic:
            st.badge(_("synthetic clip"), icon=":material/smart_toy:", color="gray")
        with st.popover(_("Another clip"), icon=":material/swap_horiz:"):
            for sample in samples():
                if st.button(_(sample.title), key=f"open-{sample.name}", help=_(sample.description), width="stretch"):
                    with state.plain_sentences():
                        state.session().analysis = judged(sample)
                        address.tell(address.SAMPLE, sample.name)
                        st.rerun()
            st.page_link("pages/analyse.py", label=_("Your own clip"), icon=":material/upload:")


def choose_senses(analysis: state.Analysis, *, key: str) -> frozenset[Modality]:
    """Show pills for the senses that a clip has; the link may have chosen, and tells what is chosen now."""
    available = [modality for modality in wording.DISPLAY_ORDER if modality in analysis.available]
    asked = address.checked(address.senses, address.SENSES) or frozenset(available)
    chosen = st.pills(
        _("Judge by"),
        available,
        selection_mode="multi",
        default=[modality for modality in available if modality in asked] or available,
        format_func=lambda modality: f"{wording.ICONS[modality]} {wording.name(modality)}",
        key=f"{key}-senses-{analysis.number}",
    )
    address.tell_senses(chosen, available=available)
    return frozenset(chosen)


def offer() -> None:
    """Say that there is nothing to show, and where there would be."""
    st.info(
        _("There is nothing to judge here yet. Analyse a clip with words, a voice or a face."), icon=":material/movie:"
    )
    st.page_link("pages/analyse.py", label=_("Choose a clip"), icon=":material/arrow_forward:")
