"""The money: what an arm costs per call, what it cost once, and from how many calls on it is the cheaper one.

Costs are straight lines, fixed + per call * calls. A price that is not known makes the line unknown, never free.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One arm's money in US dollars. None: not known."""

    name: str
    fixed_usd: float | None
    usd_per_call: float | None


@dataclass(frozen=True)
class BreakEven:
    """From how many calls `arm` is cheaper than `against`. `calls` None: never, or unknown; the sentence says which."""

    arm: str
    against: str
    calls: float | None
    sentence: str


def machine_usd_per_call(usd_per_hour: float | None, seconds_per_call: float | None, utilisation: float) -> float | None:
    """A call's share of a machine that is paid by the hour and busy for a share `utilisation` of it. None where price or speed is not known."""
    if usd_per_hour is None or seconds_per_call is None:
        return None
    return usd_per_hour / 3600 * seconds_per_call / utilisation


def break_even(arm: Line, against: Line) -> BreakEven:
    """Where the two lines cross. What was spent once on `against` counts as well: nothing, for a prompt."""
    unknown = [line.name for line in (arm, against) if line.fixed_usd is None or line.usd_per_call is None]
    if unknown or arm.fixed_usd is None or arm.usd_per_call is None or against.fixed_usd is None or against.usd_per_call is None:
        return BreakEven(arm.name, against.name, None, f"whether {arm.name} pays off is unknown: no price is known for {' and '.join(unknown)}")
    extra, saved = arm.fixed_usd - against.fixed_usd, against.usd_per_call - arm.usd_per_call
    if saved <= 0:
        if extra < 0:
            return BreakEven(arm.name, against.name, None, f"{arm.name} costs less at first and more per call than {against.name}")
        return BreakEven(arm.name, against.name, None, f"{arm.name} never pays off against {against.name}: a call costs {_usd(-saved)} more")
    calls = max(0.0, extra / saved)
    saving = f"{_usd(saved * 1000)} saved per 1,000 calls"
    return BreakEven(arm.name, against.name, calls, f"{arm.name} is cheaper than {against.name} from {math.ceil(calls):,} calls on: {saving}")


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}"
