"""Composition and training on a small made-up world where the answer is known."""

import numpy as np
import pytest
import torch

from alignmamba import checkpoint
from alignmamba.batch import collate
from alignmamba.config import ModelConfig
from alignmamba.evaluation.metrics import sentiment_class
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from extractors.pipeline import SCHEMA
from extractors.vision.facial import BLENDSHAPES, FRAME_RATE
from training.data.corpora import LabelledSequence
from training.data.datasets import length_buckets
from training.release import evaluate
from training.release.compose import Composer, as_clip, drop_modalities
from training.release.predictions import outputs
from training.release.train import Corpora, train
from training.trainer import TrainConfig

DIM = {name: getattr(SCHEMA, name).dim for name in ("audio", "video", "language")}


def _samples(kind, labels, corpus, rng, steps):
    """Sequences whose first quarter of columns holds the score."""
    made = []
    for split, repeats in (("train", 12), ("valid", 4), ("test", 4)):
        for label, score in labels.items():
            for _ in range(repeats):
                values = rng.normal(0, 0.3, (steps(), DIM[kind])).clip(0, 1).astype(np.float32)
                values[:, : DIM[kind] // 4] = 0.5 + score / 6
                name = f"{corpus}_{len(made)}"
                made.append(
                    LabelledSequence(values=values, score=score, label=label, corpus=corpus, split=split, id=name)
                )
    return made


@pytest.fixture(scope="module")
def corpora():
    rng = np.random.default_rng(0)
    sentences = {str(score): score for score in (-2.0, -1.0, 0.0, 1.0, 2.0)}
    return Corpora(
        texts=_samples("language", sentences, "mosi", rng, lambda: int(rng.integers(3, 9))),
        voices=_samples("audio", {"happy": 2.0, "neutral": 0.0, "angry": -2.0}, "ravdess", rng, lambda: 20),
        faces=_samples("video", {"happy": 2.0, "surprise": 0.0, "anger": -2.0}, "ck", rng, lambda: 1),
        talking=[np.full((30, DIM["video"]), 0.5, np.float32)],
    )


def _model_config():
    return ModelConfig(**{f"{name}_dim": dim for name, dim in DIM.items()}, width=16, state_dim=4, dropout=0.0)


def test_composed_clips_agree_in_class(corpora):
    rng = np.random.default_rng(1)
    parts = corpora.split("train")
    composer = parts.composer(disagreement=0.0)
    for sample in parts.texts:
        item = composer.compose(sample, rng)
        assert item.score == sample.score
        voice = item.clip[Modality.AUDIO].values[0, 0].item()
        assert sentiment_class((voice - 0.5) * 6) == sentiment_class(sample.score)


def test_disagreement_draws_any_class(corpora):
    rng = np.random.default_rng(1)
    parts = corpora.split("train")
    composer = parts.composer(disagreement=1.0)
    kinds = {
        sentiment_class((composer.compose(parts.texts[0], rng).clip[Modality.AUDIO].values[0, 0].item() - 0.5) * 6)
        for _ in range(40)
    }
    assert kinds == {0, 1, 2}


def test_a_ramp_rises_to_the_peak_over_the_talking_face(corpora):
    composer = corpora.split("train").composer(disagreement=0.0)
    peak = next(sample for sample in corpora.faces if sample.label == "happy")
    for seed in range(20):
        sequence = composer.face_sequence(peak, np.random.default_rng(seed))
        assert 2 * FRAME_RATE <= len(sequence) <= 6 * FRAME_RATE
        assert sequence[0] == pytest.approx(np.full(DIM["video"], 0.5))  # starts at rest
        reached = (sequence[:, 0].max() - 0.5) / (peak.values[0, 0] - 0.5)
        assert 0.55 < reached <= 1.0
        assert (sequence[:, : len(BLENDSHAPES)] >= 0).all()
        assert (sequence[:, : len(BLENDSHAPES)] <= 1).all()


def test_times_follow_the_rates():
    clip = as_clip({Modality.AUDIO: np.zeros((20, 50)), Modality.LANGUAGE: np.zeros((4, 384))})
    assert clip[Modality.AUDIO].seconds[:2].tolist() == pytest.approx([0.05, 0.15])
    assert clip[Modality.LANGUAGE].seconds.tolist() == pytest.approx([0.25, 0.75, 1.25, 1.75])


def test_dropout_draws_all_seven_subsets_evenly():
    rng = np.random.default_rng(0)
    clip = as_clip({modality: np.zeros((2, 3)) for modality in MODALITIES})
    drawn = [frozenset(drop_modalities(clip, rng)) for _ in range(7000)]
    for subset in SUBSETS:
        assert 850 < drawn.count(subset) < 1150


def test_buckets_hold_each_sample_once_and_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    batches = length_buckets(lengths.tolist(), 32, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert max(np.ptp(lengths[batch]) for batch in batches) < 15


def test_training_learns_the_made_up_world_and_repeats_itself(corpora, tmp_path):
    settings = TrainConfig(epochs=5, batch_size=8, learning_rate=5e-3)
    model, history = train(corpora, _model_config(), settings)
    test = corpora.split("test")
    rows = {row["modalities"]: row for row in evaluate.composed_rows(model, test)}
    assert set(rows) == {"avl", "av", "al", "vl", "a", "v", "l"}
    assert rows["l"]["corr"] > 0.9
    assert rows["a"]["acc2_non0"] > 0.9
    assert evaluate.voices_row(model, test.voices)["balanced_accuracy"] > 0.9
    listed = evaluate.prediction_rows(model, test)
    assert [(row["id"], row["truth"]) for row in listed] == [(sample.id, sample.score) for sample in test.texts]
    for name, row in rows.items():  # the same clips, so the same figures
        scores = np.array([each["score"][name] for each in listed])
        error = np.abs(scores - np.array([each["truth"] for each in listed])).mean()
        assert error == pytest.approx(row["mae"], abs=1e-4)
    again, _ = train(corpora, _model_config(), settings)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    checkpoint.save(tmp_path, model, schema=SCHEMA.to_dict(), training=history)
    loaded = checkpoint.load(tmp_path).model
    clips = [as_clip({Modality.LANGUAGE: sample.values}) for sample in test.texts]
    np.testing.assert_allclose(outputs(loaded, clips).scores, outputs(model, clips).scores, atol=1e-6)
    assert loaded(collate(clips[:1])).logits.shape == (1, 3)


def test_composer_without_a_class_of_faces_shows_talking_only(corpora):
    expressive = [sample for sample in corpora.faces if sample.label != "surprise"]
    composer = Composer(
        texts=corpora.texts, voices=corpora.voices, faces=expressive, talking=corpora.talking, disagreement=0.0
    )
    neutral = next(sample for sample in corpora.texts if sample.score == 0)
    video = composer.compose(neutral, np.random.default_rng(0)).clip[Modality.VIDEO]
    assert (video.values == 0.5).all()
