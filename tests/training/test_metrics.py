"""Hand-computed cases and scikit-learn's answers."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, f1_score

from training.metrics import balanced_accuracy, sentiment_metrics, weighted_f1

TRUTH = np.array([2.0, -1.0, 0.0, 0.4, -3.0, 1.6])
PREDICTED = np.array([1.8, 0.2, 0.1, -0.1, -2.4, 3.5])


def test_hand_computed_case():
    found = sentiment_metrics(PREDICTED, TRUTH)
    assert found["acc2_has0"] == pytest.approx(4 / 6)  # wrong: -1 as +0.2, 0.4 as -0.1
    assert found["acc2_non0"] == pytest.approx(3 / 5)
    assert found["acc7"] == pytest.approx(3 / 6)  # 2, 0, 0.4; 3.5 is clipped to 3, not 2
    assert found["acc5"] == pytest.approx(5 / 6)  # clipped at 2: all but -1
    assert found["mae"] == pytest.approx((0.2 + 1.2 + 0.1 + 0.5 + 0.6 + 1.9) / 6)


def test_against_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    truth = np.round(rng.normal(size=300) * 1.5, 1).clip(-3, 3)
    predicted = truth + rng.normal(size=300)
    found, non0 = sentiment_metrics(predicted, truth), truth != 0
    assert found["f1_has0"] == pytest.approx(f1_score(truth >= 0, predicted >= 0, average="weighted"))
    assert found["f1_non0"] == pytest.approx(f1_score(truth[non0] > 0, predicted[non0] > 0, average="weighted"))
    assert found["corr"] == pytest.approx(pearsonr(predicted, truth).statistic)
    assert balanced_accuracy(predicted > 0, truth > 0) == pytest.approx(
        balanced_accuracy_score(truth > 0, predicted > 0)
    )
    labels = rng.integers(0, 3, 50), rng.integers(0, 4, 50)
    assert weighted_f1(*labels) == pytest.approx(f1_score(labels[1], labels[0], average="weighted"))


def test_a_constant_prediction_has_no_correlation():
    assert np.isnan(sentiment_metrics(np.zeros(3), np.array([1.0, -1.0, 2.0]))["corr"])


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="truth: no sample"):
        sentiment_metrics(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="truth: all samples are 0"):
        sentiment_metrics(np.zeros(2), np.zeros(2))
