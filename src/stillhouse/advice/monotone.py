"""Curves that never fall: fitting them to noisy means, reading sizes off them, averaging sizes, and where two cross.

A curve is (..., sizes): the last axis runs over training sizes in ascending order, the axes before it over resamples,
so that a bootstrap is one call. Between two sizes it is a straight line, in log2 of the size (`log=True`, as learning
curves look) or in the size itself. Every average is an exact integral of those lines; nothing is summed over a grid.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]


def isotonic(values: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """The closest non-decreasing curves in weighted least squares (pool adjacent violators; Barlow et al. 1972).

    `weights` (sizes,) are equal by default.
    """
    curves = np.array(values, dtype=np.float64)
    rows = curves.reshape(-1, curves.shape[-1])
    falls = (np.diff(rows, axis=-1) < 0).any(axis=-1)  # a curve that never falls is its own fit, to the last bit
    for number in np.flatnonzero(falls):
        rows[number] = isotonic_regression(rows[number], weights=weights).x
    return curves


def size_at(sizes: Sequence[int], curve: ArrayLike, score: ArrayLike, *, log: bool = True) -> Floats:
    """The smallest size at which a curve reaches `score`.

    -inf: it reaches it at the smallest size or below; inf: it does not reach it.
    """
    values, wanted, at = np.asarray(curve, dtype=np.float64), np.asarray(score, dtype=np.float64), _axis(sizes, log)
    reached = values >= wanted[..., None]
    if len(sizes) == 1:
        return np.where(reached[..., 0], -np.inf, np.inf)
    after = np.clip(reached.argmax(axis=-1), 1, None)[..., None]
    low, high = np.take_along_axis(values, after - 1, -1)[..., 0], np.take_along_axis(values, after, -1)[..., 0]
    after = after[..., 0]
    share = np.clip((wanted - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
    between = _sizes(at[after - 1] + share * (at[after] - at[after - 1]), log)
    return np.where(reached[..., 0], -np.inf, np.where(reached[..., -1], between, np.inf))


def score_at(sizes: Sequence[int], curve: ArrayLike, wanted: Floats, *, log: bool = True) -> Floats:
    """(..., wanted): the curve's scores at the sizes `wanted` (wanted,); outside its own sizes that of the nearest."""
    at = _axis(wanted, log)
    weights = np.stack([np.interp(at, _axis(sizes, log), unit) for unit in np.eye(len(sizes))])
    return np.asarray(np.asarray(curve, dtype=np.float64) @ weights)


def mean_size(sizes: Sequence[int], curve: ArrayLike, low: ArrayLike, high: ArrayLike, *, log: bool = True) -> Floats:
    """The mean over all scores in [low, high] of the size at which the curve reaches them.

    Scores below the curve count as its smallest size, scores above it as its largest.
    """
    rises, start, end = _pieces(sizes, curve, low, high, log)
    if log:  # a straight line in log2: the mean size along it is the logarithmic mean of its ends
        span = np.log(2) * (end - start)
        means = 2**start * np.where(span > 0, np.expm1(span) / np.where(span > 0, span, 1.0), 1.0)
    else:
        means = (start + end) / 2
    return np.asarray((rises * means).sum(axis=-1) / rises.sum(axis=-1))


