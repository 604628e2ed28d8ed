"""The exact gate: a textbook value, every table counted, and what it does to students at the margin."""

import math

import numpy as np
import pytest
from scipy import stats

from stillhouse.evaluation.bounded import lower_bound, p_value, worst_case_means
from stillhouse.evaluation.exact import OUTSIDE, exact_interval, exact_lower, exact_p
from stillhouse.evaluation.proportions import clopper_pearson_upper, mcnemar_midp, tango_lower, tango_z


@pytest.mark.parametrize(
    ("b", "c", "n", "delta"), [(1, 2, 12, -0.1), (4, 1, 15, 0.0), (0, 0, 10, -0.3), (3, 3, 14, 0.05)]
)
def test_the_p_value_is_the_largest_chance_of_a_table_as_extreme(b, c, n, delta):
    """The definition: all tables, one by one, over a fine grid of the share of rows that differ."""
    seen = tango_z(b, c, n, delta)
    tables = [(i, j) for i in range(n + 1) for j in range(n + 1 - i) if tango_z(i, j, n, delta) >= seen - 1e-9]
    low = 0.0 if b + c == 0 else stats.beta.ppf(OUTSIDE / 2, b + c, n - b - c + 1)
    high = stats.beta.ppf(1 - OUTSIDE / 2, b + c + 1, n - b - c)
    chances = []
    for share in np.linspace(max(low, abs(delta)), high, 400):
        p, q = (share + delta) / 2, (share - delta) / 2
        weights = stats.multinomial.pmf([(i, j, n - i - j) for i, j in tables], n, [p, q, 1 - p - q])
        chances.append(np.nansum(weights))
    assert exact_p(b, c, n, delta) == pytest.approx(min(1.0, max(chances) + OUTSIDE), abs=2e-3)


def test_without_a_single_difference_it_is_the_rule_of_three():
    """n rows, no discordant one: the chance of that at a loss on 2 % of them is 0.98^n."""
    assert exact_p(0, 0, 149, -0.02) == pytest.approx(0.98**149 + OUTSIDE, abs=1e-4)
    assert exact_lower(0, 0, 200) == pytest.approx(-clopper_pearson_upper(0, 200, 0.95), abs=2e-4)


def test_at_no_margin_it_agrees_with_the_exact_mcnemar_test_where_that_is_sharp():
    """scipy's exact binomial p on the discordant rows, one-sided; the unconditional test is a little sharper, never far away."""
    for b, c, n in ((15, 5, 60), (30, 12, 200), (8, 8, 50)):
        conditional = stats.binomtest(b, b + c, 0.5, alternative="greater").pvalue
        assert exact_p(b, c, n, 0.0) <= conditional + 2 * OUTSIDE
        assert exact_p(b, c, n, 0.0) >= 0.4 * conditional
        assert exact_p(b, c, n, 0.0) == pytest.approx(mcnemar_midp(b, c) / 2 if b > c else 0.58, abs=0.06)


def test_the_lower_bound_is_where_the_test_turns_and_near_tangos():
    for b, c, n in ((1, 2, 30), (20, 22, 500), (0, 30, 30), (30, 0, 30), (90, 95, 2000)):
        bound = exact_lower(b, c, n)
        assert bound == pytest.approx(tango_lower(b, c, n), abs=0.12 if n < 100 else 0.002)
        if bound > -0.999:
            assert exact_p(b, c, n, bound) < 0.05 <= exact_p(b, c, n, bound + 2e-5) + 1e-6
    assert exact_lower(0, 0, 1) == pytest.approx(-0.95, abs=1e-3)


@pytest.mark.parametrize("n", [12, pytest.param(20, marks=pytest.mark.slow)])
def test_the_interval_holds_the_truth_in_95_of_100_cases_also_with_few_rows(n):
    """Not simulated: the chance of every table whose interval holds the true difference, summed. Tango's holds it in 92 to 93.5 %."""
    tables = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    likely = [(b, c) for b, c in tables if b + c <= n * 0.6]  # all others are taken to miss
    intervals = np.array([exact_interval(b, c, n) for b, c in likely])
    for difference, discordance in ((0.0, 0.1), (0.0, 0.3), (-0.05, 0.1), (-0.1, 0.2), (0.15, 0.25)):
        p, q = (discordance + difference) / 2, (discordance - difference) / 2
        weights = stats.multinomial.pmf([(b, c, n - b - c) for b, c in likely], n, [p, q, 1 - p - q])
        holds = (intervals[:, 0] <= difference) & (difference <= intervals[:, 1])
        assert weights[holds].sum() >= 0.95


