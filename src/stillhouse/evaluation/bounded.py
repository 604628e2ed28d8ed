"""Bounds for the mean of scores that are no proportions, or of rows in groups, where a bootstrap claims too much.

A bootstrap knows only what it saw. Of students that were worse by exactly the margin, at a nominal 5 %, it passed 4 to
8 % where scores were mild, and up to 22 % where 30 groups hid a rare total loss (BCa; a t test as much; 400 draws
each). This bound adds one group that was never seen and is as bad and as large as can be, and weights all groups at
random: Gaffke 2005 (see Learned-Miller & Thomas 2019, 1905.06208). For a proportion it is exactly Clopper & Pearson's.
That it holds for any scores is a conjecture: nobody has proved it, or found a case against it. It passed at most 5 % in
all the same cases, and with groups of equal, lognormal and planted sizes (`bench/gate_groups.py`). Its price is width
while groups are few.

Rows in groups: the mean over rows is above a value exactly where the mean over groups of sum(score - value) is above 0.
The terms of that mean are bounded only if groups have a largest size, known before the test rows are seen: a cap.
Without one, a loss that lives in groups larger than any seen passes unnoticed.
"""

import numpy as np
from numpy.typing import NDArray

N_DRAWS = 4000
MOST_DRAWS = 100_000  # about a second for 300 groups that all differ
Floats = NDArray[np.float64]


def draws_for(level: float) -> int:
    """How many draws a test at `level` takes: a strict one looks at the smallest of them."""
    return int(min(MOST_DRAWS, max(N_DRAWS, 500 * round(10 / (1 - level) / 500))))


def worst_case_means(sums: Floats, sizes: Floats, worst: float, largest: float, n_draws: int = N_DRAWS) -> Floats:
    """(draws,) sorted: means of sum / size over groups, weighted Dirichlet(1, ..., 1).

    One group is added, of `largest` rows that all score `worst`. Seeded by the number of groups alone, so that the same
    rows always get the same answer.
    """
    # groups of equal sum and size are drawn together, as one gamma variate of a larger shape
    kinds, counts = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    shapes = np.append(counts, 1).astype(float)
    tops, bottoms = np.append(kinds[0], worst * largest), np.append(kinds[1], largest)
    generator, means = np.random.default_rng(len(sums)), []
    for _ in range(0, n_draws, 500):
        weights = generator.standard_gamma(shapes, (500, len(shapes)))
        means.append((weights @ tops) / (weights @ bottoms))
    return np.sort(np.concatenate(means))


def p_value(means: Floats, value: float) -> float:
    """One-sided p-value of "the mean is `value` or less", from `worst_case_means`."""
    return float((np.searchsorted(means, value, side="right") + 1) / (len(means) + 1))


def lower_bound(means: Floats, level: float) -> float:
    """The one-sided lower bound of the mean, from `worst_case_means`: where `p_value` comes to 1 - level.

    Where `level` is so strict that the draws cannot tell, there is none: the least that a mean can be, -1.
    """
    place = int((1 - level) * (len(means) + 1)) - 1
    return float(means[place]) if place >= 0 else -1.0
