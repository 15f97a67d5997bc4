"""The page Compare, driven as a user would: samples, another checkpoint, an uploaded clip; the trained model."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from app.components import notice
from app.i18n.translate import KEY, SOURCE
from app.services import model, samples
from app.services.analysis import Analysis, excluding
from app.services.session import Session
from app.services.sharing.checkpoints import predict_with
from tests.app.app_pages.test_analyse import APP, TIMEOUT_SECONDS, movie, sentences


def opened(*, current: Analysis | None = None, language: str = SOURCE, **link: str) -> AppTest:
    """The page in a new session, by a link; with the clip that was analysed last."""
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state[notice.KEY] = True
    page.session_state[KEY] = language
    page.session_state["session"] = Session(greeted=True, analysis=current)
    page.run().switch_page("app_pages/compare.py")
    for name, value in link.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def sample(name: str):
    return samples.analysed(next(each for each in samples.shipped() if each.name == name))


def by_columns(page: AppTest, *columns: str):
    return next(each.value for each in page.dataframe if set(columns) <= set(each.value.columns))


def test_two_samples_are_compared_at_once():
    page = opened()
    assert not page.error
    assert [box.value for box in page.selectbox] == ["positive", "negative"]
    first, second = sample("positive"), sample("negative")
    assert [float(metric.value) for metric in page.metric] == pytest.approx(
        [round(each.predictions[each.available].score, 2) for each in (first, second)]
    )
    subsets = by_columns(page, "subset", "first", "second")
    assert len(subsets) == 7
    assert subsets["difference"].tolist() == pytest.approx((subsets["second"] - subsets["first"]).tolist())
    words = by_columns(page, "word", "counterpart")
    assert words["word"].dropna().tolist() == [word.text for word in first.features.words]
    assert words["counterpart"].dropna().tolist() == [word.text for word in second.features.words]
    moved = first.predictions[first.available].contributions["language"]
    assert words["first"].dropna().tolist() == pytest.approx(moved.tolist())
    assert "Words with a counterpart" in sentences(page.caption)


def test_a_clip_without_words_is_compared_by_what_both_have():
    page = opened()
    page.selectbox[1].set_value("no-sound").run()
    assert not page.exception
    assert not page.error
    subsets = by_columns(page, "subset", "first", "second")
    assert subsets["second"].notna().sum() == 1, "it has a face alone"
    assert "nothing to compare word by word" in sentences(page.info)
    page.selectbox[0].set_value("no-face").run()
    assert not page.exception
    assert "no modality in common" in sentences(page.info)
    page.selectbox[0].set_value("no-sound").run()
    assert "the same clip" in sentences(page.info)


def test_a_file_of_the_user_beside_a_sample_and_one_that_is_none():
    page = opened()
    page.selectbox[1].set_value("own").run()
    page.file_uploader(key="compare-file-second").upload("bad.mp4", b"%PDF-1.4")
    send = next(button for button in page.button if button.label == "Analyse this clip")
    page = send.click().run()
    assert "a PDF document" in sentences(page.error)
    page.file_uploader(key="compare-file-second").clear()
    page.file_uploader(key="compare-file-second").upload("mine.webm", (APP / "samples" / "no-sound.webm").read_bytes())
    page = next(button for button in page.button if button.label == "Analyse this clip").click().run()
    assert not page.exception
    assert not page.error
    assert "B: mine.webm" in sentences(page.markdown)
    page.run()
    assert "B: mine.webm" in sentences(page.markdown), "it is kept"
    page.file_uploader(key="compare-file-second").clear()
    page.file_uploader(key="compare-file-second").upload("grey.mp4", movie(seconds=1))
    page = next(button for button in page.button if button.label == "Analyse this clip").click().run()
    assert not page.exception
    assert "no modality in common" in sentences(page.info)


def test_two_checkpoints_say_the_same_words():
    page = opened(tab="checkpoints", current=sample("positive"))
    assert not page.error
    names = model.names()[:2]
    assert [box.value for box in page.selectbox] == names
    words = by_columns(page, "word", "first", "second")
    assert words["word"].tolist() == words["counterpart"].tolist()
    assert words[["first", "second"]].notna().all().all()
    assert (words["first"] != words["second"]).any()
    kept = next(iter(page.session_state["by-checkpoint"].values()))
    assert kept.checkpoint == names[1]
    assert len(by_columns(page, "subset")) == 7
    page.selectbox[1].set_value(names[0]).run()
    assert "the same checkpoint twice" in sentences(page.info)


def test_another_checkpoint_leaves_out_what_the_analysis_excludes():
    whole = sample("positive")
    part = excluding(whole, [(0.0, whole.features.duration / 2)])
    name = model.names()[1]
    predict_with(name, part, part.available)
    fitted = part._fitting[name]
    assert not fitted.audio.valid[fitted.audio.end < whole.features.duration / 2].any()
    assert fitted.audio.valid.any()


def test_the_page_in_chinese_and_with_pins():
    page = opened(language="zh", second="neutral")
    assert page.title[0].value == "对比"
    assert [box.value for box in page.selectbox] == ["positive", "neutral"]
    assert "逐词比较" in [each.value for each in page.subheader]
    page = opened(tab="pins")
    assert "Nothing is pinned yet." in sentences(page.info)
    page.button(key="pin").click().run()
    assert not page.exception
    assert len(page.session_state["pins"]) == 1
