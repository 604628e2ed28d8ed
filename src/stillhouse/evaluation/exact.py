"""An exact test of two systems on the same rows: is system 1 better than "worse by the margin"?

It is wrong in at most 1 - level of all cases, at any number of rows. Tango's score test (`proportions`) trusts the
normal distribution: at a nominal 5 % it passes systems that are worse by exactly the margin in up to 6.0 % of cases
(300 rows, margin 2 points, exact sum). Here its statistic only orders the tables. The p-value is the largest
probability, over the unknown share of rows on which the two differ, of a table as extreme as the one seen (Hsueh, Liu &
Chen 2001, Biometrics 57:478). That share is looked for in its own 99.99 % interval alone, and what that may cost is
added to the p-value (Berger & Boos 1994, JASA 89:1012). At a level so strict that this would be a share worth naming
of the error, the interval is wider (`outside_of`).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stillhouse.evaluation.proportions import clopper_pearson, tango_lower, tango_z_of_tables

OUTSIDE = 1e-4  # the most chance that the share of rows that differ lies outside the interval searched
N_SHARES = 32  # shares tried; 256 moved no p-value by more than 4e-4 (n = 20 to 2,000)
Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


def outside_of(level: float) -> float:
    """The chance that the share of rows that differ may lie outside the interval searched, for a test at `level`.

    It is added to every p-value, so it has to stay well below the error that the test may make.
    """
    return min(OUTSIDE, (1 - level) / 200)


@lru_cache(maxsize=65536)
def exact_p(b: int, c: int, n: int, delta: float, outside: float = OUTSIDE) -> float:
    """One-sided p-value of "p1 - p2 is `delta` or less"; -1 < delta < 1. `outside`: see `outside_of`.

    Of n rows, only system 1 got b right, and only system 2 got c right.
    """
    seen = float(tango_z_of_tables(np.array([b]), np.array([c]), n, delta)[0])
    as_extreme = p_of_statistic(seen - 1e-9, n, delta, searched_shares(b + c, n, delta, outside))
    return min(1.0, float(as_extreme.max()) + outside)


def searched_shares(n_differ: int, n: int, delta: float, outside: float, n_shares: int = N_SHARES) -> Shares:
    """The shares of rows that differ at which the p-value is looked for, where `n_differ` of n rows did. (shares,)"""
    low, high = clopper_pearson(n_differ, n, 1 - outside)
    return np.linspace(max(low, abs(delta)), max(high, abs(delta)), n_shares)


def p_of_statistic(z: float, n: int, delta: float, shares: Shares, *, true: float | None = None) -> Shares:
    """The chance of a statistic of at least `z` against `delta`, at each share of rows that differ. (shares,)

    `true`: the difference that the rows are drawn with; None: `delta`.
    """
    true = delta if true is None else true
    only_1, only_2 = (shares + true) / 2, (shares - true) / 2
    losses = _likely(n, float(only_2.min()), float(only_2.max()))
    least = _least_wins(losses, n, delta, z)
    rest = n - losses
    # Chance of a win (only system 1 right) on a row that is no loss (only system 2 right).
    of_no_losses = only_1 / np.maximum(1 - only_2, 1e-300)
    with_win = np.clip(of_no_losses, 0, 1)[:, None]
    enough_wins = special.bdtrc(np.maximum(least - 1, 0), np.maximum(rest, 0), with_win)  # (shares, losses)
    wins = np.where(least == 0, 1.0, enough_wins)
    as_extreme = (_binomial(losses, n, only_2[:, None]) * np.where(least > rest, 0.0, wins)).sum(axis=1)
    return np.asarray(as_extreme)


@lru_cache(maxsize=4096)
def exact_lower(b: int, c: int, n: int, level: float = 0.95, outside: float | None = None) -> float:
    """The one-sided lower bound of p1 - p2: the largest difference that the test refutes, to 1e-5; -1: it refutes none.

    The search starts around Tango's bound, which is near, and goes down to -1 where that is not low enough.
    """
    outside = outside_of(level) if outside is None else outside
    near = tango_lower(b, c, n, level)
    low, high = max(near - 0.01, -1.0), min(near + 0.01, (b - c) / n)
    if low > -1 and exact_p(b, c, n, low, outside) >= 1 - level:
        low, high = -1.0, low
    elif high < (b - c) / n and exact_p(b, c, n, high, outside) < 1 - level:
        low, high = high, (b - c) / n
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if exact_p(b, c, n, middle, outside) < 1 - level else (low, middle)
    return low


def exact_interval(b: int, c: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The two-sided interval of p1 - p2: the differences that neither one-sided test refutes at half the error."""
    one_sided, outside = (1 + level) / 2, outside_of(level)
    return exact_lower(b, c, n, one_sided, outside), -exact_lower(c, b, n, one_sided, outside)


def _likely(n: int, low: float, high: float) -> Counts:
    """The counts that are likely for any probability from `low` to `high`: what is left out weighs less than 1e-9."""
    spread = 8 * np.sqrt(n * max(p * (1 - p) for p in (low, high, *([0.5] if low < 0.5 < high else [])))) + 20
    return np.arange(max(0, int(n * low - spread)), min(n, int(n * high + spread)) + 1)


def _binomial(k: Counts, n: int, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of k successes among n; scipy.stats has them too, and takes several times as long."""
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return np.asarray(np.exp(ways + special.xlogy(k, p) + special.xlog1py(n - k, -p)))


def _least_wins(losses: Counts, n: int, delta: float, z: float) -> Counts:
    """For every number of losses the fewest wins whose statistic is at least `z`; beyond n - losses: none.

    Found by bisection: more wins never make the statistic smaller.
    """
    low, high = np.zeros_like(losses), n - losses + 1
    while (open_ := low < high).any():
        middle = (low + high) // 2
        enough = tango_z_of_tables(middle, losses, n, delta) >= z
        low, high = np.where(open_ & ~enough, middle + 1, low), np.where(open_ & enough, middle, high)
    return low
