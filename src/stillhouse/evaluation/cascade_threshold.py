"""The cascade's threshold, with a promise: of all rows, at most a budgeted share is harmed.

A row is harmed where the student's answer is kept and is wrong, and the teacher is right. A threshold keeps the promise
where the exact upper bound of its harm (Clopper & Pearson 1934) is under the budget. The lowest such threshold is
taken; every stricter one keeps the promise too. As many thresholds are tested as there are confidences, and that needs
no correction, because harm only grows as the threshold falls. The threshold taken breaks the promise only if the
strictest threshold that breaks it had passed its own test, and that is one test. (Fixed-sequence testing, Wiens 2003,
and Learn then Test, 2110.01052, need no more than this for a risk that is monotone.)

Rows in groups do not stand alone. There the bound is that of `bounded`, with one unseen group of the largest size that
is harmed whole. Thresholds are tried from the strictest on, and the first that fails ends it.

The promise holds for rows that nothing else used, drawn from where the app's rows come from. And it holds for all rows
together: a class of its own may fare worse.
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from stillhouse import numbers
from stillhouse.evaluation.bounded import Floats, draws_for, lower_bound, worst_case_means
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


def choose_threshold(
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    *,
    budget: float,
    level: float = 0.95,
    group_cap: int | None = None,
) -> Threshold | NoThreshold:
    """The lowest of the rows' confidences at which the promise is kept. The two arms' rows are paired.

    A row is harmed where the student is kept and scores less than the teacher does. Rows without an answer or a
    confidence are always deferred, and count in n. `group_cap`: the most rows that a group can have, also one that was
    not seen; None: as many as the largest here.
    """
    if [row.id for row in student] != [row.id for row in teacher]:
        raise ValueError("the two arms must be measured on the same rows")
    n, bound = len(student), bound_on(student, group_cap)
    if missing := bound.rows_missing(budget, level):
        promise = f"{bound.of_rows} cannot prove a harm under {budget:.1%} at {numbers.confidence(level)} confidence"
        reason = f"{promise}, not even without a single one; it takes {n + missing:,}"
        return NoThreshold(reason, missing, budget, level, n)
    both = enumerate(zip(student, teacher, strict=True))
    answered = [
        (own.confidence, place, _is_harmed(own, other)) for place, (own, other) in both if own.output is not None
    ]
    can_keep = [(confidence, place, harmed) for confidence, place, harmed in answered if confidence is not None]
    surest_first = sorted(can_keep, key=lambda row: -row[0])
    if not surest_first:
        return NoThreshold("the student names no confidence for any of its answers", None, budget, level, n)
    end, harmed = _longest(surest_first, lambda places: bound.upper(places, level) < budget)
    if end == 0:
        reason = f"the student's surest answers already harm more than {budget:.1%} of {n} rows allow"
        return NoThreshold(reason, None, budget, level, n)
    kept = {place for _, place, _ in surest_first[:end]}
    share = Estimate(end / n, n, *bound.interval(kept, level), level, bound.method)
    harm = Estimate(len(harmed) / n, n, 0.0, bound.upper(harmed, level), level, f"{bound.method}, one-sided")
    return Threshold(surest_first[end - 1][0], share, harm, budget, level, n)


def choose_for_every_way(
    ways: Mapping[str, tuple[Sequence[RowResult], Sequence[RowResult]]],
    *,
    budget: float,
    level: float = 0.95,
    group_cap: int | None = None,
) -> Threshold | NoThreshold:
    """The threshold that keeps the promise however the rows are counted: the strictest of those of each way.

    `ways`: name -> (student's rows, teacher's). Where one way has no threshold there is none. The share kept is the
    least over the ways, and the harm is the one with the highest bound. All have to hold, so nothing is corrected.
    """
    outcomes: dict[str, Threshold] = {}
    for name, (student, teacher) in ways.items():
        outcome = choose_threshold(student, teacher, budget=budget, level=level, group_cap=group_cap)
        if isinstance(outcome, NoThreshold):
            return replace(outcome, reason=f"{name}: {outcome.reason}" if name else outcome.reason)
        outcomes[name] = outcome
    strictest = max(outcome.threshold for outcome in outcomes.values())
    found = []
    for name, (student, teacher) in ways.items():
        outcome = outcomes[name]
        found.append(
            outcome if outcome.threshold == strictest else _at(strictest, student, teacher, outcome, group_cap)
        )
    share, harm = (min(found, key=lambda one: one.share_kept.value), max(found, key=lambda one: one.harm.high or 0.0))
    return Threshold(strictest, share.share_kept, harm.harm, budget, level, harm.n)


def _at(
    threshold: float,
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    looser: Threshold,
    group_cap: int | None,
) -> Threshold:
    """What a stricter threshold keeps and harms."""
    n, bound, level = len(student), bound_on(student, group_cap), looser.level
    both = enumerate(zip(student, teacher, strict=True))
    kept = {
        place: _is_harmed(own, other)
        for place, (own, other) in both
        if own.output is not None and own.confidence is not None and own.confidence >= threshold
    }
    harmed = {place for place, hurt in kept.items() if hurt}
    share = Estimate(len(kept) / n, n, *bound.interval(set(kept), level), level, bound.method)
    harm = Estimate(len(harmed) / n, n, 0.0, bound.upper(harmed, level), level, f"{bound.method}, one-sided")
    return replace(looser, threshold=threshold, share_kept=share, harm=harm)


def _is_harmed(student: RowResult, teacher: RowResult) -> bool:
    """Whether keeping the student's answer does harm."""
    return student.score < teacher.score


