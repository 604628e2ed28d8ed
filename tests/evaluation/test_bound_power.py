"""How many graded rows, or groups, a pass takes: against closed forms, the definition, and in simulation."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from stillhouse.evaluation.bound_power import Moments, expected, groups_needed, moments, power_of_bound
from stillhouse.evaluation.bounded import p_value, worst_case_means
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.results.row_result import RowResult

LEVEL = 0.96


@pytest.mark.parametrize(("margin", "largest"), [(0.02, 1.0), (0.05, 1.0), (0.05, 12.0)])
def test_without_a_spread_it_is_the_rule_of_three_of_groups(margin, largest):
    """Equal sums pass where (1 + y / worst)^-n is below the error, which for single rows is (1 - margin)^n."""
    y, worst = margin * 3, (1 - margin) * largest
    exact = math.log(0.04) / -math.log(1 + y / worst)
    assert abs(groups_needed(Moments(y, 0.0, 0.0), worst, LEVEL, 0.8) - math.ceil(exact)) <= max(1, 0.02 * exact)


def test_with_many_groups_it_is_scipys_t_test():
    """An unseen group counts for nothing then; the variance about 0, not about the mean, is what the bound takes."""
    of = Moments(0.01, 0.25, 0.0)
    n = groups_needed(of, 1.0, LEVEL, 0.8)
    z = stats.norm.ppf(LEVEL) + stats.norm.ppf(0.8)
    assert n == pytest.approx((z * 0.5 / 0.01) ** 2, rel=0.03)


def test_the_sum_that_passes_is_the_quantile_of_sums_with_weights_at_random():
    y = np.random.default_rng(0).choice([0.05, -0.9, 0.3], 80, p=[0.8, 0.05, 0.15])
    weights = np.random.default_rng(1).standard_exponential((40_000, 81))
    drawn = weights[:, :80] @ y - 0.95 * weights[:, 80]
    beside = y.sum() - np.quantile(drawn, 1 - LEVEL)  # a sum as large as this would have its quantile at 0
    centred = y - y.mean()
    of = Moments(float(y.mean()), float((centred**2).mean()), float((centred**3).mean()))
    spread = math.sqrt(80 * of.variance)
    of_sum = stats.pearson3(80 * of.third / spread**3, loc=80 * of.mean, scale=spread)
    assert power_of_bound(80, of, 0.95, LEVEL) == pytest.approx(of_sum.sf(beside), abs=0.02)


def test_few_groups_may_hide_what_groups_can_be():
    of = moments(np.array([1.0, 1.0, 1.0, 5.0]), 2.0)
    assert (of.mean, of.variance) == (2.0, pytest.approx((3 + 9 + 9) / 5))
    assert of.third == pytest.approx((-3 + 27 - 27) / 5)
    assert groups_needed(replace(of, mean=0.0), 1.0, LEVEL, 0.8) is None
    assert groups_needed(Moments(1e-9, 1.0, 0.0), 1.0, LEVEL, 0.8) is None


def arms(differences, groups=None):
    names = groups if groups is not None else [None] * len(differences)
    own, other = (
        [
            RowResult(id=str(i), group=None if name is None else str(name), gold="x", output="y", score=float(score))
            for i, (score, name) in enumerate(zip(scores, names, strict=True))
        ]
        for scores in (0.5 + np.asarray(differences), np.full(len(differences), 0.5))
    )
    return own, other


def test_graded_rows_that_hardly_differ_are_not_planned_as_if_all_did():
    """Before, every row that differed at all counted as one on which one of the two is right: 15,000 rows for these."""
    differences = np.random.default_rng(0).uniform(-0.05, 0.05, 40)
    gate = decide_gate(*arms(differences - differences.mean()), margin=0.02)
    assert gate.answer == "cannot tell" and 148 <= gate.rows_needed <= 260


def test_rows_in_groups_that_are_alike_take_more_rows():
    generator = np.random.default_rng(0)
    alone = generator.permutation(np.repeat([0.5, -0.5, 0.0], [10, 10, 180]))
    groups = np.repeat(np.arange(40), 5)
    alike = np.repeat([0.5, -0.5, 0.0], [10, 10, 180])
    spread, together = (decide_gate(*arms(rows, groups), margin=0.05).rows_needed for rows in (alone, alike))
    assert 200 < spread < 0.8 * together


@pytest.mark.slow
@pytest.mark.parametrize(
    ("largest", "differ", "alike", "margin", "cap"),
    [(5, 0.10, 0.0, 0.05, 5), (5, 0.10, 0.3, 0.05, 5), (12, 0.144, 0.0, 0.03, 12), (12, 0.10, 0.1, 0.05, 20)],
)
def test_planned_groups_pass_about_four_times_in_five(largest, differ, alike, margin, cap):
    def draw(generator, n):
        sizes = generator.integers(1, largest + 1, n)
        shares = np.array([differ / 2, differ / 2, 1 - differ])
        counts = generator.multinomial(sizes, generator.dirichlet(shares * (1 / alike - 1), n) if alike else shares)
        return (counts[:, 0] - counts[:, 1]).astype(float), sizes.astype(float)

    sums, sizes = draw(np.random.default_rng(0), 400_000)
    y = sums + margin * sizes
    n = groups_needed(moments(y, float(y.mean())), (1 - margin) * cap, LEVEL, 0.8)
    passed = 0
    for trial in range(200):
        sums, sizes = draw(np.random.default_rng([1, trial]), n)
        passed += p_value(worst_case_means(sums, sizes, -1.0, float(cap)), -margin) < 1 - LEVEL
    assert 0.70 <= passed / 200 <= 0.92


def test_what_groups_are_before_anything_is_measured_is_what_every_outcome_weighs():
    """By the definition: all outcomes of all rows, each with its chance, of three kinds of groups that come equally often."""
    sizes, margin, chances = [1, 2, 4], 0.05, {1: 0.02, -1: 0.07, 0: 0.91}
    values, weights = [], []
    for size in sizes:
        for outcome in itertools.product(chances, repeat=size):
            values.append(sum(outcome) + margin * size)
            weights.append(math.prod(chances[one] for one in outcome) / len(sizes))
    mean = np.average(values, weights=weights)
    variance, third = (np.average((np.array(values) - mean) ** power, weights=weights) for power in (2, 3))
    found = expected(np.array(sizes, float), margin, chances[1], chances[-1])
    assert (found.mean, found.variance, found.third) == pytest.approx((mean, variance, third))
