"""From how many calls on, and from which day on, an arm is the cheaper one.

An arm's money: a sum spent once, so much per call, and a sum that comes back where the student is trained again or its base is switched off. A price that
is not known makes the answer unknown, never free; a saving on a model that is switched off before the break-even is no saving.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

LONGEST_DAYS = 20 * 365  # no price and no model lasts so long


@dataclass(frozen=True)
class Line:
    """One arm's money in US dollars. None: not known.

    `renewal_usd` is spent again every `renew_days` (None: never). `ends` is the day on which its model is switched off: then `fixed_usd` is spent once more
    where `begins_again`, else there is no such arm from that day on. Days need to be turned into calls, by whoever knows how many there are a day.
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
        return None not in (self.fixed_usd, self.usd_per_call) and (
            self.renew_days is None or self.renewal_usd is not None
        )


@dataclass(frozen=True)
class BreakEven:
    """From how many calls `arm` is cheaper than `against`, for good. `calls` None: never, or unknown; the sentence and `pays_off` (None) say which.

    `day` is None where nobody said how many calls there are a day.
    """

    arm: str
    against: str
    calls: float | None
    sentence: str
    pays_off: bool | None
    day: date | None = None


def machine_usd_per_call(
    usd_per_hour: float | None, seconds_per_call: float | None, utilisation: float
) -> float | None:
    """A call's share of a machine that is paid by the hour and busy for a share `utilisation` of it. None where price or speed is not known."""
    if usd_per_hour is None or seconds_per_call is None:
        return None
    return usd_per_hour / 3600 * seconds_per_call / utilisation


def machines(calls_per_day: float, seconds_per_call: float, utilisation: float) -> int:
    """Whole machines that so many calls a day take, each busy for a share `utilisation` of the day: at least one, which is paid for day and night."""
    return max(1, math.ceil(calls_per_day * seconds_per_call / (86_400 * utilisation) - 1e-9))


def machine_pays_from(
    usd_per_hour: float, seconds_per_call: float, utilisation: float, usd_per_call: float
) -> float | None:
    """Calls a day from which a machine costs less than calls at `usd_per_call` elsewhere. None: a full machine costs more than the calls it answers."""
    day_usd, full = 24 * usd_per_hour, 86_400 * utilisation / seconds_per_call
    if usd_per_call * full < day_usd:
        return None
    return day_usd / usd_per_call if day_usd else 0.0


def break_even(arm: Line, against: Line, *, calls_per_day: float | None = None, start: date | None = None) -> BreakEven:
    """Where the lines cross for the last time. What was spent once on `against` counts as well: nothing, for a prompt.

    `start` is the day of the first call, needed for a date and where an arm `ends`.
    """
    none = BreakEven(arm.name, against.name, None, "", None)
    if unknown := [line.name for line in (arm, against) if not line.known]:
        return replace(
            none, sentence=f"whether {arm.name} pays off is unknown: no price is known for {' and '.join(unknown)}"
        )
    for line in (arm, against):
        if line.ends is not None and start is not None and line.ends <= start:
            return replace(
                none,
                sentence=f"the model of {line.name} was switched off on {line.ends}: there is nothing to compare with",
            )
    calendar = [line.name for line in (arm, against) if line.renew_days is not None or line.ends is not None]
    if calendar and (calls_per_day is None or start is None):
        what = f"{' and '.join(calendar)} changes with the calendar"
        return replace(none, sentence=f"whether {arm.name} pays off is unknown: {what}; set calls_per_day in [money]")
    return _crossing(arm, against, calls_per_day, start)


