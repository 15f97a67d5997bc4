"""The choice among a file's tracks, driven as a user would, with real extractors."""

from __future__ import annotations

import numpy as np

from tests.app.app_pages.test_analyse import opened, sentences, upload
from tests.extractors.media.test_caption_tracks import SAID, make_captioned
from tests.extractors.support.clips import make_sound, tone


def words(page):
    return [word.text for word in page.session_state["session"].analysis.features.words]


def press(page, label):
    return next(button for button in page.button if button.label == label).click().run()


def test_a_caption_track_is_offered_and_used_once_it_is_chosen(tmp_path):
    path = make_captioned(tmp_path / "clip.mkv", [("subrip", "eng", SAID), ("subrip", "eng", [(0.5, 1.0, "again")])])
    page = upload(opened(), "clip.mkv", path.read_bytes())
    assert words(page) == [] and "2 caption track(s) (eng, eng)" in sentences(page.caption)
    (choice,) = [box for box in page.selectbox if box.label == "Words"]
    assert choice.value == 0
    choice.set_value(1)
    press(page, "Analyse again")
    assert not page.exception and words(page) == ["Good", "film", "so", "schön"]
    (choice,) = [box for box in page.selectbox if box.label == "Words"]
    assert choice.value == 1
    choice.set_value(0)
    press(page, "Analyse again")
    assert words(page) == []


def test_another_sound_track_can_be_chosen_and_the_first_one_again(tmp_path):
    quiet = (0.01 * np.random.default_rng(0).normal(size=(1, 32_000))).astype(np.float32)
    path = make_sound(tmp_path / "clip.mkv", [tone(2), quiet], default=0)
    page = upload(opened(), "clip.mkv", path.read_bytes(), "a fine day")
    first = page.session_state["session"].analysis.features
    (choice,) = [box for box in page.selectbox if box.label == "Sound track"]
    choice.set_value(2)
    press(page, "Analyse again")
    second = page.session_state["session"].analysis.features
    assert not np.array_equal(first.audio.values, second.audio.values) and words(page) == ["a", "fine", "day"]
    assert "track 2 is used, as was asked for" in sentences(page.caption)
    (choice,) = [box for box in page.selectbox if box.label == "Sound track"]
    choice.set_value(0)
    press(page, "Analyse again")
    assert page.session_state["session"].analysis.features is first


def test_a_clip_with_one_track_offers_no_choice(tmp_path):
    path = make_sound(tmp_path / "clip.mkv", [tone(1)])
    page = upload(opened(), "clip.mkv", path.read_bytes(), "a fine day")
    assert not [box for box in page.selectbox if box.label in ("Words", "Sound track")]
