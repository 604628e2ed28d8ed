"""What one more correct answer must be worth for the choice between two systems to flip, and how sure that is.

An arm that costs `c` less per call, and is right on a share `a` less of them, is the better buy for whoever values a
correct answer at less than v* = c / a. Health economics has this question and these answers: v* is an incremental
cost-effectiveness ratio. The comparison at a worth v is the net benefit v * (difference in score) - (difference in
cost) (Stinnett & Mullahy 1998). The share of bootstrap draws in which that is above 0, as a function of v, is the
acceptability curve (van Hout et al. 1994; Fenwick, Claxton & Sculpher 2001). Rows, or groups of rows, are drawn with
replacement, the same draw for both arms, because both answered the same rows.

The interval is of the flips of other draws, with weights at random for all groups and for one more that was never
seen, as the gate has it (`evaluation.bounded`): once the arm loses all of that group, once the other does. A bootstrap
of five rows without a difference would be sure of everything. A ratio has no finite interval where the difference below
its line may be 0, as Fieller (1954) found: then one end, or both, are None. The prices are taken as certain: the
interval knows nothing of a price that changes.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillhouse.numbers import confidence, usd_in_sentence
from stillhouse.results.money import AnswerWorth

N_RESAMPLES = 2000
N_POINTS = 61
_CHUNK = 100  # number of draws made at a time, so that memory stays at chunk x groups

Floats = NDArray[np.float64]


def answer_worth(
    arm: str,
    against: str,
    scores: tuple[Sequence[float], Sequence[float]],
    usd: tuple[Sequence[float], Sequence[float]],
    groups: Sequence[str],
    *,
    yours: float | None = None,
    unit: str = "correct answer",
    agreement: bool = False,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> AnswerWorth | None:
    """What an answer must be worth; None with fewer than two groups: nothing can be drawn.

    `scores` and `usd` hold a value per row for (arm, against). `usd` has each call's share of what was spent once, if
    that is to count. `unit`: what a whole score is, in words. `agreement`: it is agreement with the teacher, as there
    is no gold.
    """
    score_rows, usd_rows = (np.asarray(pair[0], float) - np.asarray(pair[1], float) for pair in (scores, usd))
    both = np.stack([score_rows, usd_rows], axis=1)
    drawn = _draws(both, groups, n_resamples, np.random.default_rng(seed))
    if drawn is None:
        return None
    scored, paid = float(score_rows.mean()), float(usd_rows.mean())
    scored = 0.0 if abs(scored) < 1e-12 else scored
    unseen = [draws_with_one_unseen(both, groups, lost, n_resamples, seed) for lost in (-1.0, 1.0)]
    low, high = _ends([_flips(of_unseen) for of_unseen in unseen], level)
    flips_at, interval = _ratio(scored, paid), (low, high)
    values = _values(drawn, yours)
    return AnswerWorth(
        arm=arm,
        against=against,
        usd_difference=paid,
        score_difference=scored,
        n=len(score_rows),
        flips_at=flips_at,
        low=low,
        high=high,
        level=level,
        values=tuple(values),
        shares=tuple(acceptability(drawn, values)),
        sentence=_sentence((arm, against), (scored, paid), len(score_rows), flips_at, interval, level, unit, agreement),
        yours=yours,
        at_yours=None if yours is None else float(acceptability(drawn, [yours])[0]),
        n_draws=len(drawn),
    )


def _sums_of_groups(rows: Floats, groups: Sequence[str]) -> Floats:
    """Per group: the sums of score and usd, and its number of rows; (groups, 3)."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    columns = (*rows.T, np.ones(len(rows)))
    return np.stack([np.bincount(index, weights=column) for column in columns], axis=1)


def draws_with_one_unseen(
    rows: Floats, groups: Sequence[str], score: float, n_draws: int = N_RESAMPLES, seed: int = 0
) -> Floats:
    """Mean differences (score, usd) with weights at random for each group and for one that was never seen; (draws, 2).

    `rows` (n, 2): score and usd, arm minus the other. The unseen group is as large as the largest, costs what the mean
    row costs, and scores `score` in every row: -1 is the worst that can be for the arm.
    """
    sums = _sums_of_groups(rows, groups)
    size = sums[:, 2].max()
    whole = np.vstack([sums, [score * size, sums[:, 1].sum() / sums[:, 2].sum() * size, size]])
    generator, parts = np.random.default_rng(seed), []
    for start in range(0, n_draws, _CHUNK):
        weights = generator.standard_exponential((min(_CHUNK, n_draws - start), len(whole)))
        parts.append(weights @ whole)
    totals = np.concatenate(parts)
    means: Floats = totals[:, :2] / totals[:, 2:]
    return means


def _draws(rows: Floats, groups: Sequence[str], n_resamples: int, generator: np.random.Generator) -> Floats | None:
    """The mean differences (score, usd) of every draw of whole groups; (n_resamples, 2)."""
    sums = _sums_of_groups(rows, groups) if len(rows) else np.empty((0, 3))
    if (m := len(sums)) < 2:
        return None
    parts = []
    for start in range(0, n_resamples, _CHUNK):
        picked = generator.integers(0, m, (min(_CHUNK, n_resamples - start), m))
        parts.append(sums[picked].sum(axis=1))
    totals = np.concatenate(parts)
    means: Floats = totals[:, :2] / totals[:, 2:]
    means[np.abs(means) < 1e-12] = 0.0  # sums of floats may leave a trace where a draw's differences cancel
    return means


