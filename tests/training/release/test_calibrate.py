"""Calibration: known temperatures are found again, intervals hold what they promise, test figures follow."""

import numpy as np
import pytest
import torch

from alignmamba.batch import collate
from alignmamba.calibration import Uncertainty
from alignmamba.config import ModelConfig
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from alignmamba.modeling.model import AlignMamba
from training.release import calibrate
from training.release.compose import Composed, as_clip
from training.release.evaluate import calibration_figures
from training.release.inputs import Outputs, outputs, probabilities

DIMS = {Modality.AUDIO: 51, Modality.VIDEO: 4, Modality.LANGUAGE: 6}  # the last audio column: voiced


def _model():
    return AlignMamba(ModelConfig(**{f"{m}_dim": dim for m, dim in DIMS.items()}, width=8, state_dim=4, dropout=0.0))


def _clips(count, rng):
    def steps():
        return as_clip({m: rng.normal(size=(rng.integers(2, 9), dim)) for m, dim in DIMS.items()})

    return [Composed(clip=steps(), score=float(rng.uniform(-3, 3))) for _ in range(count)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 3))
    classes = (rng.random(20_000)[:, None] > probabilities(logits).cumsum(1)).sum(1)
    assert calibrate.fit_temperature(logits * temperature, classes) == pytest.approx(temperature, rel=0.05)


def test_probabilities_of_huge_logits_are_finite():
    found = probabilities(np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]]), temperature=0.05)
    np.testing.assert_allclose(found, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_a_reach_holds_what_it_promises():
    rng = np.random.default_rng(0)
    fitted = [calibrate.reach(np.abs(rng.normal(size=50)), coverage=0.8, independent=50) for _ in range(300)]
    held = [np.mean(np.abs(rng.normal(size=2000)) <= half) for half in fitted]
    assert np.mean(held) == pytest.approx(0.8, abs=0.01)
    assert calibrate.reach(np.arange(9.0), coverage=0.9, independent=9) == 8.0
    assert calibrate.reach(np.arange(9.0) - 100, coverage=0.9, independent=9) == 0.0
    with pytest.raises(ValueError, match="of 8 independent clips, too few"):
        calibrate.reach(np.arange(8.0), coverage=0.9, independent=8)


def test_every_subset_is_fitted_and_covers_its_own_clips():
    clips = _clips(40, np.random.default_rng(0))
    model = _model()
    rows = calibrate.fit(model, clips, draws=2)
    assert [row["modalities"] for row in rows] == ["avl", "av", "al", "vl", "a", "v", "l"]
    truth = np.array([item.score for item in clips])
    for row, subset in zip(rows, SUBSETS, strict=True):
        assert row["sentences"] == 20 and row["n"] == 40
        sure = Uncertainty(**{name: row[name] for name in ("temperature", "below", "above", "coverage")})
        found = outputs(model, [{m: s for m, s in item.clip.items() if m in subset} for item in clips])
        figures = calibration_figures(found, truth, subset=subset, calibration={subset: sure})
        assert 0.8 <= figures["interval_coverage"] <= 1.0
        assert figures["ece_before"] == row["ece_before"] and figures["ece"] == row["ece"]
        assert 0 < figures["interval_width"] <= row["below"] + row["above"]


def test_a_model_that_scores_too_low_reaches_further_up():
    clips = _clips(40, np.random.default_rng(0))
    model = _model()
    even = calibrate.fit(model, clips, draws=1)
    for item, score in zip(clips, outputs(model, [each.clip for each in clips]).scores, strict=True):
        object.__setattr__(item, "score", float(score) + 1.0 + 0.1 * (item.score > 0))
    biased = calibrate.fit(model, clips, draws=1)[0]
    assert biased["below"] == 0.0 and biased["above"] == pytest.approx(1.1, abs=1e-6)
    assert even[0]["below"] > 1.0


def test_figures_are_counted_by_hand():
    found = Outputs(np.array([0.0, 2.9]), np.log([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]))
    subset = frozenset(MODALITIES)
    truth = np.array([0.9, 1.5])
    assert set(calibration_figures(found, truth, subset=subset, calibration=None)) == {"ece_before"}
    sure = {subset: Uncertainty(temperature=1.0, below=1.0, above=1.0, coverage=0.8)}
    figures = calibration_figures(found, truth, subset=subset, calibration=sure)
    assert figures["ece_before"] == pytest.approx(0.3) == figures["ece"]  # .8 sure, half right
    assert figures["interval_coverage"] == 0.5
    assert figures["interval_width"] == pytest.approx((2.0 + 1.1) / 2)


def test_outputs_are_those_of_each_clip_alone():
    clips = [item.clip for item in _clips(7, np.random.default_rng(1))]
    model = _model()
    found = outputs(model, clips, batch_size=3)
    with torch.inference_mode():
        alone = [model(collate([each])).score.clamp(-3, 3).item() for each in clips]
    np.testing.assert_allclose(found.scores, alone, atol=1e-6)
    assert found.logits.shape == (7, 3)
