"""The cascade's threshold, with a promise: of all rows, at most a budgeted share is harmed.

A row is harmed where the student's answer is kept and is wrong, and the teacher is right. A threshold keeps the promise
where the exact upper bound of its harm (Clopper & Pearson 1934) is under the budget. The lowest such threshold is
taken; every stricter one keeps the promise too. As many thresholds are tested as there are confidences, and that needs
no correction, because harm only grows as the threshold falls. The threshold taken breaks the promise only if the
strictest threshold that breaks it had passed its own test, and that is one test. (Fixed-sequence testing, Wiens 2003,
and Learn then Test, 2110.01052, need no more than this for a risk that is monotone.)

The promise holds for rows that nothing else used, drawn from where the app's rows come from. And it holds for all rows
together: a class of its own may fare worse.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from stillhouse.evaluation.proportions import clopper_pearson, clopper_pearson_upper
from stillhouse.records import Estimate
from stillhouse.results.row_result import RowResult


@dataclass(frozen=True)
class Threshold:
    """Keep the student's answer at this confidence or above. `harm.high` is the one-sided bound, under the budget."""

    threshold: float
    share_kept: Estimate
    harm: Estimate
    budget: float
    level: float
    n: int


@dataclass(frozen=True)
class NoThreshold:
    """Why there is none.

    `rows_missing`: how many more rows it takes before any threshold could pass, even one without a single harm. None:
    rows are not what is missing.
    """

    reason: str
    rows_missing: int | None
    budget: float
    level: float
    n: int


def rows_for(budget: float, level: float) -> int:
    """The fewest rows on which zero harms prove a harm under the budget: (1 - budget)^n < 1 - level."""
    n = math.ceil(math.log(1 - level) / math.log(1 - budget))
    return n if clopper_pearson_upper(0, n, level) < budget else n + 1


def harms_allowed(n: int, budget: float, level: float) -> int | None:
    """The most harms among n rows whose upper bound is still under the budget.

    None: so few rows prove nothing, even without a single harm. The bound is under the budget exactly where so few
    harms are less likely than 1 - level, were the harm the budget itself.
    """
    most = int(stats.binom.ppf(1 - level, n, budget))
    while most >= 0 and clopper_pearson_upper(most, n, level) >= budget:
        most -= 1
    return most if most >= 0 else None


def choose_threshold(
    student: Sequence[RowResult], teacher: Sequence[RowResult], *, budget: float, level: float = 0.95
) -> Threshold | NoThreshold:
    """The lowest of the rows' confidences at which the promise is kept. The two arms' rows are paired.

    A row is harmed where the student is kept and scores less than the teacher does. Rows without an answer or a
    confidence are always deferred, and count in n.
    """
    if [row.id for row in student] != [row.id for row in teacher]:
        raise ValueError("the two arms must be measured on the same rows")
    n = len(student)
    allowed = harms_allowed(n, budget, level)
    if allowed is None:
        least = rows_for(budget, level)
        promise = f"{n} calibration rows cannot prove a harm under {budget:.1%} at {level:.0%} confidence"
        reason = f"{promise}, not even without a single one; it takes {least}"
        return NoThreshold(reason, least - n, budget, level, n)
    both = zip(student, teacher, strict=True)
    answered = [(own.confidence, own.score < other.score) for own, other in both if own.output is not None]
    can_keep = [(confidence, harmed) for confidence, harmed in answered if confidence is not None]
    surest_first = sorted(can_keep, key=lambda pair: -pair[0])
    if not surest_first:
        return NoThreshold("the student names no confidence for any of its answers", None, budget, level, n)
    confidences = [confidence for confidence, _ in surest_first]
    end, harms = _longest(confidences, [harmed for _, harmed in surest_first], allowed)
    if end == 0:
        reason = f"the student's surest answers already harm more than {budget:.1%} of {n} rows allow"
        return NoThreshold(reason, None, budget, level, n)
    share = Estimate(end / n, n, *clopper_pearson(end, n, level), level, "Clopper-Pearson")
    harm = Estimate(harms / n, n, 0.0, clopper_pearson_upper(harms, n, level), level, "Clopper-Pearson, one-sided")
    return Threshold(confidences[end - 1], share, harm, budget, level, n)


def _longest(confidences: Sequence[float], harmed: Sequence[bool], allowed: int) -> tuple[int, int]:
    """(rows, surest first, that can be kept with at most `allowed` harms; the harms among them).

    Rows of one confidence are never parted.
    """
    end = harms = so_far = 0
    for number, hurt in enumerate(harmed, start=1):
        so_far += hurt
        if so_far > allowed:
            break
        if number == len(confidences) or confidences[number] < confidences[number - 1]:
            end, harms = number, so_far
    return end, harms
