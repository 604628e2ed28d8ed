"""An agent inside a flow: what is journaled, under which name, and what makes a call another call."""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field

import pytest

pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed: pip install 'stillhouse[pydantic-ai]'")
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, FunctionToolset, ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability, durable_operation
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.exceptions import UserError as TheirUserError
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel

from stillhouse import flow, step
from stillhouse.errors import PriceUnknownError, UserError
from stillhouse.flow import LimitExceeded, Parked, ask_human, limits
from stillhouse.flow.human import answer
from stillhouse.interop.pydantic_ai import StillhouseDurability, StudentModel, journaled
from stillhouse.records import Prediction
from stillhouse.store.journal import key_id, open_journal
from stillhouse.task import Task


class Script:
    """A model that first calls the tools it is told to, then says what they returned; it counts its requests."""

    def __init__(self, *calls):
        self.calls, self.requests = calls, 0
        self.model = FunctionModel(self.reply, model_name="script")

    def reply(self, messages, info):
        self.requests += 1
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        if turn < len(self.calls):
            return ModelResponse([ToolCallPart(name, arguments) for name, arguments in self.calls[turn]])
        returned = [part.content for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        return ModelResponse([TextPart(json.dumps(returned))])


@pytest.fixture
def db(tmp_path):
    return tmp_path / "journal.db"


def rows(db, run="r"):
    journal = open_journal(db)
    try:
        return journal.steps(run)
    finally:
        journal.close()


def shop(script, **more):
    agent = Agent(script.model, name="shop", instructions="Sell.", capabilities=[StillhouseDurability()], **more)
    agent.calls = []

    @agent.tool_plain
    async def price(item: str) -> float:  # not in a thread of its own: two calls of a turn begin in their order
        agent.calls.append(item)
        if agent.calls.count(item) == 1 and item == "lamp":
            raise RuntimeError("the price list is away")
        return float(len(item))

    return agent


async def test_turns_and_tools_are_journaled_and_a_failed_run_goes_on_where_it_was(db):
    script = Script([("price", {"item": "kettle"}), ("price", {"item": "lamp"})])
    agent = shop(script)

    @flow
    async def main() -> str:
        return (await agent.run("what do they cost?")).output

    with pytest.raises(RuntimeError, match="price list"):
        await main.run("r", store=db)
    assert await main.run("r", store=db) == "[6.0, 4.0]"
    assert (agent.calls, script.requests) == (["kettle", "lamp", "lamp"], 2)
    assert dict(main.report.replayed) == {"shop.turn": 1, "shop.price": 1}
    assert [(row.key[0], row.kind) for row in rows(db)] == [
        ("shop.turn", "turn"),
        ("shop.price", "tool"),
        ("shop.price", "tool"),
        ("shop.turn", "turn"),
    ]
    assert rows(db)[0].facts["model"] == "script"
    assert rows(db)[0].facts["cost_usd"] is None


async def test_a_finished_run_asks_nothing_again_and_an_agent_outside_a_flow_is_what_it_was(db):
    script = Script([("price", {"item": "pan"})])
    agent = shop(script)

    @flow
    async def main() -> str:
        return (await agent.run("what does it cost?")).output

    assert await main.run("r", store=db) == await main.run("r", store=db) == "[3.0]"
    assert script.requests == 2
    assert (await agent.run("what does it cost?")).output == "[3.0]"
    assert script.requests == 4
    assert len(rows(db)) == 3


async def test_an_agent_that_somebody_else_built_is_journaled_too(db):
    script = Script([("double", {"n": 4})])
    theirs = Agent(script.model, name="theirs")
    theirs.tool_plain(double)

    @flow
    async def main() -> str:
        return (await journaled(theirs).run("four?")).output

    assert await main.run("r", store=db) == "[8]"
    assert [row.key[0] for row in rows(db)] == ["theirs.turn", "theirs.double", "theirs.turn"]
    assert (await theirs.run("four?")).output == "[8]"  # and is itself unchanged


async def test_a_stream_is_replayed_without_the_model(db):
    agent = Agent(TestModel(custom_output_text="all sold"), name="seller", capabilities=[StillhouseDurability()])
    agent.tool_plain(double)
    stop = [False, True]

    @flow
    async def main() -> list[str]:
        async with agent.run_stream("sell") as stream:
            texts = [text async for text in stream.stream_text(debounce_by=None)]
        if stop.pop():
            raise RuntimeError("stop before the end")
        return texts

    with pytest.raises(RuntimeError, match="stop"):
        await main.run("r", store=db)
    assert await main.run("r", store=db) == ["all sold"]
    assert not main.report.ran
    assert dict(main.report.replayed) == {"seller.turn": 2, "seller.double": 1}


def double(n: int) -> int:
    return 2 * n


@dataclass
class Customer:
    name: str
    roles: set[str] = field(default_factory=lambda: {"buyer", "seller", "guest"})
    lock: threading.Lock = field(default_factory=threading.Lock)


async def test_agents_at_once_with_the_same_prompt_are_told_apart_by_their_dependencies(db):
    """The second sitting asks in the other order; each branch must get its own customer's tool call back, and none is paid for again."""
    script = Script([("name", {})])
    agent = Agent(script.model, name="greeter", deps_type=Customer, capabilities=[StillhouseDurability()])
    called, order, broken = [], ["ann", "bob"], [True]

    @agent.tool
    async def name(ctx: RunContext[Customer]) -> str:
        called.append(ctx.deps.name)
        return ctx.deps.name

    @step
    async def last() -> None:
        if broken.pop():
            broken.append(False)
            raise RuntimeError("stop before the end")

    @flow
    async def main() -> dict[str, str]:
        said = await flow.map(greet, order)
        await last()
        return dict(said)

    async def greet(customer: str) -> tuple[str, str]:
        return customer, (await agent.run("who am I?", deps=Customer(customer))).output

    with pytest.raises(RuntimeError, match="stop"):
        await main.run("r", store=db)
    order.reverse()
    assert await main.run("r", store=db) == {"ann": '["ann"]', "bob": '["bob"]'}
    assert (sorted(called), script.requests) == (["ann", "bob"], 4)
    assert "ann" not in rows(db)[0].arguments  # dependencies may hold secrets: a digest stands for them


@pytest.mark.slow
async def test_branches_that_fail_and_resume_at_random_get_their_own_answers_and_pay_once(db):
    """Six runs of four agents at once; a sitting ends at a random tool, and the next one's branches come in another order."""
    draw = random.Random(7)
    paid = Counter()

    async def reply(messages, info):
        await asyncio.sleep(draw.random() / 1000)
        asked = [part.content for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        if len(asked) < 3:
            return ModelResponse([ToolCallPart("look", {"n": len(asked)})])
        return ModelResponse([TextPart(",".join(asked))])

    agent = Agent(FunctionModel(reply), name="crowd", deps_type=Customer, capabilities=[StillhouseDurability()])

    @agent.tool
    async def look(ctx: RunContext[Customer], n: int) -> str:
        await asyncio.sleep(draw.random() / 1000)
        if draw.random() < 0.1:
            raise ConnectionError("gone")
        paid[ctx.deps.name, n] += 1
        return f"{ctx.deps.name}{n}"

    async def branch(name):
        await asyncio.sleep(draw.random() / 1000)
        return name, (await agent.run("look three times", deps=Customer(name))).output

    @flow
    async def main() -> dict[str, str]:
        return dict(await asyncio.gather(*(branch(name) for name in draw.sample("abcd", 4))))

    for run in range(6):
        paid.clear()
        while True:
            try:
                said = await main.run(f"r{run}", store=db)
                break
            except ConnectionError:
                pass
        assert said == {name: f"{name}0,{name}1,{name}2" for name in "abcd"}
        assert paid == {(name, n): 1 for name in "abcd" for n in range(3)}


async def test_an_agent_that_a_tool_asks_is_journaled_inside_that_tools_call(db):
    inner = Script([("double", {"n": 3})])
    expert = Agent(inner.model, name="expert", capabilities=[StillhouseDurability()])
    expert.tool_plain(double)
    outer, broken = Script([("ask", {"question": "3?"})]), [True]
    desk = Agent(outer.model, name="desk", capabilities=[StillhouseDurability()])

    @desk.tool_plain
    async def ask(question: str) -> str:
        said = (await expert.run(question)).output
        if broken.pop():
            broken.append(False)
            raise RuntimeError("the line is dead")
        return said

    @flow
    async def main() -> str:
        return (await desk.run("what is 3 doubled?")).output

    with pytest.raises(RuntimeError, match="dead"):
        await main.run("r", store=db)
    assert await main.run("r", store=db) == '["[6]"]'
    assert (inner.requests, outer.requests) == (2, 2)
    asked = next(row for row in rows(db) if row.key[0] == "desk.ask")
    assert {row.key[0] for row in rows(db) if row.parent == key_id(asked.key)} == {"expert.turn", "expert.double"}


async def test_a_call_that_wants_approval_ends_the_agents_run_and_its_approval_goes_on(db):
    script = Script([("wipe", {})])
    agent = Agent(
        script.model, name="careful", output_type=[str, DeferredToolRequests], capabilities=[StillhouseDurability()]
    )
    agent.tool_plain(wipe, requires_approval=True)

    @flow
    async def main() -> str:
        first = await agent.run("wipe it")
        (call,) = first.output.approvals
        approved = await ask_human(f"may it {call.tool_name}?", ["yes", "no"]) == "yes"
        results = DeferredToolResults(approvals={call.tool_call_id: approved})
        return (await agent.run(message_history=first.all_messages(), deferred_tool_results=results)).output

    with pytest.raises(Parked):
        await main.run("r", store=db)
    journal = open_journal(db)
    answer(journal, "r", "yes")
    journal.close()
    assert await main.run("r", store=db) == '["wiped"]'
    assert script.requests == 2


def wipe() -> str:
    return "wiped"


@pytest.mark.slow
def test_the_journal_is_not_misled_by_sets_loops_agents_and_clocks_among_the_dependencies():
    """In a process of its own, with another order of sets, the same dependencies are the same; what holds itself ends."""
    script = """
import dataclasses, sys
from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.test import TestModel
from stillhouse.interop.pydantic_ai.call_key import _context

@dataclasses.dataclass
class Deps:
    roles: set
    agent: Agent
    said: list
    within: list

deps = Deps({str(n) for n in range(50)}, Agent(TestModel(), name="other"), [ModelRequest.user_text_prompt("hello")], [])
deps.within.append(deps)
print(_context(deps.said, deps))
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


async def test_a_capabilitys_own_operation_is_journaled_too(db):
    done = []

    class Counting(AbstractCapability[None]):
        id = "counting"

        @durable_operation("count")
        async def count(self, ctx: RunContext[None], messages: int) -> int:
            done.append(messages)
            return messages

        async def before_model_request(self, ctx, request_context):
            await self.count(ctx, len(request_context.messages))
            return request_context

    agent = Agent(Script().model, name="counted", capabilities=[Counting(), StillhouseDurability()])
    stop = [False, True]

    @flow
    async def main() -> str:
        said = (await agent.run("hello")).output
        if stop.pop():
            raise RuntimeError("stop before the end")
        return said

    with pytest.raises(RuntimeError, match="stop"):
        await main.run("r", store=db)
    assert await main.run("r", store=db) == "[]"
    assert done == [1]
    assert not main.report.ran


async def test_an_edited_tool_or_another_prompt_runs_again_and_is_said(db):
    stop = [True]

    def build(instructions, tool):
        script = Script([("tool", {"n": 2})])
        agent = Agent(script.model, name="counter", instructions=instructions, capabilities=[StillhouseDurability()])
        agent.tool_plain(tool, name="tool")
        return script, agent

    @step
    async def last() -> None:
        if stop.pop():
            raise RuntimeError("stop before the end")

    async def sitting(instructions, tool):
        script, agent = build(instructions, tool)

        @flow
        async def main() -> str:
            said = (await agent.run("count")).output
            stop.append(tool is double)
            await last()
            return said

        try:
            return script, main, await main.run("r", store=db)
        except RuntimeError:
            return script, main, None

    script, _, said = await sitting("Count.", double)
    assert (script.requests, said) == (2, None)

    def triple(n: int) -> int:
        return 3 * n

    script, main, said = await sitting("Count.", triple)
    assert (said, script.requests) == ("[6]", 1)  # the turn before the tool came from the journal
    assert main.report.changed["counter.tool"] == 1


async def test_what_a_tool_asks_the_model_to_mend_is_journaled_as_a_result(db):
    script = Script([("double", {"n": 1})], [("double", {"n": 2})])
    agent = Agent(script.model, name="mender", capabilities=[StillhouseDurability()])
    tried = []

    @agent.tool_plain(name="double")
    def picky(n: int) -> int:
        tried.append(n)
        if n == 1:
            raise ModelRetry("give an even number")
        return n * 2

    stop = [True]

    @flow
    async def main() -> str:
        said = (await agent.run("double it")).output
        if stop.pop():
            stop.append(False)
            raise RuntimeError("stop before the end")
        return said

    with pytest.raises(RuntimeError, match="stop"):
        await main.run("r", store=db)
    assert await main.run("r", store=db) == '["give an even number", 4]'
    assert tried == [1, 2]


async def test_a_persons_answer_inside_a_tool_parks_the_run(db):
    script = Script([("refund", {"euros": 5})])
    agent = Agent(script.model, name="desk", capabilities=[StillhouseDurability()])

    @agent.tool_plain
    async def refund(euros: int) -> str:
        return f"{await ask_human(f'refund {euros}?', ['yes', 'no'])} said the desk"

    @flow
    async def main() -> str:
        return (await agent.run("refund me")).output

    with pytest.raises(Parked):
        await main.run("r", store=db)
    journal = open_journal(db)
    answer(journal, "r", "yes")
    journal.close()
    assert await main.run("r", store=db) == '["yes said the desk"]'
    assert script.requests == 2


async def test_a_flows_limits_hold_for_an_agents_requests(db):
    script = Script([("double", {"n": 1})], [("double", {"n": 2})])
    agent = Agent(script.model, name="spender", capabilities=[StillhouseDurability()])
    agent.tool_plain(double)

    @flow
    async def main(tokens: int) -> str:
        async with limits(tokens=tokens):
            return (await agent.run("go on")).output

    with pytest.raises(LimitExceeded, match="the limit of 50 tokens is reached") as refused:
        await main.run("none", tokens=50, store=db)
    assert script.requests == 0
    room_for_one = int(str(refused.value).split("up to ")[1].split(")")[0])
    with pytest.raises(LimitExceeded, match=f"the limit of {room_for_one} tokens is reached"):
        await main.run("r", tokens=room_for_one, store=db)
    assert script.requests == 1


async def test_a_limit_in_dollars_is_kept_before_the_request_and_needs_a_price(db):
    """A provider's own address has a list price; the same name served elsewhere, and a function, have none. Nothing is sent."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    hosted = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(api_key="none"))
    elsewhere = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url="http://127.0.0.1:9/v1", api_key="none"))
    agents = []

    @flow
    async def main() -> str:
        async with limits(dollars=1e-6):
            return (await agents[-1].run("hello")).output

    for number, (model, error, said) in enumerate(
        [
            (hosted, LimitExceeded, r"\$0\.000001 is reached"),
            (elsewhere, PriceUnknownError, "no price is known for gpt-4o"),
            (Script().model, PriceUnknownError, "no price is known for script"),
        ]
    ):
        agents.append(Agent(model, name="priced", capabilities=[StillhouseDurability()]))
        with pytest.raises(error, match=said):
            await main.run(f"r{number}", store=db)