def _longest(
    surest_first: Sequence[tuple[float, int, bool]], is_proven: Callable[[Set[int]], bool]
) -> tuple[int, set[int]]:
    """(number of rows that can be kept, surest first, before the bound fails; the places of the harmed among them).

    Rows of one confidence are never parted.
    """
    end, harmed, proven = 0, set[int](), None
    so_far: set[int] = set()
    for number, (confidence, place, hurt) in enumerate(surest_first, start=1):
        if hurt:
            so_far.add(place)
        if number < len(surest_first) and surest_first[number][0] == confidence:
            continue
        if len(so_far) != proven and not is_proven(so_far):
            break
        proven = len(so_far)  # as many harms, as sure: nothing to look at again
        end, harmed = number, set(so_far)
    return end, harmed


class RowsAlone:
    """The bound for rows that each stand alone: Clopper & Pearson 1934."""

    method = "Clopper-Pearson"

    def __init__(self, n: int) -> None:
        self.n = n
        self.of_rows = f"{n} calibration rows"

    def rows_missing(self, budget: float, level: float) -> int:
        """How many more rows it takes before rows without a single harm prove it; 0: there are enough."""
        return max(0, rows_for(budget, level) - self.n)

    def upper(self, places: Set[int], level: float) -> float:
        """The one-sided upper bound of the share of rows at these places."""
        return clopper_pearson_upper(len(places), self.n, level)

    def interval(self, places: Set[int], level: float) -> tuple[float, float]:
        """The two-sided interval of the share of rows at these places."""
        return clopper_pearson(len(places), self.n, level)


class RowsInGroups:
    """The bound for rows in groups: `bounded`."""

    method = "bound with one unseen group"

    def __init__(self, groups: Sequence[int], cap: float) -> None:
        """`groups`: for every row the number of its group, from 0."""
        self.groups, self.sizes = np.asarray(groups), np.bincount(groups).astype(float)
        self.n, self.cap = len(groups), max(cap, float(self.sizes.max()))
        self.of_rows = f"{self.n} calibration rows in {len(self.sizes)} groups of at most {self.cap:g}"

    def rows_missing(self, budget: float, level: float) -> int:
        """About how many more rows it takes before rows without a single harm prove it; 0: there are enough.

        Exact for groups of equal size: the unseen group weighs more than the budget with chance (1 + k)^-groups.
        """
        if self.upper(set(), level) < budget:
            return 0
        return max(1, self.rows_needed(budget, level) - self.n)

    def rows_needed(self, budget: float, level: float) -> int:
        """About how many rows in such groups prove it without a single harm."""
        size = self.n / len(self.sizes)
        k = budget * size / (self.cap * (1 - budget))
        return math.ceil(-math.log(1 - level) / math.log1p(k) * size)

    def upper(self, places: Set[int], level: float) -> float:
        """The one-sided upper bound of the share of rows at these places."""
        means = worst_case_means(-self._sums(places), self.sizes, -1.0, self.cap, draws_for(level))
        return -lower_bound(means, level)

    def interval(self, places: Set[int], level: float) -> tuple[float, float]:
        """The two-sided interval of the share of rows at these places."""
        one_sided = (1 + level) / 2
        means = worst_case_means(self._sums(places), self.sizes, 0.0, self.cap, draws_for(one_sided))
        return max(0.0, lower_bound(means, one_sided)), self.upper(places, one_sided)

    def _sums(self, places: Set[int]) -> Floats:
        inside = np.zeros(self.n)
        inside[list(places)] = 1.0
        sums: Floats = np.bincount(self.groups, weights=inside, minlength=len(self.sizes)).astype(float)
        return sums


def bound_on(rows: Sequence[RowResult], group_cap: int | None = None) -> RowsAlone | RowsInGroups:
    """The bound for shares of these rows; a row without a group is one of its own."""
    keys: dict[tuple[str, str], int] = {}
    groups = [
        keys.setdefault(("row", row.id) if row.group is None else ("group", row.group), len(keys)) for row in rows
    ]
    if len(keys) == len(rows):
        return RowsAlone(len(rows))
    return RowsInGroups(groups, group_cap or 1)
