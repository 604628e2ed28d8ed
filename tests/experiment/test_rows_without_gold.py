"""Are the rows without a gold label like those with one? Length and the teacher's answers say so, or nothing does."""

import numpy as np
import pytest

from stillhouse.experiment.rows_without_gold import how_others_differ
from stillhouse.records import Example


def rows(n, *, gold, length=50, teacher=("a", "b")):
    return [
        Example(f"{gold}{i}", "x" * (length + i % 7), gold, teacher_label=teacher[i % len(teacher)]) for i in range(n)
    ]


def test_longer_rows_are_named_with_both_medians():
    [said] = how_others_differ([*rows(100, gold="a"), *rows(100, gold=None, length=90)], has_teacher=True)
    assert "are longer (median 93 against 53 characters" in said


def test_rows_that_the_teacher_answers_otherwise_are_named_with_the_answer():
    other = rows(100, gold=None, teacher=("a", "b", "b", "b"))
    [said] = how_others_differ([*rows(100, gold="a"), *other], has_teacher=True)
    assert "'b' on 75% of them against 50%" in said or "'a' on 25% of them against 50%" in said
    [alike] = how_others_differ([*rows(100, gold="a"), *other], has_teacher=False)
    assert alike.endswith("in length they are like the others")


@pytest.mark.parametrize(("n_gold", "n_others"), [(100, 9), (9, 100), (100, 1)])
def test_few_rows_cannot_tell(n_gold, n_others):
    [said] = how_others_differ([*rows(n_gold, gold="a"), *rows(n_others, gold=None, length=500)], has_teacher=True)
    assert "cannot be told" in said and f"({n_others} row" in said


def test_where_every_row_has_gold_nothing_is_said():
    assert how_others_differ(rows(100, gold="a"), has_teacher=True) == []


def test_rows_that_are_alike_are_said_to_differ_in_about_two_of_a_hundred_cases():
    """Two tests at 1 % each: 400 draws of rows with and without gold from one source."""
    generator, differ = np.random.default_rng(0), 0
    for _ in range(400):
        drawn = [
            Example(str(i), "x" * int(length), "a" if i % 2 else None, teacher_label=str(label))
            for i, (length, label) in enumerate(
                zip(generator.integers(10, 400, 120), generator.choice(["a", "b", "c"], 120), strict=True)
            )
        ]
        differ += any("the score is not for them" in said for said in how_others_differ(drawn, has_teacher=True))
    assert differ / 400 <= 0.02 + 3 * (0.02 * 0.98 / 400) ** 0.5
