"""Rows that "would tell" where scores lie in between or rows are in groups: how often a student as good as the prompt passes on them; 80 % is wanted.

    python -m bench.planned_groups

A first set of groups, too small to tell, is measured, the rows are planned from it, and as many are drawn anew. The difference is taken to stay at nothing,
which is what it is. Beside it: the rows that were planned before, as if rows stood alone and were right or wrong.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.group_tests import Draw, Generator, as_good
from bench.rates import interval, shown
from stillhouse.evaluation.bound_power import groups_needed, moments
from stillhouse.evaluation.bounded import p_value, worst_case_means
from stillhouse.evaluation.margin_gate import rows_needed
from stillhouse.evaluation.spending import level_of_look

LEVEL = level_of_look(1)
MANY = 2000  # groups from which on it is not drawn how often they pass: far more than enough
OUT = Path(__file__).parent / "results" / "planned_groups.json"


def graded(n: int, lost: float, spread: float) -> Draw:
    """Rows that stand alone: a share loses 0.95, the others gain so much that nothing is lost on average."""

    def draw(generator: Generator) -> tuple[np.ndarray, np.ndarray]:
        gain = 0.95 * lost / (1 - lost) + generator.normal(0, spread, n)
        return np.where(generator.random(n) < lost, -0.95, np.clip(gain, -1, 1)), np.ones(n)

    return draw


# what, draw of n groups, margin, cap, groups of the first set
CASES: list[tuple[str, Any, float, float, int]] = [
    ("graded rows, their difference has a standard deviation of 0.1", lambda n: graded(n, 0.0, 0.1), 0.02, 1, 100),
    ("graded rows, 6 % lose all", lambda n: graded(n, 0.06, 0.05), 0.05, 1, 70),
    ("graded rows, 2 % lose all", lambda n: graded(n, 0.02, 0.05), 0.05, 1, 40),
    ("graded rows, 0.5 % lose all", lambda n: graded(n, 0.005, 0.02), 0.02, 1, 80),
    ("groups of 1 to 5, 10 % of rows differ", lambda n: as_good(n, 5, 0.10, 0.0), 0.05, 5, 60),
    ("the same, alike by 0.3", lambda n: as_good(n, 5, 0.10, 0.3), 0.05, 5, 80),
    ("groups of 1 to 5, 2 % of rows differ", lambda n: as_good(n, 5, 0.02, 0.2), 0.05, 5, 45),
    ("groups of 1 to 12, 14 % of rows differ", lambda n: as_good(n, 12, 0.144, 0.0), 0.03, 12, 115),
    ("groups of 1 to 12, a cap of 20, alike by 0.1", lambda n: as_good(n, 12, 0.10, 0.1), 0.05, 20, 90),
]


def main(draws: int = 300) -> list[dict[str, Any]]:
    found = []
    for number, (what, of, margin, cap, few) in enumerate(CASES):
        passed, rows, before, passed_before = 0, [], [], 0
        for trial in range(draws):
            sums, sizes = of(few)(np.random.default_rng([43, number, trial, 0]))
            per_group = float(sizes.mean())
            n = groups_needed(moments(sums + margin * sizes, margin * per_group), (1 - margin) * cap, LEVEL, 0.8)
            assert n is not None
            rows.append(n * per_group)
            passed += _passes(of(n)(np.random.default_rng([43, number, trial, 1])), margin, cap)
            differ = min(1.0, (float((sums != 0).sum() if cap == 1 else np.abs(sums).sum()) + 1) / (sizes.sum() + 2))
            old = max(2, round((rows_needed(differ, 0.0, margin, LEVEL) or 0) / per_group))
            before.append(old * per_group)
            if old < MANY:
                passed_before += _passes(of(old)(np.random.default_rng([43, number, trial, 2])), margin, cap)
        one = {
            "what": what,
            "margin": margin,
            "draws": draws,
            "rows": float(np.median(rows)),
            "passed": passed / draws,
            **interval(passed, draws),
            "rows before": float(np.median(before)),
            "passed before": passed_before / draws if max(before) / per_group < MANY else None,
        }
        found.append(one)
        print(json.dumps(one), file=sys.stderr, flush=True)
    return found


def _passes(drawn: tuple[np.ndarray, np.ndarray], margin: float, cap: float) -> bool:
    return p_value(worst_case_means(*drawn, -1.0, cap), -margin) < 1 - LEVEL


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| a student as good as the prompt | margin | rows planned, median | pass, 80 % wanted | planned before | passed |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        now = f"{one['rows']:,.0f} | {shown(one['passed'], one['draws'])}"
        rate = one["passed before"]
        old = f"{one['rows before']:,.0f} | {'–' if rate is None else shown(rate, one['draws'], with_n=False)}"
        lines.append(f"| {one['what']} | {one['margin']:.2f} | {now} | {old} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"]:
        print(table(json.loads(OUT.read_text())))
    else:
        OUT.write_text(json.dumps(main(*map(int, sys.argv[1:])), indent=1) + "\n")
