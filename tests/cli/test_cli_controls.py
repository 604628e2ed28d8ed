"""Step by step is reported with its two controls, on the same rows: reasons shuffled between rows, and labels alone for as many steps."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from stillhouse.evaluation.harness import RowResult
from stillhouse.evaluation.metrics import metric_for
from stillhouse.experiment.arms import MeasuredArm
from stillhouse.experiment.controls import LABELS_ALONE, SHUFFLED, sections, shuffled
from stillhouse.records import Example
from stillhouse.results.result import load_result
from stillhouse.task import Task

TASK = """
[task]
name = "sums"
instruction = "Which number comes next?"
output = "text"

[data]
train = "train.jsonl"
test = "test.jsonl"
split = [0.2, 0.0, 0.0]

[teacher]
model = "recorded:answers.jsonl"

[student]
ladder = ["linear"]
recipe = "step_by_step"
epochs = 1
"""
NUMBERS = ("one", "two", "three", "four", "five", "six")


@pytest.mark.parametrize("seed", range(5))
def test_every_row_with_reasons_gets_those_of_another_and_nothing_else_changes(seed):
    rows = [
        Example(str(i), f"q{i}", label=str(i), teacher_rationale=None if i % 4 == 3 else f"because {i}")
        for i in range(12)
    ]
    moved = shuffled(rows, seed)
    assert sorted(str(row.teacher_rationale) for row in moved) == sorted(str(row.teacher_rationale) for row in rows)
    for before, after in zip(rows, moved, strict=True):
        assert replace(after, teacher_rationale=before.teacher_rationale) == before
        assert (after.teacher_rationale is None) == (before.teacher_rationale is None)
        assert after.teacher_rationale is None or after.teacher_rationale != before.teacher_rationale
    assert shuffled(rows, seed) == moved != shuffled(rows, seed + 1)


def arm(name, right, n=200, **facts):
    rows = [
        RowResult(id=str(i), group=None, gold="good", output="good" if i < right else "bad", score=float(i < right))
        for i in range(n)
    ]
    return MeasuredArm(
        name, "baseline" if facts.get("control") else "student", rows, facts={"steps": 10, "wall_s": 1.5, **facts}
    )


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
    material = SimpleNamespace(task=task, metric=metric_for(task))
    student, *controls = (
        arm("s", right[0]),
        arm("s, shuffled", right[1], control=SHUFFLED, control_of="s"),
        arm("s, alone", right[2], control=LABELS_ALONE, control_of="s"),
    )
    [found] = sections(material, [student, *controls, arm("other", 100)])
    assert found.sentence.startswith(says), found.sentence
    assert [control.what for control in found.controls] == [SHUFFLED, LABELS_ALONE]
    assert sections(material, [student]) == ()


@pytest.mark.slow
def test_distill_trains_both_controls_and_reports_them(stillhouse, tmp_path):
    pairs = [(i, a, b) for i in range(3) for a in range(6) for b in range(6)]
    rows = [
        {"id": f"{a}-{b}-{i}", "input": f"{NUMBERS[a]} {NUMBERS[b]} {'so' * i}", "label": NUMBERS[(a + b) % 6]}
        for i, a, b in pairs
    ]
    for name, part in (("train", rows[:72]), ("test", rows[96:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    answers = [
        {"id": row["id"], "teacher_label": row["label"], "teacher_rationale": f"{row['input']} makes {row['label']}"}
        for row in rows
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    (tmp_path / "task.toml").write_text(TASK.replace('"linear"', '"generative:scratch:tiny"'))
    ran = stillhouse("distill", tmp_path, "--runs", tmp_path / "runs")
    assert ran.code in (0, 1), ran.err
    result = load_result(tmp_path / "runs" / "sums-distill-1")
    [found] = result.step_by_step
    assert found.arm == "generative:scratch:tiny on gold labels"
    names = [f"{found.arm}, {SHUFFLED}", f"{found.arm}, {LABELS_ALONE}"]
    assert [control.arm for control in found.controls] == names
    assert {arm.name: arm.kind for arm in result.arms if arm.name in names} == dict.fromkeys(names, "baseline")
    assert (
        found.steps == found.controls[1].steps == found.controls[0].steps
    )  # the same time, in steps of as many tokens
    assert found.sentence in " ".join(ran.out.split())
    page = (tmp_path / "runs" / "sums-distill-1" / "report.html").read_text()
    assert "Do the reasons help?" in page and LABELS_ALONE in page
