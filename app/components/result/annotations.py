"""Annotation files on screen: a tier as the words of the clip, or as the truth to compare the scores with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from alignmamba.modality import Modality
from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, session, truth
from app.services.analysis import Analysis
from app.services.errors import PlainError
from app.services.jobs import Retelling

if TYPE_CHECKING:
    from alignmamba.evaluation.agreement import Agreement
    from extractors.storage.annotations.tiers import Tier

KINDS = ("eaf", "textgrid")
MAX_MEGABYTES = 2

log = logging.getLogger(__name__)


def show(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the upload of an annotation file and what can be done with a tier of it.

    Args:
        analysis: Of a clip.
        used: The subset on screen; empty where none is.
    """
    label = _("Annotations from ELAN or Praat: compare with your own scores, or use your own words")
    with st.expander(label, icon=":material/label:"), errors.plain_sentences():
        uploaded = st.file_uploader(
            _("An ELAN (EAF) or TextGrid file for this clip"),
            type=list(KINDS),
            max_upload_size=MAX_MEGABYTES,
            key=f"annotation-{analysis.number}",
        )
        if uploaded is None:
            return
        tiers = {tier.name: tier for tier in _tiers(uploaded.getvalue())}
        chosen = st.selectbox(
            _("Tier"),
            list(tiers),
            format_func=lambda name: f"{name} ({len(tiers[name].intervals)})",
            key=f"tier-{analysis.number}",
        )
        tier = tiers[chosen]
        with st.container(horizontal=True):
            compares = st.button(_("Compare its scores"), icon=":material/balance:", disabled=not used)
            retells = st.button(_("Predict with its words"), icon=":material/refresh:")
        if retells:
            _retell(analysis, tier)
        # The comparison stays while modalities are toggled, until another tier is chosen.
        key = f"compared-{analysis.number}"
        if compares:
            st.session_state[key] = chosen
        if st.session_state.get(key) == chosen and used:
            _compared(truth.compare(analysis, tier, used), used)


def _tiers(data: bytes) -> tuple[Tier, ...]:
    from extractors.storage.annotations.reading import read
    from extractors.storage.annotations.tiers import AnnotationError

    try:
        return read(data)
    except AnnotationError as error:
        raise PlainError(error.message) from error
    except OSError as error:
        log.error("an annotation file cannot be written: %s", error)
        raise errors.StorageError from error


def _retell(analysis: Analysis, tier: Tier) -> None:
    from extractors.storage.annotations.reading import words
    from extractors.storage.annotations.tiers import AnnotationError

    state = session.current()
    try:
        said = words(tier, duration=analysis.features.duration)
    except AnnotationError as error:
        raise PlainError(error.message) from error
    state.job = Retelling(analysis.whole or analysis, said, owner=state.owner)
    st.rerun()


def _compared(comparison: truth.Comparison, used: frozenset[Modality]) -> None:
    st.markdown(_told(comparison.agreement))
    if comparison.left_out:
        left_out = _("{count} labels that are no score, or lie after the end of the clip, are left out.")
        st.caption(left_out.format(count=comparison.left_out))
    st.dataframe(
        pd.DataFrame([_row(row) for row in comparison.rows]),
        hide_index=True,
        alt=_("Annotated and predicted score of each span, from {subset}").format(subset=wording.subset(used)),
        column_config={
            "start": st.column_config.NumberColumn(_("From (s)"), format="%.2f"),
            "end": st.column_config.NumberColumn(_("To (s)"), format="%.2f"),
            "truth": st.column_config.NumberColumn(_("Annotated"), format="%+.2f"),
            "score": st.column_config.NumberColumn(_("Predicted"), format="%+.2f"),
            "error": st.column_config.NumberColumn(_("Difference"), format="%+.2f"),
            "within": st.column_config.CheckboxColumn(_("Within the interval")),
        },
    )


def _told(found: Agreement) -> str:
    sentence = _("{count} spans: mean absolute difference **{error:.2f}**, same class in {share}.").format(
        count=found.count, error=found.error, share=wording.share(found.same_class)
    )
    if found.correlation is None or found.alpha is None:
        return sentence + " " + _("Too few or all equal for a correlation.")
    return (
        sentence
        + " "
        + _("Pearson r **{r:+.2f}**, Krippendorff's alpha (interval) **{alpha:+.2f}**.").format(
            r=found.correlation, alpha=found.alpha
        )
    )


def _row(row: truth.Compared) -> dict[str, object]:
    found = row.found
    within = None
    if found is not None and found.interval is not None:
        within = found.interval[0] <= row.truth <= found.interval[1]
    return {
        "start": row.span.start,
        "end": row.span.end,
        "truth": row.truth,
        "score": None if found is None else found.score,
        "error": None if found is None else found.score - row.truth,
        "within": within,
    }
