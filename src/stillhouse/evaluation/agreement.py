"""Whether a judge can be believed: does it choose as people do, beyond chance, and does it choose by the answers or by where they stand?

Cohen 1960 for kappa, with an interval by the jackknife over groups. Position bias is the share of choices for the answer shown first: one half where the order
does not matter, for a person because the order is drawn, for the judge because it sees every pair in both.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from stillhouse.evaluation.proportions import clopper_pearson, mean_interval
from stillhouse.evaluation.win_rate import SCORES, Choice, Compared, win_rate
from stillhouse.records import Estimate


@dataclass(frozen=True)
class Agreement:
    """Judge and people on the rows that both judged, "both bad" taken as a tie. `kappa` None: by chance alone they would always agree."""

    share: Estimate
    kappa: Estimate | None


@dataclass(frozen=True)
class PositionBias:
    """`first`: the share of choices for the answer shown first, ties split. `consistent`: rows on which the judge chose the same in both orders."""

    first: Estimate
    consistent: Estimate | None = None

    @property
    def shown(self) -> bool:
        """Whether the interval leaves one half out."""
        return self.first.low is not None and self.first.high is not None and not self.first.low <= 0.5 <= self.first.high


def agreement(rows: Sequence[Compared], level: float = 0.95) -> Agreement | None:
    """None where no row was judged by both. Rows settled without asking say nothing of the judge, and do not count."""
    both = [row for row in rows if row.human is not None and row.settled is None and row.by_judge is not None]
    if not both:
        return None
    pairs = [(_merged(row.human), _merged(row.by_judge)) for row in both]
    clusters = [row.cluster for row in both]
    return Agreement(_share([one == other for one, other in pairs], clusters, level), kappa(pairs, clusters, level))


def _share(same: Sequence[bool], clusters: Sequence[str], level: float) -> Estimate:
    if len(set(clusters)) < len(clusters):
        return mean_interval([float(one) for one in same], clusters, level)
    return Estimate(sum(same) / len(same), len(same), *clopper_pearson(sum(same), len(same), level), level, "Clopper-Pearson")


def _merged(choice: Choice | None) -> str:
    return "tie" if choice == "both bad" else str(choice)


def kappa(pairs: Sequence[tuple[str, str]], clusters: Sequence[str], level: float = 0.95) -> Estimate | None:
    """Cohen's kappa; None where it is not defined. The interval is absent with fewer than three groups, or where leaving a group out undefines it."""
    value = _kappa(Counter(pairs))
    if value is None:
        return None
    whole, names = Counter(pairs), sorted(set(clusters))
    parts: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in names}
    for pair, cluster in zip(pairs, clusters, strict=True):
        parts[cluster][pair] += 1
    left = [_kappa(whole - part) for part in parts.values()]
    held = np.array([one for one in left if one is not None])
    m = len(names)
    if m < 3 or len(held) < m or np.ptp(held) < 1e-15:
        return Estimate(value, len(pairs), level=level)
    half = float(stats.t.ppf(1 - (1 - level) / 2, m - 1) * np.sqrt((m - 1) / m * ((held - held.mean()) ** 2).sum()))
    return Estimate(value, len(pairs), max(-1.0, value - half), min(1.0, value + half), level, "jackknife over groups")


def _kappa(counts: Counter[tuple[str, str]]) -> float | None:
    n = counts.total()
    if n == 0:
        return None
    one, other = Counter[str](), Counter[str]()
    for (first, second), number in counts.items():
        one[first] += number
        other[second] += number
    expected = sum(one[name] * other[name] for name in one) / n**2
    if expected >= 1 - 1e-12:
        return None
    seen = sum(number for (first, second), number in counts.items() if first == second) / n
    return (seen - expected) / (1 - expected)


def bias_of_people(rows: Sequence[Compared], level: float = 0.95) -> PositionBias | None:
    """None where no person judged."""
    judged = [row for row in rows if row.human is not None and row.human_left is not None]
    if not judged:
        return None
    first = [_as_first(row.human, row.human_left == "A") for row in judged if row.human is not None]
    return PositionBias(win_rate(first, [row.cluster for row in judged], level).rate)


def bias_of_judge(rows: Sequence[Compared], level: float = 0.95) -> PositionBias | None:
    """None where the judge gave no row two usable replies."""
    firsts, same, clusters = [], [], []
    for row in rows:
        if row.settled is not None or row.judge is None or row.judge[0] is None or row.judge[1] is None:
            continue
        firsts.append((SCORES[_as_first(row.judge[0], True)] + SCORES[_as_first(row.judge[1], False)]) / 2)
        same.append(_merged(row.judge[0]) == _merged(row.judge[1]))
        clusters.append(row.cluster)
    if not firsts:
        return None
    return PositionBias(mean_interval(firsts, clusters, level), _share(same, clusters, level))


def _as_first(choice: Choice, a_first: bool) -> Choice:
    """The choice with the answer that was shown first called A."""
    swapped: dict[Choice, Choice] = {"A": "B", "B": "A"}
    return choice if a_first else swapped.get(choice, choice)
