"""An exact test of two systems on the same rows: is system 1 better than "worse by the margin"? Wrong in at most 1 - level of all cases at any number of rows.

Tango's score test (`proportions`) trusts the normal distribution: at a nominal 5 % it passes systems that are worse by exactly the margin in up to 6.0 % of
cases (300 rows, margin 2 points, exact sum). Here its statistic only orders the tables, and the p-value is the largest probability, over the unknown share of
rows on which the two differ, of a table as extreme as the one seen (Hsueh, Liu & Chen 2001, Biometrics 57:478). That share is looked for in its own
99.99 % interval alone, and what that may cost is added to the p-value (Berger & Boos 1994, JASA 89:1012).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from stillhouse.evaluation.proportions import clopper_pearson, tango_z_of_tables

OUTSIDE = 1e-4  # the chance that the share of rows that differ lies outside the interval searched
N_SHARES = 64  # shares tried; 256 moved no p-value by more than 2e-4 (n = 20 to 2,000)
Counts = NDArray[np.int64]


def exact_p(b: int, c: int, n: int, delta: float) -> float:
    """One-sided p-value of "p1 - p2 is `delta` or less", where b of n rows only system 1 got right, c only system 2. -1 < delta < 1."""
    seen = float(tango_z_of_tables(np.array([b]), np.array([c]), n, delta)[0])
    low, high = clopper_pearson(b + c, n, 1 - OUTSIDE)
    shares = np.linspace(max(low, abs(delta)), max(high, abs(delta)), N_SHARES)
    only_1, only_2 = (shares + delta) / 2, (shares - delta) / 2
    losses = np.arange(int(stats.binom.ppf(1e-9, n, only_2.min())), int(stats.binom.isf(1e-9, n, only_2.max())) + 1)
    least = _least_wins(losses, n, delta, seen - 1e-9)
    wins = stats.binom.sf(least - 1, n - losses, np.clip(only_1 / np.maximum(1 - only_2, 1e-300), 0, 1)[:, None])  # (shares, losses)
    as_extreme = (stats.binom.pmf(losses, n, only_2[:, None]) * np.where(least > n - losses, 0.0, wins)).sum(axis=1)
    return min(1.0, float(as_extreme.max()) + OUTSIDE)


def exact_lower(b: int, c: int, n: int, level: float = 0.95) -> float:
    """The one-sided lower bound of p1 - p2: the largest difference that the test refutes, to 1e-5; -1 where it refutes none."""
    low, high = -1.0, (b - c) / n
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if exact_p(b, c, n, middle) < 1 - level else (low, middle)
    return low


def _least_wins(losses: Counts, n: int, delta: float, z: float) -> Counts:
    """For every number of losses the fewest wins whose statistic is at least `z`, by bisection: more wins never make it smaller. Beyond n - losses: none."""
    low, high = np.zeros_like(losses), n - losses + 1
    while (open_ := low < high).any():
        middle = (low + high) // 2
        enough = tango_z_of_tables(middle, losses, n, delta) >= z
        low, high = np.where(open_ & ~enough, middle + 1, low), np.where(open_ & enough, middle, high)
    return low
