"""Steps that answer with JSON: what a case expects, and what feedback says was right, may be a text that spells the value."""

import asyncio
import json
import sys

import pytest

from stillhouse import flow, step
from stillhouse.commands.harvest import harvest
from stillhouse.data.dataset import load_examples
from stillhouse.errors import DatasetError
from stillhouse.flow_tests.cases import load_suite
from stillhouse.flow_tests.parts import Parts
from stillhouse.task import Task


@step
async def read(order: str) -> dict[str, str | int | None]:
    """Read the order."""


@step
async def name(order: str) -> str | None:
    """Who?"""


@flow
async def desk(order: str) -> dict[str, str | int | None]:
    return await read(order)


def teller(request, example=None):
    return '{"who": "Ann  B", "n": 2, "job": null}'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sys.modules["test_json_answers"] = sys.modules[__name__]
    return tmp_path


def expectation(folder, part, expected, **more):
    (folder / f"{part}.jsonl").write_text(json.dumps({"input": "x", "expected": expected, **more}) + "\n")
    parts = Parts(desk)
    suite = load_suite(folder, parts.find, parts.whole, {}, None)
    return suite.whole[0] if part == "flow" else suite.steps[part][0]


ANSWER = {"who": "Ann  B", "n": 2, "job": None}


@pytest.mark.parametrize("part", ["read", "flow"])
@pytest.mark.parametrize("more", [{}, {"metric": "exact_match"}, {"metric": "accuracy"}])
@pytest.mark.parametrize(
    ("expected", "score"),
    [
        (ANSWER, 1.0),
        (json.dumps(ANSWER), 1.0),
        ('{"job":null,"n":2.0,"who":"\\u0041nn  B"}', 1.0),
        ({**ANSWER, "who": "Ann B"}, 0.0),
        (json.dumps({**ANSWER, "who": "Ann B"}), 0.0),
        (json.dumps({**ANSWER, "n": "2"}), 0.0),
    ],
)
def test_a_case_expects_a_value_however_it_is_written(part, more, expected, score, here):
    assert expectation(here, part, expected, **more).score(ANSWER) == score


def test_where_the_step_may_answer_with_a_text_it_is_its_own_value(here):
    assert expectation(here, "name", "Ann  B").score("Ann  B") == 1.0
    assert expectation(here, "name", '"Ann  B"').score("Ann  B") == 1.0
    assert expectation(here, "name", "Ann B").score("Ann  B") == 0.0
    assert expectation(here, "name", "null").score(None) == 1.0
    with pytest.raises(
        DatasetError, match=r"what the case 1 expects is 'Ann', which is no JSON.*read answers with JSON"
    ):
        expectation(here, "read", "Ann")


def test_what_a_case_expects_answers_for_the_step_as_its_value(here):
    assert expectation(here, "read", json.dumps(ANSWER)).expected == ANSWER


def test_feedback_on_a_json_step_is_a_value(here, monkeypatch):
    monkeypatch.setattr("stillhouse.commands.harvest.load_step", lambda app, step_name: {"read": read}[step_name])

    async def run():
        for number, order in enumerate(("x", "y", "z")):
            await desk.run(f"run-{number}", order=order, models={"*": f"scripted:{__name__}:teller"})

    asyncio.run(run())
    rows = [{"run": "run-0", "step": "read", "label": '{"n":2.0,"job":null,"who":"Ann  B"}'}]
    rows += [{"run": "run-1", "step": "read", "ok": True}, {"run": "run-2", "step": "read", "label": {"n": 3}}]
    (here / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = harvest(["all"], step="read", app="app.py:desk", feedback=here / "said.jsonl")
    read_again = load_examples(done.out, task=Task("read", "i", "json")).examples
    canonical = '{"job": null, "n": 2, "who": "Ann  B"}'
    assert [row.label for row in read_again] == [canonical, None, '{"n": 3}']
    assert {row.teacher_label for row in read_again} == {canonical}
    (here / "said.jsonl").write_text('{"run": "run-0", "step": "read", "label": "Ann"}\n')
    with pytest.raises(DatasetError, match=r"said.jsonl:1: the label is 'Ann', which is no JSON.*; mend the row"):
        harvest(["all"], step="read", app="app.py:desk", feedback=here / "said.jsonl", out=here / "other.jsonl")
