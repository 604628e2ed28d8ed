"""A share of draws with its exact interval, as the results hold it and as the tables of docs/verdict.md write it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from stillhouse.evaluation.proportions import clopper_pearson


def interval(k: int, n: int) -> dict[str, float]:
    """The 95 % interval of k of n, to be put beside the share (Clopper & Pearson 1934)."""
    low, high = clopper_pearson(k, n)
    return {"low": round(low, 6), "high": round(high, 6)}


def shown(share: float, n: int, digits: int = 1, *, with_n: bool = True) -> str:
    """ "4.8% [3.9, 5.8] (n = 2,000)"."""
    low, high = clopper_pearson(round(share * n), n)
    text = f"{share:.{digits}%} [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"
    return f"{text} (n = {n:,})" if with_n else text


def mean_of_shares(mean: float, n: int) -> dict[str, float]:
    """The 95 % interval of the mean of n draws that lie between 0 and 1, from their mean alone (Hoeffding 1963, theorem 1).

    It holds for any n and however the draws fall, and is wider than it had to be where they vary little.
    """
    most = float(np.log(2 / 0.05)) / n

    def beyond(other: float) -> float:
        return float(special.rel_entr(mean, other) + special.rel_entr(1 - mean, 1 - other)) - most

    low = 0.0 if mean == 0 else optimize.brentq(beyond, 1e-12, mean)
    high = 1.0 if mean == 1 else optimize.brentq(beyond, mean, 1 - 1e-12)
    return {"low": round(low, 4), "high": round(high, 4)}


def mean_of(values: ArrayLike) -> dict[str, Any]:
    """A mean with Student's 95 % interval."""
    drawn = np.asarray(values, float)
    half = float(stats.t.ppf(0.975, len(drawn) - 1) * stats.sem(drawn)) if len(drawn) > 1 else float("nan")
    mean = float(drawn.mean())
    return {"mean": round(mean, 2), "low": round(mean - half, 2), "high": round(mean + half, 2), "n": len(drawn)}


def dollars(found: dict[str, Any]) -> str:
    """ "$12 [8, 16]" of what `mean_of` gave."""
    return f"${found['mean']:z,.0f} [{found['low']:z,.0f}, {found['high']:z,.0f}]"
