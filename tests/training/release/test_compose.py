"""Composed clips agree in class, lie in time as they should, and are left alone when a model is measured."""

from dataclasses import replace

import numpy as np
import pytest

from alignmamba.evaluation.metrics import sentiment_class
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from extractors.vision.facial import BLENDSHAPES, FRAME_RATE, RESTED_COLUMNS
from tests.training.release import world
from training.data.corpora.pairs import pair_audio
from training.release import readouts
from training.release.compose import VOICED, Augmentation, as_clip, drop_modalities


def _class_of_audio(item):
    return sentiment_class((item.clip[Modality.AUDIO].values[0, 0].item() - 0.5) * 6)


def test_composed_clips_agree_in_class(corpora, fitted, rng):
    parts = corpora.split("train")
    composer = parts.composer(disagreement=0.0, read=fitted)
    for sample in parts.texts:
        item = composer.compose(sample, rng)
        assert item.score == sample.score
        assert _class_of_audio(item) == sentiment_class(sample.score)


def test_disagreement_draws_any_class(corpora, fitted, rng):
    parts = corpora.split("train")
    composer = parts.composer(disagreement=1.0, read=fitted)
    assert {_class_of_audio(composer.compose(parts.texts[0], rng)) for _ in range(40)} == {0, 1, 2}


def test_a_ramp_rises_to_the_peak_over_the_talking_face(corpora, fitted):
    rest = np.full((30, len(BLENDSHAPES) + 3), 0.5, np.float32)
    talking = [replace(corpora.talking[0], values=rest)]
    composer = replace(corpora.split("train"), talking=talking).composer(disagreement=0.0, read=fitted)
    peak = next(sample for sample in corpora.faces if sample.label == "happy")
    for seed in range(20):
        sequence, person = composer.face_sequence(peak, np.random.default_rng(seed))
        assert person == peak.person
        assert 2 * FRAME_RATE <= len(sequence) <= 6 * FRAME_RATE
        reached = (sequence[:, 0].max() - 0.5) / (peak.values[0, 0] - 0.5)
        assert 0.55 < reached <= 1.0
        assert ((sequence[:, : len(BLENDSHAPES)] >= 0) & (sequence[:, : len(BLENDSHAPES)] <= 1)).all()
    plain, person = composer.face_sequence(None, np.random.default_rng(0))
    assert (plain == 0.5).all() and person == talking[0].person


def test_measuring_augments_nothing(corpora, fitted, rng):
    composer = corpora.split("train").composer(disagreement=0.0, read=fitted)
    voice = corpora.voices[0]
    steps = composer.audio_steps(voice, rng)
    np.testing.assert_array_equal(steps[:, : voice.values.shape[1]], voice.values)
    assert not composer.pairs
    pair = corpora.pairs[0]
    video = composer.video_steps(pair.video, "unknown", rng)
    np.testing.assert_array_equal(video[:, : pair.video.shape[1]], pair.video)
    again = composer.video_steps(pair.video, "unknown", np.random.default_rng(99))
    np.testing.assert_array_equal(video, again)


def test_training_masks_columns_and_draws_copies(corpora, fitted, rng):
    means = {Modality.AUDIO: np.full(VOICED + 1, 7.0, np.float32), Modality.VIDEO: np.full(110, 7.0, np.float32)}
    composer = corpora.split("train").composer(disagreement=0.0, read=fitted, augmentation=Augmentation(means=means))
    voice = next(each for each in corpora.voices if each.copies)
    drawn = [composer.audio_steps(voice, rng)[:, : VOICED + 1] for _ in range(80)]
    whole = np.mean([(steps == 7.0).all() for steps in drawn])
    assert 0.3 < whole < 0.7
    some = [steps for steps in drawn if not (steps == 7.0).all()]
    assert 0.1 < np.mean([(steps == 7.0).all(0).mean() for steps in some]) < 0.3
    sources = {
        place
        for steps in some
        for place, each in enumerate((voice, *voice.copies))
        if np.isin(steps, [*each.values.ravel(), 7.0]).all()
    }
    assert sources == {0, 1}
    assert len(composer.pairs) == len(corpora.pairs)


def test_words_lie_in_the_voiced_part(corpora, fitted, rng):
    parts = corpora.split("test")
    clip = parts.composer(disagreement=0.0, read=fitted).compose(parts.texts[0], rng).clip
    seconds = clip[Modality.LANGUAGE].seconds
    assert 0.4 < seconds.min() and seconds.max() < 1.7
    assert (seconds.diff() > 0).all()
    unvoiced = as_clip({Modality.AUDIO: np.zeros((20, 55)), Modality.LANGUAGE: np.zeros((4, 384))})
    assert unvoiced[Modality.AUDIO].seconds[:2].tolist() == pytest.approx([0.05, 0.15])
    assert unvoiced[Modality.LANGUAGE].seconds.tolist() == pytest.approx([0.25, 0.75, 1.25, 1.75])


def test_real_pairs_keep_their_own_times(corpora, fitted, rng):
    pair = replace(corpora.pairs[0], video_seconds=corpora.pairs[0].video_seconds + 0.3)
    item = corpora.composer(disagreement=0.0, read=fitted).pair_clip(pair, pair_audio(pair, whisper=False), rng)
    assert set(item.clip) == {Modality.AUDIO, Modality.VIDEO} and item.score == pair.score
    assert item.clip[Modality.VIDEO].seconds[0].item() == pytest.approx(0.35)
    assert item.clip[Modality.VIDEO].values.shape[1] == len(RESTED_COLUMNS) + readouts.OUTPUTS


def test_dropout_draws_all_seven_subsets_evenly():
    rng = np.random.default_rng(0)
    clip = as_clip({modality: np.zeros((2, 60)) for modality in MODALITIES})
    drawn = [frozenset(drop_modalities(clip, rng)) for _ in range(7000)]
    for subset in SUBSETS:
        assert 850 < drawn.count(subset) < 1150


def test_neutral_faces_are_talkers_where_no_expression_is_neutral(corpora, fitted, rng):
    parts = corpora.split("train")
    expressive = replace(parts, faces=[face for face in parts.faces if face.label != "surprise"])
    raw, person = expressive.composer(disagreement=0.0, read=fitted).raw_face_of_class(1, rng)
    assert person.startswith("talker_")
    assert raw[:, 0].mean() == pytest.approx(world.level(0.0), abs=0.05)
