"""The view of emotion words: off until asked for, by what is chosen, with figures that a file holds."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from alignmamba.modality import Modality
from app.components import notice
from app.components.result import emotions
from app.components.result_view import TABS
from app.services import model, samples
from tests.paths import APP

TIMEOUT_SECONDS = 300


@pytest.fixture(scope="module")
def result():
    return samples.analysed(samples.listed()[0])


def toggle_of(page):
    return next((toggle for toggle in page.toggle if toggle.label == "Emotion words of voice and face"), None)


def test_the_statistics_are_those_of_the_checkpoint(result):
    found = emotions.statistics(result)
    config = result.predictor.config
    assert {modality: len(values) for modality, values in found.items()} == {
        Modality.AUDIO: config.audio_statistics,
        Modality.VIDEO: config.video_statistics,
    }
    words = result.predictor.emotion_words
    probabilities = words.probabilities(found)
    assert probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", model.names())
def test_every_checkpoint_has_emotion_words_with_figures(name):
    assert model.load(name).emotion_words is not None
    rows = json.loads((model.FOLDER / name / "emotions" / "emotions.json").read_text(encoding="utf-8"))["rows"]
    assert {row["modalities"] for row in rows if row["people"] == emotions.MEASURED} == {"a", "v", "av"}


def test_they_are_off_until_asked_for_and_say_where_they_may_not_be_used():
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state[notice.KEY] = True
    page.session_state["chooser"] = True
    page.session_state[TABS] = "All combinations"
    page.run()
    page.button(key="sample-positive").click().run()
    assert not toggle_of(page).value and "emotion word" not in " ".join(c.value for c in page.caption).lower()
    toggle_of(page).set_value(True).run()
    shown = " ".join(caption.value for caption in page.caption)
    assert "Not at work, not in education" in shown and "people whom the model never met" in shown
    row = next(
        row
        for row in json.loads((model.CHECKPOINT / "emotions" / "emotions.json").read_text(encoding="utf-8"))["rows"]
        if row["people"] == emotions.MEASURED and row["modalities"] == "av"
    )
    assert f"{row['balanced_accuracy']:.0%}" in shown
    assert not page.exception
