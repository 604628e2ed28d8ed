"""Agents: the loop of turns and tools, over HTTP with native tool calls and with the text protocol, and what models get wrong."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import AgentError, LimitExceeded, agent, limits
from stillhouse.llm.request import Completion, ToolCall
from stillhouse.records import Usage
from stillhouse.store.journal import open_journal

says: list = []
asked: list = []


def model(request, example):
    asked.append(request)
    return says.pop(0) if len(says) > 1 else says[0]


SCRIPT = f"scripted:{__name__}:model"
added: list = []


async def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    added.append((a, b))
    return a + b


def wants(name, arguments, number=1):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Completion(
        None, finish_reason="tool_calls", usage=Usage(10, 5), tool_calls=(ToolCall(f"call-{number}", name, text),)
    )


@pytest.fixture(autouse=True)
def clean():
    sys.modules[SCRIPT.split(":")[1]] = sys.modules[__name__]
    says.clear()
    asked.clear()
    added.clear()


helper = agent("You add numbers.", [add], name="helper", max_turns=4)


@flow
async def main(question: str) -> str:
    return await helper(question)


def rows(run):
    return open_journal("stillhouse.db").steps(run)


async def test_native_tool_calls_over_http(endpoint):
    assert await main.run("one", "1 and 2?", models={"helper": endpoint.url("agent")}) == "The sum is 3"
    assert [(row.kind, row.key[0]) for row in rows("one")] == [
        ("agent", "helper"),
        ("turn", "helper.turn"),
        ("tool", "add"),
        ("turn", "helper.turn"),
    ]
    parent = rows("one")[1].parent
    assert parent is not None
    assert parent.startswith("helper/")
    assert rows("one")[0].facts["tool_calling"] == "native"


async def test_an_endpoint_without_tool_calls_is_asked_by_the_text_protocol(endpoint):
    assert await main.run("one", "1 and 2?", models={"helper": endpoint.url("agent-text")}) == "The sum is 3"
    assert rows("one")[0].facts["tool_calling"] == "text"
    assert added == [(1, 2)]


async def test_a_finished_agent_is_replayed_in_one_row():
    says.extend([wants("add", {"a": 1, "b": 2}), "three"])
    assert await main.run("one", "?", models={"*": SCRIPT}) == "three"
    assert await main.run("one", "?", models={"*": SCRIPT}) == "three"
    assert (len(asked), added) == (2, [(1, 2)])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (wants("subtract", {"a": 1}), "there is no tool 'subtract'; the tools are: add"),
        (wants("add", {"a": 1}), "Error: add"),
        (wants("add", {"a": 1, "b": "two"}), "Error: add"),
        (wants("add", {"a": 1, "b": 2, "c": 3}), "Error: add"),
        (wants("add", "{"), "are not valid JSON"),
        (wants("add", "[1, 2]"), "are not a JSON object"),
        (wants("add", "[" * 100_000), "are not valid JSON"),
        (wants("add", {"a": "\u00e9" * 1_000_000, "b": 2}), "Error: add"),
    ],
)
async def test_a_call_that_cannot_be_made_is_told_to_the_model_which_goes_on(call, told):
    says.extend([call, "I gave up"])
    assert await main.run("one", "?", models={"*": SCRIPT}) == "I gave up"
    assert told in asked[1].messages[-1]["content"]
    assert added == []


async def test_a_tool_that_raises_is_an_observation():
    def broken() -> str:
        """Breaks."""
        raise ConnectionError("the database is closed")

    says.extend([wants("broken", {}), "no luck"])

    @flow(model=SCRIPT)
    async def breaking() -> str:
        return await agent("Try.", [broken])("go")

    assert await breaking.run("one") == "no luck"
    assert "the database is closed" in asked[1].messages[-1]["content"]
    (row,) = [row for row in rows("one") if row.kind == "tool"]
    assert "the database is closed" in row.facts["tool_error"]


async def test_the_same_call_for_ever_ends_the_agent():
    says.append(wants("add", {"a": 1, "b": 2}))
    endless = agent("You add numbers.", [add], name="helper", max_turns=100)

    @flow(model=SCRIPT)
    async def for_ever() -> str:
        return await endless("go")

    with pytest.raises(
        AgentError, match=r"calls add with .* for the 4th time, with the same answer each time"
    ) as stopped:
        await for_ever.run("one")
    assert len(stopped.value.turns) == 4


async def test_no_answer_within_its_turns_is_said():
    says.extend([wants("add", {"a": number, "b": 2}) for number in range(9)])
    with pytest.raises(AgentError, match="came to no answer in 4 turns"):
        await main.run("one", "?", models={"*": SCRIPT})


async def test_a_limit_ends_it_with_the_turns_so_far():
    says.extend([wants("add", {"a": number, "b": 2}) for number in range(9)])

    @flow(model=SCRIPT)
    async def limited() -> str:
        async with limits(steps=4):
            return await helper("?")

    with pytest.raises(LimitExceeded, match="the limit of 4 steps") as stopped:
        await limited.run("one")
    assert [turn.observations for turn in stopped.value.trace] == [
        ["2"],
        [],
    ]  # agent, turn, tool, turn: the second turn's tool was a step too many


async def test_several_calls_in_one_turn_are_answered_in_their_order():
    pair = (ToolCall("x", "add", '{"a":1,"b":1}'), ToolCall("y", "add", '{"a":2,"b":2}'))
    both = Completion(None, finish_reason="tool_calls", usage=Usage(1, 1), tool_calls=pair)
    says.extend([both, "done"])
    assert await main.run("one", "?", models={"*": SCRIPT}) == "done"
    assert [(message["tool_call_id"], message["content"]) for message in asked[1].messages[-2:]] == [
        ("x", "2"),
        ("y", "4"),
    ]


async def test_a_reply_in_no_form_of_the_text_protocol_is_sent_back():
    speaker = agent("Speak.", [add], calling="text")
    says.extend(["let me think", "Thought: well\nFinal Answer: 3"])

    @flow(model=SCRIPT)
    async def spoken() -> str:
        return await speaker("?")

    assert await spoken.run("one") == "3"
    assert "neither an Action" in asked[1].messages[-1]["content"]


async def test_a_tool_without_arguments_is_called_however_the_reply_says_nothing():
    rung = []

    def ring(times: int = 1) -> str:
        """Rings."""
        rung.append(times)
        return "rung"

    ringer = agent("Ring.", [ring], calling="text")
    says.extend(["Thought: now\nAction: ring", "Action: [ring]\nAction Input: null", "Final Answer: done"])

    @flow(model=SCRIPT)
    async def ringing() -> str:
        return await ringer("?")

    assert await ringing.run("one") == "done"
    assert rung == [1, 1]


async def test_arguments_encoded_twice_are_opened():
    speaker = agent("Speak.", [add], calling="text")
    says.extend(['Action: add\nAction Input: "{\\"a\\": 1, \\"b\\": 2}"', "Final Answer: 3"])

    @flow(model=SCRIPT)
    async def spoken() -> str:
        return await speaker("?")

    assert await spoken.run("one") == "3"
    assert added == [(1, 2)]


async def test_an_observation_that_the_model_invents_is_not_read():
    speaker = agent("Speak.", [add], calling="text")
    says.extend(['Action: add\nAction Input: {"a": 1, "b": 2}\nObservation: 99\nFinal Answer: 99', "Final Answer: 3"])

    @flow(model=SCRIPT)
    async def spoken() -> str:
        return await speaker("?")

    assert await spoken.run("one") == "3"
    assert added == [(1, 2)]


async def test_a_step_can_be_a_tool_and_is_journaled_as_a_step():
    @step
    async def price(item: str) -> float:
        """The price of an item."""
        return 30.0

    says.extend([wants("price", {"item": "kettle"}), "30"])

    @flow(model=SCRIPT)
    async def priced() -> str:
        return await agent("Look prices up.", [price])("kettle?")

    assert await priced.run("one") == "30"
    assert [row.kind for row in rows("one")] == ["agent", "turn", "tool", "step", "turn"]


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(UserError, match="two tools of one name"):
        agent("Add.", [add, add])


async def test_a_student_is_no_agent():
    class Student:
        name = "student"

        async def predict(self, inputs):
            raise AssertionError

    with pytest.raises(UserError, match="takes no tools; name a model that takes messages"):
        await main.run("one", "?", models={"*": Student()})


async def test_a_long_loop_keeps_its_journal_linear():
    @flow(model=SCRIPT)
    async def long(turns: int) -> str:
        return await agent("Add.", [add], max_turns=500)("go")

    def journaled(turns):
        return sum(len(row.arguments) + len(row.output or "") for row in rows(f"run-{turns}"))

    for turns in (25, 50):
        says[:] = [*(wants("add", {"a": number, "b": turns}) for number in range(turns)), "done"]
        assert await long.run(f"run-{turns}", turns=turns) == "done"
    assert journaled(50) < 2.2 * journaled(25)


KILLED = """
import asyncio, os, sys
from pathlib import Path
from stillhouse import flow
from stillhouse.flow import agent

