"""What an arm brings over the horizon, in US dollars: what it saves, and what its right answers are worth.

    saving      = calls * (the other's call - the arm's call) - what is spent once - what comes back
    net benefit = saving + calls * worth of a right answer * (difference in score)

(Stinnett & Mullahy 1998.) Both have a lower bound from the rows, with one group that was never seen and is lost whole,
as the gate has it (`answer_worth.draws_with_one_unseen`). A sum whose bound is not above zero is no reason to change an
app.

Where the number of calls a day is not known, both are of 1,000 calls, and what is spent once is left out. A saving on a
prompt whose model is switched off ends on that day.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np

from stillhouse.numbers import confidence, usd_in_sentence
from stillhouse.numbers import day as day_in_words
from stillhouse.results.money import NetBenefit
from stillhouse.settings import MoneySettings
from stillhouse.verdict.money.answer_worth import draws_with_one_unseen
from stillhouse.verdict.money.break_even import ArmMoney

TRACE_USD = 1e-9  # a smaller sum is what rounding left
CALLS_WITHOUT_VOLUME = 1000.0  # the calls that the sums are of, where nobody said how many there are


def net_benefit(
    arm: ArmMoney,
    against: ArmMoney,
    scores: tuple[Sequence[float], Sequence[float]],
    usd: tuple[Sequence[float], Sequence[float]],
    groups: Sequence[str],
    terms: MoneySettings,
    *,
    level: float,
    start: date,
    unit: str = "right answer",
) -> NetBenefit | None:
    """The arm against the other on the same rows; `scores` and `usd` hold a value per row for (arm, other).

    None where what is spent once, or comes back, is not known, and where a model is switched off already: nothing is
    saved on calls that nobody can make.
    """
    if any(_gone(money, start) for money in (arm, against)):
        return None
    days, calls = _horizon(terms, [arm, against], start)
    once = 0.0 if days is None else _once(arm, days)
    if once is None:
        return None
    pairs = [np.asarray(pair[0], float) - np.asarray(pair[1], float) for pair in (scores, usd)]
    rows = np.stack(pairs, axis=1)
    score, paid = rows.mean(axis=0)
    drawn = draws_with_one_unseen(rows, groups, -1.0)
    # A saving holds 0 where its two-sided interval does; the net benefit is bounded from below alone, as the gate is.
    ends = np.quantile(-drawn[:, 1] * calls - once, [(1 - level) / 2, (1 + level) / 2])
    low, high, saving = (_whole(float(usd)) for usd in (*ends, -paid * calls - once))
    worth = terms.right_answer_usd
    net = net_low = None
    if worth is not None:
        net = _whole(saving + float(score) * worth * calls)
        net_low = _whole(float(np.quantile((drawn[:, 0] * worth - drawn[:, 1]) * calls - once, 1 - level)))
    return NetBenefit(
        arm=arm.name,
        against=against.name,
        calls=calls,
        days=days,
        saving_usd=saving,
        saving_low=low,
        saving_high=high,
        least_usd=terms.least_saving_usd,
        unit=unit,
        worth_usd=worth,
        net_usd=net,
        net_low=net_low,
        level=level,
        n=len(rows),
    )


def _horizon(terms: MoneySettings, both: Sequence[ArmMoney], start: date) -> tuple[int | None, float]:
    """(days, calls in them); days None: nobody said how many calls there are a day."""
    if terms.calls_per_day is None:
        return None, CALLS_WITHOUT_VOLUME
    ends = [(money.ends - start).days for money in both if money.ends is not None and not money.begins_again]
    days = min([terms.horizon_days, *ends])
    return days, days * terms.calls_per_day


def _whole(usd: float) -> float:
    return 0.0 if abs(usd) < TRACE_USD else usd


def _gone(money: ArmMoney, start: date) -> bool:
    return money.ends is not None and not money.begins_again and money.ends <= start


def _once(arm: ArmMoney, days: int) -> float | None:
    """What is spent once, and what comes back within the days; None: not known."""
    again = 0 if arm.renew_days is None else (days - 1) // arm.renew_days
    if arm.fixed_usd is None or (again and arm.renewal_usd is None):
        return None
    return arm.fixed_usd + again * (arm.renewal_usd or 0.0)


def in_words(found: NetBenefit) -> str:
    """The saving, and the net benefit where a right answer has a worth, each with its bound."""
    days = "1 day" if found.days == 1 else f"{found.days:,} days" if found.days else ""
    over = f"over {days} ({found.calls:,.0f} calls)" if days else f"over {found.calls:,.0f} calls"
    words = f"{over} it {_saves(found)}"
    if found.net_usd is not None and found.net_low is not None and found.worth_usd is not None:
        article = "an" if found.unit[0] in "aeiou" else "a"
        worth = f"with {usd_in_sentence(found.worth_usd)} for {article} {found.unit}"
        words += f"; {worth} it {_brings(found.net_usd, found.net_low)} at {confidence(found.level)}"
    return words


def _saves(found: NetBenefit) -> str:
    """What is saved, with its interval. A saving below zero is said as what it is, a cost."""
    saving, low, high = found.saving_usd, found.saving_low, found.saving_high
    at = "" if found.level == 0.95 else f" at {confidence(found.level)}"
    least, most = (usd_in_sentence(abs(end)) for end in (low, high))
    interval = f"[from {least} more to {most} less]"
    if saving >= 0 and low >= 0:
        interval = f"[{least}, {most}]"
    elif saving < 0 and high <= 0:
        interval = f"[{most}, {least}]"
    if not saving:
        return "saves nothing" if low == high == 0 else f"saves nothing {interval}{at}"
    amount = usd_in_sentence(abs(saving))
    return f"{f'saves {amount}' if saving > 0 else f'costs {amount} more'} {interval}{at}"


def _brings(net: float, low: float) -> str:
    """A net benefit with its lower bound; one below zero is a loss."""
    if net < 0:
        return f"loses {usd_in_sentence(-net)}, at most {usd_in_sentence(-low)}"
    brings = f"brings {usd_in_sentence(net)}" if net else "brings nothing"
    at_worst = f"at worst a loss of {usd_in_sentence(-low)}" if low < 0 else f"at least {usd_in_sentence(low)}"
    return f"{brings}, {at_worst}"


def retirement(money: ArmMoney, start: date) -> str | None:
    """That the arm's model is switched off, and when; None where no day is known."""
    if money.ends is None or money.begins_again:
        return None
    left = (money.ends - start).days
    if left <= 0:
        return f"the model of {money.name} was switched off on {day_in_words(money.ends)}"
    days = "1 day" if left == 1 else f"{left:,} days"
    return f"the model of {money.name} is switched off on {day_in_words(money.ends)}, in {days}"
