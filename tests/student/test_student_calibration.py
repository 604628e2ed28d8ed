"""What makes a confidence honest: against outside fits, by the definition, and on rows that were not fitted to."""

import math

import numpy as np
import pytest
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from stillhouse.evaluation.harness import RowResult
from stillhouse.student.calibration import (
    FEWEST,
    fit_sigmoid,
    fit_temperature,
    negative_log_likelihood,
    sigmoid,
    softmax,
)
from stillhouse.verdict.error_analysis import reliability


def likelihoods(n, seed=0):
    """Answers whose probability of being right is sigmoid(3 x + 1), x a log-likelihood; exp(x) alone would be far from it."""
    generator = np.random.default_rng(seed)
    x = -generator.exponential(0.8, n)
    return x, generator.random(n) < 1 / (1 + np.exp(-(3 * x + 1)))


def test_the_sigmoid_is_the_logistic_regression_of_right_on_log_likelihood():
    x, right = likelihoods(4000)
    theirs = LogisticRegression(C=1e9, tol=1e-8).fit(x[:, None], right)
    slope, offset = fit_sigmoid(x, right)
    assert (slope, offset) == (
        pytest.approx(theirs.coef_[0, 0], rel=0.01),
        pytest.approx(theirs.intercept_[0], abs=0.02),
    )
    assert slope == pytest.approx(3, rel=0.15) and offset == pytest.approx(1, abs=0.15)


def test_on_new_rows_the_calibrated_confidence_is_as_often_right_as_it_says():
    fitted = fit_sigmoid(*likelihoods(500))
    x, right = likelihoods(20000, seed=1)
    says = np.array([sigmoid(value, fitted) for value in x])
    for low in np.arange(0.1, 0.7, 0.1):
        inside = (says >= low) & (says < low + 0.1)
        assert right[inside].mean() == pytest.approx(says[inside].mean(), abs=0.06)
    assert abs(np.exp(x).mean() - right.mean()) > 2 * abs(says.mean() - right.mean())


def test_the_sigmoid_keeps_the_order_and_is_never_certain():
    all_right = fit_sigmoid(-np.linspace(0.1, 2, 40), [True] * 40)
    says = [sigmoid(value, all_right) for value in (-3.0, -1.0, -0.1)]
    assert says == sorted(says) and 0.9 < says[-1] < 1
    upside_down = fit_sigmoid(
        -np.linspace(0.1, 2, 40), [False] * 20 + [True] * 20
    )  # the surest are wrong: the order is kept all the same
    assert upside_down[0] > 0


def test_too_few_rows_leave_a_likelihood_as_it_is():
    assert FEWEST == 30
    assert fit_sigmoid([-0.1] * (FEWEST - 1), [True] * (FEWEST - 1)) is None
    assert sigmoid(-0.5, None) == math.exp(-0.5)


def test_the_temperature_is_the_best_of_a_fine_grid():
    generator = np.random.default_rng(3)
    honest = generator.normal(size=(300, 4))
    targets = [int(generator.choice(4, p=row)) for row in softmax(honest)]
    grid = np.geomspace(0.2, 10, 4000)
    best = grid[np.argmin([negative_log_likelihood(honest * 2.5, targets, t) for t in grid])]
    assert fit_temperature(honest * 2.5, targets) == pytest.approx(best, rel=0.005)


def test_reliability_is_told_after_calibration_and_before_it():
    def row(number, confidence, raw, right):
        return RowResult(str(number), None, "x", "x", float(right), confidence, raw_confidence=raw)

    rows = [
        row(n, 0.75, 0.95, n % 4 > 0) for n in range(40)
    ]  # three of four are right, and it says so only once calibrated
    found = reliability("student", rows)
    assert (found.ece, found.ece_before) == (pytest.approx(0), pytest.approx(0.2))
    assert [(each.low, each.accuracy.n) for each in found.before] == [(0.9, 40)] and found.bins[
        0
    ].accuracy.value == 0.75
    mixed = reliability("student", [*rows, row(99, 0.5, None, True)])
    assert mixed.before == () and mixed.ece_before is None  # of other rows it would be no comparison


def honest_logits(n, classes=4, seed=3):
    """Logits whose softmax is the truth, and what was drawn from it."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, classes)) * 1.5
    return logits, [int(generator.choice(classes, p=row)) for row in softmax(logits)]


def test_softmax_and_log_loss_are_scipys_and_scikit_learns():
    logits, targets = honest_logits(200)
    assert softmax(logits, 2.0) == pytest.approx(special.softmax(logits / 2, axis=1))
    assert softmax(np.array([[0.0, math.log(3), -math.inf]])) == pytest.approx(np.array([[0.25, 0.75, 0.0]]))
    assert negative_log_likelihood(logits, targets, 2.0) == pytest.approx(
        log_loss(targets, special.softmax(logits / 2, axis=1)), rel=1e-6
    )
    assert negative_log_likelihood(logits, targets) == pytest.approx(
        -np.mean([math.log(softmax(logits)[row, one]) for row, one in enumerate(targets)])
    )


def test_the_temperature_is_scikit_learns():
    """Its calibrator with method "temperature", around a classifier whose decision function hands the logits on."""

    class Handed(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(4)

        def fit(self, *_):
            self.fitted_ = True
            return self

        def decision_function(self, x):
            return x

        def predict(self, x):
            return x.argmax(axis=1)

    logits, targets = honest_logits(600)
    theirs = CalibratedClassifierCV(FrozenEstimator(Handed().fit()), method="temperature").fit(2.5 * logits, targets)
    ours = softmax(2.5 * logits, fit_temperature(2.5 * logits, targets))
    assert ours == pytest.approx(theirs.predict_proba(2.5 * logits), abs=2e-3)


def test_on_many_rows_the_temperature_is_the_one_that_made_them():
    """10,000 rows: the likelihood's curvature leaves a standard error of about 0.03."""
    logits, targets = honest_logits(10_000)
    assert fit_temperature(2.5 * logits, targets) == pytest.approx(2.5, abs=0.1)
    assert negative_log_likelihood(2.5 * logits, targets, 2.5) < negative_log_likelihood(2.5 * logits, targets)
    assert fit_temperature(logits[: FEWEST - 1], targets[: FEWEST - 1]) == 1.0


def test_the_sigmoid_is_the_likeliest_for_platts_targets():
    """The definition, by a fine grid around what was fitted: no slope and offset near it has a lower loss."""
    x, right = likelihoods(60, seed=2)
    slope, offset = fit_sigmoid(x, right)
    targets = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def loss(a, b):
        z = a * x + b
        return np.mean(np.logaddexp(0, z) - targets * z)

    near = [(slope + da, offset + db) for da in (-0.05, 0, 0.05) for db in (-0.05, 0, 0.05) if da or db]
    assert all(loss(slope, offset) < loss(*pair) for pair in near)
    assert (
        sigmoid(-0.4, (slope, offset))
        == pytest.approx(special.expit(slope * -0.4 + offset))
        == pytest.approx(1 / (1 + math.exp(-(slope * -0.4 + offset))))
    )
