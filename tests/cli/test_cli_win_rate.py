"""`metric = "win_rate"`: distill and evaluate have the student judged against the teacher, and end by the gate's answer."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from stillhouse.comparison.judgements import Judgement, Judgements
from stillhouse.comparison.pairs import digest
from stillhouse.evaluation.harness import evaluate
from stillhouse.evaluation.metrics import metric_for
from stillhouse.records import Prediction
from stillhouse.results.measured_arm import MeasuredArm

TASK = """
[task]
name = "swap"
instruction = "Say it backwards."
output = "text"
metric = "win_rate"

[teacher]
model = "scripted:some_swappers:teacher"

[gate]
judge = "scripted:some_swappers:judge"
margin = 0.1
"""
MODELS = '''
import json

ASKED = []


def teacher(request, example):
    return " ".join(reversed(request.messages[-1]["content"].split()))


def judge(request, example):
    """Right before wrong; with nothing right, both bad."""
    shown = json.loads(request.messages[-1]["content"])
    ASKED.append(shown)
    right = " ".join(reversed(shown["request"].splitlines()[-1].split()))
    one, two = shown["first answer"] == right, shown["second answer"] == right
    return "first" if one and not two else "second" if two and not one else "tie" if one else "both bad"


teacher.stand_in = judge.stand_in = True
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "some_swappers.py").write_text(MODELS)
    (tmp_path / "task.toml").write_text(TASK)
    rows = [
        {"id": str(i), "input": f"{('red', 'blue', 'gold')[i % 3]} {i % 7} {('fox', 'hen')[i % 2]} {i}"}
        for i in range(60)
    ]
    (tmp_path / "examples.jsonl").write_text(
        "".join(json.dumps({**row, "label": " ".join(reversed(row["input"].split()))}) + "\n" for row in rows)
    )
    yield tmp_path
    sys.modules.pop("some_swappers", None)


def edit(folder, old, new):
    (folder / "task.toml").write_text(TASK.replace(old, new))


def mimic(folder, wrong=0):
    """A file of answers: the teacher's, but for the first `wrong`."""
    rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    lines = [
        {"id": row["id"], "answer": "nothing" if number < wrong else row["label"]} for number, row in enumerate(rows)
    ]
    (folder / "mimic.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


class Mumbling:
    """A student that has learned nothing."""

    name = "mumbling"

    async def predict(self, inputs):
        return [Prediction(f"well, {example.text}") for example in inputs]


def measured_at_once(plan, on_progress):
    """In the place of training: what an arm is after it."""
    rows = asyncio.run(evaluate(Mumbling(), plan.test, metric_for(plan.task)))
    return MeasuredArm(
        name=plan.name, kind=plan.kind, test=rows, calibration=[], learns_from="gold", n_train=len(plan.train)
    )


def test_distill_goes_by_the_win_rate_against_the_prompt(stillhouse, folder, monkeypatch):
    """The student is right nowhere: the judge says so, the gate refuses, and the report has it."""
    monkeypatch.setattr("stillhouse.commands.distill.student_arm", measured_at_once)
    done = stillhouse("distill", ".", "--json")
    assert done.code == 1, done.err
    result = done.json["result"]
    [found] = result["win_rates"]
    n = result["n_test"]
    assert (found["by"], found["b"], found["n_rows"], found["tally"]["losses"]) == ("judge", "prompt", n, n)
    scores = {arm["name"]: arm["score"]["value"] for arm in result["arms"]}
    assert scores == {"prompt": 0.5, found["a"]: 0.0}
    gate = next(arm["gate"] for arm in result["arms"] if arm["name"] == found["a"])
    assert (gate["answer"], gate["margin"], gate["lower_bound"] < -0.3) == ("fail", 0.1, True)
    assert (
        "not by people" in gate["sentence"] and result["verdict"]["kind"] == "keep prompt" and result["cascade"] is None
    )
    report = Path(done.json["report"]).read_text()
    assert (
        "win rate by scripted:some_swappers:judge (a stand-in), not by people" in report
        and "Answer against answer" in report
    )
    rows = [json.loads(line) for line in (Path(done.json["run"]) / "predictions.jsonl").read_text().splitlines()]
    assert {row["score"] for row in rows if row["arm"] == found["a"]} == {0.0}


class Silent(Mumbling):
    """A student that answers no row."""

    async def predict(self, inputs):
        return [Prediction(None, error="no answer") for _ in inputs]


def test_a_student_that_answers_no_test_row_fails_and_the_run_says_so(stillhouse, folder, monkeypatch):
    monkeypatch.setattr("stillhouse.commands.distill.student_arm", measured_at_once)
    monkeypatch.setattr(sys.modules[__name__], "Mumbling", Silent)
    done = stillhouse("distill", ".", "--json")
    assert done.code == 1, done.err
    [found] = done.json["result"]["win_rates"]
    assert (found["tally"]["losses"], found["n_missing_a"]) == (found["n_rows"], found["n_rows"])
    gate = next(arm["gate"] for arm in done.json["result"]["arms"] if arm["name"] == found["a"])
    assert gate["answer"] == "fail" and "have no answer of" in " ".join(found["notes"])


def test_evaluate_is_a_comparison_with_the_teacher_and_ends_by_the_gate(stillhouse, folder):
    mimic(folder, wrong=2)
    near = stillhouse("evaluate", "mimic.jsonl", "examples.jsonl", "--task", "task.toml", "--json")
    assert near.code == 0, near.err
    assert near.json["comparison"]["tally"] == {"wins": 0, "losses": 2, "ties": 58, "both_bad": 0}
    assert near.json["comparison"]["decided"]["answer"] == "pass"
    assert len(sys.modules["some_swappers"].ASKED) == 4  # equal answers are not asked about
    mimic(folder, wrong=40)
    far = stillhouse("evaluate", "mimic.jsonl", "examples.jsonl", "--task", "task.toml")
    assert far.code == 1 and "Gate: fails" in far.out
    assert (
        stillhouse("evaluate", "mimic.jsonl", "examples.jsonl", "--task", "task.toml", "--out", "rows.jsonl").code == 2
    )


def test_what_people_chose_beside_the_task_outranks_the_judge(stillhouse, folder):
    mimic(folder, wrong=10)
    edit(folder, 'judge = "scripted:some_swappers:judge"\n', "")
    command = ("evaluate", "mimic.jsonl", "examples.jsonl", "--task", "task.toml")
    assert "needs judgements; name a `judge` in [gate]" in stillhouse(*command).err
    with Judgements(folder / "judgements.jsonl") as kept:
        for i in range(10):
            row = json.loads((folder / "examples.jsonl").read_text().splitlines()[i])
            left = digest("nothing")
            kept.add(
                Judgement(digest([row["input"], sorted([left, digest(row["label"])])]), left, "left"), row["id"]
            )  # they liked "nothing" better
    found = stillhouse(*command, "--json").json["comparison"]
    assert (found["by"], found["tally"]["wins"], found["rate"]["value"]) == ("people", 10, (10 + 25) / 60)
    edit(folder, "", "")
    assert (
        stillhouse(*command, "--json").json["comparison"]["rate"]["value"] == found["rate"]["value"]
    )  # with the judge, who says the contrary


BAD = [
    (
        "nobody judges",
        ("distill",),
        ('judge = "scripted:some_swappers:judge"\n', ""),
        'metric = "win_rate" needs judgements',
    ),
    ("a curve", ("advise",), ("", ""), "its judge would be asked twice about every test row for every size and seed"),
    (
        "also_test",
        ("distill",),
        ("[gate]", '[data]\nalso_test = ["examples.jsonl"]\n\n[gate]'),
        "also_test is not judged",
    ),
    ("a choice", ("distill",), ('"text"', '"choice"'), 'metric = "win_rate" is for output = "text"'),
]


@pytest.mark.parametrize(("command", "change", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_judged_is_refused_before_anything_is_paid(stillhouse, folder, command, change, says):
    edit(folder, *change) if change[0] else None
    found = stillhouse(*command, ".")
    assert (found.code, found.out) == (2, "") and says in found.err
    assert not (folder / "runs").exists() and "some_swappers" not in sys.modules


def test_evaluate_calls_a_weak_metric_weak(stillhouse, folder):
    edit(folder, '"win_rate"', '"rouge_l"')
    mimic(folder)
    rows = [json.loads(line) for line in (folder / "mimic.jsonl").read_text().splitlines()]
    (folder / "recorded.jsonl").write_text(
        "".join(json.dumps({"id": row["id"], "teacher_label": row["answer"]}) + "\n" for row in rows)
    )
    found = stillhouse("evaluate", "recorded:recorded.jsonl", "examples.jsonl", "--task", "task.toml")
    assert (
        found.code == 0
        and "ROUGE-L rewards words shared with one reference, not truth: weak evidence for open text" in found.out
    )


def test_the_report_of_a_comparison_is_written_again(stillhouse, folder):
    mimic(folder, wrong=5)
    stillhouse("evaluate", "mimic.jsonl", "examples.jsonl", "--task", "task.toml")
    before = Path("runs/swap-compare-1/report.html").read_text()
    Path("runs/swap-compare-1/report.html").unlink()
    found = stillhouse("report", "runs/swap-compare-1")
    assert found.code == 0 and found.out.startswith("Win rate by scripted:some_swappers:judge")
    assert Path("runs/swap-compare-1/report.html").read_text() == before
