"""The page Alignment, driven as a user would."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.paths import APP

TIMEOUT_SECONDS = 300  # a cold start loads every model on whatever else the machine is doing


def opened() -> AppTest:
    return AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS).run()


def control(page: AppTest):
    return next(element for element in page.get("segmented_control") if element.key == "plans")


def sentences(elements) -> str:
    return " ".join(element.value.replace("\\", "") for element in elements)


@pytest.fixture(scope="module")
def page() -> AppTest:
    """The page after the first sample was shown."""
    return opened().switch_page("app_pages/alignment.py").run()


def maps(page: AppTest) -> list[str]:
    """Titles of the alignment maps, top to bottom."""
    specs = [json.loads(chart.proto.spec) for chart in page.get("vega_lite_chart")]
    return [spec["title"] for spec in specs if "aligned to" in str(spec.get("title"))]


def test_relaxed_and_sinkhorn_plans_are_shown_for_comparison(page):
    plans = control(page)
    assert maps(page) == ["Voice aligned to words (relaxed)", "Face aligned to words (relaxed)"]
    analysis = page.session_state["session"].analysis
    assert not analysis._sinkhorn, "solved on demand only"
    both = plans.set_value("Side by side").run()
    assert not both.exception
    assert not both.error
    assert maps(both) == [
        f"{source} aligned to words ({solver})" for source in ("Voice", "Face") for solver in ("relaxed", "Sinkhorn")
    ]
    (solved,) = analysis._sinkhorn.values()
    words = len(analysis.features.words)
    for found in solved.values():
        np.testing.assert_allclose(found.plan.sum(0), 1 / words, atol=1e-4)
    alone = control(page).set_value("Sinkhorn (both marginals)").run()
    assert maps(alone) == ["Voice aligned to words (Sinkhorn)", "Face aligned to words (Sinkhorn)"]
    assert next(iter(analysis._sinkhorn.values())) is solved, "and once"
    assert "every word must receive the same weight" in sentences(alone.caption)
    control(page).set_value("Relaxed (used by the model)").run()


def test_a_clip_too_long_for_sinkhorn_says_so_and_shows_the_relaxed_plans(page, monkeypatch):
    monkeypatch.setattr("alignmamba.predictor.SINKHORN_PAIRS", 10)
    page.session_state["session"].analysis._sinkhorn.clear()
    long = control(page).set_value("Side by side").run()
    assert not long.exception
    assert "too long" in sentences(long.info)
    assert "expected at most 10" in sentences(long.info)
    assert maps(long) == ["Voice aligned to words (relaxed)", "Face aligned to words (relaxed)"]
    control(page).set_value("Relaxed (used by the model)").run()


def test_a_session_that_begins_here_shows_a_sample():
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS)
    page.switch_page("app_pages/alignment.py").run()
    assert not page.exception and not page.error
    assert len(maps(page)) == 2
    assert any(button.key.startswith("open-") for button in page.button), "other samples can be chosen"