async def test_a_students_confidence_stands_in_the_trace(db):
    class Sure:
        name, task = "sure", Task(name="mood", instruction="Good or bad?", output="text")

        async def predict(self, inputs):
            return [Prediction("good", confidence=0.9, cost_usd=0.0) for _ in inputs]

    agent = Agent(StudentModel(Sure()), name="mood", capabilities=[StillhouseDurability()])

    @flow
    async def main() -> str:
        async with limits(dollars=0.01):
            return (await agent.run("a day")).output

    assert await main.run("r", store=db) == "good"
    assert {name: rows(db)[0].facts[name] for name in ("model", "confidence", "cost_usd")} == {
        "model": "sure",
        "confidence": 0.9,
        "cost_usd": 0.0,
    }


async def test_a_long_loop_stores_each_message_once(db):
    """Twenty turns: the arguments of the last are as short as those of the second."""
    script = Script(*[[("double", {"n": n})] for n in range(20)])
    agent = Agent(script.model, name="loop", capabilities=[StillhouseDurability()])
    agent.tool_plain(double)

    @flow
    async def main() -> str:
        return (await agent.run("go on")).output

    await main.run("r", store=db)
    turns = [len(row.arguments) for row in rows(db) if row.kind == "turn"]
    assert len(turns) == 21
    assert max(turns[1:]) < min(turns[1:]) + 20


