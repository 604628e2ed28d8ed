"""A learning curve that falls, or crosses another more than once: then no single size says from where on it is ahead.

The curves that sizes are read off never fall (`monotone`). Where the runs themselves fall by more than their noise,
such a fit hides what was measured. So the fall is said, and no size is given.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from stillhouse.advice.monotone import Floats

ROUNDING = 1e-12  # differences this small are rounding


def fall_in_words(name: str, sizes: Sequence[int], means: Floats, drawn: Floats, level: float) -> str | None:
    """The deepest fall beyond noise, as a sentence; None: there is none.

    `means` (sizes,): as measured. `drawn` (resamples, sizes): as other rows and seeds might have given them. Every pair
    of sizes is looked at, so each is held to the level of all (Bonferroni).
    """
    pairs = list(itertools.combinations(range(len(sizes)), 2))
    deepest, found = 0.0, None
    for before, after in pairs:
        least = float(np.quantile(drawn[:, before] - drawn[:, after], (1 - level) / len(pairs)))
        fall = float(means[before] - means[after])
        if least > ROUNDING and fall > deepest:
            deepest, found = fall, (before, after)
    if found is None:
        return None
    (before, after) = found
    values = f"from {means[before]:.4g} at {sizes[before]:,} training rows to {means[after]:.4g} at {sizes[after]:,}"
    return f"{name} falls {values}, beyond the noise of its runs"


def sign_changes(leads: Floats, level: float) -> int:
    """How often a lead (resamples, sizes) changes sides beyond noise: its sign counts where its interval excludes 0."""
    low, high = np.quantile(leads, [(1 - level) / 2, 1 - (1 - level) / 2], axis=0)
    signs = np.where(low > ROUNDING, 1.0, np.where(high < -ROUNDING, -1.0, 0.0))
    decided = signs[signs != 0]
    return int((decided[1:] != decided[:-1]).sum())
