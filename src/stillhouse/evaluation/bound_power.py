"""How often the bound for scores in between, and for rows in groups, passes an arm of which the groups' sums are known.

Per group, y is the sum of (difference + margin) over its rows; the bound asks whether the mean of y is above 0. It
weights all groups at random (exponential weights) and one more that is as bad and as large as can be (see `bounded`).
Mean, variance and skewness of that weighted sum are known, and so are those of the sum over groups that are drawn anew;
a Pearson III curve through them, which is exact for the unseen group alone and for many groups alike, gives the sum
that passes and how often it is reached. For planning alone.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from stillhouse.evaluation.bounded import Floats

MOST_GROUPS = 10_000_000


@dataclass(frozen=True)
class Moments:
    """Of y over groups: mean, variance, third central moment."""

    mean: float
    variance: float
    third: float


def moments(y: Floats, mean: float) -> Moments:
    """Of these groups, and of one more that is as far below the mean as the farthest is from it.

    Few groups may not show what groups can be, and no variance is taken for 0. `mean`: what the mean is taken to be.
    """
    apart = y - y.mean()
    apart = np.append(apart, -np.abs(apart).max())
    return Moments(mean, float((apart**2).mean()), float((apart**3).mean()))


def expected(sizes: Floats, margin: float, more: float, less: float) -> Moments:
    """Before anything is measured: of groups of these sizes, whose rows differ independently of one another.

    `more`, `less`: the share of rows on which the arm alone is right, and of those on which the other is.
    """
    mean, size = more - less, float(sizes.mean())
    of_row = [(1.0, more), (-1.0, less), (0.0, 1 - more - less)]
    variance, third = (sum(share * (value - mean) ** power for value, share in of_row) for power in (2, 3))
    apart, a_row = sizes - size, mean + margin
    of_size, third_of_size = float((apart**2).mean()), float((apart**3).mean())
    return Moments(
        a_row * size,
        variance * size + a_row**2 * of_size,
        third * size + 3 * a_row * variance * of_size + a_row**3 * third_of_size,
    )


def power_of_bound(n_groups: int, of: Moments, worst: float, level: float) -> float:
    """The chance of a pass on so many groups. `worst`: how far below 0 the y of an unseen group can be."""
    n, mean = n_groups, of.mean
    second, third = of.variance + mean**2, of.third + 3 * mean * of.variance + mean**3
    spread = math.sqrt(n * second + worst**2)
    # the n-th cumulant of an exponential weight is (n - 1)!
    skewness = 2 * (n * third - worst**3) / spread**3
    enough = worst - spread * float(stats.pearson3.ppf(1 - level, skewness))
    if of.variance <= 0:
        return float(n * mean > enough)
    of_sum = math.sqrt(n * of.variance)
    return float(stats.pearson3.sf((enough - n * mean) / of_sum, n * of.third / of_sum**3))


def groups_needed(of: Moments, worst: float, level: float, power: float) -> int | None:
    """Groups for a pass with that power; None where the mean is not above 0, or no number that is of use is enough."""
    if of.mean <= 0:
        return None
    few, enough = 1, 2
    while power_of_bound(enough, of, worst, level) < power:
        few, enough = enough, 2 * enough
        if enough > MOST_GROUPS:
            return None
    while enough - few > max(1, few // 200):
        middle = (few + enough) // 2
        passes = power_of_bound(middle, of, worst, level) >= power
        few, enough = (few, middle) if passes else (middle, enough)
    return enough
