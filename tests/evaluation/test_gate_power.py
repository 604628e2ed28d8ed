"""How often the gate passes: against scipy's multinomial over every table, against simulation, and at what statistic it turns."""

import numpy as np
import pytest
from scipy import stats

from stillhouse.evaluation.exact import exact_p, outside_of, p_of_statistic, searched_shares
from stillhouse.evaluation.gate_power import critical_value, power
from stillhouse.evaluation.proportions import tango_z
from stillhouse.evaluation.spending import level_of_look

MARGIN = 0.05


@pytest.mark.parametrize(("n", "share", "difference"), [(108, 0.02, 0.0), (150, 0.1, 0.0), (150, 0.1, -0.01)])
def test_the_power_is_the_chance_of_the_tables_that_pass(n, share, difference):
    """Summed by scipy over all tables that are likely. Where few rows differ it is the same sum, else within 2.5 points."""
    level, most = level_of_look(1), int(stats.binom.ppf(1 - 1e-5, n, share))
    tables = [(b, c) for b in range(most + 1) for c in range(most + 1 - b)]
    chances = [(share + difference) / 2, (share - difference) / 2, 1 - share]
    weights = stats.multinomial.pmf([(b, c, n - b - c) for b, c in tables], n, chances)
    passing = [exact_p(b, c, n, -MARGIN, outside_of(level)) < 1 - level for b, c in tables]
    assert power(n, share, difference, MARGIN, level) == pytest.approx(float(weights[passing].sum()), abs=0.025)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 5])
def test_students_pass_as_often_as_the_power_says(k):
    level, n, share = level_of_look(k), 400, 0.1
    drawn = np.random.default_rng(k).multinomial(n, [share / 2, share / 2, 1 - share], size=1000)
    passed = sum(exact_p(int(b), int(c), n, -MARGIN, outside_of(level)) < 1 - level for b, c, _ in drawn)
    assert passed / 1000 == pytest.approx(power(n, share, 0.0, MARGIN, level), abs=0.045)


def test_at_the_critical_value_the_test_turns():
    """A table whose statistic is above it passes, one below does not; with many rows it is the normal quantile."""
    level = level_of_look(1)
    turns = critical_value(300, 0.1, MARGIN, level)
    for b, c in ((15, 15), (12, 18), (18, 12), (10, 20), (11, 19), (13, 17)):
        z, passes = tango_z(b, c, 300, -MARGIN), exact_p(b, c, 300, -MARGIN, outside_of(level)) < 1 - level
        if abs(z - turns) > 0.03:
            assert passes == (z > turns), (b, c)
    assert critical_value(20_000, 0.3, MARGIN, level) == pytest.approx(float(stats.norm.ppf(level)), abs=0.02)


def test_the_p_value_is_the_largest_chance_of_the_statistic_over_the_shares_that_are_searched():
    b, c, n, outside = 9, 14, 200, outside_of(0.95)
    shares = searched_shares(b + c, n, -MARGIN, outside)
    assert shares[0] == MARGIN and shares[0] < (b + c) / n < shares[-1] < 0.3
    chances = p_of_statistic(tango_z(b, c, n, -MARGIN) - 1e-9, n, -MARGIN, shares)
    assert exact_p(b, c, n, -MARGIN, outside) == pytest.approx(float(chances.max()) + outside, abs=1e-12)
    share = float(shares[10])
    tables = [(i, j) for i in range(70) for j in range(70)]
    weights = stats.multinomial.pmf(
        [(i, j, n - i - j) for i, j in tables], n, [(share - MARGIN) / 2, (share + MARGIN) / 2, 1 - share]
    )
    extreme = [tango_z(i, j, n, -MARGIN) >= tango_z(b, c, n, -MARGIN) - 1e-9 for i, j in tables]
    assert float(chances[10]) == pytest.approx(float(weights[extreme].sum()), abs=1e-6)
