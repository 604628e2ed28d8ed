"""Which of two answers is better, over many rows: the win rate of A against B, by people, by a judge model, or by both.

A tie is half a win for each, and so is "both bad", which is counted on its own as well. Without groups the interval is Tango's score interval for the paired
difference (wins - losses) / n, moved to (1 + difference) / 2: with no tie that is Wilson's. With groups it is the bootstrap over groups. As in the gate for
scores, what decides is exact, or a bound that holds for any scores, and the interval is for reading. People outrank the judge: where some rows have a
person's choice, the judge's scores only power the mean of theirs (`prediction_powered`), and the judge alone speaks where no person did.

Several people's choices of one row are one draw: the row counts once, by the mean of their scores, however many they are. So what is estimated is how often
A wins before one of these people, drawn anew for every row, and the interval is about rows: of other people it knows nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from scipy import stats

from stillhouse.evaluation.bounded import Floats, lower_bound, p_value, worst_case_means
from stillhouse.evaluation.exact import exact_lower, exact_p
from stillhouse.evaluation.gate import Answer, GateResult
from stillhouse.evaluation.prediction_powered import PoweredMean, powered_mean
from stillhouse.evaluation.proportions import mean_interval, tango_interval
from stillhouse.records import Estimate
from stillhouse.results.comparison import Tally

Choice = Literal["A", "B", "tie", "both bad"]
By = Literal["people", "people, judge corrected", "judge", "nobody"]  # nobody: every pair is settled without asking
SCORES: dict[Choice, float] = {"A": 1.0, "tie": 0.5, "both bad": 0.5, "B": 0.0}
MIN_PEOPLE = 30  # rows (groups) judged by people under which the judge is not corrected by them: the interval would promise more than it holds (lab notes)


@dataclass(frozen=True, slots=True)
class Voice:
    """One person's choice of one row. `left`: the answer that stood on the left; `rater` "": who did not say a name."""

    choice: Choice
    left: Literal["A", "B"] | None = None
    rater: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One row: two answers, and what was said of them. `judge`: with A first, with B first; None: asked, but no usable reply."""

    id: str
    group: str | None = None
    people: tuple[Voice, ...] = ()
    judge: tuple[Choice | None, Choice | None] | None = None
    settled: Choice | None = None  # known without asking: the answers are the same, or one or both are missing
    reached: bool = (
        False  # settled, and the person's sitting has passed it: it counts among the rows that people judged
    )

    @property
    def cluster(self) -> str:
        return self.group if self.group is not None else f"row {self.id}"

    @property
    def people_score(self) -> float | None:
        """0 to 1: the mean over the people who judged the row; None where none did, and it is not settled and reached."""
        if self.people:
            return sum(SCORES[voice.choice] for voice in self.people) / len(self.people)
        return SCORES[self.settled] if self.settled is not None and self.reached else None

    @property
    def by_people(self) -> Choice | None:
        """The people's choice together: whom more of them prefer."""
        if not self.people:
            return self.settled if self.reached else None
        return _choice(self.people_score, all(voice.choice == "both bad" for voice in self.people))

    @property
    def judge_score(self) -> float | None:
        """0 to 1: the mean over both orders; None without two usable replies."""
        if self.settled is not None:
            return SCORES[self.settled]
        if self.judge is None or self.judge[0] is None or self.judge[1] is None:
            return None
        return (SCORES[self.judge[0]] + SCORES[self.judge[1]]) / 2

    @property
    def by_judge(self) -> Choice | None:
        """The judge's choice over both orders: one that falls with the order is a tie."""
        return _choice(self.judge_score, self.judge == ("both bad", "both bad"))


def _choice(score: float | None, both_bad: bool) -> Choice | None:
    return None if score is None else "A" if score > 0.5 else "B" if score < 0.5 else "both bad" if both_bad else "tie"


class Bounds(Protocol):
    """How surely a rate is above or below a value: one-sided p-values, and the bounds where they come to 1 - level."""

    def p_above(self, rate: float) -> float:
        """Of "the true rate is `rate` or less"."""
        ...

    def p_below(self, rate: float) -> float: ...

    def lower(self, level: float) -> float: ...

    def upper(self, level: float) -> float: ...


@dataclass(frozen=True)
class OfRows:
    """Rows that each stand alone and fell to A, to B or to neither: exact (`exact`), as a difference of paired proportions."""

    wins: int
    losses: int
    n: int

    def p_above(self, rate: float) -> float:
        return exact_p(self.wins, self.losses, self.n, 2 * rate - 1)

    def p_below(self, rate: float) -> float:
        return exact_p(self.losses, self.wins, self.n, 1 - 2 * rate)

    def lower(self, level: float) -> float:
        return (1 + exact_lower(self.wins, self.losses, self.n, level)) / 2

    def upper(self, level: float) -> float:
        return (1 - exact_lower(self.losses, self.wins, self.n, level)) / 2


