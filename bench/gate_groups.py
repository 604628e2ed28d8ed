"""Students in groups that are worse by exactly the margin: how often the gate passes them, at most 4 % wanted at a first look.

    python -m bench gate_groups

Group sizes: equal, lognormal (sigma 1.5), and one in twenty planted large. Loss: the same in every row, in whole groups
(a share of groups loses everything), or only in large groups. Sizes are cut at the cap before anything is counted, as
`stillhouse` does it, and the true mean is that of the groups as cut: it is set to exactly -margin.

Beside it, what the gate did before groups had a cap: the unseen group of mean size, at 95 %, on the same draws.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.progress import Steps
from bench.rates import shown
from stillhouse.evaluation.bounded import p_value, worst_case_means
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.evaluation.spending import level_of_look

MARGIN, CAP, LEVEL, BEFORE = 0.05, 20, level_of_look(1), 0.95
OUT = Path(__file__).parent / "results" / "gate_groups.json"
TRIALS = 1000
SIZES = {
    "equal": "equal, 5 rows",
    "lognormal": "lognormal, sigma 1.5",
    "planted": "one in twenty of 100 rows, else 3",
}


def sizes_of(kind: str, n: int, generator: np.random.Generator) -> np.ndarray:
    """Rows of each of n groups, before the cap."""
    if kind == "equal":
        return np.full(n, 5.0)
    if kind == "lognormal":
        return np.ceil(generator.lognormal(0.5, 1.5, n))
    return np.where(generator.random(n) < 0.05, 100.0, 3.0)


def losses_of(kind: str, sizes: np.ndarray, rate: float, generator: np.random.Generator) -> np.ndarray:
    """Rows lost in each group; `rate` is the chance of a loss where there can be one."""
    if kind == "rows":
        return generator.binomial(sizes.astype(int), rate).astype(float)
    if kind == "groups":
        return sizes * (generator.random(len(sizes)) < rate)
    return np.where(sizes >= CAP, sizes * (generator.random(len(sizes)) < rate), 0.0)


def rate_at_margin(size_kind: str, loss_kind: str, generator: np.random.Generator) -> float | None:
    """The rate at which the mean over rows is exactly -MARGIN; None: no rate is high enough."""
    sizes = np.minimum(sizes_of(size_kind, 1_000_000, generator), CAP)
    able = sizes[sizes >= CAP].sum() / sizes.sum() if loss_kind == "large groups" else 1.0
    rate = MARGIN / able if able else 2.0
    return float(rate) if rate <= 1 else None


def main(trials: int = TRIALS) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    step = Steps()
    kinds = [
        (sizes, loss, n)
        for sizes in ("equal", "lognormal", "planted")
        for loss in ("rows", "groups", "large groups")
        for n in (60, 300)
    ]
    for number, (size_kind, loss_kind, n) in enumerate(kinds):
        step("gate on groups", number / len(kinds))
        generator = np.random.default_rng(0)
        rate = rate_at_margin(size_kind, loss_kind, generator)
        if rate is None:
            continue
        passed = before = 0
        for _ in range(trials):
            sizes = np.minimum(sizes_of(size_kind, n, generator), CAP)
            sums = -losses_of(loss_kind, sizes, rate, generator)
            passed += p_value(worst_case_means(sums, sizes, -1.0, CAP), -MARGIN) < 1 - LEVEL
            before += p_value(worst_case_means(sums, sizes, -1.0, float(sizes.mean())), -MARGIN) < 1 - BEFORE
        low, high = clopper_pearson(passed, trials)
        rows.append(
            {
                "sizes": size_kind,
                "loss in": loss_kind,
                "groups": n,
                "passed": passed / trials,
                "low": low,
                "high": high,
                "passed before": before / trials,
                "n": trials,
            }
        )
    step("gate on groups", 1.0)
    return {"margin": MARGIN, "cap": CAP, "level": LEVEL, "rows": rows}


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| sizes | loss in | groups | passed, at most 4 % wanted | before, at 95 % |", "|---|---|---|---|---|"]
    for row in rows:
        seen, before = shown(row["passed"], row["n"]), shown(row["passed before"], row["n"], with_n=False)
        lines.append(f"| {SIZES[row['sizes']]} | {row['loss in']} | {row['groups']} | {seen} | {before} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(main(*map(int, sys.argv[1:]))["rows"]))
