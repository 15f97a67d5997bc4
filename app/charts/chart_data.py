"""The tables of a chart, put in by another way than Altair's.

Altair passes tables through a transformer that refuses more than 5,000 rows, that all threads share, and that Streamlit
changes while it renders.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd


def with_data(chart: alt.TopLevelMixin, make: Callable[[pd.DataFrame], Any]) -> alt.TopLevelMixin:
    """Copy a chart, its layers too, with something else in the place of each table.

    Args:
        chart: As it was built.
        make: Makes the data of Vega-Lite from a table: values, or a name.
    """
    chart = copy.copy(chart)
    if isinstance(table := getattr(chart, "data", None), pd.DataFrame):
        chart.data = make(table)
    if isinstance(chart, alt.LayerChart):
        layers: list[Any] = [with_data(layer, make) for layer in chart.layer]
        chart.layer = layers
    return chart