def mean_log2_size(sizes: Sequence[int], curve: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """The mean over all scores in [low, high] of log2 of the size at which the curve reaches them.

    The difference between two curves is the log2 of the mean ratio of their sizes.
    """
    rises, start, end = _pieces(sizes, curve, low, high, True)
    return np.asarray((rises * (start + end) / 2).sum(axis=-1) / rises.sum(axis=-1))


def lead(
    sizes: Sequence[int], curve: ArrayLike, other_sizes: Sequence[int], other: ArrayLike, *, log: bool = True
) -> tuple[Floats, Floats]:
    """(grid,) sizes that both curves span, and (..., grid) by how much `curve` is above `other` there.

    The grid is empty where they share no size.
    """
    first, last = max(sizes[0], other_sizes[0]), min(sizes[-1], other_sizes[-1])
    grid = np.array(sorted(size for size in {*sizes, *other_sizes} if first <= size <= last), dtype=np.float64)
    return grid, score_at(sizes, curve, grid, log=log) - score_at(other_sizes, other, grid, log=log)


def crossings(grid: Floats, ahead: Floats, *, log: bool = True) -> list[float]:
    """Every size at which a lead (grid,) changes its sign. Touching zero and turning back is no crossing."""
    signs = np.where(np.abs(ahead) < 1e-12, 0, np.sign(ahead))
    at = np.flatnonzero(signs)
    turns = [(int(left), int(right)) for left, right in itertools.pairwise(at) if signs[left] != signs[right]]
    return [_zero(grid, ahead, left, right, log) for left, right in turns]


def caught_up(grid: Floats, ahead: Floats, *, log: bool = True) -> Floats:
    """The size from which on a lead (..., grid) is never below zero again.

    -inf: it never is below; inf: it still is at the largest size.
    """
    behind = ahead < 0
    last = grid.size - 1 - behind[..., ::-1].argmax(axis=-1)[..., None]
    left, right = last, np.clip(last + 1, None, grid.size - 1)
    low, high = np.take_along_axis(ahead, left, -1)[..., 0], np.take_along_axis(ahead, right, -1)[..., 0]
    share = np.clip(-low / np.where(high > low, high - low, 1.0), 0.0, 1.0)
    at = _axis(grid, log)
    start, end = at[left[..., 0]], at[right[..., 0]]
    between = _sizes(start + share * (end - start), log)
    return np.where(~behind.any(axis=-1), -np.inf, np.where(behind[..., -1], np.inf, between))


def _axis(sizes: Sequence[int] | Floats, log: bool) -> Floats:
    values = np.asarray(sizes, dtype=np.float64)
    return np.log2(values) if log else values


def _sizes(at: Floats, log: bool) -> Floats:
    return 2**at if log else at


def _pieces(
    sizes: Sequence[int], curve: ArrayLike, low: ArrayLike, high: ArrayLike, log: bool
) -> tuple[Floats, Floats, Floats]:
    """The straight pieces of a curve within [low, high]: (rises in score, their starts on the size axis, their ends).

    The part of [low, high] below the curve is a piece that stands at the smallest size, the part above it one at the
    largest.
    """
    values, at = np.asarray(curve, dtype=np.float64), _axis(sizes, log)
    bottom, top = np.asarray(low, dtype=np.float64)[..., None], np.asarray(high, dtype=np.float64)[..., None]
    inside = np.clip(values, bottom, top)
    rise = np.where(values[..., 1:] > values[..., :-1], values[..., 1:] - values[..., :-1], 1.0)
    step = at[1:] - at[:-1]
    start = at[:-1] + np.clip((inside[..., :-1] - values[..., :-1]) / rise, 0.0, 1.0) * step
    end = at[:-1] + np.clip((inside[..., 1:] - values[..., :-1]) / rise, 0.0, 1.0) * step
    first, last = np.broadcast_to(at[0], (*inside.shape[:-1], 1)), np.broadcast_to(at[-1], (*inside.shape[:-1], 1))
    rises = np.concatenate([inside[..., :1] - bottom, np.diff(inside, axis=-1), top - inside[..., -1:]], axis=-1)
    return rises, np.concatenate([first, start, last], axis=-1), np.concatenate([first, end, last], axis=-1)


def _zero(grid: Floats, ahead: Floats, left: int, right: int, log: bool) -> float:
    """Where the lead is zero between two grid points of opposite sign; it may be zero on grid points between them."""
    if right - left > 1:
        return float(grid[left + 1])
    at = _axis(grid, log)
    share = ahead[left] / (ahead[left] - ahead[right])
    return float(_sizes(at[left] + share * (at[right] - at[left]), log))
