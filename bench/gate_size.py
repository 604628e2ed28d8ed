"""How often the exact gate passes a student that is worse by exactly the margin: not simulated, and for every share of rows on which the two may differ.

The tables (b, c) that pass among n rows are found with the product's own test. The chance S(s) that one of them comes up, where the two differ on a share s of
the rows, is then summed over a grid of s from the margin to 1, and bounded between its points: on an interval of length h, S is at most the larger of its ends
plus h^2 / 8 times a bound of its second derivative (the error of linear interpolation).

That bound: with p1 = (s + d) / 2, p2 = (s - d) / 2 and d = -margin, each row's score u is 1 / (s + d), 1 / (s - d) or -1 / (1 - s), of mean 0. Then
S''(s) = E[W; pass] with W the sum of u_i u_j over pairs of different rows, E[W] = 0 and E[W^2] = 2 n (n - 1) E[u^2]^2, so |S''| <= E|W| / 2 <=
sqrt(n (n - 1) / 2) E[u^2], E[u^2] = 1 / (2 (s + d)) + 1 / (2 (s - d)) + 1 / (1 - s). At the ends of the range, where that grows beyond bounds, S is still a
polynomial: its second derivative is n (n - 1) times a sum over pairs of rows whose positive and whose negative weights are 2 each, so |S''| <= 2 n (n - 1).
"""

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stillhouse.evaluation.exact import exact_p, outside_of
from stillhouse.evaluation.spending import level_of_look
from stillhouse.numbers import confidence

OUT = Path(__file__).parent / "results" / "gate_size.json"
SIZES = ((60, 0.05), (100, 0.05), (200, 0.02), (300, 0.02), (500, 0.02), (1000, 0.02), (1000, 0.05), (2000, 0.02))
LEVEL = level_of_look(1)  # the level at which a first look decides: 96 %
SECOND = ((300, 0.05), (1000, 0.02))  # sizes that are summed at the level of a second look, too
SLACK = 5e-5  # the most that S may rise between two points of the grid
AGAIN = 3  # if so many tables in a row pass, each with one more win, all with still more wins are taken to pass
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """The largest chance of a pass on the grid and the share of differing rows at which it is; and a bound that holds at any share."""

    n: int
    margin: float
    level: float
    largest: float
    at_share: float
    at_most: float
    n_shares: int


def gate_size(n: int, margin: float, level: float = LEVEL) -> Size:
    """The size of the gate for one student on n rows that are right or wrong, without classes."""
    passing, shares = passing_tables(n, margin, level), grid(n, margin)
    chances = chance_of_pass(passing, n, shares, margin)
    highest = int(chances.argmax())
    rises = np.diff(shares) ** 2 / 8 * np.maximum(_curvature(shares[:-1], n, margin), _curvature(shares[1:], n, margin))
    at_most = float((np.maximum(chances[:-1], chances[1:]) + rises).max())
    return Size(n, margin, level, float(chances[highest]), float(shares[highest]), at_most, len(shares))


def passing_tables(n: int, margin: float, level: float = LEVEL) -> list[tuple[int, int]]:
    """The tables (b, c) that pass: on b rows the student alone is right, on c rows the teacher alone.

    For each c the search starts a little below the fewest wins that were enough for c - 1 losses.
    """
    found, start = [], 0
    for c in range(n + 1):
        in_a_row, fewest = 0, n + 1
        for b in range(start, n - c + 1):
            if exact_p(b, c, n, -margin, outside_of(level)) < 1 - level:
                found.append((b, c))
                fewest, in_a_row = min(fewest, b), in_a_row + 1
                if in_a_row == AGAIN:
                    found += [(more, c) for more in range(b + 1, n - c + 1)]
                    break
            else:
                in_a_row = 0
        start = max(0, fewest - AGAIN) if fewest <= n else n + 1
    return found


def chance_of_pass(passing: list[tuple[int, int]], n: int, shares: Floats, margin: float) -> Floats:
    """The chance of a pass at each share: the sum over the tables, a run of neighbouring wins at a time. (shares,)"""
    total = np.zeros(len(shares))
    for c, low, high in _runs(passing):
        p1, p2 = (shares - margin) / 2, (shares + margin) / 2
        weight = np.exp(
            special.gammaln(n + 1)
            - special.gammaln(c + 1)
            - special.gammaln(n - c + 1)
            + special.xlogy(c, p2)
            + special.xlog1py(n - c, -p2)
        )
        wins = np.clip(p1 / np.maximum(1 - p2, 1e-300), 0, 1)
        rest = n - c
        total += weight * (special.bdtr(high, rest, wins) - (special.bdtr(low - 1, rest, wins) if low else 0.0))
    return total


def _runs(passing: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Runs of tables with equal c and neighbouring b, as (c, least b, most b)."""
    runs: list[tuple[int, int, int]] = []
    for b, c in sorted(passing, key=lambda pair: (pair[1], pair[0])):
        if runs and runs[-1][0] == c and runs[-1][2] == b - 1:
            runs[-1] = (c, runs[-1][1], b)
        else:
            runs.append((c, b, b))
    return runs


def grid(n: int, margin: float) -> Floats:
    """Shares from the margin to 1, near enough to each other that S rises by no more than about `SLACK` between two."""
    shares = [margin]
    while shares[-1] < 1:
        step = math.sqrt(8 * SLACK / float(_curvature(np.array([shares[-1]]), n, margin)[0]))
        shares.append(min(1.0, shares[-1] + step))
    return np.array(shares)


def _curvature(shares: Floats, n: int, margin: float) -> Floats:
    """A bound of |S''| at each share. On an interval no bound is larger than the larger one of its two ends."""
    with np.errstate(divide="ignore"):
        information = 0.5 / (shares - margin) + 0.5 / (shares + margin) + 1 / (1 - shares)
    bound: Floats = np.minimum(math.sqrt(n * (n - 1) / 2) * information, 2.0 * n * (n - 1))
    return bound


def main() -> dict[str, Any]:
    found = []
    first = [(*size, LEVEL) for size in SIZES]
    for n, margin, level in [*first, *((*size, level_of_look(2)) for size in SECOND)]:
        found.append(asdict(gate_size(n, margin, level)))
        print(f"size of the gate: {found[-1]}", file=sys.stderr, flush=True)
    return {"sizes": found}


def table(found: dict[str, Any]) -> str:
    """For docs/verdict.md."""
    lines = [
        "| rows | margin | level | error wanted | largest chance of a pass among the shares summed | at a share of | at most, at any share |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found["sizes"]:
        summed = f"{one['largest']:.3%} (n = {one['n_shares']:,} shares)"
        lines.append(
            f"| {one['n']:,} | {one['margin']:.2f} | {confidence(one['level'])} | {1 - one['level']:.2%} | {summed} | {one['at_share']:.1%} | {one['at_most']:.3%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(json.loads(OUT.read_text(encoding="utf-8"))))
