"""The anytime-valid gate: bets counted by hand and one by one, an integral as an outside value, false alarms and power by simulation."""

import math

import numpy as np
import pytest
from scipy import integrate

from stillhouse.evaluation.eprocess import _SHARES, PairedEProcess, log_e
from stillhouse.evaluation.margin_gate import rows_needed


def test_without_rows_nothing_is_won_or_lost():
    process = PairedEProcess(0.02)
    assert (log_e({}, -0.02), process.n, process.answer, process.lower_bound) == (
        pytest.approx(0),
        0,
        "cannot tell",
        -1.0,
    )


def test_a_bettor_wins_its_share_with_a_better_student_and_loses_it_with_a_worse():
    one_win = np.mean(1 + _SHARES)  # margin 0: a win multiplies by 1 + share
    assert math.exp(log_e({1.0: 1}, 0.0)) == pytest.approx(one_win)
    assert math.exp(log_e({1.0: 2, -1.0: 1}, 0.0)) == pytest.approx(np.mean((1 + _SHARES) ** 2 * (1 - _SHARES)))
    assert math.exp(log_e({0.0: 1}, -0.5)) == pytest.approx(np.mean(1 + _SHARES))  # a tie wins where the margin is wide


def test_wealth_is_what_bets_made_row_by_row_win_in_any_order():
    generator = np.random.default_rng(0)
    rows = generator.choice([1.0, 0.0, -1.0, 0.25], size=200, p=[0.1, 0.7, 0.1, 0.1])
    for order in (rows, rows[::-1]):
        wealth = [1.0] * len(_SHARES)
        process = PairedEProcess(0.05)
        for difference in order:
            wealth = [
                money + money * share / 0.95 * (difference + 0.05) for money, share in zip(wealth, _SHARES, strict=True)
            ]
            process.add(max(difference, 0.0), max(-difference, 0.0))
        assert process.log_e_pass == pytest.approx(math.log(sum(wealth) / len(wealth)))


def test_the_grid_is_as_good_as_the_integral_over_all_bets():
    """The mixture over every share of a log-uniform bettor, by quadrature."""
    low = math.log(_SHARES[0])

    def wealth(log_share):
        share = math.exp(log_share)
        return math.exp(
            40 * math.log1p(share / 0.98 * 1.02) + 400 * math.log1p(share / 0.98 * 0.02) + 30 * math.log1p(-share)
        )

    exact = math.log(integrate.quad(wealth, low, -1e-12, limit=200)[0] / -low)
    assert log_e({1.0: 40, 0.0: 400, -1.0: 30}, -0.02) == pytest.approx(exact, abs=0.1)


def test_the_answer_turns_when_evidence_reaches_one_over_alpha_and_mirrors():
    better, worse = PairedEProcess(0.0), PairedEProcess(0.0)
    while better.add(1.0, 0.0) == "cannot tell":
        assert better.log_e_pass < math.log(20)
        assert worse.add(0.0, 1.0) == "cannot tell"
    assert worse.add(0.0, 1.0) == "fail"
    assert better.answer == "pass"
    assert (
        better.n == worse.n == 8
    )  # the boldest alone would take 5 (2^5 > 20); with a thirteenth of the money it takes 8
    assert worse.log_e_fail == pytest.approx(better.log_e_pass)


def test_the_lower_bound_is_where_evidence_is_just_enough():
    process = PairedEProcess(0.02)
    process.counts.update({1.0: 30, 0.0: 960, -1.0: 10})
    assert log_e(process.counts, process.lower_bound) == pytest.approx(math.log(20), abs=1e-4)
    assert process.lower_bound < 0.02  # the difference seen
    assert (process.answer == "pass") == (process.lower_bound > -0.02)


@pytest.mark.parametrize("mistake", [{"margin": 1.0}, {"margin": -0.1}, {"margin": 0.02, "level": 1.0}])
def test_margins_and_levels_that_are_none_are_refused(mistake):
    with pytest.raises(ValueError, match="margin"):
        PairedEProcess(**mistake)
    with pytest.raises(ValueError, match="0 to 1"):
        PairedEProcess(0.02).add(1.5, 0.0)


def paths(difference, discordance, margin, trials, rows, generator):
    """(trials, rows): the running log e-value, and the running z statistic of the test for a fixed number of rows."""
    better = (discordance + difference) / 2
    drawn = generator.random((trials, rows))
    values = np.where(drawn < better, 1, np.where(drawn < discordance, -1, 0)).astype(np.int8)
    wins, losses = np.cumsum(values == 1, axis=1), np.cumsum(values == -1, axis=1)
    ties = np.arange(1, rows + 1) - wins - losses
    unit = _SHARES / (1 - margin)
    gains = [np.log1p(unit * (1 + margin)), np.log1p(unit * margin), np.log(np.maximum(1 - _SHARES, 1e-300))]
    log_wealth = np.stack([wins * gains[0][k] + ties * gains[1][k] + losses * gains[2][k] for k in range(len(_SHARES))])
    n = np.arange(1, rows + 1)
    mean = (wins - losses) / n
    z = (mean + margin) / np.sqrt(np.maximum((wins + losses) / n - mean**2, 1e-9) / n)
    return np.logaddexp.reduce(log_wealth) - math.log(len(_SHARES)), z


def test_the_paths_of_the_simulation_are_those_of_the_process():
    log_wealth, _ = paths(0.0, 0.1, 0.02, 3, 50, np.random.default_rng(1))
    process, values = PairedEProcess(0.02), np.random.default_rng(1).random((3, 50))[2]
    for value in values:
        process.add(float(value < 0.05), float(0.05 <= value < 0.1))
    assert process.log_e_pass == pytest.approx(log_wealth[2, -1])


@pytest.mark.slow
def test_a_student_at_the_margin_passes_in_at_most_five_percent_though_one_looks_after_every_row():
    """2,000 students that are worse by exactly the margin, 600 rows each. The test for a fixed number of rows, looked at as often, passes a quarter of them."""
    log_wealth, z = paths(-0.05, 0.15, 0.05, 2000, 600, np.random.default_rng(2))
    false_alarms = (log_wealth >= math.log(20)).any(axis=1).mean()
    assert 0.001 < false_alarms <= 0.05
    assert (z[:, 50:] > 1.645).any(axis=1).mean() > 0.2


def test_an_equal_student_passes_and_most_need_few_more_rows_than_a_fixed_number():
    """Power: equal arms that differ on 10 % of rows, margin 5 points; a fixed number of rows takes about 250 for a power of 0.8."""
    log_wealth, _ = paths(0.0, 0.1, 0.05, 500, 1200, np.random.default_rng(3))
    passed = log_wealth >= math.log(20)
    needed = np.where(passed.any(axis=1), passed.argmax(axis=1) + 1, 1201)
    assert 248 <= rows_needed(0.1, 0.0, 0.05) <= 275  # by the normal distribution it is 248
    assert np.median(needed) < 1.6 * 248
    assert np.quantile(needed, 0.8) < 2.7 * 248
    assert (needed <= 1200).mean() > 0.97
