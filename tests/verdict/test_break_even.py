"""Break-even in calls and in days: by hand, and against a day-by-day account."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from scipy import optimize

from stillhouse.verdict.money.break_even import ArmMoney, break_even
from stillhouse.verdict.money.machine import machine_pays_from, machine_usd_per_call, machines

START = date(2026, 11, 24)
STUDENT, PROMPT = (
    ArmMoney(name="student", fixed_usd=100.0, usd_per_call=0.0001),
    ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.0021),
)


def account(arm, against, calls_per_day, days):
    """The naive definition: both totals at the end of every day; the first day from which the arm is never the dearer one again."""

    def total(line, day):
        again = 0 if line.renew_days is None else day // line.renew_days
        base = line.fixed_usd * (1 + (line.begins_again and day >= (line.ends - START).days))
        return base + line.usd_per_call * calls_per_day * day + again * line.renewal_usd

    behind = [day for day in range(days) if total(arm, day) > total(against, day) + 1e-9]
    return START + timedelta(days=max(behind) + 1)


def test_the_calls_and_the_day_of_two_straight_lines():
    found = break_even(STUDENT, PROMPT, calls_per_day=1000, start=START)
    assert (found.calls, found.day, found.pays_off) == (pytest.approx(50_000), START + timedelta(days=50), True)
    assert (
        found.sentence
        == "student is cheaper than prompt from 50,000 calls on, at 1,000 a day from 13 January 2027 on: $2.00 saved per 1,000 calls"
    )


@pytest.mark.parametrize(
    "arm",
    [
        ArmMoney(name="student", fixed_usd=100.0, usd_per_call=0.0001, renewal_usd=30.0, renew_days=20),
        ArmMoney(name="student", fixed_usd=100.0, usd_per_call=0.0001, renewal_usd=39.0, renew_days=20),
        ArmMoney(name="student", fixed_usd=10.0, usd_per_call=0.0001, renewal_usd=30.0, renew_days=7, ends=None),
        ArmMoney(
            name="student", fixed_usd=100.0, usd_per_call=0.0001, ends=START + timedelta(days=30), begins_again=True
        ),
        ArmMoney(
            name="student", fixed_usd=100.0, usd_per_call=0.0001, ends=START + timedelta(days=90), begins_again=True
        ),
    ],
    ids=["renewed", "barely worth it", "renewed often", "base gone before", "base gone after"],
)
def test_what_comes_back_is_counted_as_a_day_by_day_account_counts_it(arm):
    found = break_even(arm, PROMPT, calls_per_day=2500 if arm.fixed_usd == 10 else 1000, start=START)
    assert found.day == account(arm, PROMPT, 2500 if arm.fixed_usd == 10 else 1000, 4000)


def test_training_again_may_eat_the_saving():
    found = break_even(
        ArmMoney(name="student", fixed_usd=100.0, usd_per_call=0.0001, renewal_usd=50.0, renew_days=20),
        PROMPT,
        calls_per_day=1000,
        start=START,
    )
    assert (found.calls, found.pays_off) == (None, False)
    assert "training it again eats what 1,000 calls a day save" in found.sentence


def test_a_prompt_that_is_switched_off_first_leaves_it_unknown_and_a_cascade_goes_with_it():
    gone = START + timedelta(days=40)
    found = break_even(
        STUDENT, ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.0021, ends=gone), calls_per_day=1000, start=START
    )
    assert (found.calls, found.pays_off) == (None, None)
    assert "switched off on 3 January 2027, before that: what its successor costs is not known" in found.sentence
    cascade = break_even(
        ArmMoney(name="cascade", fixed_usd=100.0, usd_per_call=0.0001, ends=gone),
        PROMPT,
        calls_per_day=1000,
        start=START,
    )
    assert (cascade.calls, cascade.pays_off) == (None, False)
    later = break_even(
        STUDENT,
        ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.0021, ends=START + timedelta(days=60)),
        calls_per_day=1000,
        start=START,
    )
    assert later.day == START + timedelta(days=50)


def test_what_changes_with_the_calendar_needs_the_calls_per_day_and_an_old_date_is_said():
    assert (
        "set calls_per_day"
        in break_even(
            ArmMoney(name="student", fixed_usd=1.0, usd_per_call=0.0001, renewal_usd=1.0, renew_days=90), PROMPT
        ).sentence
    )
    assert (
        "was switched off on 2026-11-24"
        in break_even(
            STUDENT, ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.1, ends=START), calls_per_day=10, start=START
        ).sentence
    )


def test_an_unknown_price_is_never_free():
    for unknown in (replace(STUDENT, fixed_usd=None), replace(STUDENT, usd_per_call=None)):
        for arm, against in ((unknown, PROMPT), (PROMPT, unknown)):
            even = break_even(arm, against)
            assert (even.calls, even.pays_off) == (None, None)
            assert even.sentence.endswith("is unknown: no price is known for student")


def test_an_unknown_price_of_training_again_is_unknown_and_never_free():
    found = break_even(
        ArmMoney(name="student", fixed_usd=1.0, usd_per_call=0.0001, renewal_usd=None, renew_days=90),
        PROMPT,
        calls_per_day=10,
        start=START,
    )
    assert (found.calls, found.pays_off) == (None, None)
    assert "no price is known for student" in found.sentence


def test_the_same_price_per_call_never_pays_and_a_century_has_no_date():
    assert break_even(ArmMoney(name="student", fixed_usd=1.0, usd_per_call=0.0021), PROMPT).sentence.endswith(
        "a call costs the same"
    )
    slow = break_even(STUDENT, PROMPT, calls_per_day=0.5, start=START)
    assert (
        slow.calls == pytest.approx(50_000)
        and slow.day is None
        and "at 0.5 a day takes more than 20 years" in slow.sentence
    )


@pytest.mark.parametrize(("calls", "n"), [(1, 1), (86_400, 1), (86_401, 2), (864_000, 10)])
def test_machines_are_whole(calls, n):
    assert machines(calls, 0.25, 0.25) == n  # each answers 4 a second in a quarter of the day: 86,400


def test_the_volume_from_which_one_machine_is_cheaper():
    assert machine_pays_from(0.10, 0.01, 0.25, 0.0024) == pytest.approx(1000)  # $2.40 a day
    assert machine_pays_from(10.0, 10.0, 0.25, 0.0024) is None  # 2,160 calls a day cost $5.18 elsewhere, and $240 here


def test_straight_lines_cross_where_scipy_finds_the_root():
    generator = np.random.default_rng(0)
    for fixed, own, other in zip(
        generator.uniform(1, 1000, 50), generator.uniform(0, 0.001, 50), generator.uniform(0.002, 0.01, 50), strict=True
    ):
        found = break_even(
            ArmMoney(name="student", fixed_usd=fixed, usd_per_call=own),
            ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=other),
        )
        assert found.calls == pytest.approx(optimize.brentq(lambda calls: fixed + own * calls - other * calls, 0, 1e7))  # noqa: B023


@pytest.mark.slow
def test_random_lines_pay_off_on_the_day_that_an_account_of_every_day_says():
    """200 draws of prices, retrainings and retirements: paid off on the account's day, or never within its ten years."""
    generator, answers = np.random.default_rng(1), {True: 0, False: 0}
    for _ in range(200):
        again = (
            {"renewal_usd": float(generator.uniform(1, 60)), "renew_days": int(generator.integers(5, 120))}
            if generator.random() < 0.5
            else {}
        )
        gone = (
            {"ends": START + timedelta(days=int(generator.integers(5, 200))), "begins_again": True}
            if generator.random() < 0.5
            else {}
        )
        arm, calls = (
            ArmMoney(name="student", fixed_usd=float(generator.uniform(5, 300)), usd_per_call=0.0001, **again, **gone),
            int(generator.integers(50, 2000)),
        )
        found = break_even(arm, PROMPT, calls_per_day=calls, start=START)
        day = account(arm, PROMPT, calls, 3650)
        answers[found.pays_off] += 1
        assert found.day == day if found.pays_off else day > START + timedelta(days=3500)
    assert min(answers.values()) > 10


