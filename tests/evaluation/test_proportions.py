"""Each statistic three ways: a published or library value, the naive definition, simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from stillhouse.evaluation.proportions import (
    clopper_pearson,
    clopper_pearson_upper,
    holm,
    mcnemar_midp,
    mean_interval,
    tango_interval,
    tango_lower,
    tango_z,
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


def test_tango_covers_in_simulation():
    draws = np.random.default_rng(1).multinomial(60, [0.12, 0.2, 0.68], 2000)
    covered = np.mean([low <= -0.08 <= high for low, high in (tango_interval(int(b), int(c), 60) for b, c, _ in draws)])
    assert 0.95 - 0.02 <= covered <= 0.98


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
    reference = stats.bootstrap((scores,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(4)).confidence_interval
    ours = mean_interval(list(scores), [str(i) for i in range(80)], n_resamples=9999)
    assert (ours.low, ours.high) == (pytest.approx(reference.low, abs=0.03), pytest.approx(reference.high, abs=0.03))