@dataclass(frozen=True)
class OfGroups:
    """Rows in groups, or scores in between: bounds for any scores from 0 to 1 (`bounded`). `sums`: per group, of the scores less one half."""

    sums: Floats
    sizes: Floats

    @cached_property
    def _means(self) -> Floats:
        return worst_case_means(self.sums, self.sizes, worst=-0.5)

    @cached_property
    def _means_of_losses(self) -> Floats:
        return worst_case_means(-self.sums, self.sizes, worst=-0.5)

    def p_above(self, rate: float) -> float:
        return p_value(self._means, rate - 0.5)

    def p_below(self, rate: float) -> float:
        return p_value(self._means_of_losses, 0.5 - rate)

    def lower(self, level: float) -> float:
        return 0.5 + lower_bound(self._means, level)

    def upper(self, level: float) -> float:
        return 0.5 - lower_bound(self._means_of_losses, level)


@dataclass(frozen=True)
class WinRate:
    """A's share of wins against B, with a two-sided interval; `bounds` decide.

    `tally`: of the rows that the rate stands on; where a judge was corrected, of those that people judged.
    `weight`: see `PoweredMean`.
    """

    by: By
    rate: Estimate
    bounds: Bounds
    tally: Tally
    variance: float  # of one row's score, for planning
    weight: float | None = None


def tally_of(choices: Sequence[Choice]) -> Tally:
    """How often each choice was made, from A's side."""
    return Tally(
        wins=choices.count("A"),
        losses=choices.count("B"),
        ties=choices.count("tie"),
        both_bad=choices.count("both bad"),
    )


def win_rate(choices: Sequence[Choice], clusters: Sequence[str], level: float = 0.95, by: By = "people") -> WinRate:
    """Of rows with one choice each. Raises ValueError without rows."""
    if not choices:
        raise ValueError("no row is judged")
    tally, scores = tally_of(choices), [SCORES[choice] for choice in choices]
    n, wins, losses = tally.n, tally.wins, tally.losses
    if (n_groups := len(set(clusters))) < n and len(set(scores)) > 1:
        return _of_scores(scores, clusters, level, by, tally)
    bounds: Bounds = OfRows(wins, losses, n)
    if n_groups < n:  # a bootstrap of equal scores shows no spread; a group is then one row
        n, wins, losses, bounds = n_groups, n_groups * (wins > 0), n_groups * (losses > 0), _of_groups(scores, clusters)
    low, high = ((1 + bound) / 2 for bound in tango_interval(wins, losses, n, level))
    method = "score interval (Tango)" + (", a group as one row" if n < len(scores) else "")
    return WinRate(
        by,
        Estimate(sum(scores) / len(scores), len(scores), low, high, level, method),
        bounds,
        tally,
        _variance(scores),
    )


def _of_scores(scores: Sequence[float], clusters: Sequence[str], level: float, by: By, tally: Tally) -> WinRate:
    return WinRate(by, mean_interval(scores, clusters, level), _of_groups(scores, clusters), tally, _variance(scores))


def _of_groups(scores: Sequence[float], clusters: Sequence[str]) -> OfGroups:
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(scores, float) - 0.5)
    return OfGroups(sums.astype(float), np.bincount(index).astype(float))


def _variance(scores: Sequence[float]) -> float:
    mean = sum(scores) / len(scores)
    return sum((score - mean) ** 2 for score in scores) / len(scores)


def by_people(rows: Sequence[Compared], level: float = 0.95) -> WinRate | None:
    """By the people's choices alone; None where there are none. Where every pair is settled there is nothing to ask, and it is by nobody."""
    judged = [(row.cluster, row.people_score, row.by_people) for row in rows]
    asked = any(row.people for row in rows)
    if not (asked or all(row.settled is not None for row in rows)):
        return None
    return _of_rows(judged, level, "people" if asked else "nobody")


def by_judge(rows: Sequence[Compared], level: float = 0.95) -> WinRate | None:
    """By the judge alone, uncorrected: the mean of both orders per row. None where it judged no row; rows without two usable replies are left out."""
    if not any(row.judge is not None and row.judge_score is not None for row in rows):
        return None
    return _of_rows([(row.cluster, row.judge_score, row.by_judge) for row in rows], level, "judge")


