"""A test against an earlier one: what is worse, what cannot be told, and which parts share the error rate."""

from dataclasses import replace

import pytest

from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.flow_tests.baseline import compare, not_compared
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


def keyed(name, keys, wrong=(), kind="step", ids=None):
    """A part of these cases, each with its own key; those of `wrong` are."""
    part = part_of(name, [0.0 if key in wrong else 1.0 for key in keys], kind=kind)
    ids = ids or [str(at) for at in range(len(keys))]
    rows = tuple(replace(row, key=key, id=id_) for row, key, id_ in zip(part.rows, keys, ids, strict=True))
    return replace(part, rows=rows)


def test_cases_are_the_same_by_what_they_ask_and_not_by_the_line_that_they_stand_on():
    """A line put in before all others moves every id that is a line number."""
    against, outcome = compared([keyed("main", "xabc", wrong="b")], [keyed("main", "abc")])
    assert (against["main"].difference.n, against["main"].n_left_out) == (3, 1)
    assert "(0 better, 1 worse)" in against["main"].sentence and outcome == "cannot tell"
    twice = keyed("main", "aab", wrong="b"), keyed("main", "baa", ids="201")
    assert compared([twice[0]], [twice[1]])[0]["main"].difference.n == 3


def test_a_case_without_a_score_is_left_out_and_not_said_to_be_in_one_test_alone():
    then = keyed("main", "abcd")
    now = replace(then, rows=(replace(then.rows[0], score=None), *then.rows[1:]))
    against, _ = compared([now], [then])
    assert (
        against["main"].sentence
        == "main: the same answers as before in all of 3 cases; 1 without a score in both were left out"
    )
    assert against["main"].n_left_out == 1


APART = [
    # parts now, parts then, what is said of those apart, outcome
    (
        "added, all right",
        ["ab", "cd"],
        ["ab"],
        ["part 1: is not in the baseline, so it is not compared; 0 of 2 cases wrong"],
        "passed",
    ),
    (
        "added, one wrong",
        ["ab", "cW"],
        ["ab"],
        ["part 1: is not in the baseline, so it is not compared; 1 of 2 cases wrong"],
        "cannot tell",
    ),
    ("removed", ["ab"], ["ab", "cd"], ["part 1: is in the baseline alone (2 cases), so it is not compared"], "passed"),
    (
        "other cases, right",
        ["ab", "cd"],
        ["ab", "ef"],
        ["part 1: has no case that is in the baseline, so it is not compared; 0 of 2 cases wrong"],
        "passed",
    ),
    (
        "other cases, wrong",
        ["ab", "W"],
        ["ab", "ef"],
        ["part 1: has no case that is in the baseline, so it is not compared; 1 of 1 case wrong"],
        "cannot tell",
    ),
    ("nothing apart", ["ab", "cd"], ["ab", "cd"], [], "passed"),
]


@pytest.mark.parametrize(
    ("now", "then", "says", "outcome"), [case[1:] for case in APART], ids=[case[0] for case in APART]
)
def test_a_part_that_cannot_be_compared_is_named_and_passes_only_if_nothing_in_it_is_wrong(now, then, says, outcome):
    now, then = ([keyed(f"part {at}", keys, wrong="W") for at, keys in enumerate(parts)] for parts in (now, then))
    earlier = {part.name: {row.id: row for row in part.rows} for part in then}
    against, got = compared(now, then)
    assert list(not_compared(now, earlier, list(against.values()))) == says
    assert got == outcome


def test_where_nothing_could_be_scored_nothing_has_passed():
    then = keyed("main", "ab")
    unscored = replace(then, rows=tuple(replace(row, score=None) for row in then.rows))
    against, outcome = compared([then], [unscored])
    assert (against, outcome) == ({}, "cannot tell")
    [said] = not_compared([then], {"main": {row.id: row for row in unscored.rows}}, ())
    assert said == "main: has no case with a score in both tests, so it is not compared; 0 of 2 cases wrong"


def test_that_a_part_fails_is_said_with_its_level():
    against, _ = compared([part_of("main", [0.0] * 60 + [1.0] * 240)], [part_of("main", [1.0] * 300)])
    assert against["main"].sentence.endswith("worse by more than the margin of 2, with 95% confidence")
