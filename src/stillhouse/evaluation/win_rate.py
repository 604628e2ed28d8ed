"""Which of two answers is better, over many rows: the win rate of A against B, by people, by a judge model, or by both.

A tie is half a win for each, and so is "both bad", which is counted on its own as well. As in the gate for scores, an
exact test decides, or a bound that holds for any scores; the interval is for reading. Without groups it is Tango's
score interval for the paired difference (wins - losses) / n, moved to (1 + difference) / 2: with no tie that is
Wilson's. With groups it is the bootstrap over groups.

People outrank the judge. Where people chose on some rows, the judge's scores only power the mean of theirs
(`prediction_powered`); the judge alone speaks where no person did.

Several people's choices of one row are one draw: the row counts once, by the mean of their scores, however many they
are. So what is estimated is how often A wins before one of these people, drawn anew for every row. The interval is
about rows: of other people it knows nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from scipy import special

from stillhouse.evaluation.bounded import Floats, draws_for, lower_bound, p_value, worst_case_means
from stillhouse.evaluation.cannot_tell import answer_of
from stillhouse.evaluation.exact import exact_lower, exact_p, outside_of
from stillhouse.evaluation.prediction_powered import powered_mean
from stillhouse.evaluation.proportions import mean_interval, tango_interval
from stillhouse.numbers import confidence
from stillhouse.records import Estimate
from stillhouse.results.comparison import Tally
from stillhouse.results.gates import GateResult

Choice = Literal["A", "B", "tie", "both bad"]
By = Literal["people", "people, judge corrected", "judge", "nobody"]  # nobody: every pair is settled without asking
SCORES: dict[Choice, float] = {"A": 1.0, "tie": 0.5, "both bad": 0.5, "B": 0.0}
# With fewer rows (groups) judged by people, the judge is not corrected by them: the interval would promise more than it
# holds (lab notes).
MIN_PEOPLE = 30


@dataclass(frozen=True, slots=True)
class Voice:
    """One person's choice of one row. `left`: the answer that stood on the left; `rater` "": who did not say a name."""

    choice: Choice
    left: Literal["A", "B"] | None = None
    rater: str = ""


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One row: two answers, and who preferred which.

    `judge`: its choice with A shown first, and with B shown first; None: it was asked and gave no usable reply.
    """

    id: str
    group: str | None = None
    people: tuple[Voice, ...] = ()
    judge: tuple[Choice | None, Choice | None] | None = None
    # The choice that is known without asking: the answers are the same, or one or both are missing.
    settled: Choice | None = None
    # True where the pair is settled and a person's sitting has passed it: the pair counts as judged by people.
    reached: bool = False

    @property
    def cluster(self) -> str:
        return self.group if self.group is not None else f"row {self.id}"

    @property
    def people_score(self) -> float | None:
        """0 to 1: the mean over the people who judged the row.

        None where nobody did, unless the row is settled and reached.
        """
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
        """One-sided p-value of "the true rate is `rate` or less"."""
        ...

    def p_below(self, rate: float) -> float: ...

    def lower(self, level: float) -> float: ...

    def upper(self, level: float) -> float: ...


@dataclass(frozen=True)
class OfRows:
    """Rows that each stand alone and fell to A, to B or to neither: an exact test of a paired difference (`exact`)."""

    wins: int
    losses: int
    n: int
    level: float = 0.95  # that the p-values are for

    def p_above(self, rate: float) -> float:
        return exact_p(self.wins, self.losses, self.n, 2 * rate - 1, outside_of(self.level))

    def p_below(self, rate: float) -> float:
        return exact_p(self.losses, self.wins, self.n, 1 - 2 * rate, outside_of(self.level))

    def lower(self, level: float) -> float:
        return (1 + exact_lower(self.wins, self.losses, self.n, level)) / 2

    def upper(self, level: float) -> float:
        return (1 - exact_lower(self.losses, self.wins, self.n, level)) / 2


@dataclass(frozen=True)
class OfGroups:
    """Rows in groups, or scores in between: bounds with one unseen group, as large as the largest seen (`bounded`).

    `sums`: per group, the sum of the scores less one half.
    """

    sums: Floats
    sizes: Floats
    level: float = 0.95  # that the p-values are for

    @cached_property
    def _means(self) -> Floats:
        return worst_case_means(self.sums, self.sizes, -0.5, self.sizes.max(), draws_for(self.level))

    @cached_property
    def _means_of_losses(self) -> Floats:
        return worst_case_means(-self.sums, self.sizes, -0.5, self.sizes.max(), draws_for(self.level))

    def p_above(self, rate: float) -> float:
        return p_value(self._means, rate - 0.5)

    def p_below(self, rate: float) -> float:
        return p_value(self._means_of_losses, 0.5 - rate)

    def lower(self, level: float) -> float:
        return max(0.0, 0.5 + lower_bound(self._means, level))

    def upper(self, level: float) -> float:
        return min(1.0, 0.5 - lower_bound(self._means_of_losses, level))


@dataclass(frozen=True)
class WinRate:
    """A's share of wins against B, with a two-sided interval; `bounds` decide.

    `tally`: of the rows that the rate stands on; where a judge was corrected, of those that people judged. `weight`:
    see `PoweredMean`.
    """

    by: By
    rate: Estimate
    bounds: Bounds
    tally: Tally
    variance: float  # variance of one row's score, for planning
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
    """The win rate of rows with one choice each. Raises ValueError without rows."""
    if not choices:
        raise ValueError("no row is judged")
    tally, scores = tally_of(choices), [SCORES[choice] for choice in choices]
    n, wins, losses = tally.n, tally.wins, tally.losses
    if (n_groups := len(set(clusters))) < n and len(set(scores)) > 1:
        return _of_scores(scores, clusters, level, by, tally)
    bounds: Bounds = OfRows(wins, losses, n, level)
    if n_groups < n:  # a bootstrap of equal scores shows no spread, so a group counts as one row
        n, wins, losses = n_groups, n_groups * (wins > 0), n_groups * (losses > 0)
        bounds = _of_groups(scores, clusters, level)
    low, high = ((1 + bound) / 2 for bound in tango_interval(wins, losses, n, level))
    method = "score interval (Tango)" + (", a group as one row" if n < len(scores) else "")
    rate = Estimate(sum(scores) / len(scores), len(scores), low, high, level, method)
    return WinRate(by, rate, bounds, tally, _variance(scores))


def _of_scores(scores: Sequence[float], clusters: Sequence[str], level: float, by: By, tally: Tally) -> WinRate:
    bounds = _of_groups(scores, clusters, level)
    return WinRate(by, mean_interval(scores, clusters, level), bounds, tally, _variance(scores))


def _of_groups(scores: Sequence[float], clusters: Sequence[str], level: float) -> OfGroups:
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(scores, float) - 0.5)
    return OfGroups(sums.astype(float), np.bincount(index).astype(float), level)


def _variance(scores: Sequence[float]) -> float:
    mean = sum(scores) / len(scores)
    return sum((score - mean) ** 2 for score in scores) / len(scores)


def by_people(rows: Sequence[JudgedRow], level: float = 0.95) -> WinRate | None:
    """The win rate by the people's choices alone; None where there are none.

    Where every pair is settled there is nothing to ask, and the rate is by nobody.
    """
    if any(row.people for row in rows):
        return _of_rows([(row.cluster, row.people_score, row.by_people) for row in rows], level, "people")
    settled = [(row.cluster, SCORES[row.settled], row.settled) for row in rows if row.settled is not None]
    return _of_rows(settled, level, "nobody") if len(settled) == len(rows) else None


def by_judge(rows: Sequence[JudgedRow], level: float = 0.95) -> WinRate | None:
    """The win rate by the judge alone, uncorrected: the mean of both orders per row. None where it judged no row.

    Rows without two usable replies are left out.
    """
    if not any(row.judge is not None and row.judge_score is not None for row in rows):
        return None
    return _of_rows([(row.cluster, row.judge_score, row.by_judge) for row in rows], level, "judge")


def _of_rows(rows: Sequence[tuple[str, float | None, Choice | None]], level: float, by: By) -> WinRate | None:
    """The win rate of rows (cluster, score, choice); those without a score are left out.

    Where people differ on a row, its score lies between those of single choices.
    """
    known = [(cluster, score, choice) for cluster, score, choice in rows if score is not None and choice is not None]
    if not known:
        return None
    clusters, scores, choices = zip(*known, strict=True)
    if all(score in (0.0, 0.5, 1.0) for score in scores):
        return win_rate(choices, clusters, level, by)
    return _of_scores(scores, clusters, level, by, tally_of(choices))


def corrected(rows: Sequence[JudgedRow], level: float = 0.95) -> WinRate | None:
    """People's choices, powered by the judge's choices on all rows.

    None with fewer than `MIN_PEOPLE` rows (groups) of theirs, without a row that they have not judged, or where no
    interval can be computed. A row without a usable reply of the judge counts as a tie: any prediction is valid,
    because the rows that people judged take its error out.
    """
    people = [row for row in rows if row.by_people is not None]
    few = len({row.cluster for row in people}) < MIN_PEOPLE
    if few or len(people) == len(rows) or not any(row.judge is not None for row in rows):
        return None
    labels = [row.people_score for row in rows]
    predictions = [0.5 if row.judge_score is None else row.judge_score for row in rows]
    mean = powered_mean(labels, predictions, [row.cluster for row in rows])
    if (two_sided := mean.interval(level)) is None:
        return None
    rate = Estimate(mean.value, len(rows), *two_sided, level, f"PPI++, {mean.n_labelled} rows judged by people")
    tally = tally_of([row.by_people for row in people if row.by_people is not None])
    # With a row's variance this large, as many rows judged by people alone would give the same certainty.
    of_one = mean.standard_error**2 * mean.n_labelled
    return WinRate("people, judge corrected", rate, mean, tally, of_one, mean.weight)


def best_known(rows: Sequence[JudgedRow], level: float = 0.95) -> WinRate | None:
    """The rate to go by: people with the judge's help, else people, else the judge alone; None where nobody judged."""
    return corrected(rows, level) or by_people(rows, level) or by_judge(rows, level)


