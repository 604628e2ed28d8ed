"""Rows that bring the teacher's answers along name the teacher, where it is one that can be asked again."""

import json

import pytest

from stillhouse.commands.harvest import harvest
from stillhouse.experiment.answers_in_rows import model_in_rows
from stillhouse.experiment.material import IN_THE_DATA, prepare
from stillhouse.experiment.task_copy import TASK_FILE, keep_task
from stillhouse.records import Example
from stillhouse.session import Session
from stillhouse.task import load_task


def row(provenance, answer="yes", n=0):
    return Example(str(n), f"row {n}", teacher_label=answer, extra={"provenance": provenance})


HARVESTED = {"model": "openai:gpt-4o", "version": "v1", "run": "a", "created": "2026-01-01"}
LABELLED = {"teacher": "http://host/v1#own", "prompt_hash": "h", "date": "2026-01-01"}


@pytest.mark.parametrize(
    ("rows", "model"),
    [
        ([row(HARVESTED), row(HARVESTED | {"run": "b"}, n=1)], "openai:gpt-4o"),
        ([row(LABELLED), row(LABELLED, n=1)], "http://host/v1#own"),
        ([row(HARVESTED), row(HARVESTED | {"model": "openai:gpt-4o-mini"}, n=1)], None),
        ([row(HARVESTED), row(HARVESTED | {"version": "v2"}, n=1)], None),
        ([row(HARVESTED), row(None, n=1)], None),
        ([row(HARVESTED), row({}, answer=None, n=1)], "openai:gpt-4o"),  # a row without an answer says nothing
        ([row(HARVESTED | {"model": "recorded:answers.jsonl"})], None),
        ([row(HARVESTED | {"model": "gpt-4o"})], None),
        ([row("somebody")], None),
        ([], None),
    ],
)
def test_the_model_is_named_where_all_answers_are_of_one_that_can_be_asked(rows, model):
    assert model_in_rows(rows) == model


APP = '''
from typing import Literal
from stillhouse import flow, step

def teacher(request, example):
    return "yes" if int(example.text.split()[-1]) % 2 else "no"

@step
async def odd(text: str) -> Literal["yes", "no"]:
    """Is the number odd?"""

@flow(model="scripted:asked_app:teacher")
async def main(text: str) -> str:
    return await odd(text)
'''


async def test_what_is_harvested_names_the_flows_model_all_the_way_to_the_runs_own_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "asked_app.py").write_text(APP)
    import asked_app

    for n in range(120):
        await asked_app.main.run(f"r{n}", f"number {n}")
    harvested = harvest(["all"], step="odd", app="asked_app.py:main")
    rows = [json.loads(line) for line in harvested.out.read_text().splitlines()]
    assert {each["provenance"]["model"] for each in rows} == {"scripted:asked_app:teacher"}
    material = await prepare(load_task(harvested.out.parent), Session())
    assert material.teacher.name == "scripted:asked_app:teacher" != IN_THE_DATA
    keep_task(tmp_path / "run", material.task, material.teacher.name)
    assert load_task(tmp_path / "run" / TASK_FILE).teacher.model == "scripted:asked_app:teacher"
