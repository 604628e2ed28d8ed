"""How a verdict writes its numbers: each with its interval and n."""

from stillhouse.numbers import confidence
from stillhouse.records import Estimate


def scored(score: Estimate) -> str:
    """A score in percent: "79.0 % [78.2, 79.8] (n = 9,824)"."""
    interval = "" if score.low is None or score.high is None else f" [{score.low * 100:.1f}, {score.high * 100:.1f}]"
    return f"{score.value * 100:.1f} %{interval} (n = {score.n:,})"


def points(difference: Estimate) -> str:
    """A difference in percentage points, always with its sign: "+6.0 points [+5.1, +6.9] (n = 9,824)".

    The interval's level is said where it is not 95 %.
    """
    low, high = difference.low, difference.high
    interval = "" if low is None or high is None else f" [{low * 100:+.1f}, {high * 100:+.1f}]"
    if interval and difference.level != 0.95:
        interval += f" at {confidence(difference.level)}"
    return f"{difference.value * 100:+.1f} points{interval} (n = {difference.n:,})"
