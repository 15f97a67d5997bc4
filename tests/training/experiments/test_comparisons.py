"""Statistics over clips and seeds find what is there, and nothing else."""

import numpy as np
import pytest

from training.experiments import comparisons
from training.experiments.experiment import Measured


def measured(predicted, truth, *, unit=None):
    unit = np.arange(len(truth)) if unit is None else unit
    return Measured("complete", 0.0, 0, 0.0, predicted, truth, unit, "masks")


@pytest.fixture
def truth():
    return np.random.default_rng(0).uniform(-3, 3, 300)


def runs(truth, *, error, seeds=5, first=0):
    return [
        measured(truth + np.random.default_rng(first + seed).normal(0, error, len(truth)), truth)
        for seed in range(seeds)
    ]


def test_a_worse_model_is_found_and_an_equal_one_is_not(truth):
    ours = runs(truth, error=0.5)
    equal, worse = runs(truth, error=0.5, first=10), runs(truth, error=0.8, first=20)
    found = comparisons.corrected([comparisons.against(ours, each) for each in (equal, worse)])
    assert not found[0]["mae"]["significant"] and found[0]["mae"]["low"] < 0 < found[0]["mae"]["high"]
    assert found[1]["mae"]["significant"] and 0 < found[1]["mae"]["low"] < found[1]["mae"]["difference"]
    mae = [np.mean([np.abs(each.predicted - truth).mean() for each in runs]) for runs in (ours, worse)]
    assert found[1]["mae"]["difference"] == pytest.approx(mae[1] - mae[0])
    accuracy = [np.mean([np.mean((each.predicted > 0) == (truth > 0)) for each in runs]) for runs in (ours, worse)]
    assert found[1]["acc2_non0"]["difference"] == pytest.approx(accuracy[1] - accuracy[0])


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    """Clips and seeds are drawn anew; both move the difference."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        seeds, clips = rng.normal(0, 0.2, (5, 1)), rng.normal(0, 1, (1, 100))
        found = comparisons.difference(0.3 + seeds + clips + rng.normal(0, 0.3, (5, 100)), np.ones(100))
        held += found["low"] <= 0.3 <= found["high"]
    assert held >= 50


def test_many_comparisons_are_corrected():
    each = {metric: {"difference": 0.0, "low": -1.0, "high": 1.0, "p": 0.02} for metric in comparisons.METRICS}
    assert comparisons.corrected([each])[0]["mae"]["significant"]
    found = comparisons.corrected([each] * 10)
    assert not any(one["mae"]["significant"] for one in found)
    assert found[0]["mae"]["p_holm"] == pytest.approx(0.2)
    assert comparisons.corrected([]) == []


def test_labels_of_one_video_are_one_unit(truth):
    """Utterances of a video err together: as clips of their own they would look more certain than they are."""
    videos = np.repeat(np.arange(10), 30)
    apart = np.random.default_rng(3).normal(0, 0.5, 10)[videos]
    ours = [measured(truth + 1.0, truth, unit=videos)] * 2
    theirs = [measured(truth + 1.0 + apart, truth, unit=videos)] * 2
    together = comparisons.against(ours, theirs)["mae"]
    alone = comparisons.against(
        [each._replace(unit=np.arange(300)) for each in ours], [each._replace(unit=np.arange(300)) for each in theirs]
    )["mae"]
    assert together["difference"] == pytest.approx(alone["difference"])
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])
    assert together["p"] > alone["p"]


def test_one_seed_and_equal_models_have_their_answer(truth):
    ours = runs(truth, error=0.5, seeds=1)
    same = comparisons.against(ours, ours)["mae"]
    assert same == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    found = comparisons.against(ours, runs(truth, error=0.9, seeds=1, first=5))["mae"]
    assert found["low"] < found["difference"] < found["high"]


def test_other_clips_cannot_be_compared(truth):
    with pytest.raises(ValueError, match="other clips or other masks"):
        comparisons.against([measured(truth, truth)], [measured(truth, -truth)])
    with pytest.raises(ValueError, match="other clips or other masks"):
        comparisons.against([measured(truth, truth)], [measured(truth, truth)._replace(masks="others")])
