"""The gate over several ways to count the same rows: all must pass, any may fail; and how often it passes a student that is at the margin."""

import numpy as np
import pytest
from scipy import stats

from stillhouse.data.measured_rows import measured_rows
from stillhouse.evaluation.cannot_tell import answer_of
from stillhouse.evaluation.every_way import every_way
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.evaluation.paired import Paired
from stillhouse.records import Estimate, Example
from stillhouse.results.gates import GateResult
from stillhouse.results.row_result import RowResult

MARGIN = 0.02


def arm(rights):
    return [
        RowResult(id=str(n), group=None, gold="x", output="x" if right else "y", score=float(right))
        for n, right in enumerate(rights)
    ]


def gate(n, lost, n_ways=1):
    return decide_gate(arm([False] * lost + [True] * (n - lost)), arm([True] * n), margin=MARGIN, n_ways=n_ways)


def test_all_must_pass_and_the_least_sure_one_is_named():
    both = every_way({"wide": gate(1000, 0), "narrow": gate(200, 0)})
    assert (both.answer, both.decided_by, both.p) == ("pass", ("narrow",), gate(200, 0).p)
    assert both.p_better == max(gate(1000, 0).p_better, gate(200, 0).p_better)
    assert (both.n, [way.difference.n for way in both.ways]) == (1000, [1000, 200])
    assert both.sentence.startswith("passes: wide: the student is +0.0 points against the teacher on 1000 rows")
    assert both.sentence.endswith("is least sure with narrow")


def test_one_way_that_fails_fails_and_one_that_cannot_tell_holds_up():
    fails = every_way({"wide": gate(1000, 100), "narrow": gate(200, 0)})
    assert (fails.answer, fails.decided_by, fails.rows_needed) == ("fail", ("wide",), None)
    assert fails.sentence.startswith("fails: ") and fails.sentence.endswith("decided by wide")
    unsure = every_way({"wide": gate(1000, 0), "narrow": gate(100, 0)})
    assert (unsure.answer, unsure.decided_by) == ("cannot tell", ("narrow",))
    assert unsure.rows_needed == 10 * gate(100, 0).rows_needed  # one row in ten counts there


def test_a_way_in_which_no_row_counts_is_not_passed():
    unknown = every_way({"wide": gate(1000, 0), "narrow": None})
    assert (unknown.answer, unknown.decided_by, unknown.rows_needed, unknown.p) == (
        "cannot tell",
        ("narrow",),
        None,
        1.0,
    )
    assert not unknown.better and "narrow: no row counts so" in unknown.sentence


def test_any_way_may_fail_so_each_fails_at_its_part_of_the_error():
    """12 of 300 lost is p = 0.02 or so against "worse by less than 2 points": enough for one way, and not for one of three."""
    assert (gate(300, 12).answer, gate(300, 12, n_ways=3).answer) == ("fail", "cannot tell")
    assert gate(300, 20, n_ways=3).answer == "fail"


# At the margin. The teacher is always right, and the student loses 2 % of what counts.


def passes(texts, lost, copies):
    """Whether the gate passes on rows of these texts; `lost`: the texts that the student gets wrong."""
    examples = [Example(str(n), text, "x") for n, text in enumerate(texts)]
    measured = measured_rows("test", examples, examples, copies, trained_texts=set())
    ways = [reading.groups for reading in measured.readings] or [{row.id: row.group for row in measured.rows}]
    gates = {}
    for way, groups in enumerate(ways):
        own = arm([row.text not in lost for row in measured.rows if row.id in groups])
        pairs = Paired(own, arm([True] * len(own)))
        p = pairs.p_above(-MARGIN)  # what `decide_gate` goes by; its intervals take fifty times as long
        gates[str(way)] = GateResult(
            answer=answer_of(p, 1.0, 0.95),
            difference=Estimate(pairs.mean, pairs.n),
            lower_bound=0.0,
            margin=MARGIN,
            p=p,
        )
    return every_way(gates).answer == "pass"


def traffic(generator):
    """151 calls of 400 inputs of very uneven weight: the student loses inputs that weigh 2 % together, one of them 1.5 %."""
    weights = np.append(1 / np.arange(1, 399), [0, 0])
    weights = np.append(weights[:-2] / weights.sum() * 0.98, [0.015, 0.005])
    return [f"input {n}" for n in generator.choice(400, 151, p=weights)], {"input 398", "input 399"}


def a_file(generator):
    """151 inputs of which each is lost with chance 2 %; those that are right were copied up to 7 times."""
    wrong = generator.random(151) < MARGIN
    texts = [f"input {n}" for n, lost in enumerate(wrong) for _ in range(1 if lost else generator.integers(1, 8))]
    return texts, {f"input {n}" for n in np.flatnonzero(wrong)}


@pytest.mark.parametrize(("draw", "copies"), [(traffic, "traffic"), (traffic, None), (a_file, "files"), (a_file, None)])
def test_a_student_at_the_margin_passes_in_at_most_one_case_in_twenty(draw, copies):
    """0.98^151 = 4.7 %: of 80 draws at most 9 (binomial, 99.5 %). `python -m bench.verdict copies` draws more."""
    generator, n = np.random.default_rng(11), 80
    assert sum(passes(*draw(generator), copies) for _ in range(n)) <= 9


def test_the_wrong_way_alone_passes_far_too_often():
    """So unset is not the same as either: counted as traffic, a file of copies hides what is lost."""
    generator, n = np.random.default_rng(11), 60
    assert sum(passes(*a_file(generator), "traffic") for _ in range(n)) > 12


def test_its_p_value_is_scipys_of_the_way_that_is_least_sure():
    both = every_way({"wide": gate(1000, 0), "narrow": gate(200, 0)})
    assert 0 <= both.p - stats.binom.cdf(0, 200, MARGIN) < 0.002  # the exact test does not know how many rows differ