async def test_what_cannot_be_stored_or_was_not_registered_is_said(db):
    script = Script([("lock", {})])
    agent = Agent(script.model, name="odd", capabilities=[StillhouseDurability()])

    @agent.tool_plain
    def lock() -> object:
        return threading.Lock()

    @flow
    async def unstorable() -> str:
        return (await agent.run("go")).output

    with pytest.raises(UserError, match=r"the result of odd\.lock cannot be stored"):
        await unstorable.run("r", store=db)

    @flow
    async def late() -> str:
        return (await agent.run("go", toolsets=[FunctionToolset([double], id="late")])).output

    with pytest.raises(TheirUserError, match="Stillhouse"):
        await late.run("s", store=db)
    with pytest.raises(TheirUserError, match="unique `name`"):
        Agent(script.model, capabilities=[StillhouseDurability()])


async def test_a_resume_asks_anew_for_the_reply_that_an_agent_could_not_go_on_with(db):
    said = []

    def reply(messages, info):
        said.append(info.output_tools[0].name)
        arguments = {"response": "many"} if len(said) < 4 else {"response": 3}
        return ModelResponse([ToolCallPart(said[-1], arguments)])

    helper = Agent(
        FunctionModel(reply, model_name="script"),
        output_type=int,
        retries=1,
        name="helper",
        capabilities=[StillhouseDurability()],
    )

    @flow
    async def main() -> int:
        return (await helper.run("how many?")).output

    for n_asked in (2, 3):
        with pytest.raises(UnexpectedModelBehavior):
            await main.run("r", store=db)
        assert len(said) == n_asked
    assert await main.run("r", store=db) == 3
    assert len(said) == 4  # the turn before is replayed
    last = [row for row in rows(db) if row.key[0] == "helper.turn"][-1]
    assert len(last.facts["failures"]) == 2
    assert await main.run("r", store=db) == 3
    assert len(said) == 4
