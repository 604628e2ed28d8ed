"""Learning curves over sizes and seeds, and the size at which a student meets the prompt.

A curve is the mean over seeds, made monotone in size (isotonic regression), read between sizes on a line in log2 n. Its uncertainty has two sources, which
rows and which seeds, so the bootstrap draws both (Owen & Eckles 2012, 1106.2125): seeds with replacement, the same draw at every size, because a seed's
subsets are nested; rows (or groups of rows) with replacement, the same draw for every arm, because all arms answered the same rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.records import Example

Floats = NDArray[np.float64]
N_RESAMPLES = 2000
Censored = Literal["<=", ">"]


def sizes_for(n_rows: int, n_classes: int | None) -> list[int]:
    """Training sizes: doubling from max(16, 4 x classes) up to all rows, which are always the last size."""
    size = max(16, 4 * (n_classes or 0))
    sizes = []
    while size < n_rows:
        sizes.append(size)
        size *= 2
    if sizes and n_rows < 1.25 * sizes[-1]:  # a last step of a few rows would say nothing new
        sizes.pop()
    return [*sizes, n_rows]


def nested_subsets(examples: Sequence[Example], sizes: Sequence[int], targets: Sequence[str | None], seed: int) -> list[list[Example]]:
    """One subset per size, each a part of the next, drawn by the seed alone. The smallest already holds a row of every class that is no rarity.

    `targets` are the rows' labels where these are classes, else None: then rows come in plain random order.
    """
    generator = np.random.default_rng(seed)
    order = [int(index) for index in generator.permutation(len(examples))]
    first_of: dict[str, int] = {}
    for index in order:
        target = targets[index]
        if target is not None:
            first_of.setdefault(target, index)
    leaders = dict.fromkeys(list(first_of.values())[: min(sizes) // 2])
    order = [*leaders, *(index for index in order if index not in leaders)]
    return [[examples[index] for index in order[:size]] for size in sizes]


def isotonic(values: Sequence[float] | Floats) -> Floats:
    """The closest non-decreasing sequence in least squares: pool adjacent violators (Barlow et al. 1972), equal weights."""
    pooled: list[list[float]] = []  # [sum, count]
    for value in values:
        pooled.append([float(value), 1])
        while len(pooled) > 1 and pooled[-2][0] * pooled[-1][1] > pooled[-1][0] * pooled[-2][1]:
            total, count = pooled.pop()
            pooled[-1][0] += total
            pooled[-1][1] += count
    return np.concatenate([np.full(int(count), total / count) for total, count in pooled])


def size_at(sizes: Sequence[int], curve: Sequence[float] | Floats, level: float) -> float:
    """The smallest size at which a non-decreasing curve reaches `level`, between sizes on a line in log2 n. -inf: already below the smallest; inf: never."""
    if curve[0] >= level:
        return -math.inf
    for at in range(1, len(sizes)):
        if curve[at] >= level:
            share = (level - curve[at - 1]) / (curve[at] - curve[at - 1])
            return float(2 ** (math.log2(sizes[at - 1]) + share * (math.log2(sizes[at]) - math.log2(sizes[at - 1]))))
    return math.inf


@dataclass(frozen=True)
class Point:
    """One size: the mean over seeds of the score on the test rows, each seed's own, and the two-way bootstrap's band."""

    n: int
    mean: float
    low: float | None
    high: float | None
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Crossing:
    """Where the curve meets the prompt. `n_star` None with "<=": at or below the smallest size; with ">": beyond the largest.

    `low` None: the interval reaches below the smallest size tried; `high` None: beyond the largest.
    """

    n_star: float | None
    low: float | None
    high: float | None
    censored: Censored | None
    level: float
    n_seeds: int
    n_rows: int


@dataclass(frozen=True)
class Measured:
    """Row scores of one kind of student: `scores` (sizes, seeds, rows), 0..1; `groups` (rows,) numbers the groups that are drawn together."""

    sizes: tuple[int, ...]
    scores: Floats
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.scores.shape[0] != len(self.sizes) or self.scores.shape[2] != len(self.groups):
            raise ValueError(f"scores of shape {self.scores.shape} do not fit {len(self.sizes)} sizes and {len(self.groups)} rows")


def curve_points(measured: Measured, *, level: float = 0.95, seed: int = 0) -> list[Point]:
    """The curve as measured (not yet isotonic), with a band where there are at least two seeds."""
    means = measured.scores.mean(axis=2)  # (sizes, seeds)
    lows: list[float | None] = [None] * len(measured.sizes)
    highs = list(lows)
    if means.shape[1] > 1:
        drawn, _ = _resampled(measured, None, seed)
        lows, highs = np.quantile(drawn, [(1 - level) / 2, 1 - (1 - level) / 2], axis=0).tolist()
    return [
        Point(n, float(of_seeds.mean()), low, high, tuple(map(float, of_seeds)))
        for n, of_seeds, low, high in zip(measured.sizes, means, lows, highs, strict=True)
    ]


def crossing(measured: Measured, prompt: Floats, *, level: float = 0.95, seed: int = 0) -> Crossing:
    """The size at which the students meet the prompt, `prompt` (rows,) being its scores on the same rows. With one seed there is no interval."""
    _, n_seeds, n_rows = measured.scores.shape
    n_star = size_at(measured.sizes, isotonic(measured.scores.mean(axis=(1, 2))), float(prompt.mean()))
    low = high = None
    if n_seeds > 1:
        curves, lines = _resampled(measured, prompt, seed)
        found = sorted(size_at(measured.sizes, isotonic(curve), line) for curve, line in zip(curves, lines, strict=True))
        # Order statistics, no interpolation: an interval's end may be "below the smallest size" or "beyond the largest", and no mean is taken with those.
        cut = math.floor(len(found) * (1 - level) / 2)
        low, high = found[cut], found[-1 - cut]
    censored: Censored | None = "<=" if n_star == -math.inf else ">" if n_star == math.inf else None
    return Crossing(_finite(n_star), _finite(low), _finite(high), censored, level, n_seeds, n_rows)


def ahead(points: Sequence[Point]) -> tuple[int, float, float] | None:
    """(size, low, high) at one doubling of the largest size: from no gain at all to the last doubling's gain again. None with fewer than two sizes.

    A band to say what to buy next, not a forecast: gains per doubling shrink in most learning curves, so the last one is taken as the most to hope for.
    """
    if len(points) < 2:
        return None
    last, before = points[-1], points[-2]
    gain = max(0.0, last.mean - before.mean) / math.log2(last.n / before.n)
    return 2 * last.n, last.mean, min(1.0, last.mean + gain)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _resampled(measured: Measured, prompt: Floats | None, seed: int) -> tuple[Floats, Floats]:
    """(resamples, sizes) curve means and (resamples,) prompt means, of the same draws of rows."""
    generator = np.random.default_rng(seed)
    n_sizes, n_seeds, _ = measured.scores.shape
    ids, at = np.unique(measured.groups, return_inverse=True)
    flat = measured.scores.reshape(n_sizes * n_seeds, -1)
    columns: Any = flat if prompt is None else np.vstack([flat, prompt])
    sums = np.zeros((len(columns), len(ids)))  # per group, so that a draw is one matrix product
    for number, column in enumerate(columns):
        sums[number] = np.bincount(at, weights=column, minlength=len(ids))
    counts = np.bincount(at, minlength=len(ids)).astype(float)
    weights = generator.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=N_RESAMPLES).astype(float)  # (resamples, groups)
    means = (weights @ sums.T) / (weights @ counts)[:, None]
    curves = means[:, : n_sizes * n_seeds].reshape(N_RESAMPLES, n_sizes, n_seeds)
    seeds = generator.integers(0, n_seeds, size=(N_RESAMPLES, 1, n_seeds))
    drawn = np.take_along_axis(curves, np.broadcast_to(seeds, curves.shape), axis=2).mean(axis=2)
    return drawn, means[:, -1]
