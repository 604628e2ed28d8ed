import numpy as np
import pytest

from stillhouse.evaluation.deferral import NoThreshold, Threshold, choose_threshold, rows_for
from stillhouse.evaluation.gate import decide_gate, rows_needed
from stillhouse.evaluation.harness import RowResult


def arm(scores, confidences=None, gold=None):
    confidences = confidences if confidences is not None else [None] * len(scores)
    return [
        RowResult(str(i), None, gold[i] if gold else "x", "x" if s else "y", float(s), None if c is None else float(c))
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
    assert "rare (fail, n = 100)" in by_class.sentence


def test_arms_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        decide_gate(arm([1]), arm([1, 1]), margin=0.02)


@pytest.mark.slow
def test_null_students_pass_in_at_most_five_percent():
    """400 students whose true difference is exactly -margin, on 500 rows, 10 % discordant; bench/verdict.py has 2,000, test_exact.py the exact sum."""
    generator = np.random.default_rng(0)
    margin, n, passed = 0.02, 500, 0
    for _ in range(400):
        b, c, _ = generator.multinomial(n, [0.04, 0.06, 0.90])
        student = [1] * b + [0] * c + [1] * (n - b - c)
        teacher = [0] * b + [1] * c + [1] * (n - b - c)
        passed += decide_gate(arm(student), arm(teacher), margin=margin).answer == "pass"
    assert passed / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


@pytest.mark.slow
def test_the_planned_rows_do_pass_four_times_in_five():
    n = rows_needed(0.1, 0.0, 0.02)
    generator = np.random.default_rng(1)
    passed = 0
    for _ in range(100):
        b, c, _ = generator.multinomial(n, [0.05, 0.05, 0.90])
        passed += decide_gate(arm([1] * b + [0] * c + [1] * (n - b - c)), arm([0] * b + [1] * c + [1] * (n - b - c)), margin=0.02).answer == "pass"
    assert 0.7 <= passed / 100 <= 0.9
    assert rows_needed(0.1, -0.02, 0.02) is None


def test_zero_harm_needs_at_least_the_textbook_number_of_rows():
    assert rows_for(0.05, 0.95) == 59  # the rule of three, exactly: 0.95 ** 59 < 0.05
    refused = choose_threshold(arm([1] * 58, [1.0] * 58), arm([1] * 58), budget=0.05)
    assert isinstance(refused, NoThreshold) and refused.rows_missing == 1
    assert isinstance(choose_threshold(arm([1] * 59, [1.0] * 59), arm([1] * 59), budget=0.05), Threshold)


def test_the_threshold_is_the_lowest_whose_harm_is_bounded():
    n = 400
    confidence = [1 - i / n for i in range(n)]
    student = [1] * 300 + [0] * 100  # all its errors are among its least sure rows
    found = choose_threshold(arm(student, confidence), arm([1] * n), budget=0.02)
    assert isinstance(found, Threshold)
    kept = [c for c in confidence if c >= found.threshold]
    assert found.share_kept.value == len(kept) / n and 300 <= len(kept) <= 304
    assert found.harm.high < 0.02


def test_rows_of_one_confidence_are_never_parted():
    student = arm([1] * 100 + [0] * 100, [0.9] * 200)
    assert isinstance(choose_threshold(student, arm([1] * 200), budget=0.05), NoThreshold)


@pytest.mark.slow
def test_the_promise_is_broken_in_at_most_one_draw_of_twenty():
    generator = np.random.default_rng(2)
    broken = 0
    for _ in range(500):
        confidence = generator.random(600)
        wrong = generator.random(600) < 0.4 * (1 - confidence)
        found = choose_threshold(arm(~wrong, confidence), arm([1] * 600), budget=0.03, level=0.95)
        if isinstance(found, Threshold):
            true_harm = 0.4 * (1 - found.threshold) ** 2 / 2
            broken += true_harm > 0.03
    assert broken / 500 <= 0.05 + 2 * (0.05 * 0.95 / 500) ** 0.5
