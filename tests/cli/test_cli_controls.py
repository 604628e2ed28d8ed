"""Step by step is reported with its two controls, on the same rows: reasons shuffled between rows, and labels alone for as many steps."""

import json

import pytest

from stillhouse.experiment.controls import LABELS_ALONE, SHUFFLED
from stillhouse.results.run_result import load_result

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
