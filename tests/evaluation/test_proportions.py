"""Each statistic three ways: a published or library value, the naive definition, simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from stillhouse.evaluation.proportions import (
    bca,
    clopper_pearson,
    clopper_pearson_upper,
    holm,
    mcnemar_midp,
    mean_interval,
    tango_interval,
    tango_lower,
    tango_z,
    tango_z_of_tables,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (7, 20), (20, 20), (137, 1000)])
def test_clopper_pearson_is_statsmodels(k, n):
    assert clopper_pearson(k, n) == pytest.approx(proportion_confint(k, n, method="beta"), nan_ok=True)


def test_clopper_pearson_holds_exactly_its_tails():
    low, high = clopper_pearson(7, 20, 0.9)
    assert stats.binom.sf(6, 20, low) == pytest.approx(0.05) and stats.binom.cdf(7, 20, high) == pytest.approx(0.05)
    assert stats.binom.cdf(3, 50, clopper_pearson_upper(3, 50)) == pytest.approx(0.05)


def test_clopper_pearson_covers_in_simulation():
    draw = np.random.default_rng(0).binomial(30, 0.2, 2000)
    covered = np.mean([low <= 0.2 <= high for low, high in (clopper_pearson(int(k), 30) for k in draw)])
    assert covered >= 0.95 - 3 * (0.95 * 0.05 / 2000) ** 0.5


def test_the_upper_bound_is_passed_in_at_most_one_draw_of_twenty():
    draw = np.random.default_rng(10).binomial(150, 0.03, 20_000)
    bounds = {k: clopper_pearson_upper(k, 150) for k in set(draw.tolist())}
    assert np.mean([bounds[k] < 0.03 for k in draw.tolist()]) <= 0.05 + 3 * (0.05 * 0.95 / 20_000) ** 0.5


def test_no_rows_give_no_interval():
    with pytest.raises(ValueError, match="n = 0"):
        clopper_pearson(0, 0)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 6), (10, 3), (25, 25)])
def test_mcnemar_midp_is_the_exact_p_less_half_the_observed_mass(b, c):
    exact = mcnemar([[0, b], [c, 0]], exact=True).pvalue
    mass = stats.binom.pmf(min(b, c), b + c, 0.5) if b + c else 0
    assert mcnemar_midp(b, c) == pytest.approx(1.0 if b == c == 0 else 1 - mass if b == c else exact - mass)


def test_tango_reproduces_the_published_example():
    """Tango 1998, table of 44 paired rows with 0 and 1 discordant: the 95 % interval is -0.118 to 0.061 (b = 0, c = 1, n = 44)."""
    low, high = tango_interval(0, 1, 44)
    assert (low, high) == (pytest.approx(-0.118, abs=2e-3), pytest.approx(0.060, abs=2e-3))


@pytest.mark.parametrize(("b", "c", "n"), [(5, 9, 60), (0, 0, 25), (12, 0, 40), (3, 3, 10), (0, 30, 30)])
def test_tango_is_the_set_of_differences_that_the_score_test_keeps(b, c, n):
    low, high = tango_interval(b, c, n)
    near_the_bounds = [bound + step for bound in (low, high) for step in (-1e-3, -1e-4, 1e-4, 1e-3)]
    for delta in [*np.linspace(-1 + 1e-9, 1 - 1e-9, 801), *(delta for delta in near_the_bounds if abs(delta) < 1)]:
        assert (abs(naive_z(b, c, n, delta)) <= stats.norm.ppf(0.975)) == (low <= delta <= high), delta
    assert tango_interval(b, c, n) == pytest.approx([-bound for bound in reversed(tango_interval(c, b, n))])


def naive_z(b, c, n, delta):
    """The statistic with the nuisance parameter found by maximising the likelihood on a grid-free bounded search."""
    from scipy.optimize import minimize_scalar

    low, high = max(0.0, -delta), min(1.0, 1.0 - delta)
    span = (1 - abs(delta)) / 2
    low, high = max(0.0, -delta) + 1e-15, max(0.0, -delta) + span

    def loss(q):
        p12, p21, rest = q + delta, q, 1 - 2 * q - delta
        parts = [(b, p12), (c, p21), (n - b - c, rest)]
        return -sum(k * np.log(max(p, 1e-300)) for k, p in parts if k)

    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    variance = n * (2 * q + delta - delta**2)
    return (b - c - n * delta) / np.sqrt(max(variance, 1e-300))


def test_tango_lower_bound_is_that_of_the_interval_with_twice_the_tail():
    assert tango_lower(5, 9, 60, 0.95) == pytest.approx(tango_interval(5, 9, 60, 0.90)[0])
    assert tango_z(5, 9, 60, tango_lower(5, 9, 60, 0.95)) == pytest.approx(stats.norm.ppf(0.95))


@pytest.mark.slow
def test_tango_covers_in_simulation():
    draws = np.random.default_rng(1).multinomial(60, [0.12, 0.2, 0.68], 2000)
    covered = np.mean([low <= -0.08 <= high for low, high in (tango_interval(int(b), int(c), 60) for b, c, _ in draws)])
    assert 0.95 - 0.02 <= covered <= 0.98


@pytest.mark.slow
def test_holm_is_statsmodels():
    p = [0.01, 0.04, 0.03, 0.2, 0.5]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_mean_interval_covers_with_clusters_and_is_absent_without_spread():
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        effects = generator.normal(0.5, 0.1, 40)
        scores = np.repeat(effects, 3) + generator.normal(0, 0.05, 120)
        interval = mean_interval(list(scores), [str(i) for i in range(40) for _ in range(3)], n_resamples=500)
        hits += interval.low <= 0.5 <= interval.high
    assert hits / 200 >= 0.90
    assert mean_interval([1.0, 1.0], ["a", "b"]).low is None
    assert mean_interval([0.3], ["a"]).low is None


def test_bca_is_close_to_scipy():
    scores = np.random.default_rng(3).gamma(2.0, 1.0, 80)
    reference = stats.bootstrap(
        (scores,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(4)
    ).confidence_interval
    ours = mean_interval(list(scores), [str(i) for i in range(80)], n_resamples=9999)
    assert (ours.low, ours.high) == (pytest.approx(reference.low, abs=0.03), pytest.approx(reference.high, abs=0.03))


# What the tests above leave open: Fagerland, Lydersen & Laake's example, type I errors, and the definitions of Holm and BCa spelled out


def test_mcnemar_midp_reproduces_the_published_example():
    """Fagerland, Lydersen & Laake 2013 (BMC Medical Research Methodology 13:91), 21 children before and after stem cell transplantation, 1 against 7: 0.039."""
    assert mcnemar_midp(1, 7) == pytest.approx(0.039, abs=5e-4)


def test_mcnemar_midp_is_the_chance_of_less_likely_splits_and_half_that_of_equally_likely_ones():
    for b, c in ((0, 5), (2, 9), (4, 4), (11, 3)):
        chances = [stats.binom.pmf(k, b + c, 0.5) for k in range(b + c + 1)]
        seen = chances[b]
        naive = (
            sum(chance for chance in chances if chance < seen - 1e-12)
            + sum(chance for chance in chances if abs(chance - seen) <= 1e-12) / 2
        )
        assert mcnemar_midp(b, c) == pytest.approx(naive if b != c else 1 - seen)


def test_mcnemar_midp_rejects_equal_systems_about_as_often_as_it_says():
    """4,000 draws of 40 rows that differ, no system better: a mid-p is not exact, and 0.05 is kept within three standard errors (0.010)."""
    draws = np.random.default_rng(5).binomial(40, 0.5, 4000)
    assert np.mean([mcnemar_midp(int(b), 40 - int(b)) <= 0.05 for b in draws]) <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5


def test_tangos_statistic_reproduces_the_published_test_and_is_mcnemars_without_a_margin():
    """Tango 1998, disinfection of contact lenses: 44 pairs, none that only the new way passes and one that only the old does, margin 0.1: Z = 1.709."""
    assert tango_z(0, 1, 44, -0.1) == pytest.approx(1.709, abs=1e-3)
    for b, c, n in ((12, 5, 60), (3, 9, 40)):
        assert tango_z(b, c, n, 0.0) ** 2 == pytest.approx(
            mcnemar([[0, b], [c, 0]], exact=False, correction=False).statistic
        )
        assert tango_z_of_tables(np.array([b, 0]), np.array([c, 1]), n, -0.1) == pytest.approx(
            [naive_z(b, c, n, -0.1), naive_z(0, 1, n, -0.1)], abs=1e-5
        )


@pytest.mark.slow
def test_tangos_lower_bound_is_missed_in_about_one_draw_of_twenty():
    """1,000 draws of 100 rows, true difference -0.08; the bound is approximate (6 % at worst, see the exact test), and three standard errors are 0.021."""
    draws = np.random.default_rng(6).multinomial(100, [0.12, 0.2, 0.68], 1000)
    assert np.mean([tango_lower(int(b), int(c), 100) > -0.08 for b, c, _ in draws]) == pytest.approx(0.05, abs=0.021)


def test_holm_steps_down_from_the_smallest_until_one_is_kept():
    """The definition: the k-th smallest of m is rejected at alpha if it and all smaller ones are at most alpha / (m - rank)."""
    generator = np.random.default_rng(7)
    for _ in range(200):
        p, alpha = (generator.random(6) ** 3).tolist(), 0.05
        rejected = set()
        for rank, index in enumerate(sorted(range(6), key=p.__getitem__)):
            if p[index] > alpha / (6 - rank):
                break
            rejected.add(index)
        assert {index for index, one in enumerate(holm(p)) if one <= alpha} == rejected


def test_holm_makes_any_mistake_in_at_most_one_family_of_twenty():
    """4,000 families of five true hypotheses, two of them copies of one another."""
    drawn = np.random.default_rng(8).random((4000, 5))
    drawn[:, 1] = drawn[:, 0]
    assert np.mean([min(holm(p)) <= 0.05 for p in drawn.tolist()]) <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5


def test_bca_is_efrons_definition_spelled_out():
    sums, sizes = np.array([1.0, 0.0, 2.0, 3.0, 0.0, 1.0, 2.0]), np.array([2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 3.0])
    picks = np.random.default_rng(9).integers(0, 7, (2000, 7))
    replicates = sorted(sum(sums[i] for i in pick) / sum(sizes[i] for i in pick) for pick in picks)
    estimate = sum(sums) / sum(sizes)
    z0 = stats.norm.ppf((sum(r < estimate for r in replicates) + sum(r == estimate for r in replicates) / 2) / 2000)
    left_out = [(sum(sums) - sums[i]) / (sum(sizes) - sizes[i]) for i in range(7)]
    centre = np.mean(left_out)
    acceleration = sum((centre - one) ** 3 for one in left_out) / (
        6 * sum((centre - one) ** 2 for one in left_out) ** 1.5
    )
    ends = [
        stats.norm.cdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
        for z in (stats.norm.ppf(0.025), stats.norm.ppf(0.975))
    ]
    assert bca(sums, sizes, 0.95, np.random.default_rng(9)) == pytest.approx(tuple(np.quantile(replicates, ends)))
