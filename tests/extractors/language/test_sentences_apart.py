"""Parts of a clip read their own sentences: what others say leaves no trace in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from extractors.language import word_features
from extractors.messages import Message
from extractors.schema import ClipFeatures, ModalityFeatures, Word
from extractors.storage import feature_files
from extractors.storage.config import ExtractionConfig

GLAD, BITTER = "What a wonderful evening.", "It was a terrible film."


def said(*texts: str, speakers: tuple[str | None, ...] = (None, None)) -> tuple[Word, ...]:
    """Sentences, one after another, a word each half second."""
    pairs = [(word, who) for text, who in zip(texts, speakers, strict=False) for word in text.split()]
    return tuple(
        Word(text=word, start=place / 2, end=place / 2 + 0.4, speaker=who) for place, (word, who) in enumerate(pairs)
    )


def clip(words: tuple[Word, ...]) -> ClipFeatures:
    schema = ExtractionConfig().schema()
    missing = {
        name: ModalityFeatures.missing(Message("no_face"), getattr(schema, name).dim) for name in ("audio", "video")
    }
    return ClipFeatures(
        **missing,
        language=word_features.from_words(words),
        words=words,
        duration=words[-1].end,
        schema=schema,
        transcript_source="given",
    )


@pytest.fixture(scope="module")
def both() -> ClipFeatures:
    return clip(said(GLAD, BITTER))


def test_a_part_has_the_states_of_its_sentence_alone(both):
    glad = both.between(0.0, 2.0)
    alone = word_features.from_words(said(GLAD))
    np.testing.assert_allclose(glad.language.values, alone.values, atol=2e-6)
    assert np.abs(both.language.values[:4] - alone.values).max() > 0.05, "the whole clip reads both together"
    again = glad.between(0.0, 1.0)
    np.testing.assert_array_equal(again.language.values, glad.language.values[:2])


def test_what_is_marked_leaves_no_trace_in_other_sentences(both):
    left = both.without([(2.0, 5.0)]).language
    np.testing.assert_allclose(left.values[:4], word_features.from_words(said(GLAD)).values, atol=2e-6)
    assert not left.values[4:].any() and left.valid.tolist() == [True] * 4 + [False] * 5
    assert both.without([]).language is both.language


def test_one_sentence_costs_nothing_more():
    assert word_features.from_words(said(GLAD)).apart is None


def test_a_sentence_ends_where_another_one_speaks():
    words = said("What a wonderful", "terrible film", speakers=("Ann", "Ben"))
    found = word_features.from_words(words)
    np.testing.assert_allclose(found.apart[3:], word_features.from_words(said("terrible film")).values, atol=2e-6)
    assert word_features.from_words(tuple(replace(word, speaker=None) for word in words)).apart is None


def test_files_keep_them(both, tmp_path):
    feature_files.save(both, tmp_path / "clip.safetensors")
    np.testing.assert_array_equal(feature_files.load(tmp_path / "clip.safetensors").language.apart, both.language.apart)
    feature_files.save_steps([both.language, both.audio], tmp_path / "steps.safetensors")
    language, audio = feature_files.load_steps(tmp_path / "steps.safetensors")
    np.testing.assert_array_equal(language.apart, both.language.apart)
    assert audio.apart is None


@pytest.mark.parametrize(
    ("apart", "message"),
    [
        (np.full((2, 2), np.nan, np.float32), "holds NaN"),
        (np.ones((2, 2), np.float32), "invalid steps hold numbers"),
    ],
)
def test_states_that_fit_no_steps_are_refused(apart, message):
    values = np.array([[1.0, 2.0], [0.0, 0.0]], np.float32)
    steps = {"start": np.zeros(2), "end": np.ones(2), "valid": np.array([True, False])}
    with pytest.raises(ValueError, match=message):
        ModalityFeatures(values=values, **steps, apart=apart)
