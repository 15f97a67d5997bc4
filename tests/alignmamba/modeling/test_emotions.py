"""Emotion words: what is computed, and which files are refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.special import softmax

from alignmamba.modality import Modality
from alignmamba.modeling import emotions
from alignmamba.modeling.emotions import EMOTIONS, EmotionClassifier, EmotionWords

COUNTS = {Modality.AUDIO: 5, Modality.VIDEO: 3}
A, V = frozenset([Modality.AUDIO]), frozenset([Modality.VIDEO])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def words(rng):
    def classifier(count):
        return EmotionClassifier(
            mean=rng.normal(size=count),
            std=rng.uniform(0.5, 2, count),
            weight=rng.normal(size=(len(EMOTIONS), count)),
            bias=rng.normal(size=len(EMOTIONS)),
        )

    classifiers = {modality: classifier(count) for modality, count in COUNTS.items()}
    return EmotionWords(classifiers=classifiers, temperatures={A: 2.0, V: 0.5, A | V: 1.5})


def logits(words, modality, statistics):
    c = words.classifiers[modality]
    return c.weight @ ((statistics - c.mean) / c.std) + c.bias


def test_one_modality_is_a_tempered_softmax_and_both_are_their_product(words, rng):
    audio, video = rng.normal(size=5), rng.normal(size=3)
    alone = words.probabilities({Modality.AUDIO: audio, Modality.LANGUAGE: np.ones(4)})
    np.testing.assert_allclose(alone, softmax(logits(words, Modality.AUDIO, audio) / 2.0), rtol=1e-12)
    both = words.probabilities({Modality.AUDIO: audio, Modality.VIDEO: video})
    summed = logits(words, Modality.AUDIO, audio) / 2.0 + logits(words, Modality.VIDEO, video) / 0.5
    np.testing.assert_allclose(both, softmax(summed / 1.5), rtol=1e-12)


def test_words_alone_have_none(words):
    with pytest.raises(ValueError, match="none of audio or video"):
        words.probabilities({Modality.LANGUAGE: np.ones(4)})


def test_a_file_is_read_as_it_was_written(words, tmp_path, rng):
    assert emotions.read(tmp_path, statistics=COUNTS) is None
    emotions.save(words, tmp_path)
    statistics = {modality: rng.normal(size=count) for modality, count in COUNTS.items()}
    found = emotions.read(tmp_path, statistics=COUNTS)
    np.testing.assert_allclose(found.probabilities(statistics), words.probabilities(statistics), atol=1e-5)
    assert (tmp_path / emotions.EMOTIONS_FOLDER / emotions.EMOTIONS_FILE).stat().st_size < 10_000


def _changed(tmp_path, change, named=None):
    path = tmp_path / emotions.EMOTIONS_FOLDER / emotions.EMOTIONS_FILE
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path, metadata={"emotions": named or " ".join(EMOTIONS)})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda arrays: arrays.pop("video.bias"), "cannot be used.*video.bias"),
        (lambda arrays: arrays.update({"audio.std": np.zeros(5, np.float32)}), "std: expected positive"),
        (lambda arrays: arrays["audio.weight"].__setitem__((0, 0), np.nan), "weight: holds NaN"),
        (lambda arrays: arrays.update({"audio.weight": np.zeros((2, 5), np.float32)}), r"audio.weight: shape \(2, 5\)"),
        (lambda arrays: arrays.update({"temperature.av": np.zeros(1, np.float32)}), "temperature of av: 0.0"),
        (lambda arrays: arrays.update({"temperature.av": np.zeros(2, np.float32)}), "cannot be used"),
    ],
)
def test_a_damaged_file_is_refused(words, tmp_path, change, why):
    emotions.save(words, tmp_path)
    _changed(tmp_path, change)
    with pytest.raises(ValueError, match=why):
        emotions.read(tmp_path, statistics=COUNTS)


def test_a_file_of_other_words_or_features_or_no_file_at_all_is_refused(words, tmp_path):
    emotions.save(words, tmp_path)
    with pytest.raises(ValueError, match=r"video.mean: shape \(3,\), expected \(4,\)"):
        emotions.read(tmp_path, statistics={**COUNTS, Modality.VIDEO: 4})
    _changed(tmp_path, lambda arrays: None, named="joy grief")
    with pytest.raises(ValueError, match="emotions 'joy grief'"):
        emotions.read(tmp_path, statistics=COUNTS)
    path = tmp_path / emotions.EMOTIONS_FOLDER / emotions.EMOTIONS_FILE
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged"):
        emotions.read(tmp_path, statistics=COUNTS)
    path.write_bytes(bytes(emotions.MAX_BYTES + 1))
    with pytest.raises(ValueError, match="expected at most"):
        emotions.read(tmp_path, statistics=COUNTS)
