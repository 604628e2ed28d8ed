"""From how many calls on, and from which day on, an arm is the cheaper one.

An arm's money: a sum spent once, so much per call, and a sum that comes back where the student is trained again or its
base is switched off. A price that is not known makes the answer unknown, never free. And a saving on a model that is
switched off before the break-even is no saving.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from stillhouse import numbers
from stillhouse.results.money import BreakEven

LONGEST_DAYS = 20 * 365  # longest time looked ahead: no price and no model lasts so long


@dataclass(frozen=True, kw_only=True)
class ArmMoney:
    """One arm's money in US dollars. None: not known.

    `renewal_usd` is spent again every `renew_days` (None: never). `ends` is the day on which its model is switched off:
    then `fixed_usd` is spent once more where `begins_again`, else there is no such arm from that day on. Days become
    calls only where somebody says how many calls there are a day.
    """

    name: str
    fixed_usd: float | None
    usd_per_call: float | None
    renewal_usd: float | None = 0.0
    renew_days: int | None = None
    ends: date | None = None
    begins_again: bool = False

    @property
    def known(self) -> bool:
        """Whether every price is."""
        renewal_known = self.renew_days is None or self.renewal_usd is not None
        return None not in (self.fixed_usd, self.usd_per_call) and renewal_known


def break_even(
    arm: ArmMoney, against: ArmMoney, *, calls_per_day: float | None = None, start: date | None = None
) -> BreakEven:
    """Where the two cross for the last time. What was spent once on `against` counts as well: nothing, for a prompt.

    `start` is the day of the first call, needed for a date and where an arm `ends`.
    """
    unknown = BreakEven(arm.name, against.name, None, "")
    if without_price := [money.name for money in (arm, against) if not money.known]:
        why = f"no price is known for {' and '.join(without_price)}"
        return replace(unknown, sentence=f"whether {arm.name} pays off is unknown: {why}")
    for money in (arm, against):
        if money.ends is not None and start is not None and money.ends <= start:
            gone = f"the model of {money.name} was switched off on {money.ends}"
            return replace(unknown, sentence=f"{gone}: there is nothing to compare with")
    calendar = [money.name for money in (arm, against) if money.renew_days is not None or money.ends is not None]
    if calendar and (calls_per_day is None or start is None):
        why = f"{' and '.join(calendar)} changes with the calendar"
        return replace(unknown, sentence=f"whether {arm.name} pays off is unknown: {why}; set calls_per_day in [money]")
    return _crossing(arm, against, calls_per_day, start)


def _crossing(arm: ArmMoney, against: ArmMoney, calls_per_day: float | None, start: date | None) -> BreakEven:
    assert arm.usd_per_call is not None and against.usd_per_call is not None
    assert arm.fixed_usd is not None and against.fixed_usd is not None
    extra, saved = arm.fixed_usd - against.fixed_usd, against.usd_per_call - arm.usd_per_call
    never = BreakEven(arm.name, against.name, None, "", pays_off=False)
    if saved <= 0:
        if extra < 0:
            return replace(never, sentence=f"{arm.name} costs less at first and more per call than {against.name}")
        more = f"a call costs {numbers.usd_in_sentence(-saved)} more" if saved else "a call costs the same"
        return replace(never, sentence=f"{arm.name} never pays off against {against.name}: {more}")
    payments = [*_payments(arm, calls_per_day, start, 1), *_payments(against, calls_per_day, start, -1)]
    calls = _last_crossing(extra, saved, payments, calls_per_day)
    if calls is None:
        eaten = f"training it again eats what {_per_day(calls_per_day)} calls a day save"
        return replace(never, sentence=f"{arm.name} never pays off against {against.name}: {eaten}")
    day = None
    if calls_per_day is not None and start is not None and calls / calls_per_day <= LONGEST_DAYS:
        day = start + timedelta(days=_whole(calls / calls_per_day))
    for money in (arm, against):
        if money.ends is not None and not money.begins_again and (day is None or day >= money.ends):
            when = f"would pay off from {_whole(calls):,} calls on" + (f", which is {numbers.day(day)}" if day else "")
            after = f"but the model of {money.name} is switched off on {numbers.day(money.ends)}, before that"
            then = "what its successor costs is not known" if money is against else "the saving ends first"
            pays_off = None if money is against else False
            return replace(never, sentence=f"{arm.name} {when}, {after}: {then}", pays_off=pays_off)
    sentence = _paid_off(arm, against, calls, saved, calls_per_day, day)
    return BreakEven(arm.name, against.name, calls, sentence, day, pays_off=True)


def _paid_off(
    arm: ArmMoney, against: ArmMoney, calls: float, saved: float, calls_per_day: float | None, day: date | None
) -> str:
    when = f"{arm.name} is cheaper than {against.name} from {_whole(calls):,} calls on"
    if calls_per_day is not None and day:
        when += f", at {_per_day(calls_per_day)} a day from {numbers.day(day)} on"
    elif calls_per_day is not None:
        when += f", which at {_per_day(calls_per_day)} a day takes more than 20 years"
    return f"{when}: {numbers.usd_in_sentence(saved * 1000)} saved per 1,000 calls"


def _payments(
    money: ArmMoney, calls_per_day: float | None, start: date | None, sign: int
) -> Iterator[tuple[float, float]]:
    """(calls made by then, US dollars) of what is paid later on, within LONGEST_DAYS."""
    if calls_per_day is None or start is None:
        return
    if money.renew_days is not None:
        for day in range(money.renew_days, LONGEST_DAYS + 1, money.renew_days):
            yield day * calls_per_day, sign * (money.renewal_usd or 0.0)
    if money.ends is not None and money.begins_again:
        yield (money.ends - start).days * calls_per_day, sign * (money.fixed_usd or 0.0)


def _last_crossing(
    extra: float, saved: float, payments: list[tuple[float, float]], calls_per_day: float | None
) -> float | None:
    """The number of calls after which the arm is never behind again; None: it falls behind again and again.

    It is behind by `extra`, less `saved` per call, plus the payments: (calls made by then, US dollars) each.
    """
    deficit, crossing = extra, max(0.0, extra / saved)
    for at, usd in sorted(payments):
        if deficit - saved * at > 1e-12:  # the arm has cost more than the other up to the day of this payment
            crossing = math.inf
        deficit += usd
        if deficit - saved * at > 1e-12:
            crossing = deficit / saved
        elif crossing > at:  # a payment of the other arm brings this one ahead
            crossing = at
    return None if calls_per_day is not None and payments and crossing > LONGEST_DAYS * calls_per_day else crossing


def _whole(amount: float) -> int:
    """Rounded up, but not for a trace that sums of floats leave."""
    return math.ceil(amount * (1 - 1e-9))


def _per_day(calls: float | None) -> str:
    return "" if calls is None else f"{calls:,.0f}" if calls >= 10 else f"{calls:g}"
