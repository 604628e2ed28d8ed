"""The composability gap: how often right parts make a wrong whole.

Press et al. 2022, "Measuring and narrowing the compositionality gap in language models" (2210.03350), section 2: of the questions whose sub-questions are all
answered rightly, the share whose whole answer is wrong. Here the sub-questions are the step calls of a run that a case, or a person, has judged. What was not
judged may be wrong as well, so a gap is only as good as the share of judged calls beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy import stats

from stillhouse.evaluation.proportions import clopper_pearson, holm
from stillhouse.records import Estimate


@dataclass(frozen=True, slots=True)
class Composed:
    """One run: the steps that it called, by name; whether each judged call was right; whether the whole answer was."""

    id: str
    steps: tuple[str, ...]
    judged: tuple[bool, ...]
    right: bool


@dataclass(frozen=True, slots=True)
class PairOfSteps:
    """Two steps that occur together in `n` of the runs with right parts, `n_wrong` of which have a wrong whole.

    `lift`: how many times as often the whole is wrong with the pair as over all these runs. `p`: Fisher's exact test, one-sided, that it is wrong more often
    with the pair than without, after Holm over all pairs; None where every run has the pair, so that nothing can be compared.
    """

    first: str
    second: str
    n: int
    n_wrong: int
    lift: float
    p: float | None


@dataclass(frozen=True)
class Gap:
    """`share` None: no run had all its judged steps right. `n_calls` of which `n_judged` were judged, over all runs."""

    share: Estimate | None
    n_runs: int
    n_calls: int
    n_judged: int
    pairs: tuple[PairOfSteps, ...]  # of the runs in the gap, most suspicious first

    @property
    def suspect(self) -> PairOfSteps | None:
        """The pair that stands out; None where the runs are too few, or too much alike, to tell."""
        return next((pair for pair in self.pairs if pair.p is not None and pair.p < 0.05), None)


def composability_gap(runs: Sequence[Composed], *, n_calls: int = 0, level: float = 0.95) -> Gap:
    """The gap over the runs that have a judged step and no wrong one, with a Clopper-Pearson interval, and the pairs of steps that its runs share.

    `n_calls`: all step calls of all runs, judged or not.
    """
    right_parts = [run for run in runs if run.judged and all(run.judged)]
    n, n_judged = len(right_parts), sum(len(run.judged) for run in runs)
    if n == 0:
        return Gap(None, len(runs), n_calls, n_judged, ())
    n_wrong = sum(not run.right for run in right_parts)
    share = Estimate(n_wrong / n, n, *clopper_pearson(n_wrong, n, level), level, "Clopper-Pearson")
    return Gap(share, len(runs), n_calls, n_judged, _pairs(right_parts, n_wrong))


def _pairs(runs: Sequence[Composed], n_wrong: int) -> tuple[PairOfSteps, ...]:
    """The pairs that occur in a run with a wrong whole. All pairs count as comparisons, also those that occur in none."""
    n = len(runs)
    names = sorted({pair for run in runs for pair in combinations(sorted(set(run.steps)), 2)})
    counts = []
    for first, second in names:
        having = [run for run in runs if first in run.steps and second in run.steps]
        counts.append((len(having), sum(not run.right for run in having)))
    comparable = [index for index, (k, _) in enumerate(counts) if k < n]
    adjusted = holm([_fisher(*counts[index], n, n_wrong) for index in comparable])
    p: dict[int, float] = dict(zip(comparable, adjusted, strict=True))
    found = [
        PairOfSteps(first, second, k, k_wrong, (k_wrong / k) / (n_wrong / n), p.get(index))
        for index, ((first, second), (k, k_wrong)) in enumerate(zip(names, counts, strict=True))
        if k_wrong
    ]
    return tuple(
        sorted(found, key=lambda pair: (1.0 if pair.p is None else pair.p, -pair.n_wrong, pair.first, pair.second))
    )


def _fisher(k: int, k_wrong: int, n: int, n_wrong: int) -> float:
    """One-sided p of at least `k_wrong` wrong wholes among the `k` runs with the pair, where `n_wrong` of all `n` are wrong and the pair says nothing."""
    return float(stats.hypergeom.sf(k_wrong - 1, n, n_wrong, k))
