"""Speakers on screen: rows, names, colours and scores of clips with several, and nothing of it with one."""

from __future__ import annotations

import dataclasses

import pytest
from streamlit.testing.v1 import AppTest

from alignmamba.modality import Modality
from app.components import notice
from app.components.result.speakers import MAX_NAME
from app.components.result_view import TABS
from app.export import annotations, sentences_csv
from app.i18n.translate import spoken_in
from app.services import samples
from app.services.analysis import Analysis, excluding, predict_all, renamed
from app.services.session import Session
from tests.app.app_pages.test_analyse import TIMEOUT_SECONDS
from tests.paths import APP

USED = frozenset(Modality)
HOSTILE = "<b>Ann</b> **Lee**"


@pytest.fixture(scope="module")
def alone() -> Analysis:
    return samples.analysed(samples.listed()[0])


@pytest.fixture(scope="module")
def dialogue(alone) -> Analysis:
    """The first sample as if two spoke in turns, and nobody knows who says the last word."""
    words = alone.features.words
    third = len(words) // 3
    names = ["speaker_1" if place < third or place >= 2 * third else "speaker_2" for place in range(len(words))]
    said = [dataclasses.replace(word, speaker=name) for word, name in zip(words, names, strict=True)]
    said[-1] = dataclasses.replace(said[-1], speaker=None)
    features = dataclasses.replace(alone.features, words=tuple(said))
    return predict_all(alone.clip, features, began=0.0, reused=False)


def shown(analysis: Analysis, *, tab: str = "Speakers", language: str = "en") -> AppTest:
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS)
    page.query_params["lang"] = language
    page.session_state[notice.KEY] = True
    page.session_state["session"] = Session(greeted=True, analysis=analysis)
    page.session_state[TABS] = tab
    return page.run()


def test_each_speaker_has_a_row_with_a_score(dialogue):
    page = shown(dialogue)
    assert not page.exception
    assert [field.value for field in page.text_input] == ["Speaker 1", "Speaker 2"]
    scores = [score.score for score in dialogue.speaker_scores(USED) if score is not None]
    assert [metric.value for metric in page.metric][1:] == [f"{score:+.2f}" for score in scores]
    captions = " ".join(caption.value for caption in page.caption)
    assert "Not told apart" in captions and "2 turn" in captions


def test_a_speakers_score_is_of_the_own_turns_alone(dialogue):
    first, second = dialogue.speakers.values()
    assert len(first) == 2 and len(second) == 1
    turn = dialogue.turn_scores(USED)[1]
    one, other = dialogue.speaker_scores(USED)
    assert one is not None and other is not None and turn is not None
    assert other.score == pytest.approx(turn.score, abs=1e-4), "the second speaker has one turn"
    assert one.score != other.score
    cut = dialogue.features.within(first)
    assert {word.speaker for word in cut.words} == {"speaker_1"}


def test_one_speaker_shows_nothing_more(alone):
    page = shown(alone, tab="")
    assert not page.exception
    assert alone.speakers == {}
    assert "Speakers" not in [tab.label for tab in page.tabs]
    assert not page.text_input


def test_a_name_goes_into_every_export(dialogue):
    page = shown(dialogue)
    page.text_input[0].set_value(HOSTILE).run()
    assert not page.exception
    named = page.session_state["session"].analysis
    assert list(named.speakers) == [HOSTILE, "speaker_2"]
    assert page.session_state["session"].kept.get(named.clip) is named.features
    assert [field.value for field in page.text_input] == [HOSTILE, "Speaker 2"]
    assert all(HOSTILE not in markdown.value for markdown in page.markdown), "a name is never Markdown"
    assert HOSTILE in sentences_csv.to_csv(named, USED).decode("utf-8-sig")
    assert "<b>Ann</b>_**Lee**" in annotations.rttm(named).decode()
    assert b"&lt;b&gt;Ann&lt;/b&gt;" in annotations.elan(named, USED)
    assert HOSTILE in annotations.praat(named, USED).decode()
    assert "<v &lt;b&gt;Ann&lt;/b&gt; **Lee**>" in annotations.captions(named, USED).decode()
    assert "unknown" in annotations.rttm(named).decode(), "words of nobody stay nobody's"


@pytest.mark.parametrize(("typed", "kept"), [("", "speaker_1"), ("  \n ", "speaker_1"), ("A\u202e  B\x00", "A B")])
def test_names_are_cleaned(dialogue, typed, kept):
    page = shown(dialogue)
    assert page.text_input[0].proto.max_chars == MAX_NAME
    page.text_input[0].set_value(typed).run()
    assert next(iter(page.session_state["session"].analysis.speakers)) == kept


def test_two_speakers_of_one_name_are_one(dialogue):
    one = renamed(renamed(dialogue, "speaker_1", "Ann"), "speaker_2", "Ann")
    assert one.speakers == {}
    assert len(one.sentence_scores(USED)) == len(one.sentences) <= len(dialogue.sentences)


def test_names_hold_for_the_whole_clip_where_some_is_excluded(dialogue):
    part = renamed(excluding(dialogue, [(0.0, 0.5)]), "speaker_2", "Ann")
    assert part.whole is not None
    assert "Ann" in part.speakers and "Ann" in part.whole.speakers


def test_rows_are_in_chinese(dialogue):
    page = shown(dialogue, tab="说话者", language="zh")
    assert not page.exception
    with spoken_in("zh"):
        assert [field.value for field in page.text_input] == ["说话者 1", "说话者 2"]
