"""The net benefit and its bound: against scipy's t bound, spelled out, and in simulation; and the days that it is over."""

from datetime import date

import numpy as np
import pytest
from scipy import stats

from stillhouse.settings import MoneySettings
from stillhouse.verdict.money.answer_worth import draws_with_one_unseen
from stillhouse.verdict.money.break_even import ArmMoney
from stillhouse.verdict.money.net_benefit import in_words, net_benefit, retirement

START = date(2026, 10, 1)
ARM = ArmMoney(name="student", fixed_usd=100.0, usd_per_call=0.001)
PROMPT = ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.01)


def rows(n, arm_right, prompt_right, seed=0):
    generator = np.random.default_rng(seed)
    scores = (generator.random(n) < arm_right).astype(float), (generator.random(n) < prompt_right).astype(float)
    return scores, (np.full(n, 0.001), 0.01 * generator.uniform(0.5, 1.5, n))


def net(scores, usd, *, arm=ARM, against=PROMPT, groups=None, **terms):
    groups = groups or [str(n) for n in range(len(scores[0]))]
    return net_benefit(arm, against, scores, usd, groups, MoneySettings(**terms), level=0.95, start=START)


def test_where_there_are_many_rows_the_bounds_are_scipys_t_bounds():
    scores, usd = rows(4000, 0.78, 0.80)
    found = net(scores, usd, calls_per_day=100, right_answer_usd=0.05)
    value = 36_500 * (0.05 * (scores[0] - scores[1]) - (usd[0] - usd[1])) - 100
    low = stats.t.interval(0.90, len(value) - 1, value.mean(), stats.sem(value))[0]
    assert found.net_usd == pytest.approx(value.mean())
    assert found.net_low == pytest.approx(low, rel=0.12) and found.net_low < low  # one more row that is lost
    saving = 36_500 * (usd[1] - usd[0]) - 100
    ends = stats.t.interval(0.95, len(saving) - 1, saving.mean(), stats.sem(saving))
    assert (found.saving_low, found.saving_high) == pytest.approx(ends, rel=0.02)


def test_the_draws_are_weights_at_random_over_the_groups_and_one_that_is_lost():
    """The definition, one draw at a time, with the same generator."""
    table = np.array([[1.0, -0.1], [0.0, -0.2], [-1.0, -0.4]])
    groups = ["a", "a", "b"]
    drawn = draws_with_one_unseen(table, groups, -1.0, 50, seed=3)
    weights = np.random.default_rng(3).standard_exponential((50, 3))
    for (score, usd), (of_a, of_b, unseen) in zip(drawn, weights, strict=True):
        size = 2 * of_a + of_b + 2 * unseen
        assert score == pytest.approx((of_a * 1.0 - of_b - 2 * unseen) / size)
        assert usd == pytest.approx((-0.3 * of_a - 0.4 * of_b - 2 * unseen * 0.7 / 3) / size)


@pytest.mark.slow
def test_an_arm_that_brings_nothing_is_shown_to_bring_something_in_at_most_five_percent():
    """1,000 worlds in which what it saves is just what its wrong answers cost: 0.009 = 0.1 x 0.09."""
    shown = 0
    for seed in range(1000):
        scores, usd = rows(150, 0.70, 0.80, seed=seed)
        shown += net(scores, usd, right_answer_usd=0.09).brings
    assert shown / 1000 <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5


def test_without_a_volume_it_is_of_a_thousand_calls_and_what_is_spent_once_is_left_out():
    scores, usd = rows(500, 0.8, 0.8)
    found = net(scores, usd)
    assert (found.calls, found.days, found.net_usd) == (1000.0, None, None)
    assert found.saving_usd == pytest.approx(1000 * (usd[1] - usd[0]).mean())
    assert in_words(found).startswith("over 1,000 calls it saves $8.92 [")


def test_what_comes_back_is_counted_as_often_as_it_does():
    renewed = ArmMoney(name="s", fixed_usd=100.0, usd_per_call=0.001, renewal_usd=10.0, renew_days=90)
    scores, usd = rows(500, 0.8, 0.8)
    once, again = (net(scores, usd, arm=arm, calls_per_day=100) for arm in (ARM, renewed))
    assert once.saving_usd - again.saving_usd == pytest.approx(4 * 10)  # on days 90, 180, 270 and 360
    unknown = ArmMoney(name="s", fixed_usd=None, usd_per_call=0.001)
    assert net(scores, usd, arm=unknown, calls_per_day=100) is None
    assert net(scores, usd, arm=unknown) is not None


@pytest.mark.parametrize(("ends", "days"), [(None, 365), (date(2026, 10, 17), 16), (date(2028, 1, 1), 365)])
def test_a_saving_ends_on_the_day_on_which_the_prompts_model_goes(ends, days):
    against = ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.01, ends=ends)
    assert net(*rows(100, 0.8, 0.8), against=against, calls_per_day=10).days == days


@pytest.mark.parametrize("gone", [date(2026, 9, 1), date(2026, 10, 1)])
def test_nothing_is_saved_on_a_prompt_whose_model_is_gone(gone):
    against = ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.01, ends=gone)
    assert net(*rows(100, 0.8, 0.8), against=against, calls_per_day=10) is None
    assert net(*rows(100, 0.8, 0.8), against=against) is None


def test_the_day_is_said_whether_it_is_to_come_or_gone():
    going = ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.01, ends=date(2026, 10, 17))
    assert retirement(going, START) == "the model of prompt is switched off on 17 October 2026, in 16 days"
    assert retirement(going, date(2026, 10, 17)) == "the model of prompt was switched off on 17 October 2026"
    assert retirement(PROMPT, START) is None


def test_a_saving_that_may_be_nothing_does_not_pay_off():
    """Equal prices on average: the interval holds 0."""
    scores, _ = rows(200, 0.8, 0.8)
    generator = np.random.default_rng(7)
    usd = generator.uniform(0.5, 1.5, 200), generator.uniform(0.5, 1.5, 200)
    found = net(scores, usd)
    assert found.saving_low < 0 < found.saving_usd and not found.pays_off
    assert net(scores, (usd[0], usd[1] + 0.5)).pays_off
    assert not net(scores, (usd[0], usd[1] + 0.5), least_saving_usd=1e6).pays_off