def log(name, text):
    with open(name, "a") as file:
        file.write(text + "\\n")
        file.flush()
        os.fsync(file.fileno())

def work(n: int) -> str:
    '''Works.'''
    log("worked", str(n))
    if n == 3 and not Path("second").exists():
        os.kill(os.getpid(), 9)
    return f"did {n}"

def model(request, example):
    log("asked", str(len(request.messages)))
    n = sum(message["role"] == "user" for message in request.messages)
    return f'Action: work\\nAction Input: {{"n": {n}}}' if n < 6 else "Final Answer: all done"

helper = agent("Work.", [work], model="scripted:killed:model", calling="text", max_turns=9)

@flow
async def main() -> str:
    return await helper("go")

if __name__ == "__main__":
    print(asyncio.run(main.run("one")))
"""


@pytest.mark.slow
def test_an_agent_killed_in_a_tool_goes_on_at_that_tool(tmp_path):
    (tmp_path / "killed.py").write_text(textwrap.dedent(KILLED))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    first = subprocess.run(
        [sys.executable, "killed.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert first.returncode == -signal.SIGKILL, first.stderr
    Path("second").touch()
    second = subprocess.run(
        [sys.executable, "killed.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert second.stdout.strip() == "all done"
    assert Path("worked").read_text().split() == [
        "1",
        "2",
        "3",
        "3",
        "4",
        "5",
    ]  # the one in flight twice, the others once
    assert Path("asked").read_text().split() == ["2", "4", "6", "8", "10", "12"]  # no turn was paid for twice
