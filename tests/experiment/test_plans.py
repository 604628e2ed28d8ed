"""Which students `distill` and `advise` train, on which rows, with which seeds."""

from pathlib import Path

import pytest

from stillhouse.data.splits import Splits
from stillhouse.errors import StillhouseError, UserError
from stillhouse.evaluation.metrics import by_name
from stillhouse.experiment.material import Material
from stillhouse.experiment.plans import baseline_plans, curve_plans, student_plan
from stillhouse.experiment.readiness import check_sizes, ladder_of
from stillhouse.experiment.training_sets import Lesson
from stillhouse.records import Example
from stillhouse.settings import StudentSettings
from stillhouse.task import Task

RUN = Path("run")


def rows(part, n):
    return [Example(f"{part}{i}", f"{part} {i}", "good" if i % 2 else "bad") for i in range(n)]


def material(*ladder, output="choice", labels=("good", "bad"), n_train=40):
    splits = Splits(
        train=rows("train", n_train),
        validation=rows("val", 6),
        calibration=rows("cal", 8),
        test=rows("test", 10),
        unlabelled=[],
        also_test={"odd": rows("odd", 4)},
    )
    by_teacher = Lesson("teacher", rows("other", 20), rows("val", 6))
    return Material(
        task=Task("mood", "Is it good?", output, student=StudentSettings(ladder=ladder or None)),
        splits=splits,
        metric=by_name("accuracy"),
        labels=labels,
        learn_from="gold",
        scored_against="gold",
        teacher=None,
        doubts=(),
        lessons=(Lesson("gold", splits.train, splits.validation), by_teacher),
    )


def test_a_student_learns_the_task_s_own_rows_and_is_measured_on_all_others():
    made = material("linear")
    plan = student_plan(made, RUN, "linear", "student", 3)
    assert (plan.train, plan.validation, plan.test) == (made.splits.train, made.splits.validation, made.splits.test)
    assert (len(plan.calibration), list(plan.others), plan.seed) == (8, ["odd"], 3)
    assert plan.out == RUN / "arms" / "linear-on-gold-labels"


def test_a_baseline_is_what_the_ladder_does_not_try():
    def specs(made):
        return [(plan.spec, plan.kind) for plan in baseline_plans(made, RUN, 0)]

    assert specs(material("encoder:minilm")) == [("majority", "baseline"), ("linear", "baseline")]
    assert specs(material("linear")) == [("majority", "baseline")]
    assert specs(material("encoder:minilm", labels=None)) == [("linear", "baseline")]
    assert specs(material("generative:scratch:small", output="text", labels=None)) == []


def test_seed_0_at_the_largest_size_alone_is_measured_in_full():
    plans = [plan for plan in curve_plans(material("linear"), RUN, [10, 40], 3) if plan.learn_from == "gold"]
    assert [(len(plan.train), plan.seed) for plan in plans] == [(n, seed) for seed in range(3) for n in (10, 40)]
    kept = [plan for plan in plans if plan.keep]
    assert [(len(plan.train), plan.seed) for plan in kept] == [(40, 0)]
    assert len(kept[0].calibration) == 8 and list(kept[0].others) == ["odd"]
    assert all(not plan.calibration and not plan.others for plan in plans if not plan.keep)
    assert len({plan.out for plan in plans}) == len(plans)


def test_the_subsets_of_a_seed_are_nested_and_seeds_differ():
    plans = {(len(plan.train), plan.seed): plan for plan in curve_plans(material("linear"), RUN, [10, 20], 2)}
    smaller, larger = ({row.id for row in plans[n, 0].train} for n in (10, 20))
    assert smaller < larger
    assert smaller != {row.id for row in plans[10, 1].train}


def test_students_learn_every_lesson_and_the_linear_baseline_the_task_s_own():
    plans = list(curve_plans(material("encoder:minilm"), RUN, [10], 1))
    assert [(plan.spec, plan.kind, plan.learn_from) for plan in plans] == [
        ("linear", "baseline", "gold"),
        ("encoder:minilm", "student", "gold"),
        ("encoder:minilm", "student", "teacher"),
    ]
    assert {plan.spec for plan in curve_plans(material("linear"), RUN, [10], 1)} == {"linear"}


def test_a_lesson_with_fewer_rows_than_were_asked_for_takes_all_that_it_has():
    sizes = {plan.learn_from: [] for plan in curve_plans(material("linear"), RUN, [30, 40], 1)}
    for plan in curve_plans(material("linear"), RUN, [30, 40], 1):
        sizes[plan.learn_from].append(len(plan.train))
    assert sizes == {"gold": [30, 40], "teacher": [20]}


@pytest.mark.parametrize("sizes", [[], [1, 8], [8, 41]])
def test_sizes_that_the_rows_do_not_allow_are_refused(sizes):
    with pytest.raises(UserError, match="give sizes from 2 to 40, the number of training rows"):
        check_sizes(sizes, 40)


def test_every_size_that_the_rows_allow_is_taken():
    check_sizes([2, 40], 40)
    check_sizes(None, 40)


def test_a_misspelt_student_is_refused():
    assert ladder_of(material("linear", "encoder:minilm").task) == ("linear", "encoder:minilm")
    with pytest.raises(StillhouseError, match="linaer"):
        ladder_of(material("linaer").task)
