"""Hand-computed cases and scikit-learn's answers."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from alignmamba.evaluation.metrics import (
    balanced_accuracy,
    expected_calibration_error,
    score_calibration_error,
    sentiment_metrics,
)

TRUTH = np.array([2.0, -1.0, 0.0, 0.4, -3.0, 1.6])
PREDICTED = np.array([1.8, 0.2, 0.1, -0.1, -2.4, 3.5])


def test_hand_computed_case():
    found = sentiment_metrics(PREDICTED, TRUTH)
    assert found["acc2_has0"] == pytest.approx(4 / 6)  # wrong: -1 as +0.2, 0.4 as -0.1
    assert found["acc2_non0"] == pytest.approx(3 / 5)
    assert found["f1_has0"] == pytest.approx((4 * 0.75 + 2 * 0.5) / 6)  # F1 of four positive and two negative samples
    assert found["f1_non0"] == pytest.approx((3 * 2 / 3 + 2 * 0.5) / 5)
    assert found["acc7"] == pytest.approx(3 / 6)  # 2, 0, 0.4; 3.5 is clipped to 3, not 2
    assert found["acc5"] == pytest.approx(5 / 6)  # clipped at 2: all but -1
    assert found["acc3"] == pytest.approx(5 / 6)  # clipped at 1: all but -1, which is called 0
    assert found["mae"] == pytest.approx((0.2 + 1.2 + 0.1 + 0.5 + 0.6 + 1.9) / 6)


def test_against_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    truth = np.round(rng.normal(size=300) * 1.5, 1).clip(-3, 3)
    predicted = truth + rng.normal(size=300)
    found, non0 = sentiment_metrics(predicted, truth), truth != 0
    assert found["f1_has0"] == pytest.approx(plain_f1(truth >= 0, predicted >= 0))
    assert found["f1_non0"] == pytest.approx(plain_f1(truth[non0] > 0, predicted[non0] > 0))
    assert found["acc2_has0"] == pytest.approx(accuracy_score(truth >= 0, predicted >= 0))
    assert found["acc2_non0"] == pytest.approx(accuracy_score(truth[non0] > 0, predicted[non0] > 0))
    for limit, name in ((3, "acc7"), (2, "acc5"), (1, "acc3")):
        classes = [np.rint(scores.clip(-limit, limit)).astype(int) for scores in (truth, predicted)]
        assert found[name] == pytest.approx(accuracy_score(*classes))
    assert found["corr"] == pytest.approx(pearsonr(predicted, truth).statistic)
    assert balanced_accuracy(predicted > 0, truth > 0) == pytest.approx(
        balanced_accuracy_score(truth > 0, predicted > 0)
    )


def plain_f1(truth, predicted):
    """F1 per class, averaged with the class sizes as weights: the formula written out."""
    total = 0.0
    for label in (False, True):
        hits = np.sum((predicted == label) & (truth == label))
        total += np.sum(truth == label) * 2 * hits / (np.sum(predicted == label) + np.sum(truth == label))
    return total / len(truth)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_of_the_truth():
    predicted, truth = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 2])
    assert balanced_accuracy(predicted, truth) == pytest.approx((1 + 0.5 + 0) / 3)


def test_a_constant_prediction_has_no_correlation():
    assert np.isnan(sentiment_metrics(np.zeros(3), np.array([1.0, -1.0, 2.0]))["corr"])


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="truth: no sample"):
        sentiment_metrics(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="truth: all samples are 0"):
        sentiment_metrics(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="truth: no sample"):
        balanced_accuracy(np.zeros(0, int), np.zeros(0, int))


def test_what_is_not_a_number_is_an_error():
    with pytest.raises(ValueError, match="predicted: 1 of 2 are NaN or inf"):
        sentiment_metrics(np.array([np.nan, 1.0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="truth: 2 of 2 are NaN or inf"):
        sentiment_metrics(np.array([0.0, 1.0]), np.array([np.inf, np.nan]))


def test_balanced_accuracy_of_one_class_is_its_recall():
    assert balanced_accuracy(np.array([True, False, True, True]), np.ones(4, bool)) == pytest.approx(0.75)


def test_calibration_of_probabilities_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    truth = np.array([0, 1, 1, 1])
    # Two bins over (0, 1]: all four are in the upper one, mean confidence .75, accuracy 3/4.
    assert expected_calibration_error(probabilities, truth, bins=2) == pytest.approx(0.0, abs=1e-12)
    # Ten bins, upper edges included: .6, .7, .8, .9 alone each; gaps .4, .3, .8, .1.
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx((0.4 + 0.3 + 0.8 + 0.1) / 4)
    assert expected_calibration_error(np.eye(2), np.array([1, 0])) == pytest.approx(1.0)


def test_calibration_of_probabilities_against_scikit_learn():
    rng = np.random.default_rng(0)
    positive = rng.uniform(0.5, 1, 2000)
    truth = (rng.random(2000) < positive**2).astype(int)
    accuracy, confidence = calibration_curve(truth, positive, n_bins=15)
    counts = np.histogram(positive, np.linspace(0, 1, 16))[0]
    expected = np.abs(accuracy - confidence) @ counts[counts > 0] / 2000
    found = expected_calibration_error(np.stack([1 - positive, positive], 1), truth)
    assert found == pytest.approx(expected)
    assert found > 0.1


def test_calibration_of_scores():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(-2, 2, 5000)
    truth = predicted + rng.normal(0, 0.5, 5000)
    assert score_calibration_error(predicted, truth) < 0.05
    assert score_calibration_error(predicted, truth + 1) == pytest.approx(1, abs=0.05)
    assert score_calibration_error(2 * predicted, truth) == pytest.approx(1, abs=0.05)  # mean |predicted|
    by_hand = score_calibration_error(np.array([3.0, 0.0, 2.0, 1.0]), np.array([1.0, 1.0, 2.0, 0.0]), bins=2)
    assert by_hand == pytest.approx((0 + 2) / 4)  # halves {0, 1} and {2, 3}: sums of gaps 1 - 1 and 0 - 2


def test_what_is_no_distribution_is_an_error():
    for wrong in ([[0.7, 0.7]], [[1.5, -0.5]], [[np.nan, 1.0]]):
        with pytest.raises(ValueError, match="rows of numbers from 0 that sum to 1"):
            expected_calibration_error(np.array(wrong), np.array([0]))
    with pytest.raises(ValueError, match="truth: no sample"):
        expected_calibration_error(np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(ValueError, match="truth: no sample"):
        score_calibration_error(np.zeros(0), np.zeros(0))
