"""Whether the reasons helped: a step-by-step student against its two controls, on the same rows."""

from types import SimpleNamespace

import pytest

from stillhouse.evaluation.metrics import metric_for
from stillhouse.experiment.controls import LABELS_ALONE, SHUFFLED
from stillhouse.results.measured_arm import ControlOf, MeasuredArm, Training
from stillhouse.results.row_result import RowResult
from stillhouse.task import Task
from stillhouse.verdict.step_by_step import step_by_step


def arm(name, right, n=200, control=None):
    rows = [
        RowResult(id=str(i), group=None, gold="good", output="good" if i < right else "bad", score=float(i < right))
        for i in range(n)
    ]
    training = Training(
        seed=0, wall_s=1.5, best_validation=0.5, metric="accuracy", n_validation=20, n_parameters=1, steps=10
    )
    kind = "baseline" if control else "student"
    return MeasuredArm(name=name, kind=kind, test=rows, training=training, control=control)


@pytest.mark.parametrize(
    ("right", "says"),
    [
        ((180, 140, 150), "the reasons help: +20.0 points ["),
        ((150, 140, 149), "cannot tell whether the reasons help: +5.0"),
        ((150, 120, 190), "the reasons do not help: +15.0"),
    ],
)
def test_the_reasons_helped_where_both_controls_are_beaten_beyond_chance(right, says):
    task = Task("mood", "-", "choice", ("good", "bad"))
    material = SimpleNamespace(task=task, metric=metric_for(task), scored_against="gold")
    student, *controls = (
        arm("s", right[0]),
        arm("s, shuffled", right[1], control=ControlOf("s", SHUFFLED)),
        arm("s, alone", right[2], control=ControlOf("s", LABELS_ALONE)),
    )
    [found] = step_by_step(material, [student, *controls, arm("other", 100)])
    assert found.sentence.startswith(says), found.sentence
    assert [control.what for control in found.controls] == [SHUFFLED, LABELS_ALONE]
    assert step_by_step(material, [student]) == ()
