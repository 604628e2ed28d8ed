"""Where there is no gold, the prompt is the yardstick: an arm's difference from it is how often it answers otherwise.

Such numbers are shown as agreement. They are no points for or against an arm, and neither is right or wrong.
"""

from dataclasses import replace

from stillhouse.records import Estimate


def agreement_of(difference: Estimate) -> Estimate:
    """The agreement with the yardstick of an arm that scores so much less than the yardstick's own 100 %."""
    low, high = difference.low, difference.high
    return replace(
        difference,
        value=1 + difference.value,
        low=None if low is None else max(0.0, 1 + low),
        high=None if high is None else min(1.0, 1 + high),
    )