def decide_win_rate(
    winning: WinRate, *, margin: float, whose: str, names: tuple[str, str] = ("the student", "the teacher")
) -> GateResult:
    """May A replace B? Only if its win rate is shown to be above 0.5 - margin; it fails if shown to be below.

    `whose`: who judged, in words; `names`: of A and B. The result's difference is the win rate less one half.
    """
    rate, level, bounds, line = winning.rate, winning.rate.level, winning.bounds, 0.5 - margin
    p, lower = bounds.p_above(line), bounds.lower(level) - 0.5
    answer = answer_of(p, bounds.p_below(line), level)
    low, high = (None if end is None else end - 0.5 for end in (rate.low, rate.high))
    needed = rows_for_win_rate(rate.value, winning.variance, margin, level) if answer == "cannot tell" else None
    people = f", {winning.tally.n} of them judged by people" if winning.by == "people, judge corrected" else ""
    wins = f"{names[0]} has a win rate of {rate.value:.1%} against {names[1]} on {rate.n} rows{people}, {whose}"
    end = f"at most {bounds.upper(level):.1%}" if answer == "fail" else f"at least {lower + 0.5:.1%}"
    seen = f"{wins}, {end} with {confidence(level)} confidence, and {line:.1%} has to be shown"
    unit = "rows judged by people" if winning.by != "judge" else "judged rows"
    tells = needed is not None and needed > winning.tally.n
    more = f"; about {needed} {unit} would tell, if the rate stays" if tells else ""
    sentences = {"pass": f"passes: {seen}", "fail": f"fails: {seen}", "cannot tell": f"cannot tell: {seen}{more}"}
    return GateResult(
        answer=answer,
        against=names[1],
        difference=Estimate(rate.value - 0.5, rate.n, low, high, level, rate.method),
        lower_bound=lower,
        upper_bound=bounds.upper(level) - 0.5 if answer == "fail" else None,
        margin=margin,
        level=level,
        rows_needed=needed,
        sentence=sentences[answer],
        p=p,
    )


def rows_for_win_rate(
    rate: float, variance: float, margin: float, level: float = 0.95, power: float = 0.8
) -> int | None:
    """Rows for a pass with that power, at a row's variance; None where the rate is at 0.5 - margin or below.

    A normal approximation, for planning alone.
    """
    if rate - 0.5 + margin < 1e-9:
        return None
    z = float(special.ndtri(level) + special.ndtri(power))
    return math.ceil(max(variance, 1e-4) * (z / (rate - 0.5 + margin)) ** 2)
