"""What makes a student's confidence honest: numbers fitted on the validation rows.

- A softmax over classes gets a temperature (Guo et al. 2017, 1706.04599, section 4.2).
- The likelihood of a written answer gets a slope and an offset (Platt 1999).

Calibration never changes which answer wins. Of a written answer it never changes which of two rows is surer. The
cascade's promise does not rest on it: its threshold is chosen on rows of its own, and neither those nor the test
rows are fitted on here.

Isotonic regression calibrates as well (docs/lab-notes.md), but it makes ties, and a threshold cannot tell tied rows
apart.

The validation rows have also picked the weights. Fitting on rows that had not gave no better calibration
(docs/lab-notes.md), and small data sets have no rows to spare for it.

Logits are (rows, classes). Where rows have choices of their own, a row with fewer choices than the others is padded
with -inf.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

Logits = NDArray[np.floating[Any]]
FEWEST = 30  # with fewer rows nothing is fitted, because it would be noise
# Bounds of the temperature; without them a student that makes no mistake on few rows is called certain.
RANGE = (0.2, 10.0)


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
    fitted = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, targets, float(np.exp(log_t))),
        bounds=(low, high),
        method="bounded",
    )
    return round(float(np.exp(fitted.x)), 4)


def fit_sigmoid(log_p: Sequence[float], right: Sequence[bool]) -> tuple[float, float] | None:
    """The slope and offset with which sigmoid(slope * log p + offset) best predicts which answers are right.

    None where there are too few rows to say. `log_p` is any log-likelihood of the answers. The slope is above 0, so
    their order is kept.

    The targets are a little less than 1 and more than 0, as in Platt (1999, section 2.2). Without that, a student
    that makes no mistake on few rows would be called certain.
    """
    n, n_right = len(right), sum(right)
    if n < FEWEST:
        return None
    x, above, below = np.asarray(log_p, float), (n_right + 1) / (n_right + 2), 1 / (n - n_right + 2)
    wanted = np.where(np.asarray(right, bool), above, below)

    def slope(parameters: NDArray[np.float64]) -> float:
        return math.exp(min(max(float(parameters[0]), -5.0), 10.0))

    def loss(parameters: NDArray[np.float64]) -> float:
        z = slope(parameters) * x + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - wanted * z))

    middle = float(np.mean(wanted))
    start = (0.0, math.log(middle / (1 - middle)) - float(x.mean()))
    fitted = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000})
    return round(slope(fitted.x), 6), round(float(fitted.x[1]), 6)


def sigmoid(log_p: float, fitted: Sequence[float] | None) -> float:
    """The calibrated probability; exp(log p) where nothing was fitted."""
    return math.exp(log_p) if fitted is None else float(expit(fitted[0] * log_p + fitted[1]))


def ragged(rows: Sequence[Logits]) -> Logits:
    """Rows with different numbers of choices as one matrix, filled with -inf."""
    matrix = np.full((len(rows), max(map(len, rows), default=0)), -np.inf)
    for at, row in enumerate(rows):
        matrix[at, : len(row)] = row
    return matrix
