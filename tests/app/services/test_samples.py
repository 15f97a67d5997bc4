"""What sessions share of a sample, and what each has of its own."""

from __future__ import annotations

import dataclasses

import pytest

from alignmamba.modality import Modality
from alignmamba.predictor import Predictor
from app.services import samples
from app.services.analysis import Analysis, excluding, nothing_known, predict_all, renamed

USED = frozenset(Modality)


@pytest.fixture
def sample():
    """The first sample; nothing of it was computed before."""
    samples._known.clear()
    yield samples.listed()[0]
    samples._known.clear()


def test_scores_of_a_sample_are_computed_once_for_all_sessions(sample, monkeypatch):
    first = samples.analysed(sample)
    scores = first.scored_sentences(USED)
    monkeypatch.setattr(Predictor, "predict", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr(Predictor, "predict_many", lambda *_: pytest.fail("computed again"))
    second = samples.analysed(sample)
    assert second.predictions == first.predictions and list(second.predictions) == list(first.predictions)
    assert second.scored_sentences(USED) == scores
    assert second.number != first.number and second.predictor is not first.predictor


def test_shared_scores_are_those_of_a_session_alone(sample):
    shared = samples.analysed(sample)
    alone = predict_all(shared.clip, shared.features, began=0.0, reused=False)
    assert {used: each.score for used, each in alone.predictions.items()} == {
        used: each.score for used, each in shared.predictions.items()
    }
    assert alone.predictions is not shared.predictions


def test_what_one_session_changes_the_others_do_not_see(sample):
    first, second = samples.analysed(sample), samples.analysed(sample)
    scores, sentences = second.predictions[USED].score, second.scored_sentences(USED)
    assert excluding(first, [(0.0, 1.0)]).predictions[USED].score != scores
    said = dataclasses.replace(first.features, words=tuple(
        dataclasses.replace(word, speaker="speaker_1") for word in first.features.words
    ))  # fmt: skip
    renamed(dataclasses.replace(first, features=said), "speaker_1", "Ann").scored_sentences(USED)
    assert samples.analysed(sample).predictions[USED].score == scores
    assert second.scored_sentences(USED) == sentences


def test_all_caches_but_those_of_other_checkpoints_can_be_shared():
    caches = {each.name for each in dataclasses.fields(Analysis) if str(each.type).startswith("dict")}
    assert set(nothing_known()) == caches - {"_fitting"}
