"""A cache of charts: each chart of an analysis is built once, so that a toggle can show it again at once.

Altair checks every part of a chart while it is built and again while it is converted to Vega-Lite, which takes longer
than everything else that a toggle does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from typing import Any

import altair
import pandas as pd
import streamlit as st

from app.charts.chart_data import with_data
from app.i18n.translate import language
from app.services.analysis import Analysis


def show(
    analysis: Analysis, name: Hashable, make: Callable[[], altair.TopLevelMixin], *, alt: str, keep: bool = True
) -> None:
    """Show a chart of an analysis.

    Args:
        analysis: Of the clip; the same analysis and name give the same chart.
        name: Unique, with the language, among the charts of the analysis.
        make: Builds the chart when it is shown for the first time.
        alt: Alt text.
        keep: Whether it is one of a few, to be kept; one of any number is built each time.
    """
    if not keep:
        st.vega_lite_chart(_specification(make()), alt=alt)
        return
    key = (name, language())
    if key not in analysis.charts:
        analysis.charts[key] = _specification(make())
    st.vega_lite_chart(analysis.charts[key], alt=alt)


def _specification(chart: altair.TopLevelMixin) -> dict[str, Any]:
    """Convert a chart to Vega-Lite, with its tables beside it as they are.

    Altair's default size is left out: Streamlit fits charts to the page.
    """
    tables: dict[str, pd.DataFrame] = {}

    def named(table: pd.DataFrame) -> altair.NamedData:
        name = f"table-{_digest(table)}"  # another one where the rows are others: the browser then draws the chart anew
        tables[name] = table
        return altair.NamedData(name=name)

    plain = with_data(chart, named).to_dict(validate=False)
    plain.get("config", {}).pop("view", None)
    return plain | {"datasets": tables}


def _digest(table: pd.DataFrame) -> str:
    rows = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return hashlib.sha256(rows.tobytes() + repr(list(table.columns)).encode()).hexdigest()[:16]
