"""Calibration files: read with care, bound to their weights, applied to predictions."""

import dataclasses

import numpy as np
import pytest
import torch

from alignmamba import checkpoint
from alignmamba.calibration import CALIBRATION, Uncertainty
from alignmamba.checkpoint import CheckpointError
from alignmamba.modality import SUBSETS
from alignmamba.modeling.model import AlignMamba
from alignmamba.predictor import Predictor
from tests.alignmamba.clips import AUDIO, LANGUAGE, VIDEO, config, write_calibration
from tests.alignmamba.test_predictor import SCHEMA, Clip


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path, AlignMamba(config()), schema=SCHEMA)
    return tmp_path


def test_without_a_calibration_there_is_no_interval(folder):
    predictor = Predictor.from_pretrained(folder, device="cpu")
    assert not predictor.calibrated
    predictor.set_clip(Clip(**{AUDIO: 6, LANGUAGE: 4}, absent=(VIDEO,)))
    found = predictor.predict()
    assert found.interval is None and found.interval_coverage is None


def test_each_subset_has_its_own_temperature_and_interval(folder):
    clip = Clip(**{AUDIO: 6, VIDEO: 5, LANGUAGE: 4})
    plain = Predictor.from_pretrained(folder, device="cpu")
    write_calibration(folder)
    fitted = Predictor.from_pretrained(folder, device="cpu")
    assert fitted.calibrated
    plain.set_clip(clip)
    fitted.set_clip(clip)
    for place, subset in enumerate(SUBSETS):
        before, after = plain.predict(subset), fitted.predict(subset)
        assert after.score == before.score
        odds = np.log(list(before.classes.values())) / (2.0 + place)
        expected = np.exp(odds) / np.exp(odds).sum()
        np.testing.assert_allclose(list(after.classes.values()), expected, rtol=1e-4)
        assert after.interval == pytest.approx((after.score - 0.5, after.score + 0.25 * place))
        assert after.interval_coverage == 0.8


@pytest.mark.parametrize(
    ("interval", "undecided"),
    [(None, False), ((-0.1, 0.2), True), ((0.0, 0.2), False), ((-0.2, 0.0), False), ((-2.0, -1.0), False)],
)
def test_a_sign_cannot_be_told_where_the_interval_covers_both(folder, interval, undecided):
    predictor = Predictor.from_pretrained(folder, device="cpu")
    predictor.set_clip(Clip(**{AUDIO: 6, LANGUAGE: 4}, absent=(VIDEO,)))
    assert dataclasses.replace(predictor.predict(), interval=interval).undecided == undecided


def test_intervals_stay_within_the_scores():
    sure = Uncertainty(temperature=1.0, below=2.0, above=2.0, coverage=0.8)
    assert sure.interval(-2.5, limit=3.0) == (-3.0, -0.5)
    assert sure.interval(2.5, limit=3.0) == (0.5, 3.0)


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0.0), ("below", -1.0), ("above", float("nan")), ("coverage", 1.0)]
)
def test_numbers_that_make_no_sense_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        Uncertainty(**{"temperature": 1.0, "below": 1.0, "above": 1.0, "coverage": 0.8, name: value})


def test_a_calibration_of_other_weights_is_refused_and_goes_when_weights_are_saved(folder):
    write_calibration(folder, data_sha256={"model.safetensors": "0" * 64})
    with pytest.raises(CheckpointError, match="fitted to weights 000000000000, the weights here are"):
        checkpoint.load(folder)
    assert checkpoint.load(folder, calibrated=False).calibration is None
    checkpoint.save(folder, AlignMamba(config()), schema=SCHEMA)
    assert checkpoint.load(folder).calibration is None
    assert not (folder / CALIBRATION).exists()


def test_damaged_files_are_refused(folder):
    rows = write_calibration(folder)["rows"]
    for damaged in ({"rows": rows[1:]}, {"rows": None}, {"data_sha256": None}, {"rows": [{}]}):
        write_calibration(folder, **damaged)
        with pytest.raises(CheckpointError, match=CALIBRATION):
            checkpoint.load(folder)
    for wrong in (-1, "1", True):
        write_calibration(folder, rows=[{**row, "temperature": wrong} for row in rows])
        with pytest.raises(CheckpointError, match=f"temperature: {wrong!r}"):
            checkpoint.load(folder)
    for text in ("{", "[]", "\ud800".encode("utf-8", "surrogatepass")):
        (folder / CALIBRATION).write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(CheckpointError):
            checkpoint.load(folder)


def test_the_same_weights_have_the_same_hash(folder, tmp_path):
    model = checkpoint.load(folder).model
    checkpoint.save(tmp_path / "again", model, schema=SCHEMA)
    assert checkpoint.weights_sha256(tmp_path / "again") == checkpoint.weights_sha256(folder)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
