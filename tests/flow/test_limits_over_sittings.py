"""Limits over several sittings: what was replayed counts as it did, with all that was called in its body; no call passes a limit."""

import asyncio
import json

import pytest

from stillhouse import flow, step
from stillhouse.flow import LimitExceeded, Parked, agent, ask_human, limits, tool
from stillhouse.flow.human import answer
from stillhouse.llm.request import Completion, ToolCall
from stillhouse.records import Usage
from stillhouse.store.journal import open_journal

RUN = "r"
used: list = []  # tokens of each call that was paid for
most = [0, 0]  # calls under way now, and the most of them


async def model(request, example):
    """It looks twice, then answers; each turn takes 31 tokens."""
    most[0] += 1
    most[1] = max(most)
    await asyncio.sleep(0.001)
    most[0] -= 1
    used.append(31)
    n = sum(message["role"] == "tool" for message in request.messages)
    usage = Usage(21, 10)
    if request.parameters.get("tools") and n < 2:
        call = ToolCall(f"c{n}", "look", json.dumps({"n": n}))
        return Completion(None, finish_reason="tool_calls", usage=usage, tool_calls=(call,))
    return Completion("done", finish_reason="stop", usage=usage)


other = model
SCRIPT, OTHER = (f"scripted:{__name__}:{name}" for name in ("model", "other"))


@pytest.fixture(autouse=True)
def nothing_used(monkeypatch):
    used.clear()
    most[:] = 0, 0
    monkeypatch.setattr(model, "priced_as", "gpt-4o", raising=False)


def look(n: int) -> str:
    """Looks."""
    return f"saw {n}"


helper = agent("Look twice.", [look], name="helper", max_tokens=12)


@step(max_tokens=24)
async def say(text: str) -> str:
    """Say it."""


@step
async def with_a_body(text: str) -> str:
    return await helper(text)


@flow
async def inside(text: str) -> str:
    return await helper(text)


@tool
async def ask_helper(text: str) -> str:
    """Asks."""
    return await helper(text)


async def alone():
    return await helper("a")


async def gathered():
    return list(await asyncio.gather(helper("a"), helper("a"), say("b")))


async def mapped():
    return await flow.map(helper, ["a", "b"])


async def in_a_body():
    return await with_a_body("a")


async def nested():
    return await inside("a")


async def in_a_tool():
    return await ask_helper(text="a")


@pytest.mark.parametrize("way", [alone, gathered, mapped, in_a_body, nested, in_a_tool])
async def test_what_is_replayed_counts_with_all_that_was_called_in_its_body(way):
    counted = []

    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(name="outer", dollars=1.0), limits(steps=1000, tokens=10_000, dollars=1.0) as within:
            await way()
        counted.append((within.steps, within.tokens, round(within.dollars, 12)))
        return await ask_human("go on?")

    for _ in range(2):
        with pytest.raises(Parked):
            await main.run(RUN)
    assert counted[0] == counted[1]
    assert counted[0][1] == sum(used) > 0 and counted[0][2] > 0


@pytest.mark.parametrize("tokens", [100, 155, 200, 333])
async def test_a_limit_in_tokens_holds_over_all_sittings(tokens):
    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(tokens=tokens):
            for number in range(9):
                await say(str(number))
                await helper(str(number))
                await ask_human(f"{number}?")
        return "all"

    for _ in range(12):
        try:
            await main.run(RUN)
        except Parked as parked:
            answer(open_journal("stillhouse.db"), RUN, "yes", parked.question)
        except LimitExceeded as error:
            assert f"{tokens} tokens is reached" in str(error)
            assert sum(used) <= tokens
    assert tokens - 2 * 31 - 100 < sum(used) <= tokens


async def test_a_limit_in_dollars_holds_over_all_sittings():
    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(dollars=0.003):
            for number in range(9):
                await helper(str(number))
                await ask_human(f"{number}?")
        return "all"

    for _ in range(12):
        try:
            await main.run(RUN)
        except Parked as parked:
            answer(open_journal("stillhouse.db"), RUN, "yes", parked.question)
        except LimitExceeded:
            break
    else:
        raise AssertionError("no limit was reached")
    usd_a_call = (21 * 2.5 + 10 * 10) / 1e6
    assert 5 * usd_a_call < len(used) * usd_a_call <= 0.003


async def test_branches_wait_for_room_and_all_of_them_have_it_in_the_end():
    """Each of the ten may take a few tokens more than the 31 that it takes: there is room for all, and not at once."""

    @flow(model=SCRIPT)
    async def main() -> list[str]:
        async with limits(tokens=322):
            return list(await asyncio.gather(*(say(str(number)) for number in range(10))))

    assert await main.run(RUN) == ["done"] * 10
    assert sum(used) == 310
    assert 1 < most[1] < 10


async def test_what_another_models_answer_replaced_counts_too():
    counted, asked = [], [SCRIPT, OTHER, OTHER]

    @flow
    async def main() -> str:
        async with limits(tokens=10_000) as within:
            await say("a")
        counted.append(within.tokens)
        return await ask_human("go on?")

    for named in asked:
        with pytest.raises(Parked):
            await main.run(RUN, models={"say": named})
    assert counted == [31, 62, 62]
    assert sum(used) == 62


async def test_an_answer_out_of_the_store_spends_nothing_whenever_it_is_replayed():
    counted = []

    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(tokens=10_000, dollars=1.0) as within:
            await helper("a")
        counted.append((within.tokens, within.dollars))
        return await ask_human("go on?")

    for run in ("first", "second", "second"):
        with pytest.raises(Parked):
            await main.run(run)
    assert counted[0][0] == 93 and counted[1:] == [(0, 0.0), (0, 0.0)]


async def test_a_limit_of_steps_counts_what_an_agent_did_before():
    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(steps=8):
            await helper("a")  # with itself, its three turns and two calls of its tool six steps
            await ask_human("go on?")
            await helper("b")
        return "all"

    with pytest.raises(Parked):
        await main.run(RUN)
    answer(open_journal("stillhouse.db"), RUN, "yes")
    with pytest.raises(LimitExceeded, match="8 steps is reached before look"):
        await main.run(RUN)
