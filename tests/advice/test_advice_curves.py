"""Curves and crossovers: hand-checked values, an outside oracle for the isotonic fit, and the interval's coverage by simulation."""

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from stillhouse.advice.curves import Measured, ahead, crossing, curve_points, isotonic, nested_subsets, size_at, sizes_for
from stillhouse.records import Example


def test_sizes_double_from_sixteen_or_four_per_class_and_end_with_all_rows():
    assert sizes_for(100, 2) == [16, 32, 64, 100]
    assert sizes_for(1000, 10) == [40, 80, 160, 320, 640, 1000]
    assert sizes_for(70, None) == [16, 32, 70]  # 64 to 70 would be a step of six rows
    assert sizes_for(10, 3) == [10]


def test_subsets_are_nested_start_with_every_class_and_differ_by_seed():
    rows = [Example(str(i), f"text {i}", label="rare" if i == 77 else "common") for i in range(200)]
    targets = [row.label for row in rows]
    small, large = nested_subsets(rows, [16, 64], targets, seed=1)
    assert large[:16] == small
    assert {row.label for row in small} == {"rare", "common"}
    assert nested_subsets(rows, [16], targets, seed=2) != [small]
    assert len({row.id for row in large}) == 64


@pytest.mark.parametrize("seed", range(20))
def test_isotonic_agrees_with_scikit_learn(seed):
    values = np.random.default_rng(seed).normal(size=9)
    assert isotonic(values) == pytest.approx(IsotonicRegression().fit_transform(range(9), values))


def test_size_at_reads_between_sizes_on_log2_and_is_censored_outside():
    assert size_at([16, 64], [0.5, 0.7], 0.6) == pytest.approx(32)  # half way in log2
    assert size_at([16, 64], [0.5, 0.7], 0.5) == -math.inf
    assert size_at([16, 64], [0.5, 0.7], 0.71) == math.inf


def rows_of(probabilities, n_seeds, n_rows, generator):
    """Independent right-or-wrong rows: (sizes, seeds, rows)."""
    return (generator.random((len(probabilities), n_seeds, n_rows)) < np.array(probabilities)[:, None, None]).astype(float)


def test_crossing_without_noise_is_exact_and_censored_answers_are_answers():
    sizes, rows = (16, 64, 256), np.arange(10)
    scores = np.stack([np.tile((rows < k).astype(float), (3, 1)) for k in (4, 6, 8)])  # 0.4, 0.6, 0.8 for each of three seeds
    measured = Measured(sizes, scores, rows)
    found = crossing(measured, (rows < 7).astype(float))
    assert (found.n_star, found.censored, found.n_seeds, found.n_rows) == (pytest.approx(128), None, 3, 10)
    assert crossing(measured, np.ones(10)).censored == ">"
    assert crossing(measured, np.zeros(10)).censored == "<="
    assert crossing(measured, np.zeros(10)).n_star is None


def test_one_seed_gives_no_interval():
    measured = Measured((16, 64), np.ones((2, 1, 5)), np.arange(5))
    found = crossing(measured, np.ones(5))
    assert (found.low, found.high) == (None, None)
    assert curve_points(measured)[0].low is None


def test_points_carry_every_seed_and_the_two_way_bootstrap_matches_its_naive_form():
    generator = np.random.default_rng(3)
    measured = Measured((16, 64), rows_of([0.6, 0.7], 4, 80, generator), np.arange(80))
    point = curve_points(measured)[0]
    assert point.scores == pytest.approx(measured.scores[0].mean(axis=1))
    naive = []
    for _ in range(2000):
        seeds, rows = generator.integers(0, 4, 4), generator.integers(0, 80, 80)
        naive.append(measured.scores[0][np.ix_(seeds, rows)].mean())
    assert (point.low, point.high) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.015)


def test_groups_are_drawn_whole():
    scores = np.repeat(np.array([1.0, 0.0, 1.0, 0.0]), 25)[None, None, :].repeat(2, axis=1)
    alone = curve_points(Measured((16,), scores, np.arange(100)))[0]
    grouped = curve_points(Measured((16,), scores, np.repeat(np.arange(4), 25)))[0]
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.slow
def test_the_interval_of_the_crossover_covers_the_truth():
    """True curve 0.5, 0.6, 0.7, 0.8 at 16..128 and a prompt at 0.65: n* = 2^5.5. The percentile interval may be a little short; 90 of 100 is a fair floor."""
    generator, truth, covered = np.random.default_rng(11), 2**5.5, 0
    for draw in range(100):
        measured = Measured((16, 32, 64, 128), rows_of([0.5, 0.6, 0.7, 0.8], 5, 400, generator), np.arange(400))
        found = crossing(measured, (generator.random(400) < 0.65).astype(float), seed=draw)
        covered += (found.low or 0) <= truth <= (found.high or math.inf)
    assert covered >= 90


def test_one_doubling_ahead_is_a_band_from_nothing_to_the_last_gain():
    measured = Measured((16, 32), np.array([[[0.0, 1.0]], [[1.0, 1.0]]]), np.arange(2))
    assert ahead(curve_points(measured)) == (64, 1.0, 1.0)  # never above 1
    assert ahead(curve_points(measured)[:1]) is None
