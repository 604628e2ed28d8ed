"""The version of an answer holds what made it: model, settings, sources of tools, and the code around it, down the whole tree."""

import importlib.util
import json
import sys

import pytest

from stillhouse.flow import AgentError, Parked
from stillhouse.llm.request import Completion, ToolCall
from stillhouse.records import Usage

asked: list = []


def says(who):
    """A model that calls `add` once, and then tells who it is and what it saw."""

    def model(request, example):
        asked.append(who)
        if request.messages[-1]["role"] == "user":
            call = ToolCall("c", "add", json.dumps({"a": 1, "b": 2}))
            return Completion(None, finish_reason="tool_calls", usage=Usage(10, 5), tool_calls=(call,))
        return f"{who} saw {request.messages[-1]['content']}"

    return model


first, second = says("first"), says("second")
FIRST, SECOND = (f"scripted:{__name__}:{name}" for name in ("first", "second"))

APP = """
import asyncio
from stillhouse import flow, step
from stillhouse.flow import agent, ask_human, tool

ran = []
DIES = {dies}

class Dies(BaseException):
    pass

def add(a: int, b: int) -> int:
    '''The sum of two numbers.'''
    ran.append("add")
    return a + b {tool}

added = tool(add)

@step(pure=True)
async def inner(n: int) -> int:
    ran.append("inner")
    return n {inner}

@step(pure=True)
async def middle(n: int) -> int:
    ran.append("middle")
    return await inner(n) {middle}

@step(pure=True)
async def outer(n: int) -> int:
    ran.append("outer")
    found = await asyncio.gather(middle(n), inner(n))
    if DIES:
        raise Dies
    return sum(found) {outer}

helper = agent("You add numbers.", [add], name="helper", model="{model}", temperature={temperature}, max_turns={turns})

@step
async def in_a_step(question: str) -> str:
    found = await helper(question)
    if DIES:
        raise Dies
    return found

@flow
async def agents(way: str) -> str:
    if way == "alone":
        return await helper("1 and 2?") + await ask_human("go on?")
    if way == "branches":
        return str(await asyncio.gather(helper("1 and 2?"), helper("2 and 1?"))) + await ask_human("go on?")
    return await in_a_step("1 and 2?") + await ask_human("go on?")

@flow
async def steps() -> str:
    return str(await outer(1)) + await ask_human("go on?")

@flow
async def tools() -> str:
    return str(await asyncio.gather(added(a=1, b=2), added(a=1, b=2))) + await ask_human("go on?")
"""
PLAIN = {"dies": False, "tool": "", "inner": "", "middle": "", "outer": "", "temperature": 0.0, "turns": 3}


@pytest.fixture(autouse=True)
def nothing_asked():
    asked.clear()


@pytest.fixture
def app(tmp_path):
    """The app, with these parts of it edited."""

    def written(**edits):
        path = tmp_path / "versioned_app.py"
        path.write_text(APP.format(**(PLAIN | {"model": FIRST} | edits)))
        spec = importlib.util.spec_from_file_location("versioned_app", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["versioned_app"] = module
        spec.loader.exec_module(module)
        return module

    return written


async def sitting(flow, *args):
    """The models asked in one sitting, and its report."""
    asked.clear()
    with pytest.raises(BaseException) as stopped:
        await flow.run("r", *args)
    assert isinstance(stopped.value, Parked) or type(stopped.value).__name__ == "Dies", stopped.value
    return list(asked), flow.report


@pytest.mark.parametrize("way", ["alone", "branches"])
async def test_an_agent_given_another_model_is_asked_anew_from_its_first_turn(app, way):
    n = 2 if way == "branches" else 1
    assert (await sitting(app().agents, way))[0] == ["first"] * 2 * n
    models, report = await sitting(app(model=SECOND).agents, way)
    assert models == ["second"] * 2 * n
    # The second turn of "second" follows the same conversation as that of "first".
    assert report.changed == {"helper": n, "helper.turn": 2 * n, "add": n}


async def test_an_unfinished_agent_given_another_model_replays_no_turn_of_the_old_one(app):
    assert (await sitting(app(dies=True).agents, "in a step"))[0] == ["first"] * 2
    edited = app(model=SECOND)
    models, report = await sitting(edited.agents, "in a step")
    assert models == ["second"] * 2
    assert report.changed == {"helper": 1, "helper.turn": 2, "add": 1}
    assert edited.ran == ["add"]


async def test_another_setting_of_an_agent_asks_anew(app):
    await sitting(app().agents, "alone")
    models, report = await sitting(app(temperature=0.5).agents, "alone")
    assert models == ["first"] * 2
    assert report.changed == {"helper": 1, "helper.turn": 2, "add": 1}


async def test_an_edited_tool_runs_again_and_the_turns_before_it_are_not_asked_again(app):
    await sitting(app().agents, "alone")
    edited = app(tool="+ 10")
    models, report = await sitting(edited.agents, "alone")
    assert (models, edited.ran) == (["first"], ["add"])  # the turn after the other observation
    assert report.changed == {"helper": 1, "add": 1}
    assert report.ran == {"helper": 1, "add": 1, "helper.turn": 1}


async def test_an_edited_tool_that_the_flow_calls_runs_again_in_each_branch(app):
    await sitting(app().tools)
    edited = app(tool="+ 10")
    _, report = await sitting(edited.tools)
    assert (edited.ran, report.changed) == (["add", "add"], {"add": 2})


async def test_more_turns_leave_what_was_done_in_the_first_ones(app):
    with pytest.raises(AgentError, match="came to no answer in 1 turns"):
        await app(turns=1).agents.run("r", "alone")
    edited = app(turns=2)
    models, report = await sitting(edited.agents, "alone")
    assert (models, edited.ran) == (["first"], [])
    assert report.replayed == {"helper.turn": 1, "add": 1}


@pytest.mark.parametrize("dies", [True, False])
async def test_what_an_edited_step_calls_runs_again(app, dies):
    await sitting(app(dies=dies).steps)
    edited = app(outer="+ 1")
    _, report = await sitting(edited.steps)
    assert sorted(edited.ran) == ["inner", "inner", "middle", "outer"]
    assert report.changed == {"middle": 1, "inner": 2} | ({} if dies else {"outer": 1})


async def test_what_stands_beside_an_edited_step_is_replayed(app):
    await sitting(app(dies=True).steps)
    edited = app(middle="+ 1")
    _, report = await sitting(edited.steps)
    assert sorted(edited.ran) == ["inner", "middle", "outer"]  # the inner call of `middle`, and not that of `outer`
    assert report.changed == {"middle": 1, "inner": 1}
    assert report.replayed == {"inner": 1}


async def test_an_edited_step_alone_is_rerun_where_the_one_around_it_has_no_answer(app):
    await sitting(app(dies=True).steps)
    edited = app(inner="+ 1")
    _, report = await sitting(edited.steps)
    assert report.changed == {"inner": 1}  # `middle` has its answer, of its own source
    assert sorted(edited.ran) == ["inner", "outer"]


@pytest.mark.parametrize("flow", ["agents", "steps", "tools"])
async def test_what_nobody_edited_is_replayed(app, flow):
    args = ["branches"] if flow == "agents" else []
    await sitting(getattr(app(), flow), *args)
    again = app()
    models, report = await sitting(getattr(again, flow), *args)
    assert (models, again.ran, report.changed, report.ran) == ([], [], {}, {})
