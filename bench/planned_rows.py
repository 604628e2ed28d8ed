"""The rows that are planned for a look: how often a student as good as the prompt passes on them, at that look's level. Four of five are promised.

A section of `python -m bench.verdict planned_rows`. The student differs from the prompt on a share of the rows. Beside it: the rows of a normal approximation,
which were planned before.
"""

import sys
from typing import Any

import numpy as np

from bench.rates import interval, shown
from stillhouse.evaluation.exact import exact_p, outside_of
from stillhouse.evaluation.margin_gate import fewest_rows, normal_rows_needed, rows_needed
from stillhouse.evaluation.spending import level_of_look

CASES = [(k, share, 0.05) for k in (1, 2, 3, 5, 10) for share in (0.10, 0.02)] + [(1, 0.10, 0.02), (3, 0.10, 0.02)]


def planned_rows(draws: int = 1000) -> list[dict[str, Any]]:
    found = []
    for k, share, margin in CASES:
        level = level_of_look(k)
        normal = max(fewest_rows(margin, level), normal_rows_needed(share, 0.0, margin, level) or 0)
        planned = {"rows": rows_needed(share, 0.0, margin, level) or 0, "before": normal}
        one: dict[str, Any] = {"look": k, "level": level, "differ": share, "margin": margin, "draws": draws}
        for name, n in planned.items():
            drawn = np.random.default_rng([37, k, n]).multinomial(n, [share / 2, share / 2, 1 - share], draws)
            passed = sum(exact_p(int(b), int(c), n, -margin, outside_of(level)) < 1 - level for b, c, _ in drawn)
            one[name] = {"n": n, "passed": passed / draws, **interval(passed, draws)}
        found.append(one)
        print(f"planned rows: {one}", file=sys.stderr, flush=True)
    return found


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| look | margin | rows differ | rows planned | pass, 80 % promised | rows planned before | passed |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        new, old = one["rows"], one["before"]
        lines.append(
            f"| {one['look']} | {one['margin']:.2f} | {one['differ']:.0%} | {new['n']:,} | {shown(new['passed'], one['draws'])} "
            f"| {old['n']:,} | {shown(old['passed'], one['draws'], with_n=False)} |"
        )
    return "\n".join(lines)
