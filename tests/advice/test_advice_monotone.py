"""Curves that never fall: exact hand values, scikit-learn for the fit, and dense sums for the exact integrals."""

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from stillhouse.advice.monotone import caught_up, crossings, isotonic, lead, mean_log2_size, mean_size, score_at, size_at


@pytest.mark.parametrize("seed", range(5))
def test_isotonic_agrees_with_scikit_learn_for_many_curves_and_weights_at_once(seed):
    generator = np.random.default_rng(seed)
    values, weights = generator.normal(size=(6, 9)), generator.integers(1, 5, 9)
    assert isotonic(values) == pytest.approx(np.array([IsotonicRegression().fit_transform(range(9), row) for row in values]))
    assert isotonic(values, weights) == pytest.approx(np.array([IsotonicRegression().fit(range(9), row, weights).predict(range(9)) for row in values]))


def test_a_curve_that_rises_already_keeps_every_bit():
    rising = [0.1, 0.30000000000000004, 0.7]
    assert isotonic(rising).tolist() == rising


def test_size_at_reads_between_sizes_in_log2_or_linearly_and_is_infinite_outside():
    assert size_at([16, 64], [0.5, 0.7], 0.6) == pytest.approx(32)  # half way in log2
    assert size_at([16, 64], [0.5, 0.7], 0.6, log=False) == pytest.approx(40)
    assert size_at([16, 64], [0.5, 0.7], 0.5) == -math.inf
    assert size_at([16, 64], [0.5, 0.7], 0.71) == math.inf


def test_a_mean_size_is_the_exact_integral():
    assert mean_size([16, 64], [0.5, 0.7], 0.5, 0.7, log=False) == pytest.approx(40)
    assert mean_size([16, 64], [0.5, 0.7], 0.5, 0.7) == pytest.approx(48 / math.log(4))  # the logarithmic mean of 16 and 64
    assert 2 ** mean_log2_size([16, 64], [0.5, 0.7], 0.5, 0.7) == pytest.approx(32)
    assert mean_size([16, 64], [0.5, 0.7], 0.3, 0.9, log=False) == pytest.approx((16 + 40 + 64) / 3)  # a third each below, on and above the curve


@pytest.mark.parametrize("log", [True, False])
def test_mean_sizes_agree_with_a_dense_sum(log):
    generator = np.random.default_rng(0)
    sizes, curves = [10, 32, 100, 320], isotonic(generator.normal(size=(4, 4)) + np.arange(4))
    low, high = curves[:, 0] + 0.1, curves[:, -1] - 0.2
    dense = [np.linspace(*ends, 200_001) for ends in zip(low, high, strict=True)]
    naive = [size_at(sizes, np.broadcast_to(curve, (200_001, 4)), scores, log=log).mean() for curve, scores in zip(curves, dense, strict=True)]
    assert mean_size(sizes, curves, low, high, log=log) == pytest.approx(naive, rel=1e-4)


def test_a_lead_is_read_on_the_sizes_that_both_span():
    grid, ahead = lead([8, 32, 128], [0.1, 0.3, 0.5], [16, 64], [0.4, 0.4])
    assert grid.tolist() == [16, 32, 64]
    assert ahead == pytest.approx([-0.2, -0.1, 0.0])
    assert lead([8, 16], [0.1, 0.2], [32, 64], [0.1, 0.2])[0].size == 0
    assert score_at([16, 64], [0.5, 0.7], np.array([1.0, 32.0, 1000.0])) == pytest.approx([0.5, 0.6, 0.7])


def test_crossings_are_found_one_by_one_and_a_touch_is_none():
    grid = np.array([1.0, 2, 4, 8, 16])
    assert crossings(grid, np.array([-1.0, 1, -1, 1, 1])) == pytest.approx([2**0.5, 2**1.5, 2**2.5])
    assert crossings(grid, np.array([1.0, 0, 1, 1, 1])) == []
    assert crossings(grid, np.array([-1.0, 0, 0, 1, 1])) == pytest.approx([2])


def test_caught_up_is_the_last_turn_or_one_of_the_infinities():
    grid = np.array([1.0, 2, 4])
    leads = np.array([[-1.0, 1, 1], [-1.0, -1, -1], [0.0, 1, 1], [1.0, -1, 1]])
    assert caught_up(grid, leads) == pytest.approx([2**0.5, math.inf, -math.inf, 2**1.5])
