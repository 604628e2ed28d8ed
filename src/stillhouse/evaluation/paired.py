"""Two arms on the same rows: the difference of their scores, its interval, and how surely it is above or below a value.

Rows that are right or wrong, each on its own: an exact test decides (`exact`), and the differences that it does not
refute are the interval shown. Scores in between, or rows in groups: a bound with one unseen group decides (`bounded`),
and the interval shown is a BCa bootstrap over groups, absent where the groups do not vary.
"""

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stillhouse.evaluation.bounded import Floats, draws_for, lower_bound, p_value, worst_case_means
from stillhouse.evaluation.exact import exact_interval, exact_lower, exact_p, outside_of
from stillhouse.evaluation.proportions import bca
from stillhouse.records import Estimate
from stillhouse.results.row_result import RowResult

EXACT = "exact test, inverted"  # the name of the interval of a difference between proportions


@dataclass(frozen=True)
class Paired:
    """A student's rows and its teacher's, in the same order; at least one. Raises ValueError where they differ.

    `group_cap`: the most rows that a group can have, also one that was not seen; None: as many as the largest here.
    `level`: the confidence that the p-values are for; a strict one takes finer ones.
    """

    student: Sequence[RowResult]
    teacher: Sequence[RowResult]
    group_cap: int | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        if [row.id for row in self.student] != [row.id for row in self.teacher] or not self.student:
            raise ValueError("the two arms must be measured on the same rows, at least one")

    @property
    def n(self) -> int:
        return len(self.student)

    @cached_property
    def differences(self) -> list[float]:
        return [own.score - other.score for own, other in zip(self.student, self.teacher, strict=True)]

    @property
    def mean(self) -> float:
        return sum(self.differences) / self.n

    @cached_property
    def discordant(self) -> tuple[int, int]:
        """Rows on which the student scores more, and less."""
        more, less = [d > 0 for d in self.differences], [d < 0 for d in self.differences]
        return sum(more), sum(less)

    @cached_property
    def groups(self) -> tuple[Floats, Floats]:
        """Per group: the sum of its differences, and its rows. A row without a group is one of its own."""
        members: dict[tuple[str, str], list[float]] = defaultdict(list)
        for row, difference in zip(self.student, self.differences, strict=True):
            key = ("row", row.id) if row.group is None else ("group", row.group)
            members[key].append(difference)
        sums, sizes = [sum(part) for part in members.values()], [float(len(part)) for part in members.values()]
        return np.array(sums), np.array(sizes)

    @property
    def n_groups(self) -> int:
        return len(self.groups[0])

    @property
    def largest(self) -> float:
        """The most rows that a group can have, seen or not."""
        return max(float(self.groups[1].max()), float(self.group_cap or 1) if self.n_groups < self.n else 1.0)

    def of_gold(self, labels: Set[str]) -> "Paired":
        """The rows of these gold labels alone."""
        both = zip(self.student, self.teacher, strict=True)
        own, others = zip(*((own, other) for own, other in both if own.gold in labels), strict=True)
        return Paired(own, others, self.group_cap, self.level)

    @cached_property
    def at_worst(self) -> Floats:
        """What the mean may be if an unseen group is as bad and as large as can be; see `bounded`."""
        return worst_case_means(*self.groups, -1.0, self.largest, draws_for(self.level))

    @cached_property
    def at_best(self) -> Floats:
        """What the mean may be with its sign turned, if an unseen group is as good and as large as can be."""
        sums, sizes = self.groups
        return worst_case_means(-sums, sizes, -1.0, self.largest, draws_for(self.level))

    @cached_property
    def exact(self) -> bool:
        return self.n_groups == self.n and all(row.score in (0.0, 1.0) for row in (*self.student, *self.teacher))

    def estimate(self, level: float) -> Estimate:
        """The mean difference with a two-sided interval."""
        if self.exact:
            return Estimate(self.mean, self.n, *exact_interval(*self.discordant, self.n, level), level, EXACT)
        interval = bca(*self.groups, level, np.random.default_rng(self.n_groups))
        if interval is None:
            return Estimate(self.mean, self.n, level=level)
        return Estimate(self.mean, self.n, *interval, level, "BCa bootstrap over groups")

    def p_above(self, value: float) -> float:
        """One-sided p-value of "the true difference is `value` or less"."""
        if self.exact:
            return exact_p(*self.discordant, self.n, value, outside_of(self.level))
        return p_value(self.at_worst, value)

    def p_below(self, value: float) -> float:
        """One-sided p-value of "the true difference is `value` or more"."""
        better, worse = self.discordant
        if self.exact:
            return exact_p(worse, better, self.n, -value, outside_of(self.level))
        return p_value(self.at_best, -value)

    def lower(self, level: float) -> float:
        """The one-sided lower bound of the true difference."""
        return exact_lower(*self.discordant, self.n, level) if self.exact else lower_bound(self.at_worst, level)

    def upper(self, level: float) -> float:
        """The one-sided upper bound of the true difference."""
        better, worse = self.discordant
        return -(exact_lower(worse, better, self.n, level) if self.exact else lower_bound(self.at_best, level))
