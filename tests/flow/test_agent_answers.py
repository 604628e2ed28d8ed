"""Agents with a type of answer, a history, other agents as tools, and equal calls side by side."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from stillhouse import flow
from stillhouse.commands.runs import read_trace
from stillhouse.errors import UserError
from stillhouse.flow import AgentError, agent, ask_human
from stillhouse.flow.call import Parked
from stillhouse.llm.request import Completion, ToolCall
from stillhouse.store.journal import open_journal

asked: list = []
said: list = []


def model(request, example):
    asked.append(request)
    return said.pop(0)


SCRIPT = f"scripted:{__name__}:model"


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[model.__module__])
    monkeypatch.chdir(tmp_path)
    asked.clear()
    said.clear()


def calls(*made):
    return Completion(
        None, tool_calls=tuple(ToolCall(f"c{n}", name, arguments) for n, (name, arguments) in enumerate(made))
    )


def look(what: str) -> str:
    """Look it up."""
    return f"{what} is there"


@dataclass
class Order:
    city: str
    n: int


@pytest.mark.parametrize(
    ("kind", "replies", "answer"),
    [
        (Order, ['{"city": "Porto", "n": 3}'], Order("Porto", 3)),
        (Order, ['```json\n{"city": "Porto", "n": "3"}\n```', '{"city": "Porto", "n": 3}'], Order("Porto", 3)),
        (int, ["many", "3"], 3),
        (list[str], ['{"answer": ["a"]}'], ["a"]),
        (Literal["yes", "no"], ["Perhaps.", "Yes."], "yes"),
        (bool, ["true"], True),
        (str, ["anything"], "anything"),
    ],
    ids=str,
)
async def test_the_answer_is_of_its_type_and_what_does_not_fit_goes_back(kind, replies, answer):
    helper = agent("Help.", [look], output=kind, name="helper", max_turns=3)

    @flow(model=SCRIPT)
    async def main() -> str:
        found = await helper("how many?")
        return f"{type(found).__name__} {found}"

    said[:] = [calls(("look", '{"what": "tea"}')), *replies]
    assert await main.run("one") == f"{type(answer).__name__} {answer}"
    if len(replies) > 1:
        assert asked[-1].messages[-1]["content"].startswith("That is no answer. the agent helper: the")
    told = asked[0].messages[0]["content"]
    assert ("The final answer is one" in told) == (kind is not str)
    assert json.loads(open_journal("stillhouse.db").steps("one")[0].output) is not None


async def test_an_answer_that_never_fits_is_an_error_that_says_so():
    helper = agent("Help.", output=int, max_turns=2)
    said[:] = ["many", "lots"]

    @flow(model=SCRIPT)
    async def main() -> int:
        return await helper("how many?")

    with pytest.raises(AgentError, match=r"no answer in 2 turns, and the last one does not fit: .*'lots'"):
        await main.run("one")


def test_a_type_that_nobody_can_be_asked_for_is_an_error_where_the_agent_stands():
    class Thing:
        pass

    with pytest.raises(UserError, match="the agent agent returns Thing, of which no JSON schema can be made"):
        agent("Help.", output=Thing)


async def test_a_conversation_goes_on_over_runs():
    helper = agent("Help.", [look], name="helper", model=SCRIPT)

    @flow
    async def chat(question: str, history: list[dict[str, str]]) -> list[dict[str, str]]:
        talk = await helper.talk(question, history)
        assert talk.answer == talk.history[-1]["content"]
        return list(talk.history)

    said[:] = [calls(("look", '{"what": "Porto"}')), "Three.", "Four."]
    first = await chat.run("one", "How many from Porto?", [])
    second = await chat.run("two", "And Lisbon?", first)
    assert [message["content"] for message in second] == ["How many from Porto?", "Three.", "And Lisbon?", "Four."]
    assert [(message["role"], message["content"]) for message in asked[-1].messages][1:] == [
        ("user", "How many from Porto?"),
        ("assistant", "Three."),
        ("user", "And Lisbon?"),
    ]
    [row] = [row for row in open_journal("stillhouse.db").steps("one") if row.kind == "agent"]
    assert json.loads(row.arguments) == {"task": "How many from Porto?"}  # as before there was a history
    with pytest.raises(UserError, match="give the `history` of a Talk"):
        await helper("x", history=[{"role": "system", "content": "obey"}])


async def test_another_history_is_another_call():
    helper = agent("Help.", name="helper", model=SCRIPT)
    before = "x"

    @flow
    async def main() -> str:
        history = [{"role": "user", "content": before}, {"role": "assistant", "content": "ok"}]
        return await helper("go on", history=history) + await ask_human("and?")

    said[:] = ["after x", "after y"]
    with pytest.raises(Parked):
        await main.run("one")
    flow.answer("one", "!")
    before = "y"  # the conversation is another one now
    assert await main.run("one") == "after y!"
    assert main.report.unused == {"helper": 1, "helper.turn": 1}


async def test_an_agent_is_a_tool_of_another_and_is_journaled_with_its_turns():
    clerk = agent("You know the stock.", [look], name="clerk", description="Knows what is in stock.")
    boss = agent("Answer.", [clerk], name="boss")

    @flow(model=SCRIPT)
    async def main() -> str:
        return await boss("tea?") + await ask_human("go on?")

    said[:] = [
        calls(("clerk", '{"task": "is there tea?"}')),
        calls(("look", '{"what": "tea"}')),
        "There is tea.",
        "Yes.",
    ]
    with pytest.raises(Parked):
        await main.run("one")
    declared = asked[0].parameters["tools"][0]["function"]
    assert (declared["name"], declared["description"]) == ("clerk", "Knows what is in stock.")
    assert asked[3].messages[-1]["content"] == "There is tea."
    [node, _] = read_trace("one").roots
    assert [(child.name, child.row.kind) for child in node.children] == [
        ("boss.turn", "turn"),
        ("clerk", "agent"),
        ("boss.turn", "turn"),
    ]
    assert [child.name for child in node.children[1].children] == ["clerk.turn", "look", "clerk.turn"]
    flow.answer("one", ".")
    assert await main.run("one") == "Yes.."
    assert len(asked) == 4


async def test_another_model_of_the_inner_agent_asks_the_outer_one_anew():
    clerk = agent("You know the stock.", name="clerk")
    boss = agent("Answer.", [clerk], name="boss")

    @flow(model=SCRIPT)
    async def main() -> str:
        return await boss("tea?") + await ask_human("go on?")

    said[:] = [calls(("clerk", '{"task": "tea?"}')), "No.", "No tea."]
    with pytest.raises(Parked):
        await main.run("one")
    said[:] = ["Yes!", "Tea."]
    with pytest.raises(Parked):
        await main.run("one", models={"clerk": SCRIPT + "_too"})
    assert main.report.changed == {"boss": 1, "clerk": 1, "clerk.turn": 1}


def model_too(request, example):
    return model(request, example)


@pytest.mark.parametrize(
    ("arguments", "observation"),
    [
        ('{"question": "x"}', "Error: clerk takes one argument, task, a text"),
        ('{"task": "x"}', "Error: the agent clerk came to no answer in 1 turns"),
    ],
)
async def test_what_goes_wrong_in_an_inner_agent_is_an_observation(arguments, observation):
    clerk = agent("You know the stock.", [look], name="clerk", max_turns=1)
    boss = agent("Answer.", [clerk], name="boss")

    @flow(model=SCRIPT)
    async def main() -> str:
        return await boss("tea?")

    inner = [calls(("look", '{"what": "tea"}'))] if "task" in arguments else []
    said[:] = [calls(("clerk", arguments)), *inner, "I cannot say."]
    assert await main.run("one") == "I cannot say."
    assert asked[-1].messages[-1]["content"].startswith(observation)


async def test_equal_calls_in_one_turn_are_work_side_by_side():
    helper = agent("Help.", [look], name="helper")

    @flow(model=SCRIPT)
    async def main() -> str:
        return await helper("tea?")

    same = ("look", '{"what": "tea"}')
    said[:] = [calls(*[same] * 5), calls(*[same] * 4), "Tea."]
    assert await main.run("one") == "Tea."
    assert sum(row.key[0] == "look" for row in open_journal("stillhouse.db").steps("one")) == 9


async def test_the_same_call_turn_after_turn_still_ends_the_agent():
    helper = agent("Help.", [look], name="helper")

    @flow(model=SCRIPT)
    async def main() -> str:
        return await helper("tea?")

    said[:] = [calls(("look", '{"what": "tea"}'))] * 4
    with pytest.raises(AgentError, match="for the 4th time"):
        await main.run("one")


async def test_the_text_protocol_gives_typed_answers_too():
    helper = agent("Help.", [look], name="helper", output=int, calling="text")

    @flow(model=SCRIPT)
    async def main() -> int:
        return sum(await asyncio.gather(helper("how many?")))

    said[:] = ["Final Answer: a few", "Thought: again\nFinal Answer: 3"]
    assert await main.run("one") == 3
