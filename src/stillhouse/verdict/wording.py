"""How a verdict writes its numbers: each with its interval and n."""

from stillhouse.numbers import confidence, points_in_sentence
from stillhouse.records import Estimate
from stillhouse.results.agreement import agreement_of


def scored(score: Estimate) -> str:
    """A score in percent: "79.0 % [78.2, 79.8] (n = 9,824)"."""
    interval = "" if score.low is None or score.high is None else f" [{score.low * 100:.1f}, {score.high * 100:.1f}]"
    return f"{score.value * 100:.1f} %{interval} (n = {score.n:,})"


def agreeing(difference: Estimate) -> str:
    """How far an arm agrees with the yardstick that it differs from: "81.2 % [77.3, 84.7] at 96% (n = 500)"."""
    agreement = agreement_of(difference)
    level = "" if agreement.low is None or agreement.level == 0.95 else f" at {confidence(agreement.level)}"
    return scored(agreement).replace(" (n", f"{level} (n")


def contrast(name: str, other: str, difference: Estimate, *, yardstick: bool) -> str:
    """One arm against another. `yardstick`: scores are agreement with the other one, so there is no better or worse."""
    if yardstick:
        return f"{name} agrees with {other} to {agreeing(difference)}"
    return f"{name} against {other}: {points(difference)}"


def points(difference: Estimate) -> str:
    """A difference in percentage points, always with its sign: "+6.0 points [+5.1, +6.9] (n = 9,824)".

    The interval's level is said where it is not 95 %.
    """
    low, high = difference.low, difference.high
    interval = "" if low is None or high is None else f" [{points_in_sentence(low)}, {points_in_sentence(high)}]"
    if interval and difference.level != 0.95:
        interval += f" at {confidence(difference.level)}"
    return f"{points_in_sentence(difference.value)} points{interval} (n = {difference.n:,})"