def acceptability(drawn: ArrayLike, values: Sequence[float]) -> Floats:
    """For each worth v the share of draws (score, usd) in which v * score - usd is above 0.

    A draw in which it is 0 counts as half.
    """
    pairs = np.asarray(drawn, float)
    gained, paid = np.asarray(values, float)[:, None] * pairs[:, 0], pairs[:, 1]
    even = np.isclose(gained, paid, rtol=1e-12, atol=0.0)
    shares: Floats = ((gained > paid) & ~even).mean(axis=1) + 0.5 * even.mean(axis=1)
    return shares


def _ratio(scored: float, paid: float) -> float | None:
    return paid / scored if scored and paid and (scored > 0) == (paid > 0) else None


def _flips(drawn: Floats) -> Floats | None:
    """The worth at which each draw's choice flips, infinity where none does.

    None where the draws do not agree on which arm costs less.
    """
    scored, paid = drawn.T
    if not (np.all(paid > 0) or np.all(paid < 0)):
        return None
    flips = np.full(len(drawn), math.inf)
    able = scored * paid > 0
    flips[able] = paid[able] / scored[able]
    return flips


def _ends(flips: Sequence[Floats | None], level: float) -> tuple[float | None, float | None]:
    """The interval that holds whichever arm lost the unseen group; None for an end that is not known."""
    known = [drawn for drawn in flips if drawn is not None]
    if len(known) < len(flips):
        return None, None
    tail = (1 - level) / 2
    low = min(float(np.quantile(drawn, tail, method="lower")) for drawn in known)
    high = max(float(np.quantile(drawn, 1 - tail, method="higher")) for drawn in known)
    return (low if math.isfinite(low) else None), (high if math.isfinite(high) else None)


def _values(drawn: Floats, yours: float | None) -> list[float]:
    """A logarithmic grid of worths, over which the curve rises or falls.

    It goes from well below the lowest flips of the draws to well above the highest, over two decades at the least.
    """
    scored, paid = drawn.T
    able = scored * paid > 0
    ratios = np.quantile(paid[able] / scored[able], [0.02, 0.98]) if able.sum() >= 0.02 * len(drawn) else np.array([])
    marks = [*ratios, *([yours] if yours else [])]
    if not marks:
        typical = float(np.abs(paid).mean()) or 0.01  # a cent, where no answer costs anything
        marks = [typical, 100 * typical]
    low, high = math.floor(math.log10(min(marks)) - 0.5), math.ceil(math.log10(max(marks)) + 0.5)
    return [float(value) for value in np.logspace(low, max(high, low + 2), N_POINTS)]


def _sentence(
    names: tuple[str, str],
    differences: tuple[float, float],
    n: int,
    flips_at: float | None,
    interval: tuple[float | None, float | None],
    level: float,
    unit: str,
    agreement: bool,
) -> str:
    """What the worth means, in one sentence with its n. `differences`: in score and in US dollars per call."""
    (arm, against), (scored, paid) = names, differences
    dollars, scores = "costs as much as", "agrees with the teacher as much" if agreement else "is as good"
    if paid:
        dollars = f"costs {usd_in_sentence(abs(paid) * 1000)} {'less' if paid < 0 else 'more'} per 1,000 calls than"
    if scored:
        by = f"{abs(scored) * 100:.1f}" if abs(scored) >= 0.0005 else "less than 0.1"
        scores = f"is {by} points {'better' if scored > 0 else 'worse'}"
        if agreement:
            scores = f"agrees with the teacher {by}% {'more' if scored > 0 else 'less'}"
    compared = f"{arm} {dollars} {against} and {scores} (n = {n:,})"
    if flips_at is None:
        return f"{compared}: {_without_flip(names, differences, interval, level)}"
    buy = f"{arm if paid < 0 else against} is the better buy while one more {unit} is worth less than"
    return f"{compared}: {buy} {usd_in_sentence(flips_at)}{_interval(interval, level)}"


def _without_flip(
    names: tuple[str, str],
    differences: tuple[float, float],
    interval: tuple[float | None, float | None],
    level: float,
) -> str:
    scored, paid = differences
    low, high = interval
    if not scored and not paid:
        return "they are the same buy"
    best = names[0] if paid <= 0 and scored >= 0 else names[1]
    if low is None and high is None:
        return f"{best} is the better buy at any worth of an answer"
    if low is not None and high is None:  # the arm is surely better only while an answer is worth little
        sure = f"with {confidence(level)} confidence up to {usd_in_sentence(low)}"
        return f"{best} is the better buy at any worth, {sure}"
    ends = " to ".join("$0" if end is None else usd_in_sentence(end) for end in interval)
    return f"{best} is the better buy at any worth, as measured; the rows do not rule out {ends}"


def _interval(interval: tuple[float | None, float | None], level: float) -> str:
    low, high = interval
    if low is None and high is None:
        return " (no interval: the rows do not tell which is better)"
    from_low = "0" if low is None else usd_in_sentence(low)
    if high is None:
        return f" ({confidence(level)} interval from {from_low} on: it may be that no worth flips it)"
    return f" ({confidence(level)} interval {from_low} to {usd_in_sentence(high)})"
