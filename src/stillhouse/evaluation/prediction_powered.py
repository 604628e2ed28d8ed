"""The mean of labels that few rows have, helped by predictions that all rows have: PPI++.

Angelopoulos, Duchi & Zrnic 2023, "PPI++: Efficient prediction-powered inference" (2311.01453), section 6 with the power tuning of example 6.1. The predictions
may be as wrong as they like: the labelled rows measure their error and take it out, and a weight between 0 and 1 decides how far they are listened to. What is
not the paper's: rows of one group are summed before the spread is taken, and the quantile is Student's, for labels are few here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class PoweredMean:
    """`weight` 0: the predictions are of no use and were left aside; 1: taken whole. `df`: groups of labelled rows less one."""

    value: float
    standard_error: float
    weight: float
    n_labelled: int
    n_unlabelled: int
    df: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided."""
        half = self.standard_error * float(stats.t.ppf(1 - (1 - level) / 2, self.df))
        return self.value - half, self.value + half

    def one_sided(self, level: float = 0.95) -> tuple[float, float]:
        """(lower, upper): each alone holds at `level`."""
        half = self.standard_error * float(stats.t.ppf(level, self.df))
        return self.value - half, self.value + half


def powered_mean(labels: Sequence[float | None], predictions: Sequence[float], groups: Sequence[str]) -> PoweredMean:
    """The mean label over all rows; a label of None is not known. The labelled rows must be a random sample of all.

    Raises ValueError with fewer than two groups of labelled rows, or without an unlabelled row: then there is nothing to estimate, or nothing to power.
    """
    known = np.array([label is not None for label in labels])
    y = np.array([label for label in labels if label is not None], float)  # (n,)
    f, more = np.asarray(predictions, float)[known], np.asarray(predictions, float)[~known]  # (n,), (N,)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    df = len(set(group[known].tolist())) - 1
    if df < 1 or not len(more):
        raise ValueError(f"{len(y)} labelled and {len(more)} unlabelled rows: a powered mean needs two groups of labelled rows and an unlabelled row")
    weight = _weight(y, f, more)
    rectifier = y - weight * f
    value = float(weight * more.mean() + rectifier.mean())
    influence = np.empty(len(known))
    influence[known] = (rectifier - rectifier.mean()) / len(y)
    influence[~known] = weight * (more - more.mean()) / len(more)
    spread = math.sqrt(float((np.bincount(group, weights=influence) ** 2).sum()))
    return PoweredMean(value, spread, weight, len(y), len(more), df)


def _weight(y: np.ndarray, f: np.ndarray, more: np.ndarray) -> float:
    """The weight with the least variance, cov(y, f) / ((1 + n / N) var(f)), kept within 0 and 1; 0 where the predictions do not vary."""
    variance = float(np.var(np.concatenate([f, more]), ddof=1))
    if variance < 1e-15:
        return 0.0
    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    return min(1.0, max(0.0, covariance / ((1 + len(y) / len(more)) * variance)))
