"""The cascade as an arm: what it takes over from its student."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from stillhouse.evaluation.metrics import metric_for
from stillhouse.records import Example
from stillhouse.results.measured_arm import MeasuredArm, Training
from stillhouse.results.row_result import RowResult
from stillhouse.task import Task
from stillhouse.verdict.cascade import find_cascade
from stillhouse.verdict.judged_arm import judge
from stillhouse.verdict.money.run_money import arm_money

PLAIN = Task("mood", "-", "choice", ("good", "bad"))
PRICES = {"training_usd_per_hour": 3600.0, "label_usd": 0.5, "retrain_days": 30}
TASK = replace(PLAIN, money=PLAIN.money.model_copy(update=PRICES))
MATERIAL = SimpleNamespace(
    scored_against="gold",
    task=TASK,
    metric=metric_for(TASK),
    labels=("good", "bad"),
    learn_from="gold",
    teacher=None,
    splits=SimpleNamespace(
        validation=[None] * 20,
        calibration=[Example(f"c{i}", "text", "good") for i in range(7)],
        test=[Example(f"t{i}", "text", "good") for i in range(13)],
        group_cap=None,
        readings={},
    ),
    next_level=None,
    cascade_level=None,
)


def rows(n, confidence=None):
    return [
        RowResult(id=str(i), group=None, gold="good", output="good", score=1.0, confidence=confidence) for i in range(n)
    ]


def test_training_a_cascade_again_is_training_its_student_again():
    training = Training(
        seed=0, wall_s=7.0, best_validation=0.9, metric="accuracy", n_validation=20, n_parameters=1, steps=0
    )
    student = MeasuredArm(
        name="linear on gold labels",
        kind="student",
        test=rows(300, 0.9),
        calibration=rows(300, 0.9),
        learns_from="gold",
        n_train=100,
        training=training,
    )
    prompt = judge(MATERIAL, MeasuredArm(name="prompt", kind="prompt", test=rows(300), calibration=rows(300)), None)
    judged = judge(MATERIAL, student, prompt)
    cascade = find_cascade(MATERIAL, prompt, [judged]).judged
    alone, before_prompt = arm_money(MATERIAL, judged), arm_money(MATERIAL, cascade)
    assert alone.renewal_usd == pytest.approx(7.0 * TASK.money.seeds + TASK.money.retrain_labels * 0.5 * (120 + 7 + 13))
    assert before_prompt.renewal_usd == alone.renewal_usd
