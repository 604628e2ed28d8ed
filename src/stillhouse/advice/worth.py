"""What one more correct answer must be worth for the choice between two systems to flip, and how sure that is.

An arm that costs `c` less per call and is right on a share `a` less of them is the better buy for whoever values a correct answer at less than
v* = c / a. Health economics has this question and these answers: v* is an incremental cost-effectiveness ratio, the comparison at a worth v is the net benefit
v * (difference in score) - (difference in cost) (Stinnett & Mullahy 1998), and the share of bootstrap draws in which it is above 0, as a function of v, is
the acceptability curve (van Hout et al. 1994; Fenwick, Claxton & Sculpher 2001). Rows, or groups of rows, are drawn with replacement, the same draw for both
arms, because both answered the same rows.

The interval is of the flips of the draws. A ratio has no finite interval where the difference below its line may be 0, as Fieller (1954) found: then one end,
or both, are None. What is certain here is the prices: the interval knows nothing of a price that changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

N_RESAMPLES = 2000
N_POINTS = 61
_CHUNK = 100  # draws at a time: memory stays at chunk x groups

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Worth:
    """`arm` against `against`: per call, arm minus against, US dollars and score on the same n rows.

    `flips_at`: v* in US dollars per correct answer; None: no worth makes the choice flip, as the arm is both cheaper and better, or neither. `low`, `high`: its
    interval at `level`; None: no worth is low, or high, enough to be sure. `shares[i]`: the share of draws in which the arm is the better buy at `values[i]`.
    """

    arm: str
    against: str
    usd_difference: float
    score_difference: float
    n: int
    flips_at: float | None
    low: float | None
    high: float | None
    values: tuple[float, ...]
    shares: tuple[float, ...]
    level: float = 0.95
    at_yours: float | None = None  # the share at `yours`, the worth that the user named
    yours: float | None = None
    n_draws: int = N_RESAMPLES


def worth(
    arm: str,
    against: str,
    scores: tuple[Sequence[float], Sequence[float]],
    usd: tuple[Sequence[float], Sequence[float]],
    groups: Sequence[str],
    *,
    yours: float | None = None,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Worth | None:
    """`scores` and `usd` hold a value per row for (arm, against), `usd` with each call's share of what was spent once, if that is to count.

    None with fewer than two groups: nothing can be drawn. A whole score counts as one correct answer.
    """
    score_rows, usd_rows = (np.asarray(pair[0], float) - np.asarray(pair[1], float) for pair in (scores, usd))
    drawn = _draws(np.stack([score_rows, usd_rows], axis=1), groups, n_resamples, np.random.default_rng(seed))
    if drawn is None:
        return None
    scored, paid = float(score_rows.mean()), float(usd_rows.mean())
    scored = 0.0 if abs(scored) < 1e-12 else scored
    flips = _flips(drawn)
    low, high = (None, None) if flips is None else _ends(flips, level)
    values = _values(drawn, yours)
    shares = tuple(acceptability(drawn, values))
    at_yours = None if yours is None else float(acceptability(drawn, [yours])[0])
    return Worth(
        arm,
        against,
        paid,
        scored,
        len(score_rows),
        _ratio(scored, paid),
        low,
        high,
        tuple(values),
        shares,
        level,
        at_yours,
        yours,
        len(drawn),
    )


def _draws(rows: Floats, groups: Sequence[str], n_resamples: int, generator: np.random.Generator) -> Floats | None:
    """The mean differences (score, usd) of every draw of whole groups; (n_resamples, 2)."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    m = int(index.max()) + 1 if len(index) else 0
    if m < 2:
        return None
    sums = np.stack(
        [np.bincount(index, weights=column) for column in (*rows.T, np.ones(len(rows)))], axis=1
    )  # (groups, 3)
    parts = []
    for start in range(0, n_resamples, _CHUNK):
        picked = generator.integers(0, m, (min(_CHUNK, n_resamples - start), m))
        parts.append(sums[picked].sum(axis=1))
    totals = np.concatenate(parts)
    means: Floats = totals[:, :2] / totals[:, 2:]
    means[np.abs(means) < 1e-12] = 0.0  # sums of floats may leave a trace where a draw's differences cancel
    return means


