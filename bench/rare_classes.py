"""Many uneven classes, most of them rare: does the gate let a good student through, and does it see a class that is lost?

A section of `python -m bench.verdict rare_classes`. 52 topics share 2,553 test rows as 1 / rank ** 1.5, at least one row each: the counts of a news wire. The
counts are the same in every draw; who is right is drawn. Under each of the three rules of `[gate] classes`.
"""

import sys
from typing import Any

import numpy as np

from bench.rates import interval, shown
from stillhouse.evaluation.class_gates import ClassRule, class_parts
from stillhouse.evaluation.margin_gate import decide_gate, rows_of_a_class
from stillhouse.evaluation.paired import Paired
from stillhouse.evaluation.spending import level_of_look
from stillhouse.results.row_result import RowResult

LEVEL, MARGIN, N_TOPICS, N_ROWS = level_of_look(1), 0.05, 52, 2553
DIFFER = 0.08  # the share of rows on which only one of the two is right
RULES: tuple[ClassRule, ...] = ("pooled", "all", "none")


def counts() -> list[int]:
    weights = 1 / np.arange(1, N_TOPICS + 1) ** 1.5
    rows = np.maximum(1, np.round(weights / weights.sum() * N_ROWS)).astype(int)
    rows[0] += N_ROWS - rows.sum()
    return [int(n) for n in rows]


def _differences(kind: str, topics: np.ndarray) -> np.ndarray:
    """What the student loses or gains in truth on each row."""
    rare = np.array(counts())[topics] < rows_of_a_class(MARGIN, LEVEL)
    if kind == "1.4 points better in each":
        return np.full(len(topics), 0.014)
    if kind == "as good, the topic of 22 rows lost":
        lost = next(number for number, n in enumerate(counts()) if n <= 22)
        return np.where(topics == lost, -0.9, 0.0)
    if kind == "as good in common topics, at the margin in all rare ones":
        return np.where(rare, -MARGIN, 0.0)
    return np.full(len(topics), -MARGIN)


KINDS = (
    ("1.4 points better in each", "pass"),
    ("as good, the topic of 22 rows lost", "fail"),
    ("as good in common topics, at the margin in all rare ones", "cannot tell"),
    ("at the margin in each", "cannot tell"),
)


def rare_classes(draws: int = 80) -> list[dict[str, Any]]:
    topics = np.repeat(np.arange(N_TOPICS), counts())
    labels = [f"topic {number}" for number in range(N_TOPICS)]
    found = []
    for number, (kind, right) in enumerate(KINDS):
        answers = {rule: dict.fromkeys(("pass", "fail", "cannot tell"), 0) for rule in RULES}
        differences = _differences(kind, topics)
        for draw in range(draws):
            arms = _arms(np.random.default_rng([31, number, draw]), topics, differences)
            for rule in RULES:
                gate = decide_gate(*arms, margin=MARGIN, level=LEVEL, labels=labels, classes=rule)
                answers[rule][gate.answer] += 1
        found.append(
            {
                "student": kind,
                "right": right,
                "draws": draws,
                "answers": answers,
                "passes": {rule: interval(of["pass"], draws) for rule, of in answers.items()},
            }
        )
        print(f"rare classes, {kind}: {answers}", file=sys.stderr, flush=True)
    return [*found, at_the_margin_in_rare_topics()]


def at_the_margin_in_rare_topics(draws: int = 1500) -> dict[str, Any]:
    """The third student again in more draws, under the rule "pooled": the tests that have to pass, and nothing else."""
    topics = np.repeat(np.arange(N_TOPICS), counts())
    labels, least = [f"topic {number}" for number in range(N_TOPICS)], rows_of_a_class(MARGIN, LEVEL)
    differences, passed = _differences(KINDS[2][0], topics), 0
    for draw in range(draws):
        pairs = Paired(*_arms(np.random.default_rng([31, 9, draw]), topics, differences), None, LEVEL)
        tested = class_parts(pairs, labels, "pooled", least).tested.values()
        passed += all(part.p_above(-MARGIN) < 1 - LEVEL for part in (pairs, *tested))
    return {"student": f"{KINDS[2][0]}, again", "draws": draws, "passed": passed / draws, **interval(passed, draws)}


def _arms(generator: np.random.Generator, topics: np.ndarray, differences: np.ndarray) -> list[list[RowResult]]:
    spread = np.maximum(DIFFER, np.abs(differences))
    draw = generator.random(len(topics))
    student = np.where(draw < (spread - differences) / 2, 0.0, 1.0)
    teacher = np.where((draw >= (spread - differences) / 2) & (draw < spread), 0.0, 1.0)
    return [
        [
            RowResult(id=str(i), group=None, gold=f"topic {topic}", output="x", score=float(score))
            for i, (topic, score) in enumerate(zip(topics, scores, strict=True))
        ]
        for scores in (student, teacher)
    ]


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        f"| 52 topics, 2,553 rows: the student is | {' | '.join(f'passes, {rule} | fails, {rule}' for rule in RULES)} |"
    ]
    lines.append("|---|" + "---|" * (2 * len(RULES)))
    for one in found:
        if "passed" in one:
            lines.append(f"| {one['student']} | {shown(one['passed'], one['draws'])} | – | – | – | – | – |")
            continue
        cells = [
            f"{shown(one['answers'][rule][answer] / one['draws'], one['draws'], 0, with_n=False)}"
            for rule in RULES
            for answer in ("pass", "fail")
        ]
        lines.append(f"| {one['student']} (n = {one['draws']}) | {' | '.join(cells)} |")
    return "\n".join(lines)
