"""The clip that a page is about: the visitor's last one, else the sample that the link names."""

from __future__ import annotations

import streamlit as st

from alignmamba.modality import Modality
from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, links, samples, session
from app.services.analysis import Analysis


def opened() -> Analysis | None:
    """Return the visitor's last result; a visit that begins here gets the link's sample, else the first one.

    Returns:
        None where what was prepared cannot be used, which is told.
    """
    visitor = session.current()
    asked = links.checked(lambda: links.choice(links.SAMPLE, [each.name for each in samples.shipped()]), links.SAMPLE)
    if visitor.analysis is None:
        chosen = next((each for each in samples.shipped() if each.name == asked), samples.shipped()[0])
        with errors.plain_sentences():
            visitor.analysis = samples.analysed(chosen)
            visitor.greeted = True
    if visitor.analysis is not None:
        links.tell(links.SAMPLE, visitor.analysis.clip.sample)
    return visitor.analysis


def headline(analysis: Analysis) -> None:
    """Show which clip the page is about, and let another sample be chosen."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(wording.plain(_(analysis.clip.title)), width="content", anchor=False)
        if analysis.clip.synthetic:
            st.badge(_("synthetic clip"), icon=":material/smart_toy:", color="gray")
        with st.popover(_("Another clip"), icon=":material/swap_horiz:"):
            for sample in samples.shipped():
                if st.button(_(sample.title), key=f"open-{sample.name}", help=_(sample.description), width="stretch"):
                    with errors.plain_sentences():
                        session.current().analysis = samples.analysed(sample)
                        links.tell(links.SAMPLE, sample.name)
                        st.rerun()
            st.page_link("app_pages/analyse.py", label=_("Your own clip"), icon=":material/upload:")


def choose_senses(analysis: Analysis, *, key: str) -> frozenset[Modality]:
    """Show pills for the senses that a clip has; the link may have chosen, and tells what is chosen now."""
    available = [modality for modality in wording.DISPLAY_ORDER if modality in analysis.available]
    asked = links.checked(links.senses, links.SENSES) or frozenset(available)
    chosen = st.pills(
        _("Judge by"),
        available,
        selection_mode="multi",
        default=[modality for modality in available if modality in asked] or available,
        format_func=lambda modality: f"{wording.ICONS[modality]} {wording.name(modality)}",
        key=f"{key}-senses-{analysis.number}",
    )
    links.tell_senses(chosen, available=available)
    return frozenset(chosen)


def offer() -> None:
    """Say that there is nothing to show, and where there would be."""
    st.info(
        _("There is nothing to judge here yet. Analyse a clip with words, a voice or a face."), icon=":material/movie:"
    )
    st.page_link("app_pages/analyse.py", label=_("Choose a clip"), icon=":material/arrow_forward:")
