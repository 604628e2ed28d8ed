"""The error of the gate, spent over all looks at the same rows; and tests that stay tests at the strict levels of late looks."""

import math
import random

import numpy as np
import pytest
from scipy import special, stats

from stillhouse.evaluation.bounded import draws_for, lower_bound, worst_case_means
from stillhouse.evaluation.exact import exact_p, outside_of
from stillhouse.evaluation.margin_gate import decide_gate, fewest_rows
from stillhouse.evaluation.proportions import tango_z_of_tables
from stillhouse.evaluation.spending import error_of_look, fresh_rows_suffice, level_of_look
from stillhouse.evaluation.win_rate import OfRows
from stillhouse.numbers import confidence
from stillhouse.results.row_result import RowResult


@pytest.mark.parametrize("level", [0.95, 0.9, 0.99])
def test_all_looks_together_spend_the_error_and_no_more(level):
    alpha = 1 - level
    assert error_of_look(1, level) == pytest.approx(0.8 * alpha)
    # what is left after m looks, in scipy's closed form: the tail of 6 / (pi^2 j^2) is the trigamma function's
    for m in (2, 5, 100):
        spent = sum(error_of_look(k, level) for k in range(1, m + 1))
        assert spent == pytest.approx(alpha * (1 - 0.2 * 6 / math.pi**2 * float(special.polygamma(1, m))), rel=1e-8)
    assert sum(error_of_look(k, level) for k in range(1, 20_000)) == pytest.approx(alpha, rel=1e-4)
    assert 0.2 * 6 / math.pi**2 * float(special.zeta(2)) == pytest.approx(0.2)


def test_the_first_looks_by_hand():
    assert error_of_look(1) == 0.04 and level_of_look(1) == 0.96
    assert [round(error_of_look(k), 6) for k in (2, 3, 4)] == [0.006079, 0.00152, 0.000675]
    assert all(error_of_look(k + 1) < error_of_look(k) for k in range(1, 50))
    with pytest.raises(ValueError, match="the first look is 1"):
        error_of_look(0)


def test_levels_are_written_so_that_none_reads_as_certain():
    assert [confidence(level) for level in (0.95, 0.96, 0.975, 0.99, 0.5)] == ["95%", "96%", "97.5%", "99%", "50%"]
    assert [confidence(level_of_look(k)) for k in (1, 2, 3, 10, 100)] == [
        "96%",
        "99.39%",
        "99.85%",
        "99.9925%",
        "99.999938%",
    ]


def test_of_twenty_looks_at_the_same_rows_any_passes_a_student_at_the_margin_in_at_most_five_percent():
    """Each student is worse than the teacher by exactly the margin; all are measured on the same 300 rows."""
    generator, draws, looks, n, margin = np.random.default_rng(5), 600, 20, 300, 0.05
    at_95, spent = 0, 0
    wins_if_wrong, loses_if_right = 0.3, (0.1 * 0.3 + margin) / 0.9
    for _ in range(draws):
        right = int((generator.random(n) < 0.9).sum())
        b, c = generator.binomial(n - right, wins_if_wrong, looks), generator.binomial(right, loses_if_right, looks)
        near = tango_z_of_tables(b, c, n, -margin) > 1.5  # the others are far from passing: their exact p is not needed
        ps = [
            exact_p(int(b[k]), int(c[k]), n, -margin, outside_of(level_of_look(k + 1))) if near[k] else 1.0
            for k in range(looks)
        ]
        at_95 += any(p < 0.05 for p in ps)
        spent += any(p < error_of_look(k + 1) for k, p in enumerate(ps))
    assert at_95 / draws > 0.25  # what it was: about 30 %
    assert spent / draws <= 0.05
    assert stats.binomtest(spent, draws, 0.05).pvalue < 0.5 or spent / draws < 0.05


@pytest.mark.parametrize("k", [1, 2, 9, 40])
def test_a_late_look_can_still_pass_and_says_how_many_rows_it_takes(k):
    """The exact test's own allowance was 1e-4: the ninth look could not pass with any number of rows, and its plan failed."""
    level = level_of_look(k)
    n = fewest_rows(0.05, level)
    assert exact_p(0, 0, n, -0.05, outside_of(level)) < 1 - level <= exact_p(0, 0, n - 1, -0.05, outside_of(level))
    assert OfRows(n, 0, n, level).p_above(0.5) < 1 - level
    right = [RowResult(id=str(i), group=None, gold="a", output="a", score=1.0) for i in range(n)]
    gate = decide_gate(right, right, margin=0.05, level=level)
    assert (
        gate.answer == "pass" and gate.lower_bound > -0.05 and f"with {confidence(level)} confidence" in gate.sentence
    )


def test_bounds_of_graded_scores_have_the_draws_that_a_strict_level_looks_at():
    generator = random.Random(3)
    sums, sizes = np.array([generator.uniform(-0.2, 0.3) for _ in range(300)]), np.ones(300)
    assert draws_for(0.95) == draws_for(0.96) == 4000 and draws_for(level_of_look(6)) > 40_000
    bounds = [
        lower_bound(worst_case_means(sums, sizes, -1.0, 1.0, draws_for(level)), level) for level in (0.95, 0.99, 0.9998)
    ]
    assert sorted(bounds, reverse=True) == bounds
    # its z-score, roughly: the mean less 3.5 standard errors
    assert bounds[-1] == pytest.approx(sums.mean() - 3.5 * sums.std() / math.sqrt(300), abs=0.02)
    assert lower_bound(worst_case_means(sums, sizes, -1.0, 1.0), 1 - 1e-6) == -1.0  # 4,000 draws cannot tell


def test_rows_are_planned_with_the_level_of_the_next_look():
    def rows(wrong):
        return [RowResult(id=str(i), group=None, gold="a", output="a", score=float(i not in wrong)) for i in range(150)]

    student, teacher = rows(range(8)), rows(range(8, 16))
    now, later = (
        decide_gate(student, teacher, margin=0.02, level=0.96, next_level=level) for level in (None, level_of_look(2))
    )
    assert now.answer == later.answer == "cannot tell" and later.rows_needed > 1.5 * now.rows_needed > 0


def test_fresh_rows_decide_alone_where_they_are_enough_and_no_class_is_lost():
    everything = {"good": 400, "bad": 300, "odd": 20}
    assert fresh_rows_suffice(300, 300, {}, everything, None)
    assert not fresh_rows_suffice(299, 300, {}, everything, None)
    assert fresh_rows_suffice(300, 300, {"good": 100, "bad": 100}, everything, 100)  # "odd" is never tested on its own
    assert not fresh_rows_suffice(300, 300, {"good": 201, "bad": 99}, everything, 100)
    assert not fresh_rows_suffice(300, 300, {"good": 300}, everything, 100)