def test_a_call_costs_its_share_of_a_machine_that_is_partly_busy():
    """A year of a machine at $0.50 an hour, a fifth of it busy with calls of 0.25 s: its bill over the calls that it answered."""
    bill, calls = 365 * 24 * 0.50, 365 * 86_400 * 0.2 / 0.25
    assert machine_usd_per_call(0.50, 0.25, 0.2) == pytest.approx(bill / calls)
    assert machine_usd_per_call(None, 0.25, 0.2) is None and machine_usd_per_call(0.5, None, 0.2) is None
    assert machine_pays_from(0.50, 0.25, 0.2, 0.001) == pytest.approx(12.0 / 0.001)
    assert machine_pays_from(0.50, 0.25, 0.2, machine_usd_per_call(0.50, 0.25, 0.2) * 0.99) is None


def test_what_a_busy_machine_costs_a_call_is_its_bill_over_the_calls_that_came():
    """30 simulated days of a machine that is busy a fifth of the time: 2,073,600 calls, whose number is off by 0.07 % in one standard error."""
    usd_per_hour, seconds, share = 0.8, 0.25, 0.2
    came = np.random.default_rng(3).poisson(86_400 * share / seconds, 30).sum()
    assert machine_usd_per_call(usd_per_hour, seconds, share) == pytest.approx(30 * 24 * usd_per_hour / came, rel=0.003)
    elsewhere = 0.0005
    pays_from = machine_pays_from(usd_per_hour, seconds, share, elsewhere)
    bills = {
        calls: (24 * usd_per_hour, elsewhere * np.random.default_rng(4).poisson(calls, 30).mean())
        for calls in (0.99 * pays_from, 1.01 * pays_from)
    }
    assert [machine < calls_usd for machine, calls_usd in bills.values()] == [False, True]


def test_machines_are_the_fewest_that_are_busy_no_longer_than_allowed():
    """Calls of 20 simulated days, shared evenly: no machine is busy beyond its share, and with one machine less all are."""
    generator = np.random.default_rng(2)
    for a_day, seconds, share in ((200_000, 0.25, 0.3), (40_000, 1.5, 0.5)):
        n = machines(a_day, seconds, share)
        served = generator.exponential(seconds, int(generator.poisson(20 * a_day))).sum() / (
            20 * 86_400
        )  # machines' worth of work
        assert served / n <= share * 1.01 and served / (n - 1) > share
