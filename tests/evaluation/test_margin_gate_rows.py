"""The gate on rows that are few, copied, grouped, graded or no numbers; several students; and the rows it asks for."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import normal_sample_size_one_tail

from stillhouse.advice.curves import RowScores
from stillhouse.errors import DatasetError
from stillhouse.evaluation.exact import OUTSIDE, exact_p, outside_of
from stillhouse.evaluation.harness import summarise
from stillhouse.evaluation.margin_gate import among, decide_gate, fewest_rows, normal_rows_needed, rows_needed
from stillhouse.evaluation.metrics import metric_for
from stillhouse.evaluation.spending import level_of_look
from stillhouse.results.row_result import RowResult
from stillhouse.task import Task

SLOW = pytest.mark.slow


def arm(scores, groups=None, gold="x"):
    return [
        RowResult(
            id=str(n), group=None if groups is None else f"g{groups[n]}", gold=gold, output="x", score=float(score)
        )
        for n, score in enumerate(scores)
    ]


@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 0), (0, 1)])
def test_one_row_cannot_tell(one, other):
    found = decide_gate(arm([one]), arm([other]), margin=0.02)
    assert (found.answer, found.n) == ("cannot tell", 1)
    assert found.lower_bound < -0.02 and "1 row," in found.sentence
    assert found.rows_needed is None or found.rows_needed >= fewest_rows(0.02)  # never "two rows would tell"


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.5])
def test_a_score_that_is_no_share_is_refused_by_name(score):
    with pytest.raises(DatasetError, match=r"row 'a' has the score .* from 0 to 1"):
        RowResult(id="a", group=None, gold="x", output="x", score=score)


def test_a_curve_of_scores_that_are_no_numbers_is_refused():
    with pytest.raises(ValueError, match="2 of 6 scores are no numbers"):
        RowScores((16,), np.array([[[1.0, np.nan, 0.0], [1.0, np.nan, 0.0]]]), np.arange(3), "linear")


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
        gate = decide_gate(
            arm([1] * b + [0] * c + [1] * (500 - b - c)), arm([0] * b + [1] * c + [1] * (500 - b - c)), margin=0.02
        )
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
    rows = [RowResult(id=str(n), group=None, gold=label, output=label, score=1.0) for n, label in enumerate(gold)]
    found = decide_gate(rows, rows, margin=0.03, labels=["common", "rare"], classes="all")
    assert found.answer == "cannot tell" and "rare (cannot tell, n = 60)" in found.sentence
    assert found.rows_needed >= fewest_rows(0.03) * len(gold) / 60


def test_the_fewest_rows_are_the_rule_of_three():
    assert fewest_rows(0.02) == 149  # 0.98^149 < 0.05
    assert rows_needed(0.0, 0.0, 0.02) == 149
    assert decide_gate(arm([1] * 149), arm([1] * 149), margin=0.02).answer == "pass"
    assert decide_gate(arm([1] * 147), arm([1] * 147), margin=0.02).answer == "cannot tell"


# Against outside values, the definitions, and in simulation


def test_planned_rows_by_the_normal_distribution_are_statsmodels():
    for discordance, difference, margin, level in (
        (0.1, 0.0, 0.02, 0.95),
        (0.2, 0.01, 0.05, 0.9),
        (0.15, -0.01, 0.04, 0.975),
    ):
        spread = math.sqrt(discordance - difference**2)
        n = normal_rows_needed(discordance, difference, margin, level)
        assert n == math.ceil(normal_sample_size_one_tail(difference + margin, 0.8, 1 - level, spread))


@pytest.mark.parametrize(
    ("k", "discordance"),
    [
        (1, 0.02),
        (2, 0.02),
        (5, 0.02),
        pytest.param(1, 0.1, marks=SLOW),
        pytest.param(2, 0.1, marks=SLOW),
        pytest.param(5, 0.1, marks=SLOW),
    ],
)
def test_planned_rows_have_the_power_that_is_promised_at_the_level_of_every_look(k, discordance):
    """The chance of a pass, summed over all tables that pass by the exact test. By the normal distribution it is 74 to 78 %, and 23 to 58 % with few rows that differ."""
    level, margin = level_of_look(k), 0.05
    n = rows_needed(discordance, 0.0, margin, level)
    assert 0.795 <= chance_of_a_pass(n, discordance, margin, level) <= 0.87
    few = max(fewest_rows(margin, level), normal_rows_needed(discordance, 0.0, margin, level))
    assert chance_of_a_pass(few, discordance, margin, level) < 0.785


def chance_of_a_pass(n, discordance, margin, level):
    """The naive sum: every table that is likely, by the test that decides."""
    most = int(stats.binom.ppf(1 - 1e-6, n, discordance))
    tables = [(b, c) for b in range(most + 1) for c in range(most + 1 - b)]
    half = discordance / 2
    weights = stats.multinomial.pmf([(b, c, n - b - c) for b, c in tables], n, [half, half, 1 - discordance])
    kept = [(table, weight) for table, weight in zip(tables, weights, strict=True) if weight > 1e-5]
    return sum(weight for (b, c), weight in kept if exact_p(b, c, n, -margin, outside_of(level)) < 1 - level)


def test_many_planned_rows_are_those_of_the_normal_distribution():
    assert rows_needed(0.3, 0.0, 0.01, 0.95) == normal_rows_needed(0.3, 0.0, 0.01, 0.95) > 5000


def test_without_a_difference_the_gates_bound_is_scipys():
    found = decide_gate(arm([1] * 300), arm([1] * 300), margin=0.02)
    assert found.lower_bound == pytest.approx(
        -stats.binomtest(0, 300).proportion_ci(confidence_level=0.9, method="exact").high, abs=2e-4
    )


@pytest.mark.slow
def test_gates_among_students_are_statsmodels_holm_also_over_those_to_come():
    gates = []
    for b, c in ((9, 6), (3, 3), (9, 10)):
        rest = [1] * (400 - b - c)
        gates.append(decide_gate(arm([1] * b + [0] * c + rest), arm([0] * b + [1] * c + rest), margin=0.03))
    found = among(gates, 5)
    assert [gate.p for gate in found] == pytest.approx(
        multipletests([*(gate.p for gate in gates), 1.0, 1.0], method="holm")[1][:3].tolist()
    )
    assert [gate.answer == "pass" for gate in found] == [
        gate.answer == "pass" and p.p < 0.05 for gate, p in zip(gates, found, strict=True)
    ]


@pytest.mark.slow
def test_one_of_four_students_at_the_margin_passes_in_at_most_five_percent():
    """1,000 ladders of four null students, 60 rows, 12 % discordant, each on its own rows. Uncorrected, one of four passes in more than 10 %."""
    generator, kept, alone, known = np.random.default_rng(3), 0, 0, {}
    for _ in range(1000):
        gates = []
        for b, c, _rest in generator.multinomial(60, [0.02, 0.10, 0.88], 4).tolist():
            if (b, c) not in known:
                rest = [1] * (60 - b - c)
                known[b, c] = decide_gate(arm([1] * b + [0] * c + rest), arm([0] * b + [1] * c + rest), margin=0.08)
            gates.append(known[b, c])
        alone += any(gate.answer == "pass" for gate in gates)
        kept += any(gate.answer == "pass" for gate in among(gates, 4))
    assert kept / 1000 <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5
    assert alone / 1000 > 0.1


def test_fewer_rows_than_the_fewest_never_pass_and_as_many_do_by_the_definition():
    for margin, level in ((0.02, 0.95), (0.05, 0.9), (0.01, 0.975), (0.002, 0.95)):
        n = fewest_rows(margin, level)
        chances = [
            (1 - margin) ** rows + OUTSIDE for rows in (n - 1, n)
        ]  # that no row differs, were the student worse by the margin
        assert chances[1] <= 1 - level < chances[0]
    draws = np.random.default_rng(4).binomial(fewest_rows(0.02), 0.02, 20_000)
    assert (
        np.mean(draws == 0) <= 0.05 + 3 * (0.05 * 0.95 / 20_000) ** 0.5
    )  # students at the margin without a single difference
