"""A test against an earlier one: what is worse, what cannot be told, and which parts share the error rate."""

import pytest

from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.flow_tests.baseline import compare
from stillhouse.results.flow_test import CaseResult, FlowResult, PartResult
from stillhouse.results.row_result import RowResult


def part_of(name, scores, outputs=None, kind="step"):
    rows = tuple(
        CaseResult(
            id=str(i),
            key="key",
            score=score,
            expected="x",
            output=(outputs or {}).get(i, "x" if score == 1 else "y"),
            error=None,
            run="run",
            latency_s=None,
            cost_usd=None,
        )
        for i, score in enumerate(scores)
    )
    return PartResult(
        name=name,
        kind=kind,
        metrics=("accuracy",),
        score=None,
        rows=rows,
        cost_usd_per_1000=None,
        latency_p50_s=None,
    )


def compared(now, then, margin=0.02):
    earlier = {part.name: {row.id: row for row in part.rows} for part in then}
    against = compare(now, earlier, margin, "tests-1.json")
    tested = FlowResult(
        flow="main",
        app="app.py:main",
        created="",
        models={},
        offline=False,
        parts=tuple(now),
        paths=(),
        gap=None,
        missing=(),
        baseline="tests-1.json",
        margin=margin,
        against=against,
    )
    return {one.name: one for one in against}, tested.outcome


RIGHT = [1.0] * 30
THREE_WRONG = [0.0] * 3 + [1.0] * 27


@pytest.mark.parametrize(
    ("then", "now", "answer", "outcome"),
    [
        (RIGHT, RIGHT, "cannot tell", "passed"),  # unchanged, so nothing is to be told
        (RIGHT, THREE_WRONG, "cannot tell", "cannot tell"),
        ([1.0] * 300, [0.0] * 60 + [1.0] * 240, "fail", "failed"),
        ([0.0] * 3 + [1.0] * 397, [1.0] * 400, "pass", "passed"),
        ([1.0] * 400, [1.0] * 400, "pass", "passed"),
        (THREE_WRONG, [1.0] * 3 + [0.0] * 3 + [1.0] * 24, "cannot tell", "cannot tell"),
    ],
)
def test_only_what_is_shown_or_unchanged_passes(then, now, answer, outcome):
    against, got = compared([part_of("main", now)], [part_of("main", then)])
    assert (against["main"].answer, got) == (answer, outcome)


def test_another_answer_of_the_same_score_is_a_change():
    against, outcome = compared([part_of("main", [0.0] * 9, {4: "z"})], [part_of("main", [0.0] * 9)])
    assert not against["main"].unchanged
    assert outcome == "cannot tell"
    assert "cannot tell whether" in against["main"].sentence


def test_an_unchanged_part_says_so_and_names_no_bound():
    against, _ = compared([part_of("main", RIGHT)], [part_of("main", RIGHT)])
    assert against["main"].sentence == "main: the same answers as before in all of 30 cases"


def test_unchanged_parts_take_no_share_of_the_error_rate():
    worse = [0.0] * 7 + [1.0] * 93
    alone = decide_gate(
        [RowResult(id=str(i), group=None, gold="x", output="x", score=score) for i, score in enumerate(worse)],
        [RowResult(id=str(i), group=None, gold="x", output="x", score=1.0) for i in range(100)],
        margin=0.02,
    )
    assert alone.answer == "fail"  # at 95 %, and it would not be at 99 %
    untouched = [part_of(f"step {i}", [1.0] * 100) for i in range(9)]
    against, _ = compared([part_of("main", worse), *untouched], [part_of("main", [1.0] * 100), *untouched])
    assert against["main"].answer == "fail"
    changed = [part_of(f"step {i}", [1.0] * 100, {0: "X"}) for i in range(9)]
    against, outcome = compared([part_of("main", worse), *changed], [part_of("main", [1.0] * 100), *untouched])
    assert against["main"].answer == "cannot tell"  # ten parts could fail, so each is asked for more
    assert outcome == "cannot tell"


def test_every_part_must_pass_so_passing_needs_no_correction():
    rows = [0.0] + [1.0] * 235  # one case worse: passes at 95 %, and would not at 99.5 %
    parts = [part_of(f"step {i}", rows) for i in range(10)]
    against, outcome = compared(parts, [part_of(f"step {i}", [1.0] * 236) for i in range(10)])
    assert {one.answer for one in against.values()} == {"pass"}
    assert outcome == "passed"
