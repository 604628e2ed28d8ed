"""Rows of one input: how often the gate passes a student that loses exactly the margin, as traffic, as files, and where it is not said which.

Run as a section of `python -m bench.verdict copies`. The teacher is always right. A world draws the texts of the test rows and says which texts the student gets
wrong. In a world of traffic the lost inputs weigh the margin among calls; in a world of files they are the margin among inputs. So in each world one rule has to
hold at 4 %, the error of a first look, "not set" has to hold in all of them, and the other rule shows what it would have cost to take one for the other.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.rates import shown
from stillhouse.data.copies import CopyRule
from stillhouse.data.measured_rows import measured_rows
from stillhouse.evaluation.paired import Paired
from stillhouse.evaluation.spending import level_of_look
from stillhouse.records import Example
from stillhouse.results.row_result import RowResult

MARGIN, LEVEL = 0.02, level_of_look(1)  # the level at which a first look decides: 96 %
RULES: dict[str, CopyRule] = {"traffic": "traffic", "files": "files", "not set": None}
Draw = Callable[[np.random.Generator], tuple[list[str], set[str]]]


def _traffic(weights_of_lost: tuple[float, ...], n: int, n_inputs: int = 400) -> Draw:
    """Calls of inputs whose weights fall as 1 / rank; the lost inputs have these weights, which sum to the margin."""
    usual = 1 / np.arange(1, n_inputs + 1)
    weights = np.append(usual / usual.sum() * (1 - MARGIN), weights_of_lost)

    def draw(generator: np.random.Generator) -> tuple[list[str], set[str]]:
        drawn = generator.choice(len(weights), n, p=weights / weights.sum())
        return [f"input {number}" for number in drawn], {f"input {number}" for number in range(n_inputs, len(weights))}

    return draw


def _files(n: int, copies_of_right: int, copies_of_lost: int) -> Draw:
    """Inputs of which each is lost with the margin as chance; a right or a lost one is in the file up to so many times."""

    def draw(generator: np.random.Generator) -> tuple[list[str], set[str]]:
        lost = generator.random(n) < MARGIN
        counts = generator.integers(1, np.where(lost, copies_of_lost, copies_of_right) + 1)
        texts = [f"input {number}" for number, count in enumerate(counts) for _ in range(count)]
        return texts, {f"input {number}" for number in np.flatnonzero(lost)}

    return draw


WORLDS: dict[str, Draw] = {
    "traffic, one lost input": _traffic((MARGIN,), 800, 2000),
    "traffic, three lost inputs": _traffic((0.012, 0.006, 0.002), 300),
    "traffic, 40 rare lost inputs": _traffic((MARGIN / 40,) * 40, 151),
    "file, right inputs up to 8 times": _files(151, 8, 1),
    "file, lost inputs up to 8 times": _files(300, 1, 8),
    "file, all up to 5 times": _files(151, 5, 5),
}


def passes(texts: list[str], lost: set[str], rule: CopyRule) -> bool:
    """Whether the student is shown to be above the margin in every way in which the rows count."""
    examples = [Example(str(number), text, "x") for number, text in enumerate(texts)]
    measured = measured_rows("test", examples, examples, rule, trained_texts=())
    ways = [reading.groups for reading in measured.readings] or [{row.id: row.group for row in measured.rows}]
    for groups in ways:
        rows = [row for row in measured.rows if row.id in groups]
        own = [_answer(row, float(row.text not in lost)) for row in rows]
        if Paired(own, [_answer(row, 1.0) for row in rows], level=LEVEL).p_above(-MARGIN) >= 1 - LEVEL:
            return False
    return True


def _answer(row: Example, score: float) -> RowResult:
    return RowResult(id=row.id, group=None, gold="x", output="x", score=score)


def copies(draws: int = 1000) -> list[dict[str, Any]]:
    """The share of draws in which the student passes, by world and rule."""
    found = []
    for number, (world, draw) in enumerate(WORLDS.items()):
        passed = dict.fromkeys(RULES, 0)
        for trial in range(draws):
            texts, lost = draw(np.random.default_rng([23, number, trial]))
            for name, rule in RULES.items():
                passed[name] += passes(texts, lost, rule)
        found.append(
            {"world": world, "draws": draws, "passed": {name: count / draws for name, count in passed.items()}}
        )
        print(f"copies, {world}: {found[-1]['passed']}", file=sys.stderr, flush=True)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """The table of docs/verdict.md."""
    lines = ['| a student at the margin | passes with `"traffic"` | with `"files"` | not set |', "|---|---|---|---|"]
    for one in found:
        shares = " | ".join(shown(one["passed"][name], one["draws"], with_n=False) for name in RULES)
        lines.append(f"| {one['world']} (n = {one['draws']}) | {shares} |")
    return "\n".join(lines)
