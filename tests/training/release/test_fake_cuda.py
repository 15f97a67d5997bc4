"""Release commands on a GPU, pretended where there is none: it is used, never assumed; the figures are the CPU's."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from alignmamba import checkpoint
from alignmamba.calibration import Uncertainty
from alignmamba.modality import Modality
from tests.alignmamba.fake_cuda import gpu
from tests.training.clips import features
from tests.training.clips import trained as small_checkpoint
from training.data.real_clips import RealClip
from training.release import (
    ablation,
    alignment_quality,
    asr_impact,
    calibrate,
    evaluate,
    inputs,
    readouts,
    real_people,
    train,
    unseen_people,
)
from training.release.compose import as_clip
from training.release.train import fit_readouts

pytestmark = pytest.mark.gpu_or_pretended


def numbers(value):
    """All numbers of a nested answer, in order."""
    if isinstance(value, dict):
        return [each for key in sorted(value, key=str) for each in numbers(value[key])]
    if isinstance(value, (list, tuple)):
        return [number for each in value for number in numbers(each)]
    return [float(value)] if isinstance(value, (int, float, np.number)) else []


def on_both(measure, model):
    """What a function of a model answers on the CPU and on the GPU."""
    expected = numbers(measure(model))
    moved = copy.deepcopy(model)
    with gpu():
        found = numbers(measure(moved.to("cuda")))
    assert expected
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.fixture(scope="module")
def model(corpora, config):
    """Untrained: devices are the same."""
    torch.manual_seed(0)
    made = train.AlignMamba(config)
    train.install(made, train.fit_readouts(corpora.split("train")))
    return made.eval().requires_grad_(False)


def test_training(corpora, config, composing, settings):
    with gpu():
        trained, *_ = train.train(corpora, config, replace(settings, epochs=1), composing)
        assert {part.device.type for part in trained.state_dict().values()} == {"cuda"}
        assert set(readouts.from_model(trained)) == {"audio", "video"}


def test_a_checkpoint_to_be_measured_is_put_there(tmp_path, monkeypatch):
    made = small_checkpoint()
    checkpoint.save(tmp_path / "made", made.model, schema=made.schema)
    monkeypatch.setattr(inputs, "shared_encoder", lambda _: None)
    with gpu():
        opened = inputs.open_checkpoint(tmp_path / "made")
        assert {part.device.type for part in opened.model.state_dict().values()} == {"cuda"}
        monkeypatch.setenv("ALIGNMAMBA_DEVICE", "cpu")
        assert next(inputs.open_checkpoint(tmp_path / "made").model.parameters()).device.type == "cpu"


def test_evaluate(corpora, model, monkeypatch):
    monkeypatch.setattr(evaluate, "DRAWS", 1)
    test = corpora.split("test")
    on_both(lambda given: evaluate.measure(given, test, test.voices), model)
    on_both(lambda given: evaluate.prediction_rows(given, test, readouts.from_model(given)), model)


def test_calibrate(corpora, model):
    valid = calibrate.validation_clips(corpora, readouts.from_model(model))[:40]
    on_both(lambda given: calibrate.fit(given, valid, draws=1), model)


def test_unseen_people(corpora, model):
    calibration = dict.fromkeys(
        unseen_people.MEASURED, Uncertainty(temperature=2.0, below=1.0, above=1.0, coverage=0.8)
    )
    pairs = corpora.pairs[::2]  # a happy, a neutral and a sad one of each person
    on_both(
        lambda given: unseen_people.rows(unseen_people.measure(given, corpora, pairs), calibration=calibration), model
    )


def test_ablation(corpora, config, settings, monkeypatch):
    monkeypatch.setattr(ablation, "DRAWS", 1)
    variant = ablation.VARIANTS["without real pairs"]
    with gpu():
        read = fit_readouts(ablation.left_in(corpora).split("train"))
        found = ablation.measure(
            corpora, corpora.split("test").voices, config, replace(settings, epochs=1), variant, read=read
        )
    assert np.isfinite(list(found.values())).all()


def test_alignment_quality_and_real_people():
    made = small_checkpoint(time_weight=0.5)
    clips = [("a", features()), ("b", features(audio=0, words=5))]
    real = [RealClip(name="grid/a", said=None, emotion=None, features=features())]

    def measure(given):
        whole = made._replace(model=given)
        return [alignment_quality.measure(whole, clips), real_people.measure(whole, real)]

    on_both(measure, made.model)


def test_asr_impact():
    made = small_checkpoint()
    sentences = [
        asr_impact.Spoken(said=("good", "bad"), recognised=("good",), seconds=2.0, score=1.0),
        asr_impact.Spoken(said=("bad",), recognised=("bad",), seconds=2.0, score=-1.0),
    ]

    def measure(given):
        return asr_impact.row(made._replace(model=given), "made up", sentences)

    on_both(measure, made.model)


def test_clips_of_one_modality_alone(model):
    rng = np.random.default_rng(0)
    clip = as_clip({Modality.LANGUAGE: rng.normal(size=(4, model.config.language_dim)).astype(np.float32)})
    on_both(lambda given: train.outputs(given, [clip]).scores.tolist(), model)
