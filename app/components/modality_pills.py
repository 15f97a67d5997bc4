"""The modality pills: which of a clip's modalities the model predicts from."""

from __future__ import annotations

import streamlit as st

from alignmamba.modality import Modality
from app.i18n import wording
from app.i18n.translate import _
from app.services.analysis import Analysis
from app.services.sharing import links


def choose(analysis: Analysis, *, page: str, linked: bool = False) -> frozenset[Modality]:
    """Show a pill for each modality that a clip has; all are chosen at first.

    Args:
        analysis: Of the clip.
        page: Distinguishes the pills of different pages.
        linked: Whether the choice is kept in the page's query parameters, so that a link restores it.

    Returns:
        The chosen modalities; may be empty.
    """
    available = [modality for modality in wording.DISPLAY_ORDER if modality in analysis.available]
    asked = links.checked(links.modalities, links.MODALITIES) if linked else None
    chosen = st.pills(
        _("Predict from"),
        available,
        selection_mode="multi",
        default=[modality for modality in available if asked is None or modality in asked] or available,
        format_func=lambda modality: f"{wording.ICONS[modality]} {wording.name(modality)}",
        # The number makes another clip start with all its modalities.
        key=f"{page}-modalities-{analysis.number}",
    )
    if linked:
        links.put_modalities(chosen, available=available)
    return frozenset(chosen)


def none_chosen() -> None:
    """Ask for at least one modality."""
    st.info(_("Choose at least one of them."), icon=":material/toggle_on:")
