"""Temperature scaling: one number, fitted on validation rows, that makes a student's softmax honest (Guo et al. 2017, 1706.04599, section 4.2).

It never changes which answer wins, only how sure the student says it is. The cascade's promise does not rest on it: that is measured on its own rows.

Logits are (rows, classes); where rows have choices of their own, a row with fewer is filled up with -inf.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Logits = NDArray[np.floating[Any]]
FEWEST = 30  # rows under which one number fitted to a handful of answers is noise: the temperature stays 1
RANGE = (0.2, 10.0)  # a student without a mistake on few rows would else be called certain


def softmax(logits: Logits, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities, (rows, classes)."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def negative_log_likelihood(logits: Logits, targets: Sequence[int], temperature: float = 1.0) -> float:
    """Mean over rows of -log p(target)."""
    right = softmax(logits, temperature)[np.arange(len(targets)), targets]
    return -float(np.log(right + 1e-12).mean())


def fit_temperature(logits: Logits, targets: Sequence[int]) -> float:
    """The temperature under which the right answers are likeliest; 1.0 where there are too few rows to say."""
    if len(targets) < FEWEST:
        return 1.0
    low, high = np.log(RANGE[0]), np.log(RANGE[1])
    found = minimize_scalar(lambda log_t: negative_log_likelihood(logits, targets, float(np.exp(log_t))), bounds=(low, high), method="bounded")
    return round(float(np.exp(found.x)), 4)


def ragged(rows: Sequence[Logits]) -> Logits:
    """Rows with different numbers of choices as one matrix, filled with -inf."""
    matrix = np.full((len(rows), max(map(len, rows), default=0)), -np.inf)
    for at, row in enumerate(rows):
        matrix[at, : len(row)] = row
    return matrix
