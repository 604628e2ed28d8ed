"""What a machine of one's own costs: a call's share of it, how many it takes, and from which volume on it pays."""

import math


def machine_usd_per_call(
    usd_per_hour: float | None, seconds_per_call: float | None, utilisation: float
) -> float | None:
    """A call's share of a machine that is paid by the hour and busy for a share `utilisation` of it.

    None where price or speed is not known.
    """
    if usd_per_hour is None or seconds_per_call is None:
        return None
    return usd_per_hour / 3600 * seconds_per_call / utilisation


def machines(calls_per_day: float, seconds_per_call: float, utilisation: float) -> int:
    """Whole machines that so many calls a day take, each busy for a share `utilisation` of the day.

    At least one, which is paid for day and night.
    """
    return max(1, math.ceil(calls_per_day * seconds_per_call / (86_400 * utilisation) - 1e-9))


def machine_pays_from(
    usd_per_hour: float, seconds_per_call: float, utilisation: float, usd_per_call: float
) -> float | None:
    """Calls a day from which a machine costs less than calls at `usd_per_call` elsewhere.

    None: a full machine costs more than the calls it answers.
    """
    day_usd, full = 24 * usd_per_hour, 86_400 * utilisation / seconds_per_call
    if usd_per_call * full < day_usd:
        return None
    return day_usd / usd_per_call if day_usd else 0.0
