"""Break-even in calls and in days: by hand, and against a day-by-day account."""

from datetime import date, timedelta

import pytest

from stillhouse.advice.breakeven import Line, break_even, machine_pays_from, machines

START = date(2026, 11, 24)
STUDENT, PROMPT = Line("student", 100.0, 0.0001), Line("prompt", 0.0, 0.0021)


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
    assert found.sentence == "student is cheaper than prompt from 50,000 calls on, at 1,000 a day from 13 January 2027 on: $2.00 saved per 1,000 calls"


@pytest.mark.parametrize("arm", [
    Line("student", 100.0, 0.0001, renewal_usd=30.0, renew_days=20),
    Line("student", 100.0, 0.0001, renewal_usd=39.0, renew_days=20),
    Line("student", 10.0, 0.0001, renewal_usd=30.0, renew_days=7, ends=None),
    Line("student", 100.0, 0.0001, ends=START + timedelta(days=30), begins_again=True),
    Line("student", 100.0, 0.0001, ends=START + timedelta(days=90), begins_again=True),
], ids=["renewed", "barely worth it", "renewed often", "base gone before", "base gone after"])
def test_what_comes_back_is_counted_as_a_day_by_day_account_counts_it(arm):
    found = break_even(arm, PROMPT, calls_per_day=2500 if arm.fixed_usd == 10 else 1000, start=START)
    assert found.day == account(arm, PROMPT, 2500 if arm.fixed_usd == 10 else 1000, 4000)


def test_training_again_may_eat_the_saving():
    found = break_even(Line("student", 100.0, 0.0001, 50.0, 20), PROMPT, calls_per_day=1000, start=START)
    assert (found.calls, found.pays_off) == (None, False)
    assert "training it again eats what 1,000 calls a day save" in found.sentence


def test_a_prompt_that_is_switched_off_first_leaves_it_unknown_and_a_cascade_goes_with_it():
    gone = START + timedelta(days=40)
    found = break_even(STUDENT, Line("prompt", 0.0, 0.0021, ends=gone), calls_per_day=1000, start=START)
    assert (found.calls, found.pays_off) == (None, None)
    assert "switched off on 3 January 2027, before that: what its successor costs is not known" in found.sentence
    cascade = break_even(Line("cascade", 100.0, 0.0001, ends=gone), PROMPT, calls_per_day=1000, start=START)
    assert (cascade.calls, cascade.pays_off) == (None, False)
    later = break_even(STUDENT, Line("prompt", 0.0, 0.0021, ends=START + timedelta(days=60)), calls_per_day=1000, start=START)
    assert later.day == START + timedelta(days=50)


def test_what_changes_with_the_calendar_needs_the_calls_per_day_and_an_old_date_is_said():
    assert "set calls_per_day" in break_even(Line("student", 1.0, 0.0001, 1.0, 90), PROMPT).sentence
    assert "was switched off on 2026-11-24" in break_even(STUDENT, Line("prompt", 0.0, 0.1, ends=START), calls_per_day=10, start=START).sentence


def test_an_unknown_price_of_training_again_is_unknown_and_never_free():
    found = break_even(Line("student", 1.0, 0.0001, None, 90), PROMPT, calls_per_day=10, start=START)
    assert (found.calls, found.pays_off) == (None, None)
    assert "no price is known for student" in found.sentence


def test_the_same_price_per_call_never_pays_and_a_century_has_no_date():
    assert break_even(Line("student", 1.0, 0.0021), PROMPT).sentence.endswith("a call costs the same")
    slow = break_even(STUDENT, PROMPT, calls_per_day=0.5, start=START)
    assert slow.calls == pytest.approx(50_000) and slow.day is None and "at 0.5 a day takes more than 20 years" in slow.sentence


@pytest.mark.parametrize(("calls", "n"), [(1, 1), (86_400, 1), (86_401, 2), (864_000, 10)])
def test_machines_are_whole(calls, n):
    assert machines(calls, 0.25, 0.25) == n  # each answers 4 a second in a quarter of the day: 86,400


def test_the_volume_from_which_one_machine_is_cheaper():
    assert machine_pays_from(0.10, 0.01, 0.25, 0.0024) == pytest.approx(1000)  # $2.40 a day
    assert machine_pays_from(10.0, 10.0, 0.25, 0.0024) is None  # 2,160 calls a day cost $5.18 elsewhere, and $240 here
