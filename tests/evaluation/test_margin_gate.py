from functools import cache

import numpy as np
import pytest

from stillhouse.evaluation.margin_gate import decide_gate, rows_needed
from stillhouse.results.row_result import RowResult


def arm(scores, confidences=None, gold=None):
    confidences = confidences if confidences is not None else [None] * len(scores)
    return [
        RowResult(
            id=str(i),
            group=None,
            gold=gold[i] if gold else "x",
            output="x" if s else "y",
            score=float(s),
            confidence=None if c is None else float(c),
        )
        for i, (s, c) in enumerate(zip(scores, confidences, strict=True))
    ]


def test_equal_arms_pass_with_enough_rows_and_cannot_tell_with_few():
    assert decide_gate(arm([1] * 400), arm([1] * 400), margin=0.02).answer == "pass"
    few = decide_gate(arm([1] * 20), arm([1] * 20), margin=0.02)
    assert few.answer == "cannot tell" and "n = 20" not in few.sentence and "20 rows" in few.sentence


def test_a_student_far_below_fails_and_the_sentence_carries_the_numbers():
    result = decide_gate(arm([0] * 60 + [1] * 140), arm([1] * 200), margin=0.02)
    assert result.answer == "fail" and "-30.0 points" in result.sentence and "200 rows" in result.sentence


def test_a_class_that_is_lost_stops_a_good_mean():
    gold = ["common"] * 1900 + ["rare"] * 100
    student = [1] * 1900 + [1] * 70 + [0] * 30
    teacher = [1] * 1840 + [0] * 60 + [1] * 100
    whole = decide_gate(arm(student, gold=gold), arm(teacher, gold=gold), margin=0.02)
    by_class = decide_gate(arm(student, gold=gold), arm(teacher, gold=gold), margin=0.02, labels=["common", "rare"])
    assert (whole.answer, by_class.answer) == ("pass", "fail")
    assert "rare (fail, n = 100: -30.0 points, at most -20.6, beyond 2)" in by_class.sentence


def test_arms_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        decide_gate(arm([1]), arm([1, 1]), margin=0.02)


@cache  # the same table is drawn many times
def answer_to_table(b, c, n):
    """The gate's answer, at a margin of 2 points, to b rows that the student alone has right, c that the teacher alone has, and all others right."""
    rest = [1] * (n - b - c)
    return decide_gate(arm([1] * b + [0] * c + rest), arm([0] * b + [1] * c + rest), margin=0.02).answer


@pytest.mark.slow
def test_null_students_pass_in_at_most_five_percent():
    """400 students whose true difference is exactly -margin, on 500 rows, 10 % discordant; bench/verdict.py has 2,000, test_exact.py the exact sum."""
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(500, [0.04, 0.06, 0.90], size=400)
    passed = sum(answer_to_table(int(b), int(c), 500) == "pass" for b, c, _ in drawn)
    assert passed / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


@pytest.mark.slow
def test_the_planned_rows_do_pass_four_times_in_five():
    n = rows_needed(0.1, 0.0, 0.02)
    drawn = np.random.default_rng(1).multinomial(n, [0.05, 0.05, 0.90], size=100)
    passed = sum(answer_to_table(int(b), int(c), n) == "pass" for b, c, _ in drawn)
    assert 0.7 <= passed / 100 <= 0.9
    assert rows_needed(0.1, -0.02, 0.02) is None
