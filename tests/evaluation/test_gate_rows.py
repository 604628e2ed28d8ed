"""The gate on rows that are few, copied, grouped, graded or no numbers; several students; and the rows it asks for."""

import math

import numpy as np
import pytest

from stillhouse.advice.curves import Measured
from stillhouse.errors import DatasetError
from stillhouse.evaluation.gate import among, decide_gate, fewest_rows, rows_needed
from stillhouse.evaluation.harness import RowResult, summarise
from stillhouse.evaluation.metrics import metric_for
from stillhouse.task import Task


def arm(scores, groups=None, gold="x"):
    return [RowResult(str(n), None if groups is None else f"g{groups[n]}", gold, "x", float(score)) for n, score in enumerate(scores)]


@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 0), (0, 1)])
def test_one_row_cannot_tell(one, other):
    found = decide_gate(arm([one]), arm([other]), margin=0.02)
    assert (found.answer, found.n) == ("cannot tell", 1)
    assert found.lower_bound < -0.02 and "1 row," in found.sentence
    assert found.rows_needed is None or found.rows_needed >= fewest_rows(0.02)  # never "two rows would tell"


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.5])
def test_a_score_that_is_no_share_is_refused_by_name(score):
    with pytest.raises(DatasetError, match=r"row 'a' has the score .* from 0 to 1"):
        RowResult("a", None, "x", "x", score)


def test_a_curve_of_scores_that_are_no_numbers_is_refused():
    with pytest.raises(ValueError, match="2 of 6 scores are no numbers"):
        Measured((16,), np.array([[[1.0, np.nan, 0.0], [1.0, np.nan, 0.0]]]), np.arange(3), "linear")


def test_constant_scores_pass_only_with_rows_enough_to_show_something():
    for scores in (1, 0, 0.5):
        assert decide_gate(arm([scores] * 100), arm([scores] * 100), margin=0.02).answer == "cannot tell"
        assert decide_gate(arm([scores] * 400), arm([scores] * 400), margin=0.02).answer == "pass"
    few = decide_gate(arm([0.5] * 100), arm([0.5] * 100), margin=0.02)
    assert (few.difference.low, few.difference.high) == (None, None)  # nothing varies: no interval is made up


def test_copies_in_a_group_count_once():
    generator = np.random.default_rng(0)
    student, teacher = generator.random(150) < 0.9, generator.random(150) < 0.9
    alone = decide_gate(arm(student), arm(teacher), margin=0.05)
    groups = np.repeat(np.arange(150), 8)
    copied = decide_gate(arm(np.repeat(student, 8), groups), arm(np.repeat(teacher, 8), groups), margin=0.05)
    assert copied.lower_bound <= alone.lower_bound + 0.005
    assert "1200 rows in 150 groups" in copied.sentence
    score = summarise(arm(np.repeat(student, 8), groups), metric_for(Task("t", "", "choice"))).score
    apart = summarise(arm(student), metric_for(Task("t", "", "choice"))).score
    assert score.high - score.low > 0.8 * (apart.high - apart.low)


def test_a_student_that_passes_alone_may_not_as_one_of_many():
    generator = np.random.default_rng(5)
    while True:
        b, c, _ = generator.multinomial(500, [0.05, 0.05, 0.9])
        gate = decide_gate(arm([1] * b + [0] * c + [1] * (500 - b - c)), arm([0] * b + [1] * c + [1] * (500 - b - c)), margin=0.02)
        if 0.02 < gate.p < 0.05:
            break
    assert gate.answer == "pass" and among([gate], 1)[0].answer == "pass"
    [one] = among([gate], 4)
    assert one.answer == "cannot tell" and "as one of 4 students" in one.sentence
    assert one.p == pytest.approx(4 * gate.p)
    assert one.rows_needed > one.n
    sure = decide_gate(arm([1] * 3000), arm([1] * 3000), margin=0.02)
    assert [found.answer for found in among([sure, sure], 4)] == ["pass", "pass"]


def test_the_rows_asked_for_are_those_of_the_smallest_class():
    gold = ["common"] * 900 + ["rare"] * 60
    rows = [RowResult(str(n), None, label, label, 1.0) for n, label in enumerate(gold)]
    found = decide_gate(rows, rows, margin=0.03, labels=["common", "rare"])
    assert found.answer == "cannot tell" and "rare (cannot tell, n = 60)" in found.sentence
    assert found.rows_needed >= fewest_rows(0.03, 0.975) * len(gold) / 60


def test_the_fewest_rows_are_the_rule_of_three():
    assert fewest_rows(0.02) == 149  # 0.98^149 < 0.05
    assert rows_needed(0.0, 0.0, 0.02) == 149
    assert decide_gate(arm([1] * 149), arm([1] * 149), margin=0.02).answer == "pass"
    assert decide_gate(arm([1] * 147), arm([1] * 147), margin=0.02).answer == "cannot tell"
