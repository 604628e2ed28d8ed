"""Curves and crossovers with a prompt: hand-checked values, scipy's t interval, and the interval's coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from stillhouse.advice.curves import (
    RowScores,
    RunScores,
    ahead,
    crossing,
    curve_points,
    nested_subsets,
    order_interval,
    resampled,
    size_interval,
    sizes_for,
)
from stillhouse.advice.monotone import size_at
from stillhouse.records import Example
from stillhouse.results.learning_curves import Ahead, CurvePoint


def test_sizes_double_from_sixteen_or_four_per_class_and_end_with_all_rows():
    assert sizes_for(100, 2) == [16, 32, 71, 100]  # 64 to 71 would be a step of seven rows
    assert sizes_for(1000, 10) == [40, 80, 160, 320, 707, 1000]
    assert sizes_for(1414, 2)[-3:] == [512, 1000, 1414]  # after a half step of 414 rows, the size before it
    assert sizes_for(2048, None)[-3:] == [1024, 1448, 2048]
    assert sizes_for(70, None) == [16, 32, 49, 70]
    assert sizes_for(24, None) == [16, 24]  # no room for half an octave
    assert sizes_for(10, 3) == [10]


def test_subsets_are_nested_start_with_every_class_and_differ_by_seed():
    rows = [Example(str(i), f"text {i}", label="rare" if i == 77 else "common") for i in range(200)]
    targets = [row.label for row in rows]
    small, large = nested_subsets(rows, [16, 64], targets, seed=1)
    assert large[:16] == small
    assert {row.label for row in small} == {"rare", "common"}
    assert nested_subsets(rows, [16], targets, seed=2) != [small]
    assert len({row.id for row in large}) == 64


def rows_of(probabilities, n_seeds, n_rows, generator):
    """Independent right-or-wrong rows: (sizes, seeds, rows)."""
    return (generator.random((len(probabilities), n_seeds, n_rows)) < np.array(probabilities)[:, None, None]).astype(
        float
    )


def test_crossing_without_noise_is_exact_and_censored_answers_are_answers():
    sizes, rows = (16, 64, 256), np.arange(10)
    scores = np.stack(
        [np.tile((rows < k).astype(float), (3, 1)) for k in (4, 6, 8)]
    )  # 0.4, 0.6, 0.8 for each of three seeds
    measured = RowScores(sizes, scores, rows)
    found = crossing(measured, (rows < 7).astype(float))
    assert (found.n_star, found.censored, found.n_seeds, found.n_rows) == (pytest.approx(128), None, 3, 10)
    beyond = crossing(measured, np.ones(10))
    assert (beyond.censored, beyond.low, beyond.high) == (">", 256, None)  # surely beyond: not below the smallest
    below = crossing(measured, np.zeros(10))
    assert (below.censored, below.low, below.high) == ("<=", None, 16)
    assert crossing(measured, np.zeros(10)).n_star is None


def test_the_size_that_meets_the_prompt_is_scikit_learns_fit_read_by_numpy():
    sizes = (16, 32, 64, 128, 256)
    measured = RowScores(
        sizes, rows_of([0.52, 0.50, 0.6, 0.58, 0.75], 4, 200, np.random.default_rng(8)), np.arange(200)
    )
    fit = IsotonicRegression().fit_transform(range(5), measured.scores.mean(axis=(1, 2)))
    prompt = (np.arange(200) < 140).astype(float)
    assert crossing(measured, prompt).n_star == pytest.approx(2 ** np.interp(0.7, fit, np.log2(sizes)))


def test_an_interval_by_order_is_numpys_and_names_no_size_beyond_those_tried():
    found = np.random.default_rng(9).lognormal(4, 1, 2000)
    low, high = order_interval(found, 0.95)
    ends = np.quantile(found, 0.025, method="higher"), np.quantile(found, 0.975, method="lower")
    assert (low, high) == pytest.approx(ends, rel=0.02)
    assert (np.sum(found < low), np.sum(found > high)) == (50, 50)  # the definition: as many draws below as above
    few = np.concatenate([np.full(60, -np.inf), np.linspace(20, 200, 1880), np.full(60, np.inf)])
    assert order_interval(few, 0.95) == (-np.inf, np.inf) and size_interval(few, 0.95, 16, 256) == (None, None)
    assert (
        size_interval(few, 0.9, 16, 256) == pytest.approx(order_interval(few, 0.9)) and order_interval(few, 0.9)[0] > 20
    )
    covered = np.mean(
        [
            order_interval(draws, 0.9)[0] <= 0 <= order_interval(draws, 0.9)[1]
            for draws in np.random.default_rng(10).normal(0.5, 1, (500, 400))
        ]
    )
    assert covered == 1.0  # 90 % of a normal's draws hold a point half a spread from its middle


def test_one_seed_gives_no_interval():
    measured = RowScores((16, 64), np.ones((2, 1, 5)), np.arange(5))
    found = crossing(measured, np.ones(5))
    assert (found.low, found.high) == (None, None)
    assert curve_points(measured)[0].low is None


def test_points_carry_every_seed_with_a_band_around_their_mean():
    measured = RowScores((16, 64), rows_of([0.6, 0.7], 4, 80, np.random.default_rng(3)), np.arange(80))
    point = curve_points(measured)[0]
    assert point.scores == pytest.approx(measured.scores[0].mean(axis=1))
    assert point.low < point.mean < point.high


def test_with_scores_alone_a_band_is_the_t_interval():
    scores = [0.61, 0.66, 0.58, 0.70]
    [drawn] = resampled([RunScores("a", {16: {str(seed): score for seed, score in enumerate(scores)}})], 0)
    expected = stats.t.interval(0.95, 3, np.mean(scores), stats.sem(scores))
    assert np.quantile(drawn[:, 0], [0.025, 0.975]) == pytest.approx(expected, abs=0.006)


def test_where_seeds_do_not_differ_the_draws_are_the_plain_bootstrap_of_rows():
    generator = np.random.default_rng(4)
    row = (generator.random(90) < 0.7).astype(float)
    [drawn] = resampled([RowScores((16,), np.tile(row, (1, 5, 1)), np.arange(90))], 0)
    naive = [row[generator.integers(0, 90, 90)].mean() for _ in range(2000)]
    assert np.quantile(drawn[:, 0], [0.025, 0.975]) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.015)


def test_the_draws_vary_as_the_mean_does_over_experiments():
    """Rows of different difficulty, seeds of different luck, chance in every answer: the spread of the draws is that of the mean, not twice as much."""
    generator, spreads, means = np.random.default_rng(5), [], []
    for draw in range(60):
        latent = generator.normal(0, 1, 60) + generator.normal(0, 0.15, (8, 1)) + generator.normal(0, 0.8, (8, 60))
        measured = RowScores((16,), (latent > 0).astype(float)[None], np.arange(60))
        means.append(measured.scores.mean())
        low, high = np.quantile(resampled([measured], draw)[0], [0.16, 0.84])
        spreads.append((high - low) / 2)
    assert np.mean(spreads) == pytest.approx(np.std(means), rel=0.25)


def test_arms_with_the_same_seeds_share_their_draws():
    """A seed that is lucky in both arms says nothing of their difference."""
    luck = {"0": 0.0, "1": 0.1, "2": -0.1, "3": 0.02}
    one, other = (
        RunScores(name, {16: {seed: base + lucky for seed, lucky in luck.items()}})
        for name, base in (("a", 0.5), ("b", 0.6))
    )
    first, second = resampled([one, other], 0)
    assert second - first == pytest.approx(np.full_like(first, 0.1))
    third = RunScores("c", {16: {f"other {seed}": 0.6 + lucky for seed, lucky in luck.items()}})
    assert np.std(resampled([one, third], 0)[1] - first) > 0.05


def test_groups_are_drawn_whole():
    scores = np.repeat(np.array([1.0, 0.0, 1.0, 0.0, 1.0]), 20)[None, None, :].repeat(2, axis=1)
    alone = curve_points(RowScores((16,), scores, np.arange(100)))[0]
    grouped = curve_points(RowScores((16,), scores, np.repeat(np.arange(5), 20)))[0]
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.slow
def test_the_interval_of_the_crossover_covers_the_truth():
    """Curves as in practice: hard and easy rows, lucky and unlucky seeds, chance in every answer. Nominal 0.95; 100 draws tell 0.91 to 0.99 from it."""
    generator, covered = np.random.default_rng(11), 0
    sizes, true, prompt = (16, 32, 64, 128, 256), np.array([0.50, 0.58, 0.65, 0.71, 0.75]), 0.68
    truth = float(size_at(sizes, true, prompt))
    latent_means = stats.norm.ppf(true) * math.sqrt(1 + 0.5**2 + 2 * 0.1**2)
    for draw in range(100):
        rows = generator.normal(0, 1, 150)
        luck = generator.normal(0, 0.1, (1, 4, 1)) + generator.normal(0, 0.1, (5, 4, 1))
        latent = latent_means[:, None, None] + rows + luck + generator.normal(0, 0.5, (5, 4, 150))
        answers = stats.norm.ppf(prompt) * math.sqrt(1 + 0.5**2) + rows + generator.normal(0, 0.5, 150) > 0
        found = crossing(RowScores(sizes, (latent > 0).astype(float), np.arange(150)), answers.astype(float), seed=draw)
        covered += (found.low or 0) <= truth <= (found.high or math.inf)
    assert 91 <= covered <= 99


def test_the_last_doubling_is_an_octave_though_the_last_two_sizes_are_half_of_one():
    points = [
        CurvePoint(n, mean, None, None, ()) for n, mean in ((512, 0.70), (1024, 0.75), (1448, 0.77), (2048, 0.80))
    ]
    assert ahead(points) == Ahead(4096, 0.80, pytest.approx(0.85))


def test_one_doubling_ahead_is_a_band_from_nothing_to_the_last_gain():
    measured = RowScores((16, 32), np.array([[[0.0, 1.0]], [[1.0, 1.0]]]), np.arange(2))
    assert ahead(curve_points(measured)) == Ahead(64, 1.0, 1.0)  # never above 1
    assert ahead(curve_points(measured)[:1]) is None


def test_what_lies_ahead_is_in_the_band_where_gains_shrink():
    """300 curves whose gain per doubling shrinks to 0.5 to 1 of the one before, 4 seeds of 300 rows: the score at twice the rows lies in the band, noise aside.

    It is a band from what is there to the last gain again, by definition, and no interval: noise of the last two points (0.015 each) goes into its ends.
    """
    generator, inside = np.random.default_rng(12), 0
    for _ in range(300):
        gains = 0.1 * np.cumprod(generator.uniform(0.5, 1.0, 4))
        true = 0.5 + np.concatenate([[0.0], np.cumsum(gains)])
        seen = rows_of(true[:4], 4, 300, generator).mean(axis=(1, 2))
        points = [CurvePoint(n, float(mean), None, None, ()) for n, mean in zip((16, 32, 64, 128), seen, strict=True)]
        band = ahead(points)
        n, low, high = band.n, band.low, band.high
        assert (n, low, high) == (256, points[-1].mean, points[-1].mean + max(0.0, points[-1].mean - points[-2].mean))
        inside += low - 0.03 <= true[4] <= high + 0.03
    assert inside / 300 > 0.9


@pytest.mark.parametrize("n_rows", [1, 4])
def test_few_rows_give_no_interval(n_rows):
    scores = np.array([[[float((seed + row) % 2) for row in range(n_rows)] for seed in range(3)] for _ in range(2)])
    measured = RowScores((16, 32), scores, np.arange(n_rows))
    assert all((point.low, point.high) == (None, None) for point in curve_points(measured))
    found = crossing(measured, np.full(n_rows, 0.25))
    assert (found.low, found.high, found.n_rows) == (None, None, n_rows)


def test_constant_scores_have_no_width_to_estimate():
    always = RowScores((16, 32), np.ones((2, 3, 40)), np.arange(40))
    assert [(point.mean, point.low, point.high) for point in curve_points(always)] == [(1.0, None, None)] * 2
    alike = crossing(always, np.ones(40))
    assert (alike.censored, alike.low, alike.high) == ("<=", None, None)
    apart = crossing(always, np.repeat([0.0, 1.0], 20))  # every draw has a row that the prompt gets wrong
    assert (apart.censored, apart.high) == ("<=", 16.0)
