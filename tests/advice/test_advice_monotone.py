"""Curves that never fall: exact hand values, scikit-learn for the fit, and dense sums for the exact integrals."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize
from sklearn.isotonic import IsotonicRegression

from stillhouse.advice.monotone import (
    caught_up,
    crossings,
    isotonic,
    lead,
    mean_log2_size,
    mean_size,
    score_at,
    size_at,
)


@pytest.mark.parametrize("seed", range(5))
def test_isotonic_agrees_with_scikit_learn_for_many_curves_and_weights_at_once(seed):
    generator = np.random.default_rng(seed)
    values, weights = generator.normal(size=(6, 9)), generator.integers(1, 5, 9)
    assert isotonic(values) == pytest.approx(
        np.array([IsotonicRegression().fit_transform(range(9), row) for row in values])
    )
    assert isotonic(values, weights) == pytest.approx(
        np.array([IsotonicRegression().fit(range(9), row, weights).predict(range(9)) for row in values])
    )


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
    assert mean_size([16, 64], [0.5, 0.7], 0.5, 0.7) == pytest.approx(
        48 / math.log(4)
    )  # the logarithmic mean of 16 and 64
    assert 2 ** mean_log2_size([16, 64], [0.5, 0.7], 0.5, 0.7) == pytest.approx(32)
    assert mean_size([16, 64], [0.5, 0.7], 0.3, 0.9, log=False) == pytest.approx(
        (16 + 40 + 64) / 3
    )  # a third each below, on and above the curve


@pytest.mark.parametrize("log", [True, False])
def test_mean_sizes_agree_with_a_dense_sum(log):
    generator = np.random.default_rng(0)
    sizes, curves = [10, 32, 100, 320], isotonic(generator.normal(size=(4, 4)) + np.arange(4))
    low, high = curves[:, 0] + 0.1, curves[:, -1] - 0.2
    dense = [np.linspace(*ends, 200_001) for ends in zip(low, high, strict=True)]
    naive = [
        size_at(sizes, np.broadcast_to(curve, (200_001, 4)), scores, log=log).mean()
        for curve, scores in zip(curves, dense, strict=True)
    ]
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


def test_isotonic_is_the_smallest_of_the_largest_means():
    """The definition (Barlow et al. 1972): at i the largest over j <= i of the smallest over k >= i of the mean of j..k, by weights."""
    generator = np.random.default_rng(1)
    for _ in range(50):
        values, weights = generator.normal(size=7), generator.integers(1, 6, 7)
        naive = [
            max(
                min(np.average(values[j : k + 1], weights=weights[j : k + 1]) for k in range(i, 7))
                for j in range(i + 1)
            )
            for i in range(7)
        ]
        assert isotonic(values, weights) == pytest.approx(naive)


def test_isotonic_means_are_nearer_to_a_truth_that_never_falls():
    truth = np.array([0.5, 0.55, 0.6, 0.62, 0.63])
    noisy = truth + np.random.default_rng(2).normal(0, 0.05, (2000, 5))
    before, after = ((noisy - truth) ** 2).sum(axis=1), ((isotonic(noisy) - truth) ** 2).sum(axis=1)
    assert (after <= before + 1e-12).all()  # for every draw, and not only in the mean
    assert after.mean() < 0.8 * before.mean()


def test_readings_are_scipys_interpolation_integrals_and_roots():
    sizes, curve, other = [16, 32, 100, 320], [0.42, 0.55, 0.61, 0.8], [0.3, 0.5, 0.7, 0.75]

    def at(score):
        return 2 ** float(np.interp(score, curve, np.log2(sizes)))

    def ahead(log2_n):
        return np.interp(log2_n, np.log2(sizes), other) - np.interp(log2_n, np.log2(sizes), curve)

    for score in (0.43, 0.55, 0.7):
        assert size_at(sizes, curve, score) == pytest.approx(at(score))
        assert score_at(sizes, curve, np.array([at(score)])) == pytest.approx([score])
    assert mean_size(sizes, curve, 0.45, 0.75) == pytest.approx(
        integrate.quad(at, 0.45, 0.75, points=[0.55, 0.61])[0] / 0.3
    )
    assert mean_log2_size(sizes, curve, 0.45, 0.75) == pytest.approx(
        integrate.quad(lambda s: math.log2(at(s)), 0.45, 0.75, points=[0.55, 0.61])[0] / 0.3
    )
    grid, leads = lead(sizes, other, sizes, curve)
    roots = [2 ** optimize.brentq(ahead, math.log2(low), math.log2(high)) for low, high in ((32, 100), (100, 320))]
    assert crossings(grid, leads) == pytest.approx(roots)
    assert caught_up(grid, leads) == np.inf and caught_up(grid, -leads) == pytest.approx(roots[1])


def test_a_lead_turns_where_a_fine_walk_along_it_does():
    """The definition, on random leads: the last of 200,001 steps at which it is below zero, and every change of sign."""
    generator = np.random.default_rng(3)
    grid = np.array([16.0, 32, 64, 128, 256])
    steps = np.linspace(4, 8, 200_001)
    for _ in range(30):
        leads = generator.normal(size=5)
        walked = np.interp(steps, np.log2(grid), leads)
        behind = np.flatnonzero(walked < 0)
        wanted = -np.inf if not behind.size else np.inf if behind[-1] == 200_000 else 2 ** steps[behind[-1]]
        assert caught_up(grid, leads) == pytest.approx(wanted, rel=1e-4)
        assert crossings(grid, leads) == pytest.approx(
            (2 ** steps[np.flatnonzero(np.diff(np.sign(walked)))]).tolist(), rel=1e-4
        )


def test_readings_of_many_noisy_runs_come_to_the_truths():
    """Means of 10,000 runs with a spread of 0.05 are off by 0.0005: a size by a few thousandths of itself."""
    sizes, truths = [16, 32, 64, 128], np.array([[0.40, 0.50, 0.60, 0.70], [0.46, 0.50, 0.54, 0.58]])
    one, other = (
        isotonic((truth + np.random.default_rng(4).normal(0, 0.05, (10_000, 4))).mean(axis=0)) for truth in truths
    )
    assert size_at(sizes, one, 0.55) == pytest.approx(2**5.5, rel=0.01)
    assert score_at(sizes, one, np.array([90.51])) == pytest.approx([0.65], abs=0.002)
    assert mean_size(sizes, one, 0.45, 0.65) == pytest.approx(float(mean_size(sizes, truths[0], 0.45, 0.65)), rel=0.01)
    assert 2 ** mean_log2_size(sizes, one, 0.45, 0.65) == pytest.approx(2**5.5, rel=0.01)
    grid, leads = lead(sizes, one, sizes, other)
    assert caught_up(grid, leads) == pytest.approx(32, rel=0.02)
    assert crossings(grid, leads) == pytest.approx([32], rel=0.02)
