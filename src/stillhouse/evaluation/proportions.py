"""Proportions and their differences, with intervals that hold for few rows: no normal approximation.

One proportion: Clopper & Pearson 1934. Two systems on the same rows: exact McNemar with mid-p (Fagerland, Lydersen &
Laake 2013), and Tango's score interval (Tango 1998). Several comparisons: Holm 1979. Scores that are no proportions: a
cluster bootstrap.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stillhouse.records import Estimate


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a proportion with k of n right. Raises ValueError for n = 0."""
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"k = {k} of n = {n} is no proportion")
    alpha = 1 - level
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, alpha / 2))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1 - alpha / 2))
    return low, high


def clopper_pearson_upper(k: int, n: int, level: float = 0.95) -> float:
    """The exact one-sided upper bound."""
    return 1.0 if k == n else float(special.betaincinv(k + 1, n - k, level))


def mcnemar_midp(b: int, c: int) -> float:
    """Two-sided mid-p value of the exact McNemar test; 1 where the two never differ.

    Only the first got b rows right, and only the second got c rows right.
    """
    n, least = b + c, min(b, c)
    if n == 0:
        return 1.0
    at_most = float(special.bdtr(least, n, 0.5))
    fewer = float(special.bdtr(least - 1, n, 0.5)) if least else 0.0
    return 1.0 - (at_most - fewer) if b == c else min(1.0, at_most + fewer)


def tango_interval(b: int, c: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Tango's score interval for the paired difference p1 - p2.

    Of n rows, only system 1 got b right, and only system 2 got c right. Statistics in Medicine 17:891 (1998), equation
    2: the differences that the score test does not reject. Asymmetric and inside [-1, 1].
    """
    z = float(special.ndtri(1 - (1 - level) / 2))
    return _tango_bound(b, c, n, z), -_tango_bound(c, b, n, z)


def tango_lower(b: int, c: int, n: int, level: float = 0.95) -> float:
    """The one-sided lower bound of p1 - p2."""
    return _tango_bound(b, c, n, float(special.ndtri(level)))


def tango_z(b: int, c: int, n: int, delta: float) -> float:
    """The score statistic at p1 - p2 = delta, with the nuisance parameter at its restricted maximum likelihood."""
    return float(tango_z_of_tables(np.array([b]), np.array([c]), n, delta)[0])


def tango_z_of_tables(b: NDArray[np.int64], c: NDArray[np.int64], n: int, delta: float) -> NDArray[np.float64]:
    """`tango_z` of many tables at once: b and c (tables,)."""
    b2 = -b - c + (2 * n - b + c) * delta
    c2 = -c * delta * (1 - delta)
    p21 = (np.sqrt(np.maximum(b2 * b2 - 8 * n * c2, 0.0)) - b2) / (4 * n)
    variance = n * (2 * p21 + delta * (1 - delta))
    top = b - c - n * delta
    certain = np.where(np.abs(top) < 1e-12, 0.0, np.copysign(np.inf, top))
    return np.where(variance > 0, top / np.sqrt(np.where(variance > 0, variance, 1.0)), certain)


def _tango_bound(b: int, c: int, n: int, z: float) -> float:
    """The smallest difference that is not rejected: where the statistic falls to z."""
    from scipy import optimize  # imported late, because it is slow to load

    estimate = (b - c) / n
    if tango_z(b, c, n, -1 + 1e-12) <= z:
        return -1.0
    top = estimate if tango_z(b, c, n, estimate) <= z else 1.0
    return float(optimize.brentq(lambda delta: min(tango_z(b, c, n, delta), 1e6) - z, -1 + 1e-12, top, xtol=1e-12))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    m, adjusted, highest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def mean_interval(
    scores: Sequence[float], groups: Sequence[str], level: float = 0.95, n_resamples: int = 2000
) -> Estimate:
    """The mean of row scores with a BCa bootstrap interval over groups (Efron 1987).

    It is seeded by the number of rows alone, so the same rows always give the same interval. The interval is absent
    with fewer than two groups or where the scores do not vary.
    """
    sums, sizes = _by_group(scores, groups)
    value, n = float(np.mean(scores)), len(scores)
    interval = bca(sums, sizes, level, np.random.default_rng(n), n_resamples)
    if interval is None:
        return Estimate(value, n, level=level)
    return Estimate(value, n, *interval, level, "BCa bootstrap over groups")


def bca(
    sums: np.ndarray, sizes: np.ndarray, level: float, generator: np.random.Generator, n_resamples: int = 2000
) -> tuple[float, float] | None:
    """Bias-corrected and accelerated interval of sum(sums) / sum(sizes), resampling clusters.

    None where it cannot be computed.
    """
    m = len(sums)
    if m < 2:
        return None
    jackknife = (sums.sum() - sums) / (sizes.sum() - sizes)
    if np.ptp(jackknife) < 1e-15:
        return None
    drawn = generator.integers(0, m, (n_resamples, m))
    replicates = sums[drawn].sum(1) / sizes[drawn].sum(1)
    estimate = sums.sum() / sizes.sum()
    below = float(np.mean(replicates < estimate) + np.mean(replicates == estimate) / 2)
    z0 = float(special.ndtri(min(max(below, 1 / n_resamples), 1 - 1 / n_resamples)))
    away = jackknife.mean() - jackknife
    acceleration = float((away**3).sum() / (6 * (away**2).sum() ** 1.5))
    quantiles = []
    for tail in ((1 - level) / 2, 1 - (1 - level) / 2):
        z = z0 + float(special.ndtri(tail))
        quantiles.append(float(special.ndtr(z0 + z / (1 - acceleration * z))))
    low, high = np.quantile(replicates, quantiles)
    return float(low), float(high)


def _by_group(scores: Sequence[float], groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Per group: the sum of its scores and its number of rows."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return np.bincount(index, weights=np.asarray(scores, float)), np.bincount(index).astype(float)
