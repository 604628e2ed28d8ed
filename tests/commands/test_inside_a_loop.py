"""The commands that are plain functions, called where an event loop is running already, as in a notebook."""

import json

import pytest

from mood_task import MOOD
from stillhouse.api import evaluate, label
from stillhouse.commands.compare import compare
from stillhouse.commands.distill import distill
from stillhouse.errors import UserError
from stillhouse.session import Session

SCRIPT = """
def teacher(request, example):
    return "bad" if "awful" in str(request.messages[-1]["content"]) else "good"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "loop_script.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "task.toml").write_text(MOOD + '[teacher]\nmodel = "scripted:loop_script:teacher"\n')
    words = [("good", "sunny"), ("bad", "awful")]
    rows = [
        {"id": f"r{i}", "input": f"day {i} of {i * i} was {words[i % 2][1]}", "label": words[i % 2][0]}
        for i in range(120)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


async def test_evaluate_measures_a_prompted_model(folder):
    measured = evaluate("scripted:loop_script:teacher", folder / "rows.jsonl", task=folder)
    assert (measured.summary.score.value, measured.summary.score.n) == (1.0, 120)


async def test_distill_trains_and_judges(folder):
    done = distill(folder, Session(store=folder / "kept.db"), runs=folder / "runs")
    assert done.report.is_file() and (folder / "kept.db").is_file()
    assert {arm.name for arm in done.result.arms} >= {"prompt", "majority", "linear on gold labels"}


async def test_compare_says_what_no_pair_needs_to_be_asked_for(folder):
    answers = folder / "same.jsonl"
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    answers.write_text("".join(json.dumps({"id": row["id"], "answer": row["label"]}) + "\n" for row in rows))
    done = compare(str(answers), str(answers), folder / "rows.jsonl", runs=folder / "runs")
    assert done.win_rates is not None and done.win_rates.n_same == 120


async def test_rows_with_other_names_are_read_by_a_map(folder):
    rows = "day,mood\nsunny one,good\nawful one,bad\n"
    (folder / "days.csv").write_text(rows)
    columns = {"input": "day", "label": "mood"}
    made = label(
        folder, Session(store=folder / "kept.db"), data=folder / "days.csv", map=columns, out=folder / "l.jsonl"
    )
    assert made.report.labelled == 2
    measured = evaluate("scripted:loop_script:teacher", folder / "days.csv", task=folder, map=columns)
    assert measured.summary.score.value == 1.0
    with pytest.raises(UserError, match="map and encoding go with data"):
        label(folder, map=columns)
    with pytest.raises(UserError, match="'lable' is no field of a row; did you mean 'label'"):
        evaluate("scripted:loop_script:teacher", folder / "days.csv", task=folder, map={**columns, "lable": "mood"})
