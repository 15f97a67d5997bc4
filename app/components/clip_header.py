"""The clip that a page is about: the last one analysed in this session, else the sample that the link names."""

from __future__ import annotations

import streamlit as st

from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, samples, session
from app.services.analysis import Analysis
from app.services.sharing import links


def opened() -> Analysis | None:
    """Return the clip that the page is about.

    Returns:
        None where there is nothing to predict from; a link to the page Analyse is shown then.
    """
    analysis = _last()
    if analysis is not None and analysis.predictions:
        return analysis
    st.info(
        _("There is no prediction to show yet. Analyse a clip with words, a voice or a face."), icon=":material/movie:"
    )
    st.page_link("app_pages/analyse.py", label=_("Choose a clip"), icon=":material/arrow_forward:")
    return None


def _last() -> Analysis | None:
    """Return the session's last result; a new session gets the sample that the link names, else the first one.

    Returns:
        None where the precomputed features cannot be used; an error is shown then.
    """
    state = session.current()
    asked = links.checked(lambda: links.choice(links.SAMPLE, [each.name for each in samples.shipped()]), links.SAMPLE)
    if state.analysis is None:
        chosen = next((each for each in samples.shipped() if each.name == asked), samples.shipped()[0])
        with errors.plain_sentences():
            state.analysis = samples.analysed(chosen)
            state.greeted = True
    if state.analysis is not None:
        links.put(links.SAMPLE, state.analysis.clip.sample)
    return state.analysis


def title(analysis: Analysis) -> None:
    """Show a clip's title, and whether the clip is synthetic."""
    st.header(wording.plain(_(analysis.clip.title)), width="content", anchor=False)
    if analysis.clip.synthetic:
        st.badge(_("synthetic clip"), icon=":material/smart_toy:", color="gray")


def headline(analysis: Analysis) -> None:
    """Show which clip the page is about, and let another sample be chosen."""
    with st.container(horizontal=True, vertical_alignment="center"):
        title(analysis)
        with st.popover(_("Another clip"), icon=":material/swap_horiz:"):
            for sample in samples.shipped():
                if st.button(_(sample.title), key=f"open-{sample.name}", help=_(sample.description), width="stretch"):
                    with errors.plain_sentences():
                        session.current().analysis = samples.analysed(sample)
                        links.put(links.SAMPLE, sample.name)
                        st.rerun()
            st.page_link("app_pages/analyse.py", label=_("Your own clip"), icon=":material/upload:")
