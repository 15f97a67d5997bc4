"""Training in the made-up world where the answer is known, and its measures."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from alignmamba import checkpoint
from alignmamba.batch import collate
from alignmamba.evaluation.metrics import sentiment_class
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from extractors.storage.config import ExtractionConfig
from training.data.datasets import length_buckets
from training.release import calibrate, evaluate, inputs, readouts, train
from training.release.compose import as_clip
from training.release.inputs import outputs


def test_buckets_hold_each_sample_once_and_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    batches = length_buckets(lengths.tolist(), 32, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert max(np.ptp(lengths[batch]) for batch in batches) < 15


def test_training_learns_the_made_up_world(corpora, trained):
    model, _, _ = trained
    test = corpora.split("test")
    rows = evaluate.measure(model, test, test.voices)
    by_set = {row["test_set"]: row for row in rows}
    assert by_set["mosi-test"]["corr"] > 0.8
    names = (
        "voices-unseen-speakers",
        "voices-unseen-speakers-without-savee",
        "voices-8-khz",
        "faces-held-out-subjects",
    )
    for name in names:
        assert by_set[name]["balanced_accuracy"] > 0.8 and by_set[name]["auc"] > 0.8, name
    savee = sum(voice.corpus == "savee" and voice.label != "neutral" for voice in test.voices)
    assert by_set[names[0]]["n"] - by_set[names[1]]["n"] == savee > 0
    assert abs(by_set["voices-unseen-speakers-neutral"]["mean_score"]) < 1
    composed = {row["modalities"]: row for row in rows if row["test_set"] == "composed"}
    assert set(composed) == {"avl", "av", "al", "vl", "a", "v", "l"}
    for row in composed.values():
        assert row["draws"] == evaluate.DRAWS and row["standard_error"]["mae"] >= 0
    assert composed["l"]["standard_error"]["mae"] == pytest.approx(0, abs=1e-9)  # words do not change with the draw
    assert composed["a"]["standard_error"]["mae"] > 0
    best = min((composed[pair]["mae"], pair) for pair in ("av", "al", "vl"))
    assert composed["avl"]["best_pair"] == best[1]
    assert composed["avl"]["mae_minus_best_pair"] == pytest.approx(composed["avl"]["mae"] - best[0])
    json.dumps(rows, allow_nan=False)


def test_predictions_are_those_of_the_first_draw(corpora, trained):
    model, _, _ = trained
    test, read = corpora.split("test"), readouts.from_model(model)
    listed = evaluate.prediction_rows(model, test, read)
    assert [(row["id"], row["truth"]) for row in listed] == [(sample.id, sample.score) for sample in test.texts]
    for row in evaluate.composed_rows(model, test, read, draws=1):
        scores = np.array([each["score"][row["modalities"]] for each in listed])
        error = np.abs(scores - np.array([each["truth"] for each in listed])).mean()
        assert error == pytest.approx(row["mae"], abs=1e-4)


def test_seeds_are_summed_up():
    def row(value):
        return [{"test_set": "a", "modalities": "v", "n": 3, "auc": value, "draws": 2, "best_pair": "al"}]

    (found,) = evaluate.seed_rows([row(0.5), row(1.0)])
    assert found["metric"] == {"auc": {"mean": 0.75, "std": 0.25, "per_seed": [0.5, 1.0]}} and found["n"] == 3


def test_validation_clips_carry_the_models_readouts(corpora, trained):
    model, _, _ = trained
    clips = calibrate.validation_clips(corpora, readouts.from_model(model), draws=2)
    assert len(clips) == 2 * len(corpora.split("valid").texts)
    raw = corpora.split("valid").voices[0]
    steps = np.concatenate([raw.values, np.repeat(raw.statistics[None], len(raw.values), 0)], axis=1)
    given = evaluate.audio_scores(model, [raw], readouts.from_model(model))
    assert outputs(model, [as_clip({Modality.AUDIO: steps})]).scores == pytest.approx(given, abs=1e-4)


def test_training_repeats_itself_and_is_kept(corpora, config, settings, composing, tmp_path):
    short = replace(settings, epochs=1)
    runs = [train.train(corpora, config, short, composing)[0] for _ in range(2)]
    for name, tensor in runs[0].state_dict().items():
        assert torch.equal(tensor, runs[1].state_dict()[name]), name
    checkpoint.save(tmp_path, runs[0], schema={}, training={})
    loaded = checkpoint.load(tmp_path).model
    clips = [as_clip({Modality.LANGUAGE: sample.values}) for sample in corpora.split("test").texts]
    np.testing.assert_allclose(outputs(loaded, clips).scores, outputs(runs[0], clips).scores, atol=1e-6)
    assert loaded(collate(clips[:1])).logits.shape == (1, 3)


@pytest.mark.parametrize("feature_set", ["steps", "statistics", "statistics+whisper"])
def test_a_checkpoint_is_opened_by_its_own_feature_set(feature_set, tmp_path):
    schema = ExtractionConfig(feature_set=feature_set).schema()
    changes = {"audio_statistics": 0, "video_statistics": 0} if feature_set == "steps" else {}
    model = AlignMamba(train.model_config(schema, width=8, **changes))
    checkpoint.save(tmp_path / "mine", model, schema=schema.to_dict())
    opened = inputs.open_checkpoint(tmp_path / "mine")
    assert inputs.whisper_of(opened) == (feature_set == "statistics+whisper")
    strange = {**schema.to_dict(), "audio": {"columns": ["loud"]}}
    checkpoint.save(tmp_path / "mine", model, schema=strange)
    with pytest.raises(checkpoint.CheckpointError, match="mine: schema: 1 audio and"):
        inputs.open_checkpoint(tmp_path / "mine")


def test_real_pairs_are_shown_in_fixed_shares_of_classes(corpora, fitted, composing):
    source = train.ComposedSource(corpora, replace(composing, pair_repeat=40), fitted)
    shown = [sentiment_class(item.score) for item in source._real(np.random.default_rng(0))]
    there = {sentiment_class(pair.score) for pair in corpora.pairs}
    assert len(shown) == 40 * len(source._pairs)
    total = sum(train.FACE_SHARES[kind] for kind in there)
    for kind in there:
        assert shown.count(kind) / len(shown) == pytest.approx(train.FACE_SHARES[kind] / total, abs=0.1)