def _crossing(arm: Line, against: Line, calls_per_day: float | None, start: date | None) -> BreakEven:
    assert (
        arm.usd_per_call is not None
        and against.usd_per_call is not None
        and arm.fixed_usd is not None
        and against.fixed_usd is not None
    )
    extra, saved = arm.fixed_usd - against.fixed_usd, against.usd_per_call - arm.usd_per_call
    never = BreakEven(arm.name, against.name, None, "", False)
    if saved <= 0:
        if extra < 0:
            return replace(never, sentence=f"{arm.name} costs less at first and more per call than {against.name}")
        more = f"a call costs {_usd(-saved)} more" if saved else "a call costs the same"
        return replace(never, sentence=f"{arm.name} never pays off against {against.name}: {more}")
    calls = _last_crossing(
        extra,
        saved,
        [*_payments(arm, calls_per_day, start, 1), *_payments(against, calls_per_day, start, -1)],
        calls_per_day,
    )
    if calls is None:
        eaten = f"training it again eats what {_per_day(calls_per_day)} calls a day save"
        return replace(never, sentence=f"{arm.name} never pays off against {against.name}: {eaten}")
    day = None
    if calls_per_day is not None and start is not None and calls / calls_per_day <= LONGEST_DAYS:
        day = start + timedelta(days=_whole(calls / calls_per_day))
    for line in (arm, against):
        if line.ends is not None and not line.begins_again and (day is None or day >= line.ends):
            when = f"would pay off from {_whole(calls):,} calls on" + (f", which is {_day(day)}" if day else "")
            after = f"but the model of {line.name} is switched off on {_day(line.ends)}, before that"
            known = "what its successor costs is not known" if line is against else "the saving ends first"
            return replace(
                never, sentence=f"{arm.name} {when}, {after}: {known}", pays_off=None if line is against else False
            )
    return BreakEven(
        arm.name, against.name, calls, _paid_off(arm, against, calls, saved, calls_per_day, day), True, day
    )


def _paid_off(
    arm: Line, against: Line, calls: float, saved: float, calls_per_day: float | None, day: date | None
) -> str:
    when = f"{arm.name} is cheaper than {against.name} from {_whole(calls):,} calls on"
    if calls_per_day is not None:
        when += (
            f", at {_per_day(calls_per_day)} a day from {_day(day)} on"
            if day
            else f", which at {_per_day(calls_per_day)} a day takes more than 20 years"
        )
    return f"{when}: {_usd(saved * 1000)} saved per 1,000 calls"


def _payments(line: Line, calls_per_day: float | None, start: date | None, sign: int) -> Iterator[tuple[float, float]]:
    """(calls made by then, US dollars) of what is paid later on, within LONGEST_DAYS."""
    if calls_per_day is None or start is None:
        return
    if line.renew_days is not None:
        for day in range(line.renew_days, LONGEST_DAYS + 1, line.renew_days):
            yield day * calls_per_day, sign * (line.renewal_usd or 0.0)
    if line.ends is not None and line.begins_again:
        yield (line.ends - start).days * calls_per_day, sign * (line.fixed_usd or 0.0)


def _last_crossing(
    extra: float, saved: float, payments: list[tuple[float, float]], calls_per_day: float | None
) -> float | None:
    """The number of calls after which the deficit, `extra` minus `saved` per call plus the payments, is never above 0 again; None: it comes back."""
    deficit, crossing = extra, max(0.0, extra / saved)
    for at, usd in sorted(payments):
        if deficit - saved * at > 1e-12:  # still behind when this is paid
            crossing = math.inf
        deficit += usd
        if deficit - saved * at > 1e-12:
            crossing = deficit / saved
        elif crossing > at:  # what the other arm pays here brings this one ahead
            crossing = at
    return None if calls_per_day is not None and payments and crossing > LONGEST_DAYS * calls_per_day else crossing


def _whole(amount: float) -> int:
    """Rounded up, but not for a trace that sums of floats leave."""
    return math.ceil(amount * (1 - 1e-9))


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}"


def _day(day: date | None) -> str:
    return "" if day is None else f"{day.day} {day:%B %Y}"


def _per_day(calls: float | None) -> str:
    return "" if calls is None else f"{calls:,.0f}" if calls >= 10 else f"{calls:g}"
