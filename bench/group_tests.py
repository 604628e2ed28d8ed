"""Other tests for rows in groups, held against the one that decides: are they right in the hard cases, and what would they gain?

    python -m bench.group_tests

Each sees, per group, the sum of (difference + margin) over its rows; what it has to refute is that its mean is 0 or less.

- Gaffke's bound with one unseen group of the cap's size, which decides (`stillhouse.evaluation.bounded`)
- a bet: wealth that grows by 1 + stake * sum, averaged over stakes; it passes where the wealth ever reaches 1 / error (Waudby-Smith & Ramdas 2024)
- the cluster-robust t: the sums' mean over its standard error, one degree of freedom less than there are groups. For one mean that is CR2 with the
  degrees of freedom of Bell & McCaffrey (2002), whose sums all weigh alike
- sign flips by group against the margin, which is the wild cluster bootstrap with the null imposed (Cameron, Gelbach & Miller 2008): all groups' sums get
  random signs; the t of a flip rises with its sum, so the sum is compared

Worlds at the margin are those of `bench/gate_groups.py`, and two in which all rows gain a little and few groups lose all. Beside them students that are as good.
The last column bounds what any test can do that holds whatever the groups are: where a world at the margin differs from this one only by rare groups of the
cap's size that lose all, a sample without such a group is as likely there but for the factor (1 - rate)^groups (Neyman & Pearson 1933).
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.gate_groups import CAP, losses_of, rate_at_margin, sizes_of
from bench.rates import shown
from stillhouse.evaluation.bounded import p_value, worst_case_means
from stillhouse.evaluation.spending import level_of_look

ERROR = 1 - level_of_look(1)
STAKES = np.linspace(0.02, 0.98, 25)  # of the most that cannot ruin
FLIPS = 999
OUT = Path(__file__).parent / "results" / "group_tests.json"
Generator = np.random.Generator
Draw = Callable[[Generator], tuple[np.ndarray, np.ndarray]]  # per group: the sum of differences, and the rows


def gaffke(sums: np.ndarray, sizes: np.ndarray, margin: float, cap: float) -> bool:
    return p_value(worst_case_means(sums, sizes, -1.0, cap), -margin) < ERROR


def bet(sums: np.ndarray, sizes: np.ndarray, margin: float, cap: float) -> bool:
    wins = (sums + margin * sizes) / ((1 - margin) * cap)  # -1 is the worst that a group can be
    logs = np.cumsum(np.log1p(STAKES[:, None] * wins), axis=1)
    return bool((np.exp(logs).mean(axis=0) >= 1 / ERROR).any())


def robust_t(sums: np.ndarray, sizes: np.ndarray, margin: float, cap: float) -> bool:
    values = sums + margin * sizes
    spread = values.std(ddof=1)
    if not spread:
        return bool(values.mean() > 0)
    return bool(stats.t.sf(values.mean() / (spread / np.sqrt(len(values))), len(values) - 1) < ERROR)


def sign_flips(sums: np.ndarray, sizes: np.ndarray, margin: float, cap: float) -> bool:
    values = sums + margin * sizes
    signs = np.random.default_rng(len(values)).choice(np.array([-1.0, 1.0]), (FLIPS, len(values)))
    return bool((1 + (signs @ values >= values.sum()).sum()) / (FLIPS + 1) < ERROR)


TESTS = {"Gaffke's bound": gaffke, "a bet": bet, "cluster-robust t": robust_t, "sign flips by group": sign_flips}


def at_margin(size_kind: str, loss_kind: str, n: int) -> Draw | None:
    rate = rate_at_margin(size_kind, loss_kind, np.random.default_rng(0))

    def draw(generator: Generator) -> tuple[np.ndarray, np.ndarray]:
        sizes = np.minimum(sizes_of(size_kind, n, generator), CAP)
        return -losses_of(loss_kind, sizes, rate or 0.0, generator), sizes

    return None if rate is None else draw


def few_lose_all(n: int, lost: float, margin: float) -> Draw:
    """Groups of 1 to 6 rows; those of a share `lost` lose all, and every other row gains so much that the mean is -margin."""

    def draw(generator: Generator) -> tuple[np.ndarray, np.ndarray]:
        sizes = generator.integers(1, 7, n).astype(float)
        return np.where(generator.random(n) < lost, -sizes, (lost - margin) / (1 - lost) * sizes), sizes

    return draw


def as_good(n: int, largest: int, differ: float, alike: float) -> Draw:
    """Groups of 1 to `largest` rows. A share of the rows differs, wins and losses alike; `alike`: how alike a group's rows are (beta-binomial)."""

    def draw(generator: Generator) -> tuple[np.ndarray, np.ndarray]:
        sizes = generator.integers(1, largest + 1, n)
        up, down = differ / 2, differ / 2
        if alike:
            shares = generator.dirichlet(np.array([up, down, 1 - up - down]) * (1 / alike - 1), n)
            counts = generator.multinomial(sizes, shares)
        else:
            counts = generator.multinomial(sizes, [up, down, 1 - up - down])
        return (counts[:, 0] - counts[:, 1]).astype(float), sizes.astype(float)

    return draw


