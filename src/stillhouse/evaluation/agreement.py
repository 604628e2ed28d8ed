"""Whether choices can be believed: do people choose alike, does a judge choose as they do, and does the order matter?

Judge against people: Cohen's kappa (1960). People against one another: Krippendorff's alpha (2004, Content Analysis,
chapter 11), which takes any number of people, and rows that not all of them judged. Both have an interval by the
jackknife over groups. Position bias is the share of choices for the answer shown first. It is one half where the order
does not matter: for a person because the order is drawn, for the judge because it sees every pair in both orders.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from stillhouse.evaluation.proportions import clopper_pearson, mean_interval
from stillhouse.evaluation.win_rate import Choice, JudgedRow, win_rate
from stillhouse.records import Estimate


@dataclass(frozen=True)
class JudgeAgreement:
    """Judge and people on the rows that both judged, "both bad" taken as a tie.

    `kappa` None: by chance alone they would always agree.
    """

    share: Estimate
    kappa: Estimate | None


@dataclass(frozen=True)
class AmongPeople:
    """People on the rows that two of them or more judged, "both bad" taken as a tie; n is of these rows.

    `share`: of a row's choices, taken two at a time, those that are the same. A row with more choices weighs more, as
    in alpha. `alpha` None: all choices of all these rows are the same, so nothing tells agreement from chance.
    """

    share: Estimate
    alpha: Estimate | None


@dataclass(frozen=True)
class PositionBias:
    """How far the order of the two answers matters.

    `first`: of the choices for one of the two answers, the share for the one shown first; None: all were ties.
    `consistent`: the share of rows on which the judge chose the same in both orders.
    """

    first: Estimate | None
    consistent: Estimate | None = None

    @property
    def shown(self) -> bool:
        """Whether the interval leaves one half out."""
        if self.first is None:
            return False
        low, high = self.first.low, self.first.high
        return low is not None and high is not None and not low <= 0.5 <= high


def agreement(rows: Sequence[JudgedRow], level: float = 0.95) -> JudgeAgreement | None:
    """How often judge and people agree; None where no row was judged by both.

    Rows settled without asking say nothing of the judge, and do not count.

    Each of several people is compared with the judge: n counts their choices, and a row's are drawn together.
    """
    both = [(row, voice) for row in rows if row.settled is None and row.by_judge is not None for voice in row.people]
    if not both:
        return None
    pairs = [(_merged(voice.choice), _merged(row.by_judge)) for row, voice in both]
    clusters = [row.cluster for row, _ in both]
    same = [person == judge for person, judge in pairs]
    return JudgeAgreement(_share(same, clusters, level), kappa(pairs, clusters, level))


def _share(same: Sequence[bool], clusters: Sequence[str], level: float) -> Estimate:
    if len(set(clusters)) < len(clusters):
        return mean_interval([float(alike) for alike in same], clusters, level)
    k, n = sum(same), len(same)
    return Estimate(k / n, n, *clopper_pearson(k, n, level), level, "Clopper-Pearson")


def _merged(choice: Choice | None) -> str:
    return "tie" if choice == "both bad" else str(choice)


def kappa(pairs: Sequence[tuple[str, str]], clusters: Sequence[str], level: float = 0.95) -> Estimate | None:
    """Cohen's kappa; None where it is not defined.

    The interval is absent with fewer than three groups, or where kappa is not defined once a group is left out.
    """
    value = _kappa(Counter(pairs))
    if value is None:
        return None
    whole, names = Counter(pairs), sorted(set(clusters))
    parts: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in names}
    for pair, cluster in zip(pairs, clusters, strict=True):
        parts[cluster][pair] += 1
    return _jackknifed(value, [_kappa(whole - part) for part in parts.values()], len(pairs), level)


def _jackknifed(value: float, left: Sequence[float | None], n: int, level: float) -> Estimate:
    """A coefficient from -1 to 1 with an interval from its values with one group left out at a time."""
    known, m = np.array([without for without in left if without is not None]), len(left)
    if m < 3 or len(known) < m or np.ptp(known) < 1e-15:
        return Estimate(value, n, level=level)
    variance = (m - 1) / m * ((known - known.mean()) ** 2).sum()
    half = float(special.stdtrit(m - 1, 1 - (1 - level) / 2) * np.sqrt(variance))
    return Estimate(value, n, max(-1.0, value - half), min(1.0, value + half), level, "jackknife over groups")


def _kappa(counts: Counter[tuple[str, str]]) -> float | None:
    n = counts.total()
    if n == 0:
        return None
    firsts, seconds = Counter[str](), Counter[str]()
    for (first, second), number in counts.items():
        firsts[first] += number
        seconds[second] += number
    expected = sum(firsts[name] * seconds[name] for name in firsts) / n**2
    if expected >= 1 - 1e-12:
        return None
    seen = sum(number for (first, second), number in counts.items() if first == second) / n
    return (seen - expected) / (1 - expected)


def among_people(rows: Sequence[JudgedRow], level: float = 0.95) -> AmongPeople | None:
    """How often people agree with each other; None where no row was judged by two of them."""
    several = [row for row in rows if len(row.people) > 1]
    if not several:
        return None
    units = [[_merged(voice.choice) for voice in row.people] for row in several]
    clusters = [row.cluster for row in several]
    if all(len(unit) == 2 for unit in units):
        share = _share([first == second for first, second in units], clusters, level)
    else:
        alike = [(unit.count(choice) - 1) / (len(unit) - 1) for unit in units for choice in unit]
        of_choices = [cluster for cluster, unit in zip(clusters, units, strict=True) for _ in unit]
        share = replace(mean_interval(alike, of_choices, level), n=len(units))
    return AmongPeople(share, krippendorff_alpha(units, clusters, level))


def krippendorff_alpha(units: Sequence[Sequence[str]], clusters: Sequence[str], level: float = 0.95) -> Estimate | None:
    """Alpha for choices without an order. A unit holds one row's choices, by two people or more.

    Units of fewer are left out, and n counts the others. 1: all agree in every unit; 0: no more than choices would that
    were dealt out at random; None: not defined. The interval is absent where `kappa`'s is.
    """
    parts: dict[str, list[Sequence[str]]] = {}
    for unit, cluster in zip(units, clusters, strict=True):
        if len(unit) > 1:
            parts.setdefault(cluster, []).append(unit)
    counted = [_disagreement(part) for part in parts.values()]
    of_choices = sum((choices for choices, _ in counted), Counter[str]())
    apart = math.fsum(part for _, part in counted)
    if (value := _alpha(of_choices, apart)) is None:
        return None
    left = [_alpha(of_choices - choices, apart - part) for choices, part in counted]
    return _jackknifed(value, left, sum(map(len, parts.values())), level)


def _disagreement(units: Sequence[Sequence[str]]) -> tuple[Counter[str], float]:
    """(how often each choice was made, the ordered pairs of choices that differ).

    Each pair of a unit of m choices counts 1 / (m - 1).
    """
    choices, apart = Counter[str](), 0.0
    for unit in units:
        times = Counter(unit)
        choices += times
        apart += (len(unit) ** 2 - sum(number**2 for number in times.values())) / (len(unit) - 1)
    return choices, apart


def _alpha(choices: Counter[str], apart: float) -> float | None:
    n = choices.total()
    by_chance = n**2 - sum(number**2 for number in choices.values())
    return None if not by_chance else 1 - (n - 1) * apart / by_chance


def bias_of_people(rows: Sequence[JudgedRow], level: float = 0.95) -> PositionBias | None:
    """The people's position bias; None where no person judged."""
    judged = [(row, voice) for row in rows for voice in row.people if voice.left is not None]
    if not judged:
        return None
    chosen = [(_as_first(voice.choice, voice.left == "A"), row.cluster) for row, voice in judged]
    chosen = [(choice, cluster) for choice, cluster in chosen if choice in ("A", "B")]
    if not chosen:
        return PositionBias(None)
    return PositionBias(win_rate([choice for choice, _ in chosen], [cluster for _, cluster in chosen], level).rate)


def bias_of_judge(rows: Sequence[JudgedRow], level: float = 0.95) -> PositionBias | None:
    """The judge's position bias and consistency; None where the judge gave no row two usable replies."""
    firsts, of_firsts, same, clusters = [], [], [], []
    for row in rows:
        if row.settled is not None or row.judge is None or row.judge[0] is None or row.judge[1] is None:
            continue
        in_orders = (_as_first(row.judge[0], True), _as_first(row.judge[1], False))
        for choice in in_orders:
            if choice in ("A", "B"):
                firsts.append(choice)
                of_firsts.append(row.cluster)
        same.append(_merged(row.judge[0]) == _merged(row.judge[1]))
        clusters.append(row.cluster)
    if not same:
        return None
    first = win_rate(firsts, of_firsts, level).rate if firsts else None
    return PositionBias(first, _share(same, clusters, level))


def _as_first(choice: Choice, a_first: bool) -> Choice:
    """The choice with the answer that was shown first called A."""
    swapped: dict[Choice, Choice] = {"A": "B", "B": "A"}
    return choice if a_first else swapped.get(choice, choice)
