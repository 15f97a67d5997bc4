"""Emotion words: what is fitted to what, and that nobody is measured by a fit that saw them."""

from __future__ import annotations

import numpy as np
import pytest

from alignmamba.modality import Modality
from alignmamba.modeling.emotions import EMOTIONS
from training.data.corpora import faces, speech
from training.release import emotions
from training.release.emotions import Rows


def planted(rng, count=280, noise=0.5):
    """Clips whose word moves a column of its own."""
    words = np.arange(count) % len(EMOTIONS)
    return Rows(np.eye(len(EMOTIONS))[words] * 3 + rng.normal(0, noise, (count, len(EMOTIONS))), words)


def test_every_label_of_the_corpora_has_a_word_or_is_left_out_by_name():
    left = {label for label in (*speech.VALENCE, *faces.VALENCE) if emotions.word_of(label) is None}
    assert left == {"bored", "contempt"}
    with pytest.raises(ValueError, match="joy"):
        emotions.word_of("joy")


def test_a_fit_finds_planted_words_and_is_honest_about_noise():
    rng = np.random.default_rng(0)
    train, valid, test = (planted(rng) for _ in range(3))
    fitted = emotions.fit(train, strength=emotions.choose(train, valid))
    found = emotions.combined({Modality.AUDIO: emotions.odds(fitted, test)}, {emotions.AUDIO: 1.0})
    good = emotions.figures(found, test.words)
    assert good["balanced_accuracy"] > 0.95 and good["chance"] == pytest.approx(1 / 7)
    shuffled = emotions.figures(found, rng.permutation(test.words))
    assert shuffled["balanced_accuracy"] < 0.3 and shuffled["ece"] > good["ece"]


def test_a_fit_needs_every_word():
    rows = planted(np.random.default_rng(0))
    kept = rows.words < 5
    with pytest.raises(ValueError, match="expected all of"):
        emotions.fit(Rows(rows.statistics[kept], rows.words[kept]), strength=0.01)


def test_temperatures_calm_those_who_are_too_sure():
    rng = np.random.default_rng(0)
    words = rng.integers(0, 7, 700)
    sure = 10.0 * np.eye(7)[np.where(rng.random(700) < 0.5, words, rng.integers(0, 7, 700))]
    found = emotions.temperatures_of([({Modality.AUDIO: sure, Modality.VIDEO: sure / 10}, words)])
    assert found[emotions.AUDIO] == pytest.approx(10 * found[emotions.VIDEO], rel=0.02)
    assert found[emotions.AUDIO] > 3
    assert found[emotions.BOTH] > 1.5  # the same said twice is not twice as sure
