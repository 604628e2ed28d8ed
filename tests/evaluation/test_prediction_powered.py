"""PPI++ three ways: the authors' package, the definition spelled out, simulation."""

import numpy as np
import pytest
from scipy import stats

from stillhouse.evaluation.prediction_powered import powered_mean


def drawn(generator, n=40, more=200, rate=0.5, skill=0.8):
    """Win scores of n labelled rows, of all rows a judge's, which is right with probability `skill`."""
    total = n + more
    truth = np.where(generator.random(total) < 0.2, 0.5, (generator.random(total) < rate) * 1.0)
    judged = np.where(generator.random(total) < skill, truth, generator.choice([0, 0.25, 0.5, 0.75, 1], total))
    return truth, judged, [*truth[:n], *[None] * more]


@pytest.mark.parametrize("skill", [0.0, 0.3, 0.9, 1.0])
def test_value_weight_and_spread_are_those_of_the_authors_package(skill):
    ppi = pytest.importorskip("ppi_py", reason="the authors' package is not here; pip install 'stillhouse[test]'")
    truth, judged, labels = drawn(np.random.default_rng(7), skill=skill)
    y, f, more = truth[:40], judged[:40], judged[40:]
    found = powered_mean(labels, judged, [str(i) for i in range(240)])
    assert found.value == pytest.approx(float(np.squeeze(ppi.ppi_mean_pointestimate(y, f, more))))
    low, high = (float(np.squeeze(end)) for end in ppi.ppi_mean_ci(y, f, more, alpha=0.05, lam=found.weight))
    assert found.standard_error == pytest.approx((high - low) / 2 / stats.norm.ppf(0.975))
    assert found.value == pytest.approx((high + low) / 2)


def test_it_is_the_definition():
    y, f, more = [1.0, 0.0, 0.5, 1.0], [1.0, 0.5, 0.0, 0.75], [0.25, 1.0, 0.5]
    covariance = np.cov(y, f, ddof=0)[0, 1]
    weight = covariance / ((1 + 4 / 3) * np.var([*f, *more], ddof=1))
    rectified = np.array(y) - weight * np.array(f)
    found = powered_mean([*y, None, None, None], [*f, *more], list("abcdefg"))
    assert found.weight == pytest.approx(weight)
    assert found.value == pytest.approx(weight * np.mean(more) + rectified.mean())
    assert found.standard_error**2 == pytest.approx(weight**2 * np.var(more) / 3 + np.var(rectified) / 4)


def test_a_judge_that_says_nothing_or_the_opposite_is_left_aside():
    labels = [1.0, 0.0, 1.0, 0.0, 1.0, None, None, None]
    for predictions in ([0.5] * 8, [0, 1, 0, 1, 0, 0.3, 0.5, 0.9]):
        found = powered_mean(labels, predictions, list("abcdefgh"))
        assert (found.weight, found.value) == (0.0, 0.6)
        assert found.standard_error == pytest.approx((0.24 / 5) ** 0.5)


def test_rows_of_one_group_are_one_draw():
    """Every row four times, in groups of four: as sure as the rows once, and no surer."""
    labels, predictions = [1.0, 0.0, 0.5, 1.0, None, None], [0.9, 0.2, 0.5, 0.6, 0.3, 0.7]
    once = powered_mean(labels, predictions, list("abcdef"))
    four = powered_mean(
        np.repeat(np.array(labels, object), 4).tolist(),
        np.repeat(predictions, 4),
        np.repeat(list("abcdef"), 4).tolist(),
    )
    apart = powered_mean(
        np.repeat(np.array(labels, object), 4).tolist(), np.repeat(predictions, 4), [str(i) for i in range(24)]
    )
    assert four.n_groups == once.n_groups == 4
    assert four.standard_error == pytest.approx(
        once.standard_error, rel=0.05
    )  # the weight's variance divides by one row less
    assert apart.standard_error == pytest.approx(four.standard_error / 2, rel=0.01)


def test_without_a_spread_or_an_unlabelled_row_there_is_nothing():
    assert powered_mean([1.0, 1.0, 1.0, None], [1, 1, 1, 1], list("abcd")).interval() is None
    with pytest.raises(ValueError, match="three and one"):
        powered_mean([1.0, 0.0, 1.0], [1, 0, 1], list("abc"))
    with pytest.raises(ValueError, match="three and one"):
        powered_mean([1.0, 0.0, None], [1, 0, 1], list("abc"))


def test_bounds_are_where_the_p_values_come_to_the_level():
    _, judged, labels = drawn(np.random.default_rng(3))
    found = powered_mean(labels, judged, [str(i) for i in range(240)])
    assert (found.lower(), found.upper()) == found.interval(0.90)
    assert found.p_above(found.lower(0.9)) == pytest.approx(0.1, abs=1e-4) and found.p_below(
        found.upper(0.9)
    ) == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize(("n", "rate", "skill"), [(30, 0.5, 0.3), (30, 0.5, 0.9), (60, 0.85, 0.8)])
def test_the_interval_covers_and_its_bounds_hold_one_sided(n, rate, skill):
    """1,500 comparisons each."""
    generator, true = np.random.default_rng(n), 0.1 + 0.8 * rate
    covered = lower = 0
    for _ in range(1500):
        _, judged, labels = drawn(generator, n, 300, rate, skill)
        found = powered_mean(labels, judged, [str(i) for i in range(n + 300)])
        low, high = found.interval()
        covered += low <= true <= high
        lower += found.interval(0.90)[0] <= true
    error = (0.95 * 0.05 / 1500) ** 0.5
    assert 0.95 - 3 * error <= covered / 1500 <= 0.985
    assert lower / 1500 >= 0.95 - 3 * error
