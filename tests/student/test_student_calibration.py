"""What makes a confidence honest: against outside fits, by the definition, and on rows that were not fitted to."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stillhouse.evaluation.harness import RowResult
from stillhouse.jobs.details import reliability
from stillhouse.student.calibration import FEWEST, fit_sigmoid, fit_temperature, negative_log_likelihood, sigmoid, softmax


def likelihoods(n, seed=0):
    """Answers whose probability of being right is sigmoid(3 x + 1), x a log-likelihood; exp(x) alone would be far from it."""
    generator = np.random.default_rng(seed)
    x = -generator.exponential(0.8, n)
    return x, generator.random(n) < 1 / (1 + np.exp(-(3 * x + 1)))


def test_the_sigmoid_is_the_logistic_regression_of_right_on_log_likelihood():
    x, right = likelihoods(4000)
    theirs = LogisticRegression(C=1e9, tol=1e-8).fit(x[:, None], right)
    slope, offset = fit_sigmoid(x, right)
    assert (slope, offset) == (pytest.approx(theirs.coef_[0, 0], rel=0.01), pytest.approx(theirs.intercept_[0], abs=0.02))
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
    upside_down = fit_sigmoid(-np.linspace(0.1, 2, 40), [False] * 20 + [True] * 20)  # the surest are wrong: the order is kept all the same
    assert upside_down[0] > 0


def test_too_few_rows_leave_a_likelihood_as_it_is():
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

    rows = [row(n, 0.75, 0.95, n % 4 > 0) for n in range(40)]  # three of four are right, and it says so only once calibrated
    found = reliability("student", rows)
    assert (found.ece, found.ece_before) == (pytest.approx(0), pytest.approx(0.2))
    assert [(each.low, each.accuracy.n) for each in found.before] == [(0.9, 40)] and found.bins[0].accuracy.value == 0.75
    mixed = reliability("student", [*rows, row(99, 0.5, None, True)])
    assert mixed.before == () and mixed.ece_before is None  # of other rows it would be no comparison
