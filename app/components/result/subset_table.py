"""The table of the seven subsets of the modalities: score, class, and the difference to the largest subset."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from alignmamba.modality import SUBSETS, Modality
from app.charts import scores
from app.components import chart_cache
from app.i18n import wording
from app.i18n.translate import _
from app.services.analysis import Analysis


def show(analysis: Analysis, *, alt: str, replacement: Callable[[frozenset[Modality]], str] | None = None) -> None:
    """Show the table.

    Args:
        analysis: Of a clip with at least one modality.
        alt: Alt text.
        replacement: Says what replaces the modalities outside a subset; None leaves that column out.
    """
    best = analysis.predictions[analysis.available].score
    complete = len(analysis.available) == len(Modality)
    reference = _("all three") if complete else wording.subset(analysis.available)
    order = ["subset", "score", "class", "difference", "remark"]
    if replacement is not None:
        order = ["subset", "score", "difference", "class", "replacement", "remark"]
    rows = []
    for subset in SUBSETS:
        row = _row(analysis, subset, best=best)
        rows.append(row if replacement is None else row | {"replacement": replacement(subset)})
    st.dataframe(
        pd.DataFrame(rows)[order],
        hide_index=True,
        alt=alt,
        column_config={
            "subset": _("Predicted from"),
            "score": st.column_config.NumberColumn(_("Score"), format="%+.2f", width="small"),
            "difference": st.column_config.NumberColumn(
                _("Difference to {reference}").format(reference=reference), format="%+.2f"
            ),
            "class": _("Class"),
            "replacement": _("What replaces a missing modality"),
            "remark": None if complete else _("Remark"),
        },
        placeholder="",
    )


def dots(analysis: Analysis) -> None:
    """Show the score of each subset that the clip has as a dot with its interval."""
    found = [(subset, analysis.predictions[subset]) for subset in SUBSETS if subset in analysis.predictions]
    chart_cache.show(
        analysis,
        "subsets",
        lambda: scores.subset_dots({wording.subset(subset): prediction for subset, prediction in found}),
        alt=_("Score and interval of every combination: {scores}").format(
            scores=", ".join(f"{wording.subset(subset)} {wording.signed(each.score)}" for subset, each in found)
        ),
    )


def _row(analysis: Analysis, subset: frozenset[Modality], *, best: float) -> dict[str, object]:
    prediction = analysis.predictions.get(subset)
    return {
        "subset": wording.subset(subset),
        "score": prediction.score if prediction else None,
        "difference": prediction.score - best if prediction else None,
        "class": wording.score_class(prediction.score) if prediction else "",
        "remark": wording.missing_from(subset, available=analysis.available),
    }
