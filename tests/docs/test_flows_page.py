"""The code of docs/flows.md, as one app: it runs, parks, is answered, and goes on."""

import contextlib
import importlib.util
import sqlite3
import sys
from pathlib import Path

import pytest

from docs_code import blocks
from stillhouse import flow, step
from stillhouse.flow import Parked, ask_human
from stillhouse.flow.human import answer
from stillhouse.llm.request import Completion
from stillhouse.records import Usage
from stillhouse.store.journal import open_journal

PAGE = Path(__file__).parent.parent.parent / "docs" / "flows.md"


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows_page.py").write_text("\n\n".join(blocks(PAGE, "python")))
    spec = importlib.util.spec_from_file_location("flows_page", tmp_path / "flows_page.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "flows_page", module)
    spec.loader.exec_module(module)
    return module


async def test_plain_steps(app):
    assert await app.main(["kettle", "lamp"]) == 75.0


async def test_branches(app, monkeypatch):
    first = await app.seats.run("r", ["lamp", "kettle"])
    assert first[0] == ["lamp on ticket 5", "kettle on ticket 6"]
    assert sorted(int(text.split()[-1]) for part in first for text in part) == list(range(1, 11))
    with contextlib.closing(sqlite3.connect("stillhouse.db")) as db, db:
        db.execute("UPDATE runs SET status = 'running', result = NULL")
    assert await app.seats.run("r", ["lamp", "kettle"]) == first
    assert next(app.tickets) == 11


async def test_a_model_step(app):
    assert await app.assistant("how many orders?") == "sql"


async def test_a_change_while_runs_are_under_way(app):
    assert await app.checkout("lamp") == "lamp on ticket 1"


async def test_a_flow_inside_a_flow(app):
    assert await app.triage(["how many orders?", "hello"]) == ["sql", "chat"]


async def test_decisions_loops_agents_and_people(app, monkeypatch):
    replies = iter(['Action: add\nAction Input: {"a": 1, "b": 2}', "Final Answer: 3"])

    def says(request, example):
        if "decision" in request.parameters:
            return Completion("yes", scores={"yes": 0.9, "no": 0.1}, usage=Usage(1, 1), finish_reason="stop")
        return next(replies)

    says.priced_as = "gpt-4o"  # its tokens are estimated, so a limit of dollars can be kept
    monkeypatch.setattr(app, "says", says, raising=False)
    monkeypatch.setattr(app.helper, "calling", "text")
    models = {"*": "scripted:flows_page:says"}
    with pytest.raises(Parked, match=r"Send this. 3\."):
        await app.report.run("one", "1 + 2?", models=models)
    journal = open_journal("stillhouse.db")
    assert [row.key[0] for row in journal.steps("one")] == [
        "decide",
        "agent",
        "agent.turn",
        "add",
        "agent.turn",
        "until",
        "ask_human",
    ]
    answer(journal, "one", "yes")
    assert await app.report.run("one", "1 + 2?", models=models) == "yes"


async def test_failures_timeouts_and_limits(app, monkeypatch):
    first = await app.shop.run("r", "kettle")
    assert first == ["kettle paid by invoice", "kettle sent by train"]
    with contextlib.closing(sqlite3.connect("stillhouse.db")) as db, db:
        db.execute("UPDATE runs SET status = 'running', result = NULL")
    assert await app.shop.run("r", "kettle") == first
    assert (app.shop.report.ran, app.shop.report.replayed) == ({}, {"pay": 2, "ship": 1})


async def test_two_questions_side_by_side_that_the_flow_catches(app):
    for _ in range(2):
        with pytest.raises(Parked):
            await app.letters.run("r", ["Ann", "Bob"])
        with contextlib.closing(open_journal("stillhouse.db")) as journal:
            assert {row.kind for row in journal.steps("r")} == {"human"}
            answer(journal, "r", "yes")
    assert await app.letters.run("r", ["Ann", "Bob"]) == [1, 2]


async def test_runs_from_outside(app, monkeypatch):
    @step
    async def nothing() -> None:
        pass

    async def draft(question: str) -> str:
        await nothing()
        return await ask_human(f"Send this? {question}", ["yes", "no"])

    report = flow(name="report_of_the_page")(draft)
    monkeypatch.setattr(app, "report", report)
    assert await app.orders("3.") == "asked: Send this? 3."
    assert await app.approved("order-7") == "yes"
