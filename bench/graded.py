"""Scores in between: how often a gain is claimed where there is none, and how often a student at the margin passes.

A section of `python -m bench.verdict graded`. On most rows a system's score is a little above the other's, and on few it loses all; the true difference is what
the case says. Rows stand alone, or come in groups that are lost whole. A claim is "better" (or "examples help"), at half of a first look's error; beside it is
what the interval shown, a BCa bootstrap, would have claimed on the same draws.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.rates import interval, shown
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.evaluation.spending import level_of_look
from stillhouse.results.row_result import RowResult

LEVEL, MARGIN = level_of_look(1), 0.05
Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray | None]]


def _losses(n: int, loss: float, mean: float) -> Draw:
    """Differences of n rows: 0.95 lost on a share `loss` of them, else a small gain so that the mean is `mean`."""

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, None]:
        gain = (mean + 0.95 * loss) / (1 - loss) + generator.uniform(-0.005, 0.005, n)
        return np.where(generator.random(n) < loss, -0.95, gain), None

    return draw


def _groups(n: int, loss: float, mean: float) -> Draw:
    """The same for groups of 1 to 6 rows, each lost whole."""

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        sizes = generator.integers(1, 7, n)
        lost = np.repeat(generator.random(n) < loss, sizes)
        gain = (mean + 0.95 * loss) / (1 - loss) + generator.uniform(-0.005, 0.005, len(lost))
        return np.where(lost, -0.95, gain), np.repeat(np.arange(n), sizes)

    return draw


CASES: list[tuple[str, str, Draw]] = [
    ("better", "no gain, a loss on 2 % of 40 rows", _losses(40, 0.02, 0.0)),
    ("better", "no gain, a loss on 2 % of 200 rows", _losses(200, 0.02, 0.0)),
    ("better", "no gain, 2 % of 30 groups lost", _groups(30, 0.02, 0.0)),
    ("better", "no gain, 2 % of 60 groups lost", _groups(60, 0.02, 0.0)),
    ("better", "no gain, 2 % of 100 groups lost", _groups(100, 0.02, 0.0)),
    ("pass", "at the margin, a loss on 6 % of 40 rows", _losses(40, 0.06, -MARGIN)),
    ("pass", "at the margin, a loss on 6 % of 200 rows", _losses(200, 0.06, -MARGIN)),
    ("pass", "at the margin, 6 % of 60 groups lost", _groups(60, 0.06, -MARGIN)),
]


def graded(draws: int = 1000) -> list[dict[str, Any]]:
    found = []
    for number, (claim, what, draw) in enumerate(CASES):
        tested = by_interval = 0
        for trial in range(draws):
            differences, groups = draw(np.random.default_rng([29, number, trial]))
            gate = decide_gate(*_arms(differences, groups), margin=MARGIN, level=LEVEL, classes="none")
            low = gate.difference.low
            if claim == "better":
                tested += gate.better
                by_interval += low is not None and low > 0
            else:
                tested += gate.answer == "pass"
                by_interval += low is not None and low > -MARGIN
        wanted = (1 - LEVEL) / 2 if claim == "better" else 1 - LEVEL
        found.append(
            {
                "claim": claim,
                "case": what,
                "draws": draws,
                "wanted": wanted,
                "claimed": tested / draws,
                **interval(tested, draws),
                "by_interval": by_interval / draws,
            }
        )
        print(f"graded, {what}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def _arms(differences: np.ndarray, groups: np.ndarray | None) -> list[list[RowResult]]:
    names = [None] * len(differences) if groups is None else [str(group) for group in groups]
    return [
        [
            RowResult(id=str(i), group=name, gold="x", output="y", score=float(score))
            for i, (score, name) in enumerate(zip(scores, names, strict=True))
        ]
        for scores in (np.clip(0.95 + differences, 0, 1), np.full(len(differences), 0.95))
    ]


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| scores in between | claim | at most wanted | claimed | by the interval shown |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['case']} | {one['claim']} | {one['wanted']:.0%} | {shown(one['claimed'], one['draws'])} "
        f"| {shown(one['by_interval'], one['draws'], with_n=False)} |"
        for one in found
    ]
    return "\n".join(lines)
