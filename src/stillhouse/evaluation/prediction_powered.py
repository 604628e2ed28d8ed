"""The mean of labels that few rows have, helped by predictions that all rows have: PPI++.

Angelopoulos, Duchi & Zrnic 2023, "PPI++: Efficient prediction-powered inference" (2311.01453), section 6 with the power
tuning of example 6.1. The predictions may be as wrong as they like: the labelled rows measure their error and take it
out, and a weight between 0 and 1 decides how far they are listened to.

Two things are not the paper's, because labels are few here and means are shares. Rows of one group are summed before
the spread is taken. And the paper's normal interval is too short where the share is near 0 or 1, and where a good judge
errs seldom and to one side (lab notes: bounds for 0.95 held in 0.86 to 0.93). So each end here is the outer one of two:
Wilson's, at the number of rows that would give the same spread; and the one that Hall 1992 corrects for skewness ("On
the removal of skewness by transformation", section 2). Both use Student's quantile, with two degrees of freedom taken
off for mean and weight.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True, kw_only=True)
class PoweredMean:
    """A share. `weight` 0: the predictions are of no use and were left aside; 1: taken whole.

    `standard_error`: the paper's; `skewness`: of the mean; `n_groups`: of labelled rows.
    """

    value: float
    standard_error: float
    weight: float
    n_labelled: int
    n_unlabelled: int
    n_groups: int
    skewness: float

    def lower(self, level: float = 0.95) -> float:
        """One-sided lower bound; 0 where no interval can be computed."""
        return (self.interval(2 * level - 1) or (0.0, 1.0))[0]

    def upper(self, level: float = 0.95) -> float:
        """One-sided upper bound; 1 where no interval can be computed."""
        return (self.interval(2 * level - 1) or (0.0, 1.0))[1]

    def p_above(self, value: float) -> float:
        """One-sided p-value of "the true mean is `value` or less", from 1e-6 to 0.5.

        It is the p at which the lower bound comes to `value`.
        """
        return _where(lambda p: self.lower(1 - p) > value)

    def p_below(self, value: float) -> float:
        """One-sided p-value of "the true mean is `value` or more"."""
        return _where(lambda p: self.upper(1 - p) < value)

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Two-sided; None where the spread is 0, or the mean is at an end of its range or beyond it."""
        v, spread = self.value, self.standard_error * math.sqrt(self.n_groups / (self.n_groups - 2))
        if spread < 1e-12 or not 0 < v < 1:
            return None
        t = float(special.stdtrit(self.n_groups - 2, 1 - (1 - level) / 2))
        n = v * (1 - v) / spread**2  # rows that would give the same spread
        centre = (v + t * t / (2 * n)) / (1 + t * t / n)
        half = t * math.sqrt(spread**2 + t * t / (4 * n * n)) / (1 + t * t / n)
        low, high = (v - spread * _unskewed(end, self.skewness) for end in (t, -t))
        return max(0.0, min(centre - half, low)), min(1.0, max(centre + half, high))


def powered_mean(labels: Sequence[float | None], predictions: Sequence[float], groups: Sequence[str]) -> PoweredMean:
    """The mean label over all rows; a label of None is not known. The labelled rows must be a random sample of all.

    Raises ValueError with fewer than three groups of labelled rows (there is no spread), or without an unlabelled row
    (there is nothing to power).
    """
    known = np.array([label is not None for label in labels])
    y = np.array([label for label in labels if label is not None], float)  # (n,)
    f, more = (
        np.asarray(predictions, float)[known],
        np.asarray(predictions, float)[~known],
    )  # (labelled,), (unlabelled,)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = len(set(group[known].tolist()))
    if n_groups < 3 or not len(more):
        raise ValueError(
            f"{n_groups} groups of labelled and {len(more)} unlabelled rows: a powered mean needs three and one"
        )
    weight = _weight(y, f, more)
    rectifier = y - weight * f
    value = float(weight * more.mean() + rectifier.mean())
    influence = np.empty(len(known))
    influence[known] = (rectifier - rectifier.mean()) / len(y)
    influence[~known] = weight * (more - more.mean()) / len(more)
    of_group = np.bincount(group, weights=influence)
    spread = math.sqrt(float((of_group**2).sum()))
    return PoweredMean(
        value=value,
        standard_error=spread,
        weight=weight,
        n_labelled=len(y),
        n_unlabelled=len(more),
        n_groups=n_groups,
        skewness=float((of_group**3).sum()) / spread**3 if spread > 1e-12 else 0.0,
    )


def _where(shown: Callable[[float], bool]) -> float:
    """The smallest p, to 1e-6, at which it is shown; 0.5 where it is at none below."""
    low, high = 0.0, 0.5
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def _unskewed(t: float, skewness: float) -> float:
    """The studentised value whose transform by Hall's cubic is t."""
    if abs(skewness) < 1e-6:
        return t
    return 3 / skewness * (float(np.cbrt(1 + skewness * (t - skewness / 6))) - 1)


def _weight(y: np.ndarray, f: np.ndarray, more: np.ndarray) -> float:
    """The weight with the least variance, cov(y, f) / ((1 + n / N) var(f)), kept within 0 and 1.

    0 where the predictions do not vary.
    """
    variance = float(np.var(np.concatenate([f, more]), ddof=1))
    if variance < 1e-15:
        return 0.0
    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    return min(1.0, max(0.0, covariance / ((1 + len(y) / len(more)) * variance)))