def acceptability(drawn: ArrayLike, values: Sequence[float]) -> Floats:
    """For each worth v the share of draws (score, usd) in which v * score - usd is above 0; a draw that does not decide counts as half."""
    pairs = np.asarray(drawn, float)
    gained, paid = np.asarray(values, float)[:, None] * pairs[:, 0], pairs[:, 1]
    even = np.isclose(gained, paid, rtol=1e-12, atol=0.0)
    shares: Floats = ((gained > paid) & ~even).mean(axis=1) + 0.5 * even.mean(axis=1)
    return shares


def _ratio(scored: float, paid: float) -> float | None:
    return paid / scored if scored and paid and (scored > 0) == (paid > 0) else None


def _flips(drawn: Floats) -> Floats | None:
    """The worth at which each draw's choice flips, infinity where none does; None where it is not sure which arm costs less."""
    scored, paid = drawn.T
    if not (np.all(paid > 0) or np.all(paid < 0)):
        return None
    flips = np.full(len(drawn), math.inf)
    able = scored * paid > 0
    flips[able] = paid[able] / scored[able]
    return flips


def _ends(flips: Floats, level: float) -> tuple[float | None, float | None]:
    tail = (1 - level) / 2
    low, high = np.quantile(flips, tail, method="lower"), np.quantile(flips, 1 - tail, method="higher")
    return (float(low) if math.isfinite(low) else None), (float(high) if math.isfinite(high) else None)


def _values(drawn: Floats, yours: float | None) -> list[float]:
    """A logarithmic grid of worths on which the curve does what it does: from a tenth of the lowest flips to ten times the highest, at least two decades."""
    scored, paid = drawn.T
    able = scored * paid > 0
    ratios = np.quantile(paid[able] / scored[able], [0.02, 0.98]) if able.sum() >= 0.02 * len(drawn) else np.array([])
    marks = [*ratios, *([yours] if yours else [])]
    if not marks:
        typical = float(np.abs(paid).mean()) or 0.01  # a cent, where nothing costs anything
        marks = [typical, 100 * typical]
    low, high = math.floor(math.log10(min(marks)) - 0.5), math.ceil(math.log10(max(marks)) + 0.5)
    return [float(value) for value in np.logspace(low, max(high, low + 2), N_POINTS)]


def sentence(found: Worth, what: str = "correct answer") -> str:
    """What it means, in one sentence with its n."""
    cheaper, better = found.usd_difference < 0, found.score_difference > 0
    dollars = (
        f"costs {_usd(abs(found.usd_difference) * 1000)} {'less' if cheaper else 'more'} per 1,000 calls"
        if found.usd_difference
        else "costs the same"
    )
    points = (
        f"{abs(found.score_difference) * 100:.1f} points {'better' if better else 'worse'}"
        if found.score_difference
        else "as good"
    )
    said = f"{found.arm} {dollars} than {found.against} and is {points} (n = {found.n:,})"
    if found.flips_at is None:
        return f"{said}: {_without_flip(found)}"
    buyer = found.arm if cheaper else found.against
    interval = _interval(found)
    return (
        f"{said}: {buyer} is the better buy while one more {what} is worth less than {_usd(found.flips_at)}{interval}"
    )


def _without_flip(found: Worth) -> str:
    costs, scores = found.usd_difference, found.score_difference
    if costs <= 0 and scores >= 0 and (costs or scores):
        best = found.arm
    elif costs >= 0 and scores <= 0 and (costs or scores):
        best = found.against
    else:
        return "they are the same buy"
    if found.high is None and found.low is None:
        return f"{best} is the better buy at any worth of an answer"
    if found.low is not None and found.high is None:  # sure only as long as an answer is worth little
        return f"{best} is the better buy at any worth, with {found.level:.0%} confidence up to {_usd(found.low)}"
    return f"{best} is the better buy at any worth, as measured; the rows do not rule out {_usd(found.low or 0)} to {_usd(found.high or 0)}"


def _interval(found: Worth) -> str:
    if found.low is None and found.high is None:
        return " (no interval: the rows do not tell which is better)"
    low = "0" if found.low is None else _usd(found.low)
    upward = (
        f"from {low} on: it may be that no worth flips it" if found.high is None else f"{low} to {_usd(found.high)}"
    )
    return f" ({found.level:.0%} interval {upward})"


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}"