def _of_rows(rows: Sequence[tuple[str, float | None, Choice | None]], level: float, by: By) -> WinRate | None:
    """Of rows (cluster, score, choice); those without a score are left out. Where voices differ, a score lies between those of single choices."""
    known = [(cluster, score, choice) for cluster, score, choice in rows if score is not None and choice is not None]
    if not known:
        return None
    clusters, scores, choices = zip(*known, strict=True)
    if all(score in (0.0, 0.5, 1.0) for score in scores):
        return win_rate(choices, clusters, level, by)
    return _of_scores(scores, clusters, level, by, tally_of(choices))


def corrected(rows: Sequence[Compared], level: float = 0.95) -> WinRate | None:
    """People's choices with the judge's on all rows to power them. None with fewer than `MIN_PEOPLE` rows (groups) of theirs,
    without a row that they have not judged, or where no interval can be computed.

    A row without a usable reply of the judge counts as a tie of its: any prediction is valid, and the people's rows take its error out.
    """
    people = [row for row in rows if row.by_people is not None]
    few = len({row.cluster for row in people}) < MIN_PEOPLE
    if few or len(people) == len(rows) or not any(row.judge is not None for row in rows):
        return None
    labels = [row.people_score for row in rows]
    predictions = [0.5 if row.judge_score is None else row.judge_score for row in rows]
    found: PoweredMean = powered_mean(labels, predictions, [row.cluster for row in rows])
    if (two_sided := found.interval(level)) is None:
        return None
    rate = Estimate(found.value, len(rows), *two_sided, level, f"PPI++, {found.n_labelled} rows judged by people")
    tally = tally_of([row.by_people for row in people if row.by_people is not None])
    of_one = (
        found.standard_error**2 * found.n_labelled
    )  # the variance with which as many rows of people alone would be as sure
    return WinRate("people, judge corrected", rate, found, tally, of_one, found.weight)


def best_known(rows: Sequence[Compared], level: float = 0.95) -> WinRate | None:
    """The rate to go by: people with the judge's help, else people, else the judge alone; None where nobody judged."""
    return corrected(rows, level) or by_people(rows, level) or by_judge(rows, level)


def decide_win_rate(
    found: WinRate, *, margin: float, whose: str, names: tuple[str, str] = ("the student", "the teacher")
) -> GateResult:
    """May A replace B? Only if the one-sided lower bound of its win rate is above 0.5 - margin; it fails if the upper bound is below.

    `whose`: who judged, in words; `names`: of A and B. The result's difference is the win rate less one half.
    """
    rate, level, bounds = found.rate, found.rate.level, found.bounds
    p, lower = bounds.p_above(0.5 - margin), bounds.lower(level) - 0.5
    answer: Answer = "pass" if p < 1 - level else "fail" if bounds.p_below(0.5 - margin) < 1 - level else "cannot tell"
    low, high = (None if end is None else end - 0.5 for end in (rate.low, rate.high))
    difference = Estimate(rate.value - 0.5, rate.n, low, high, level, rate.method)
    needed = rows_for_win_rate(rate.value, found.variance, margin, level) if answer == "cannot tell" else None
    people = f", {found.tally.n} of them judged by people" if found.by == "people, judge corrected" else ""
    seen = f"{names[0]} wins {rate.value:.1%} against {names[1]} on {rate.n} rows{people}, {whose}, at least {lower + 0.5:.1%} with {level:.0%} confidence"
    must = f"and {0.5 - margin:.1%} has to be shown"
    unit = "rows judged by people" if found.by != "judge" else "judged rows"
    more = (
        f"; about {needed} {unit} would tell, if the rate stays"
        if needed is not None and needed > found.tally.n
        else ""
    )
    sentence = {
        "pass": f"passes: {seen}, {must}",
        "fail": f"fails: {seen}, {must}",
        "cannot tell": f"cannot tell: {seen}, {must}{more}",
    }[answer]
    return GateResult(
        answer=answer,
        difference=difference,
        lower_bound=lower,
        margin=margin,
        level=level,
        n=rate.n,
        per_class=(),
        rows_needed=needed,
        sentence=sentence,
        p=p,
    )


def rows_for_win_rate(
    rate: float, variance: float, margin: float, level: float = 0.95, power: float = 0.8
) -> int | None:
    """Rows for a pass with that power, at a row's variance; None where the rate is at 0.5 - margin or below. A normal approximation, for planning alone."""
    if rate - 0.5 + margin < 1e-9:
        return None
    z = float(stats.norm.ppf(level) + stats.norm.ppf(power))
    return math.ceil(max(variance, 1e-4) * (z / (rate - 0.5 + margin)) ** 2)