def worlds() -> list[tuple[str, Draw, float, float, float | None]]:
    """(what, draw, margin, cap, rows of a group on average where the student is as good)."""
    found: list[tuple[str, Draw, float, float, float | None]] = []
    for size_kind in ("equal", "lognormal", "planted"):
        for loss_kind in ("rows", "groups", "large groups"):
            for n in (60, 300):
                draw = at_margin(size_kind, loss_kind, n)
                if draw is not None:
                    cap = 5 if size_kind == "equal" else CAP
                    found.append(
                        (f"at the margin: {size_kind} sizes, loss in {loss_kind}, {n} groups", draw, 0.05, cap, None)
                    )
    for n, lost in ((60, 0.06), (300, 0.06), (300, 0.10)):
        found.append(
            (
                f"at the margin: {lost:.0%} of {n} groups lose all, the others gain",
                few_lose_all(n, lost, 0.05),
                0.05,
                6,
                None,
            )
        )
    for n, largest, differ, alike, margin in (
        (60, 5, 0.10, 0.0, 0.05),
        (150, 5, 0.10, 0.0, 0.05),
        (300, 5, 0.10, 0.0, 0.05),
        (300, 5, 0.10, 0.2, 0.05),
        (400, 12, 0.144, 0.0, 0.03),
        (1000, 12, 0.144, 0.0, 0.03),
        (160, 12, 0.144, 0.0, 0.03),
    ):
        what = f"as good: {n} groups of 1 to {largest} rows, {differ:.0%} differ, margin {margin:.0%}" + (
            f", alike by {alike}" if alike else ""
        )
        found.append((what, as_good(n, largest, differ, alike), margin, largest, (1 + largest) / 2))
    return found


def most_power(n: int, mean_size: float, cap: float, margin: float) -> float:
    """The bound on any valid test's power. The rate of lost groups makes the mean over rows -margin."""
    rate = margin * mean_size / ((1 - margin) * cap + margin * mean_size)
    return float(min(1.0, ERROR / (1 - rate) ** n))


def main(trials: int = 1000) -> list[dict[str, Any]]:
    rows = []
    for number, (what, draw, margin, cap, mean_size) in enumerate(worlds()):
        passed = dict.fromkeys(TESTS, 0)
        for trial in range(trials):
            sums, sizes = draw(np.random.default_rng([41, number, trial]))
            for name, test in TESTS.items():
                passed[name] += test(sums, sizes, margin, cap)
        one: dict[str, Any] = {"what": what, "n": trials, "passed": {name: k / trials for name, k in passed.items()}}
        if mean_size is not None:
            one["most"] = round(most_power(len(sizes), mean_size, cap, margin), 4)
        print(json.dumps(one), file=sys.stderr, flush=True)
        rows.append(one)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| world | {' | '.join(TESTS)} | any test, at most |", f"|---|{'---|' * len(TESTS)}---|"]
    for row in rows:
        cells = " | ".join(shown(share, row["n"], with_n=False) for share in row["passed"].values())
        lines.append(
            f"| {row['what']} (n = {row['n']:,}) | {cells} | {row['most']:.0%} |"
            if "most" in row
            else f"| {row['what']} (n = {row['n']:,}) | {cells} | – |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"]:
        print(table(json.loads(OUT.read_text())))
    else:
        OUT.write_text(json.dumps(main(*map(int, sys.argv[1:])), indent=1) + "\n")
