"""The composability gap: how often right parts make a wrong whole.

Press et al. 2022, "Measuring and narrowing the compositionality gap in language models" (2210.03350), section 2: of the
questions whose sub-questions are all answered rightly, the share whose whole answer is wrong. Here the sub-questions
are the step calls of a run that a case, or a person, has judged. What was not judged may be wrong as well, so a gap is
only as good as the share of judged calls beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from stillhouse.evaluation.proportions import clopper_pearson, holm
from stillhouse.records import Estimate
from stillhouse.results.flow_test import Gap, PairOfSteps


@dataclass(frozen=True, slots=True)
class Composed:
    """One run: the steps that it called, by name; whether each judged call was right; whether the whole answer was."""

    id: str
    steps: tuple[str, ...]
    judged: tuple[bool, ...]
    right: bool


def composability_gap(runs: Sequence[Composed], *, n_calls: int = 0, level: float = 0.95) -> Gap:
    """The gap over the runs that have a judged step and no wrong one, and the pairs of steps that its runs share.

    Its interval is Clopper & Pearson's. `n_calls`: all step calls of all runs, judged or not.
    """
    right_parts = [run for run in runs if run.judged and all(run.judged)]
    n, n_judged = len(right_parts), sum(len(run.judged) for run in runs)
    if n == 0:
        return Gap(None, len(runs), n_calls, n_judged, ())
    n_wrong = sum(not run.right for run in right_parts)
    share = Estimate(n_wrong / n, n, *clopper_pearson(n_wrong, n, level), level, "Clopper-Pearson")
    return Gap(share, len(runs), n_calls, n_judged, _pairs(right_parts, n_wrong))


def _pairs(runs: Sequence[Composed], n_wrong: int) -> tuple[PairOfSteps, ...]:
    """The pairs that occur in a run with a wrong whole. All other pairs count as comparisons as well."""
    n = len(runs)
    names = sorted({pair for run in runs for pair in combinations(sorted(set(run.steps)), 2)})
    counts = []
    for first, second in names:
        having = [run for run in runs if first in run.steps and second in run.steps]
        counts.append((len(having), sum(not run.right for run in having)))
    comparable = [index for index, (k, _) in enumerate(counts) if k < n]
    adjusted = holm([_fisher(*counts[index], n, n_wrong) for index in comparable])
    p: dict[int, float] = dict(zip(comparable, adjusted, strict=True))
    pairs = [
        PairOfSteps(first, second, k, k_wrong, (k_wrong / k) / (n_wrong / n), p.get(index))
        for index, ((first, second), (k, k_wrong)) in enumerate(zip(names, counts, strict=True))
        if k_wrong
    ]
    return tuple(sorted(pairs, key=_suspicion))


def _suspicion(pair: PairOfSteps) -> tuple[float, int, str, str]:
    """A key to sort by: the most suspicious pair first."""
    return 1.0 if pair.p is None else pair.p, -pair.n_wrong, pair.first, pair.second


def _fisher(k: int, k_wrong: int, n: int, n_wrong: int) -> float:
    """One-sided p of at least `k_wrong` wrong wholes among the `k` runs with the pair, if the pair says nothing.

    `n_wrong` of all `n` runs have a wrong whole.
    """
    from scipy import stats  # imported late, because it is slow to load

    return float(stats.hypergeom.sf(k_wrong - 1, n, n_wrong, k))
