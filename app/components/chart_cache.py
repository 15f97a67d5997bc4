"""Charts of an analysis that are drawn up once: a toggle shows again what it has shown before.

Altair checks every part of a chart while it is built and again while it is told as a specification, which takes longer
than everything else that a toggle does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import altair
import pandas as pd
import streamlit as st

from app.i18n.translate import language
from app.services.analysis import Analysis


def show(analysis: Analysis, name: Hashable, make: Callable[[], altair.TopLevelMixin], *, alt: str) -> None:
    """Show a chart of an analysis.

    Args:
        analysis: What it is drawn from: the same analysis and name give the same chart.
        name: Tells its charts apart, together with the language.
        make: Makes the chart when it is shown for the first time.
        alt: What it shows, for who cannot see it.
    """
    key = (name, language())
    if key not in analysis.drawn:
        analysis.drawn[key] = _specification(make())
    st.vega_lite_chart(analysis.drawn[key], alt=alt)


def _specification(chart: altair.TopLevelMixin) -> dict[str, Any]:
    """Tell a chart as Vega-Lite; rows as tables, which take a fraction of the memory.

    Altair's default size is left out: Streamlit fits charts to the page.
    """
    plain = chart.to_dict(validate=False)
    plain.get("config", {}).pop("view", None)
    return plain | {"datasets": {name: pd.DataFrame(rows) for name, rows in plain.get("datasets", {}).items()}}
