"""A training that learns nothing stops; its checkpoint is kept, found by a later run, and the user is told how to go on."""

from dataclasses import replace
from pathlib import Path

from stillhouse.experiment.arms import given_up
from stillhouse.experiment.look_plans import PlanRows, plan_hash
from stillhouse.records import Example
from stillhouse.results.measured_arm import MeasuredArm, Training, read_arm, write_arm
from stillhouse.settings import StudentSettings
from stillhouse.student import _take_over_checkpoint
from stillhouse.student.job import LEAST_TO_GIVE_UP, TrainJob
from stillhouse.task import Task


def job(folder, n_validation=LEAST_TO_GIVE_UP, **settings):
    rows = [Example(f"r{n}", f"row {n}", "good" if n % 2 else "bad") for n in range(40)]
    return TrainJob(
        out=folder / "arms" / "one" / "student",
        spec="encoder:minilm",
        task=Task("mood", "Is it good?", "choice", student=StudentSettings(**settings)),
        labels=("good", "bad"),
        train=rows,
        validation=rows[:n_validation],
        source="gold",
        seed=0,
        config=None,
    )


def test_a_few_validation_rows_may_all_be_missed_by_chance(tmp_path):
    assert job(tmp_path).gives_up
    assert not job(tmp_path, n_validation=LEAST_TO_GIVE_UP - 1).gives_up
    assert not job(tmp_path, give_up=False).gives_up


def test_a_later_run_that_does_not_give_up_finds_the_checkpoint(tmp_path):
    stopped, later = job(tmp_path / "run-1"), job(tmp_path / "run-2", give_up=False)
    other = job(tmp_path / "run-3", epochs=9.0)
    stopped.checkpoints.mkdir(parents=True)
    (stopped.checkpoints / "checkpoint.safetensors").write_text("step 1,100")
    for each in (later, other):
        each.out.parent.mkdir(parents=True)
        _take_over_checkpoint(each, [stopped.out.parent])
    assert (later.checkpoints / "checkpoint.safetensors").read_text() == "step 1,100"
    assert not other.checkpoints.exists()  # another training


def test_a_plan_is_the_one_that_it_was_before_there_was_such_a_setting():
    task, rows = job(Path()).task, PlanRows({})
    facts = task.student.facts()
    assert (
        "give_up" not in facts
        and replace(task, student=StudentSettings(give_up=False)).student.facts()["give_up"] is False
    )
    assert plan_hash(task, rows, None, seeds=[0]) != plan_hash(
        replace(task, student=StudentSettings(give_up=False)), rows, None, seeds=[0]
    )


def test_the_user_is_told_how_to_go_on(tmp_path):
    training = Training(
        seed=0,
        wall_s=1.0,
        best_validation=0.0,
        metric="accuracy",
        n_validation=20,
        n_parameters=1,
        steps=1100,
        gave_up=True,
    )
    arm = MeasuredArm(
        name="generative:x", kind="student", test=[], folder=tmp_path / "student", model="x", training=training
    )
    write_arm(tmp_path, replace(arm, folder=None))
    assert read_arm(tmp_path).training.gave_up
    [said] = given_up([arm, replace(arm, training=replace(training, gave_up=False))])
    assert "after 1,100 steps" in said and "give_up = false" in said
