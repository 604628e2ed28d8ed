"""docs/interop.md: its pydantic-ai blocks run, and its Temporal activity does what the page says, in Temporal's own ActivityEnvironment."""

import asyncio
import importlib
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from docs_code import blocks
from stillhouse.errors import RunBusyError
from stillhouse.store.journal import open_journal

STUDENT, AGENT, APP, ACTIVITIES = blocks(Path(__file__).parent.parent.parent / "docs" / "interop.md", "python")


def run_block(code, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed: pip install 'stillhouse[pydantic-ai]'")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/interop.md", "exec"), {})
    return capsys.readouterr().out.split()


def test_the_students_block_runs(mood_folder, tmp_path, monkeypatch, capsys):
    code = STUDENT.replace("runs/route-distill-1", str(mood_folder)).replace('"search", "sql", "chat"', '"good", "bad"')
    assert code.count(str(mood_folder)) == code.count('"good", "bad"') == 1
    said, confidence = run_block(code, tmp_path, monkeypatch, capsys)
    assert said in ("good", "bad")
    assert 0.5 <= float(confidence) <= 1


def test_the_agents_block_runs_and_journals_what_the_page_says(tmp_path, monkeypatch, capsys):
    assert run_block(AGENT, tmp_path, monkeypatch, capsys) == ['{"price":30.0}']
    journal = open_journal(tmp_path / "stillhouse.db")
    assert [row.key[0] for row in journal.steps("monday")] == ["support.turn", "support.price", "support.turn"]
    journal.close()


@pytest.fixture
def activities(tmp_path, monkeypatch):
    """The page's two files, imported; each step leaves a line in paid.txt, and that for a lamp fails or waits as the test says."""
    pytest.importorskip("temporalio", reason="temporalio is not installed: pip install temporalio")
    (tmp_path / "app.py").write_text(APP.replace("    return {", "    await paid(item)\n    return {") + PAID)
    (tmp_path / "activities.py").write_text(ACTIVITIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STILLHOUSE_STORE", str(tmp_path / "runs.db"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("activities")
    for name in ("activities", "app"):
        del sys.modules[name]


PAID = """

import asyncio
from pathlib import Path

reached, gate, broken = asyncio.Event(), asyncio.Event(), []
gate.set()


async def paid(item):
    with Path("paid.txt").open("a") as log:
        log.write(item + "\\n")
    if broken and item == "lamp":
        raise broken.pop()
    if item == "lamp":
        reached.set()
        await gate.wait()
"""


def environment(on_heartbeat=lambda *_: None):
    from temporalio.testing import ActivityEnvironment

    found = ActivityEnvironment()
    found.info = replace(
        found.info, workflow_id="quote-7", activity_id="1", heartbeat_timeout=timedelta(milliseconds=30)
    )
    found.on_heartbeat = on_heartbeat
    return found


def lines():
    return Path("paid.txt").read_text().split()


async def test_temporals_retry_goes_on_where_the_attempt_before_stopped(activities):
    sys.modules["app"].broken.append(RuntimeError("the price list is away"))
    with pytest.raises(RuntimeError, match="price list"):
        await environment().run(activities.run_flow, ["kettle", "lamp"])
    assert await environment().run(activities.run_flow, ["kettle", "lamp"]) == 75.0
    assert lines() == ["kettle", "lamp", "lamp"]
    assert await environment().run(activities.run_flow, ["kettle", "lamp"]) == 75.0
    assert len(lines()) == 3


async def test_the_activity_beats_while_it_runs_and_a_second_attempt_is_refused(activities):
    gate, beats = sys.modules["app"].gate, asyncio.Queue()
    gate.clear()
    first = asyncio.create_task(
        environment(lambda *_: beats.put_nowait(1)).run(activities.run_flow, ["kettle", "lamp"])
    )
    for _ in range(3):
        await beats.get()
    with pytest.raises(RunBusyError):
        await environment().run(activities.run_flow, ["kettle", "lamp"])
    gate.set()
    assert await first == 75.0
    assert lines() == ["kettle", "lamp"]


async def test_a_cancelled_activity_can_be_resumed(activities):
    gate, cancelled = sys.modules["app"].gate, environment()
    gate.clear()
    running = asyncio.create_task(cancelled.run(activities.run_flow, ["kettle", "lamp"]))
    await sys.modules["app"].reached.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.set()
    assert await environment().run(activities.run_flow, ["kettle", "lamp"]) == 75.0
    assert lines() == ["kettle", "lamp", "lamp"]


async def test_a_mistake_is_not_tried_again_and_the_workflow_passes_temporals_sandbox(activities):
    from temporalio import workflow
    from temporalio.exceptions import ApplicationError
    from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

    assert await environment().run(activities.run_flow, ["kettle"]) == 30.0
    with pytest.raises(ApplicationError, match="with the input") as refused:
        await environment().run(activities.run_flow, ["lamp"])
    assert refused.value.non_retryable
    SandboxedWorkflowRunner().prepare_workflow(workflow._Definition.must_from_class(activities.Quote))
