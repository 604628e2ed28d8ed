"""Which classes are tested, which are tested together, and how each can pass and fail."""

import re
from functools import cache

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from stillhouse.evaluation.class_gates import too_rare
from stillhouse.evaluation.exact import exact_lower, exact_p
from stillhouse.evaluation.margin_gate import decide_gate, rows_of_a_class
from stillhouse.results.row_result import RowResult

MARGIN = 0.05
ALONE = rows_of_a_class(MARGIN)


def arms(classes):
    """`classes`: label -> (only the student right, only the teacher right, both right)."""
    table = [
        (label, own, other)
        for label, (more, less, both) in classes.items()
        for own, other, n in ((1, 0, more), (0, 1, less), (1, 1, both))
        for _ in range(n)
    ]
    return [
        [
            RowResult(id=str(n), group=None, gold=row[0], output="", score=float(row[which]))
            for n, row in enumerate(table)
        ]
        for which in (1, 2)
    ]


def gate(rows, **terms):
    return decide_gate(*arms(rows), labels=list(rows), **({"margin": MARGIN} | terms))


@pytest.mark.parametrize(
    ("counts", "pool"),
    [
        ({"a": 300, "b": 300}, ()),
        ({"a": 300, "b": 265}, ()),
        ({"a": 300, "b": 264}, ("b", "a")),  # b alone is too few, so the next rarest joins it
        ({"a": 900, "b": 300, "c": 10, "d": 5}, ("d", "c", "b")),
        ({"a": 900, "b": 200, "c": 100}, ("c", "b")),  # 300 rows together
        ({"a": 60, "b": 50, "c": 10}, ("c", "b", "a")),
        ({"b": 5, "a": 5, "c": 999}, ("a", "b", "c")),
        ({}, ()),
    ],
)
def test_classes_too_rare_are_pooled_by_their_counts_alone(counts, pool):
    assert rows_of_a_class(0.05) == 265
    assert too_rare(counts, 265) == pool


def test_rare_classes_do_not_hold_up_a_good_student():
    """Fifty topics with a few rows each: alone each takes 265 rows, and there would never be a pass."""
    topics = {"earn": (10, 10, 980), "acq": (8, 8, 580)} | {f"topic {n}": (0, 0, 2 + n % 9) for n in range(50)}
    found = gate(topics)
    assert found.answer == "pass"
    assert [part.label for part in found.per_class if part.tested] == ["earn", "acq", "50 rarer classes"]
    assert "50 classes are tested together (n = 290): one alone takes 265 rows" in found.sentence
    assert gate(topics, classes="all").answer == "cannot tell"


def test_a_rare_class_that_is_lost_fails_the_gate_by_itself():
    """30 rows are too few to pass, and enough to fail."""
    found = gate({"common": (40, 10, 1950), "rare": (0, 25, 5), "rarer": (0, 0, 20)})
    assert found.answer == "fail" and "rare (fail, n = 30: " in found.sentence
    assert gate({"common": (40, 10, 1950), "rare": (0, 25, 5), "rarer": (0, 0, 20)}, classes="none").answer == "pass"


def test_a_class_without_one_right_answer_is_named():
    found = gate({"common": (10, 10, 1980), "rare": (0, 3, 0), "other": (0, 0, 300)})
    assert found.answer == "pass" and "not one right in rare (n = 3)" in found.sentence
    both_wrong = gate({"common": (10, 10, 1980), "other": (0, 0, 300)})
    assert "not one right" not in both_wrong.sentence


def test_where_all_classes_are_rare_the_whole_is_tested_and_each_can_fail():
    good = {label: (2, 2, 90) for label in "abcd"}
    found = gate(good)
    assert found.answer == "pass" and not any(part.tested for part in found.per_class)
    assert "4 classes are not tested one by one (n = 376)" in found.sentence
    assert gate(good | {"d": (0, 60, 34)}).answer == "fail"


