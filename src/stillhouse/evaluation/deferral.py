"""The cascade's threshold, with a promise: of all rows, at most a budgeted share is kept by the student and wrong where the teacher is right.

Thresholds are tested from the strictest down, each by the exact upper bound of its harm, and the walk stops at the first that is not under the budget.
Testing in a fixed order needs no correction for the number of thresholds (fixed-sequence testing, Wiens 2003; as in Learn then Test, 2110.01052). The
promise holds for rows that nothing else used and that come from where the app's rows come from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stillhouse.evaluation.harness import RowResult
from stillhouse.evaluation.proportions import clopper_pearson, clopper_pearson_upper
from stillhouse.records import Estimate

N_STEPS = 200  # thresholds tried at most: finer steps cost more tests of the same rows and move the answer by less than a row in a hundred


@dataclass(frozen=True)
class Threshold:
    """Keep the student's answer at this confidence or above. `harm.high` is the one-sided bound that is under the budget."""

    threshold: float
    share_kept: Estimate
    harm: Estimate
    budget: float
    level: float
    n: int


@dataclass(frozen=True)
class NoThreshold:
    """Why there is none. `rows_missing`: how many more rows it takes before any threshold could pass, even one without a single harm."""

    reason: str
    rows_missing: int | None
    budget: float
    level: float
    n: int


def rows_for(budget: float, level: float) -> int:
    """The fewest rows on which zero harms prove the budget: (1 - budget)^n <= 1 - level."""
    return math.ceil(math.log(1 - level) / math.log(1 - budget))


def choose_threshold(student: Sequence[RowResult], teacher: Sequence[RowResult], *, budget: float, level: float = 0.95) -> Threshold | NoThreshold:
    """The lowest threshold that keeps the promise, all stricter ones passing too. The rows of the two arms are paired."""
    if [row.id for row in student] != [row.id for row in teacher]:
        raise ValueError("the two arms must be measured on the same rows")
    n = len(student)
    if n < (least := rows_for(budget, level)):
        reason = f"{n} calibration rows cannot prove a harm under {budget:.1%} at {level:.0%} confidence, not even without a single one; it takes {least}"
        return NoThreshold(reason, least - n, budget, level, n)
    # Strictest first; rows without an answer or a confidence are always deferred.
    pairs = [(one.confidence, one.score < other.score) for one, other in zip(student, teacher, strict=True)]
    kept = sorted(((confidence, harmed) for confidence, harmed in pairs if confidence is not None), key=lambda pair: -pair[0])
    best: Threshold | None = None
    for end in _steps([confidence for confidence, _ in kept]):
        harms = sum(harmed for _, harmed in kept[:end])
        upper = clopper_pearson_upper(harms, n, level)
        if upper >= budget:
            break
        share = Estimate(end / n, n, *clopper_pearson(end, n, level), level, "Clopper-Pearson")
        best = Threshold(kept[end - 1][0], share, Estimate(harms / n, n, 0.0, upper, level, "Clopper-Pearson, one-sided"), budget, level, n)
    if best is None:
        return NoThreshold(f"the student's surest answers already harm more than {budget:.1%} of {n} rows allow", None, budget, level, n)
    return best


def _steps(confidences: Sequence[float]) -> list[int]:
    """How many rows are kept at each threshold tried: evenly many more each time, never between two rows of the same confidence."""
    ends = [end for end in range(1, len(confidences) + 1) if end == len(confidences) or confidences[end] < confidences[end - 1]]
    stride = max(1, len(ends) // N_STEPS)
    return [*ends[stride - 1 :: stride], *([ends[-1]] if ends and (len(ends) % stride) else [])]