def test_the_interval_is_the_two_one_sided_tests_at_half_the_error():
    low, high = exact_interval(30, 12, 200)
    assert exact_p(30, 12, 200, low - 1e-4) < 0.025 <= exact_p(30, 12, 200, low + 1e-4)
    assert exact_p(12, 30, 200, -high - 1e-4) < 0.025 <= exact_p(12, 30, 200, -high + 1e-4)
    assert exact_interval(12, 30, 200) == pytest.approx((-high, -low))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "margin"), [(50, 0.05), (300, 0.02)])
def test_students_at_the_margin_pass_in_at_most_five_percent_whatever_share_of_rows_differs(n, margin):
    """Not simulated: the chance of every table that passes, summed. Tango's bound, at 300 rows and none that only the student gets right, passes 6.0 %."""
    worst = exact_worst = 0.0
    for better in (0.0, 0.005, 0.02, 0.05):
        counts = [(b, c) for b in range(0, 40) for c in range(0, 40) if b + c <= n]
        chances = stats.multinomial.pmf(
            [(b, c, n - b - c) for b, c in counts], n, [better, better + margin, 1 - 2 * better - margin]
        )
        likely = [(pair, chance) for pair, chance in zip(counts, chances, strict=True) if chance > 1e-6]
        exact_worst = max(exact_worst, sum(chance for (b, c), chance in likely if exact_p(b, c, n, -margin) < 0.05))
        worst = max(worst, sum(chance for (b, c), chance in likely if tango_z(b, c, n, -margin) > stats.norm.ppf(0.95)))
    assert exact_worst <= 0.05
    assert n != 300 or worst > 0.055


# Scores in between, and groups


def test_of_zeros_and_ones_the_bound_is_clopper_and_pearsons():
    """Gaffke's bound, by its published property; 4,000 draws."""
    for losses, n in ((0, 50), (3, 50), (20, 400)):
        means = worst_case_means(-np.array([1.0] * losses + [0.0] * (n - losses)), np.ones(n), -1.0, 1.0)
        assert -lower_bound(means, 0.95) == pytest.approx(clopper_pearson_upper(losses, n, 0.95), rel=0.06)


def test_the_bound_is_a_quantile_of_randomly_weighted_means_by_the_naive_way():
    scores, generator = np.array([0.3, -0.2, 0.0, 0.1, 0.4]), np.random.default_rng(3)
    naive = [generator.dirichlet(np.ones(6)) @ np.append(scores, -1.0) for _ in range(20_000)]
    means = worst_case_means(scores, np.ones(5), -1.0, 1.0)
    assert lower_bound(means, 0.95) == pytest.approx(np.quantile(naive, 0.05), abs=0.02)
    assert p_value(means, lower_bound(means, 0.95)) == pytest.approx(0.05, abs=1e-3)


def test_a_rare_total_loss_that_thirty_rows_may_not_show_passes_in_at_most_five_percent():
    """BCa's bound passes some 20 % of these students, which lose everything on 5 % of the rows and are a hair off elsewhere."""
    generator, passed = np.random.default_rng(4), 0
    for _ in range(300):
        differences = np.where(generator.random(30) < 0.05, -1.0, generator.uniform(-0.02, 0.02, 30))
        passed += p_value(worst_case_means(differences, np.ones(30), -1.0, 1.0), -0.05) < 0.05
    assert passed / 300 <= 0.05


def test_copies_of_rows_make_no_bound_narrower():
    sums = np.where(np.arange(80) < 6, -1.0, 0.0)
    alone = lower_bound(worst_case_means(sums, np.ones(80), -1.0, 1.0), 0.95)
    copied = lower_bound(worst_case_means(5 * sums, 5 * np.ones(80), -1.0, 5.0), 0.95)
    assert copied == pytest.approx(alone)
    assert math.isfinite(alone)