def test_every_tested_class_must_pass_without_a_correction_and_any_may_fail_under_holm():
    """Berger 1982: the largest p of all is the gate's. Holm goes over the mean and all classes, on the fail side."""
    classes = {"a": (20, 15, 365), "b": (8, 12, 280), "c": (0, 5, 19)}
    found = gate(classes, margin=0.03, classes="all")
    tables = [(more, less, more + less + both) for more, less, both in classes.values()]
    whole = tuple(map(sum, zip(*tables, strict=True)))
    by_label = {part.label: part for part in found.per_class if part.tested}
    assert [by_label[label].p for label in "abc"] == pytest.approx([exact_p(*table, -0.03) for table in tables])
    assert found.p == pytest.approx(max(exact_p(*table, -0.03) for table in (*tables, whole)))
    below = [exact_p(less, more, n, 0.03) for more, less, n in (whole, *tables)]
    adjusted = multipletests(below, method="holm")[1]
    assert [part.answer == "fail" for part in found.per_class] == [p < 0.05 for p in adjusted[1:]]
    assert below[3] < 0.05 < adjusted[3]  # uncorrected, class c would fail
    assert found.answer == "cannot tell"


def test_a_class_has_a_margin_of_its_own():
    classes = {"a": (0, 12, 388), "b": (40, 0, 560)}
    assert gate(classes, margin=0.03, classes="all").answer == "cannot tell"
    wider = gate(classes, margin=0.03, class_margin=0.06, classes="all")
    assert (wider.answer, wider.class_margin) == ("pass", 0.06)


def test_a_class_with_too_few_rows_to_test_is_left_out_under_the_rule_all():
    found = gate({"a": (0, 0, 300), "b": (0, 0, 4)}, classes="all")
    assert found.answer == "pass" and [(part.label, part.tested) for part in found.per_class] == [
        ("a", True),
        ("b", False),
    ]


@cache
def _answer(drawn):
    return gate({str(number): table for number, table in enumerate(drawn)}, classes="all").answer


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [2, 4])
def test_students_at_the_margin_in_every_class_pass_and_fail_in_at_most_five_percent(n_classes):
    """Worse by exactly the margin everywhere: neither answer is right. 400 draws, 200 rows a class, 15 % differ."""
    generator = np.random.default_rng(n_classes)
    answers = [
        _answer(tuple(map(tuple, generator.multinomial(200, [0.05, 0.10, 0.85], n_classes).tolist())))
        for _ in range(400)
    ]
    most = 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5
    assert answers.count("pass") / 400 <= most
    assert answers.count("fail") / 400 <= most


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [1, 3, 6])
def test_the_rows_planned_for_classes_pass_in_four_of_five_cases(n_classes):
    """As many rows of each class as are asked for, a student as good that differs on 10 %: all classes pass together."""
    generator, n = np.random.default_rng(10 + n_classes), rows_of_a_class(MARGIN, n_classes=n_classes)
    passed = sum(
        _answer(tuple(map(tuple, generator.multinomial(n, [0.05, 0.05, 0.90], n_classes).tolist()))) == "pass"
        for _ in range(150)
    )
    assert 0.72 <= passed / 150 <= 0.95


def test_a_failure_shows_the_bound_that_makes_it_true():
    """What fails is worse by more than the margin at most, in the class where it does; a mean that does not fail is never said to."""
    whole = gate({"a": (0, 60, 340)})
    assert re.match(
        r"fails: the student is -15.0 points against the teacher on 400 rows, at most (-1[12]\.\d) with", whole.sentence
    )
    assert "with 95% confidence, beyond the margin of 5;" in whole.sentence
    lost = gate({"a": (10, 10, 880), "b": (0, 20, 20), "c": (0, 3, 3)})
    assert lost.sentence.startswith(
        "fails in a class: the student is -2.4 points against the teacher on 946 rows, at least "
    )
    of_class = next(part for part in lost.per_class if part.label == "b")
    assert of_class.upper_bound < -MARGIN and "b (fail, n = 40: -50.0 points, at most -" in lost.sentence
    # the correction over all tests stands in the bound: it is further from the mean than the class's own
    assert of_class.upper_bound > -exact_lower(20, 0, 40, 0.95) and ", beyond 5)" in lost.sentence
    assert [part.upper_bound for part in lost.per_class if part.answer != "fail"] == [None] * (len(lost.per_class) - 1)
    agrees = gate({"a": (0, 60, 340)}, yardstick=True)
    assert "to 85.0% on 400 rows, at most 8" in agrees.sentence
