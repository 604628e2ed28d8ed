"""v* and its acceptability curve: against Fieller's theorem, against every possible draw, and by simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from stillhouse.verdict.money.answer_worth import acceptability, answer_worth


def rows(n, arm_right, prompt_right, seed=0, arm_usd=0.0001, prompt_usd=0.01):
    """Two arms on the same rows, the prompt's calls of unequal length."""
    generator = np.random.default_rng(seed)
    scores = (generator.random(n) < arm_right).astype(float), (generator.random(n) < prompt_right).astype(float)
    return (
        scores,
        (np.full(n, arm_usd), prompt_usd * generator.uniform(0.5, 1.5, n)),
        [str(index) for index in range(n)],
    )


def fieller(score, usd, level=0.95):
    """The bounds of the ratio of two means by Fieller (1954), as in Cox (1990) or Willan & O'Brien (1996)."""
    n, t = len(score), stats.norm.ppf((1 + level) / 2)
    a, c = score.mean(), usd.mean()
    covariance = np.cov(score, usd) / n
    low = a * c - t**2 * covariance[0, 1]
    root = math.sqrt(low**2 - (a**2 - t**2 * covariance[0, 0]) * (c**2 - t**2 * covariance[1, 1]))
    return sorted((low + sign * root) / (a**2 - t**2 * covariance[0, 0]) for sign in (-1, 1))


def test_the_interval_is_fiellers_where_there_are_many_rows():
    scores, usd, groups = rows(1500, 0.70, 0.80)
    found = answer_worth("student", "prompt", scores, usd, groups, n_resamples=10_000)
    assert found.flips_at == pytest.approx((usd[0] - usd[1]).mean() / (scores[0] - scores[1]).mean())
    assert (found.low, found.high) == pytest.approx(fieller(scores[0] - scores[1], usd[0] - usd[1]), rel=0.04)


def test_the_curve_is_the_share_of_all_draws_there_are():
    """Four rows can be drawn in 256 ways."""
    score, usd, grid = np.array([0.0, -1.0, 1.0, -1.0]), np.array([-0.3, -0.1, -0.2, -0.4]), [0.05, 0.2, 0.55, 5.0]
    means = [(score[list(draw)].mean(), usd[list(draw)].mean()) for draw in itertools.product(range(4), repeat=4)]
    naive = [
        sum(1.0 if v * s > u + 1e-12 else 0.5 if abs(v * s - u) < 1e-12 else 0.0 for s, u in means) / 256 for v in grid
    ]
    assert acceptability(means, grid) == pytest.approx(naive)
    found = answer_worth(
        "a", "b", (score + 1, np.ones(4)), (usd + 1, np.ones(4)), list("wxyz"), n_resamples=20_000, yours=0.55
    )
    assert found.at_yours == pytest.approx(naive[2], abs=0.012)  # three standard errors of 20,000 draws


def test_it_is_the_same_whichever_way_round_and_whoever_asks():
    scores, usd, groups = rows(300, 0.75, 0.80)
    one, other = answer_worth("a", "b", scores, usd, groups), answer_worth("b", "a", scores[::-1], usd[::-1], groups)
    assert one == answer_worth("a", "b", scores, usd, groups)
    assert (one.flips_at, one.low, one.high) == pytest.approx((other.flips_at, other.low, other.high))
    assert np.asarray(one.shares) == pytest.approx(1 - np.asarray(other.shares))


def test_rows_of_a_group_are_drawn_together():
    """Twins bring no news: the interval is that of one of each, and the n that is told is that of the rows."""
    scores, usd, groups = rows(200, 0.70, 0.85)
    twice = answer_worth(
        "a", "b", tuple(np.tile(part, 2) for part in scores), tuple(np.tile(part, 2) for part in usd), groups * 2
    )
    once = answer_worth("a", "b", scores, usd, groups)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert twice.n == 400


def test_cheaper_and_better_flips_at_no_worth():
    found = answer_worth("student", "prompt", *rows(500, 0.95, 0.80))
    assert (found.flips_at, found.low, found.high) == (None, None, None)
    assert found.sentence.endswith("student is the better buy at any worth of an answer")
    worse = answer_worth("student", "prompt", *rows(500, 0.60, 0.80, arm_usd=0.05))
    assert worse.sentence.endswith("prompt is the better buy at any worth of an answer")


def test_where_the_rows_do_not_tell_which_is_better_the_interval_is_open():
    found = answer_worth("student", "prompt", *rows(100, 0.80, 0.80, seed=5))
    assert found.low is not None and found.high is None
    assert "n = 100" in found.sentence


def test_nothing_can_be_drawn_from_one_group_and_equal_arms_are_the_same_buy():
    assert answer_worth("a", "b", ([1.0], [0.0]), ([0.1], [0.2]), ["one"]) is None
    same = answer_worth("a", "b", ([1.0, 0.0], [1.0, 0.0]), ([0.1, 0.1], [0.1, 0.1]), ["x", "y"])
    assert same.sentence.endswith("they are the same buy") and set(same.shares) == {0.5}


def test_the_curve_is_the_normal_chance_of_a_gain_where_there_are_many_rows():
    """At a worth v the net benefit v * score - usd is about normal: the share of draws above 0 is its distribution function, from scipy."""
    scores, usd, groups = rows(1500, 0.70, 0.80)
    found = answer_worth("student", "prompt", scores, usd, groups)
    for value, share in zip(found.values[::6], found.shares[::6], strict=True):
        net = value * (scores[0] - scores[1]) - (usd[0] - usd[1])
        assert share == pytest.approx(
            stats.norm.cdf(net.mean() / stats.sem(net)), abs=0.035
        )  # three standard errors of 2,000 draws


def test_at_the_true_worth_the_curve_is_as_often_low_as_it_says():
    """400 worlds in which an answer is worth exactly v*: the share is below 5 % in some 5 % of them, and above 95 % in as many (three standard errors: 3 %)."""
    truth, found = (0.0001 - 0.01) / (0.70 - 0.80), []
    for seed in range(400):
        (one, other), (own, theirs), _ = rows(150, 0.70, 0.80, seed=seed)
        picks = np.random.default_rng(seed).integers(0, 150, (400, 150))
        drawn = np.stack([(one - other)[picks].mean(axis=1), (own - theirs)[picks].mean(axis=1)], axis=1)
        found.append(acceptability(drawn, [truth])[0])
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.033)
    assert np.mean(np.array(found) > 0.95) == pytest.approx(0.05, abs=0.033)


@pytest.mark.slow
def test_the_interval_covers_as_often_as_it_says():
    """400 draws of 300 rows from a world in which an answer is worth 10 cents: nominal 0.95, three standard errors are 0.033."""
    truth, hits = (0.0001 - 0.01) / (0.70 - 0.80), 0
    for seed in range(400):
        found = answer_worth("student", "prompt", *rows(300, 0.70, 0.80, seed=seed), n_resamples=500)
        hits += (found.low is None or found.low <= truth) and (found.high is None or truth <= found.high)
    assert 0.917 <= hits / 400 <= 0.983
