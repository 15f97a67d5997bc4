"""The alignment maps on screen."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import Modality
from app.charts import alignment_table, map_captions, scores
from app.components import stage
from app.i18n import wording
from app.i18n.wording import Solver
from app.services.analysis import Analysis

if TYPE_CHECKING:
    from alignmamba.prediction import Alignment, Prediction


def show(
    analysis: Analysis,
    prediction: Prediction,
    plans: dict[Solver, dict[str, Alignment]] | None = None,
    *,
    view: tuple[float, float] | None = None,
) -> None:
    """Show the maps of a prediction, a row for each modality where several plans stand side by side.

    Args:
        analysis: Of the clip.
        prediction: Of the clip.
        plans: Plans by solver and source; those of the prediction by default.
        view: As in `app.charts.scores.alignment_map`.
    """
    plans = plans or {wording.RELAXED: prediction.alignments}
    st.caption(_legend(prediction, plans))
    tables = [
        alignment_table.tabulate(found[source], analysis.features, solver=solver)
        for source in prediction.alignments
        for solver, found in plans.items()
    ]
    # Two solvers: a row for each modality; one: all in a row.
    columns = max(len(plans), len(tables) // len(plans))
    for first in range(0, len(tables), columns):
        for place, table in enumerate(tables[first : first + columns]):
            if place == 0:
                row = st.columns(columns, gap="medium")
            with row[place]:
                _map(analysis, prediction, table, place=f"map-{first + place}", view=view)


def _legend(prediction: Prediction, solvers: Collection[Solver]) -> str:
    return map_captions.legend(words=prediction.anchor == Modality.LANGUAGE, solvers=solvers)


def _map(
    analysis: Analysis,
    prediction: Prediction,
    table: alignment_table.AlignmentTable,
    *,
    place: str,
    view: tuple[float, float] | None,
) -> None:
    name = ("map", prediction.used, table.source, table.solver)
    alt = map_captions.summary(table)
    stage.chart(analysis, name, lambda: scores.alignment_map(table, view=view), alt=alt, place=place, keep=view is None)
    st.caption(map_captions.note(table))
