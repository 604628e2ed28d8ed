"""What was sent is paid for: cancelled by the flow, its answer is waited for, stored and journaled, and nothing is paid twice."""

import asyncio
import json
from collections import Counter
from typing import Literal

import pytest

from stillhouse import flow, step
from stillhouse.flow import LimitExceeded, Parked, StepError, agent, ask_human, decide, limits
from stillhouse.flow.human import answer
from stillhouse.llm.request import Completion
from stillhouse.records import Usage
from stillhouse.store.journal import open_journal

RUN = "r"
sent: Counter = Counter()
fails: set = set()
open_gate = asyncio.Event()


async def model(request, example):
    """It answers when the gate is open."""
    text = request.messages[-1]["content"]
    sent[text] += 1
    await open_gate.wait()
    return Completion("yes", finish_reason="stop", usage=Usage(10, 5))


SCRIPT = f"scripted:{__name__}:model"


@pytest.fixture(autouse=True)
def nothing_sent():
    global open_gate
    open_gate = asyncio.Event()
    sent.clear()
    fails.clear()


@step
async def ask(text: str) -> Literal["yes", "no"]:
    """Say yes."""


helper = agent("Say yes.", name="helper")


async def by_step(text):
    return await ask(text)


async def by_agent(text):
    return await helper(text)


async def by_decision(text):
    return str(await decide("Yes?", ["yes", "no"], text))


@step
async def in_a_body(text: str) -> str:
    return await ask(text)


WAYS = [by_step, by_agent, by_decision, in_a_body]


async def all_sent(n):
    while len(sent) < n:  # noqa: ASYNC110  # requests are counted, and no event is set for each
        await asyncio.sleep(0)


async def opens_soon(after_s: float = 0.02):
    """The answers come after the flow has given up."""
    asyncio.get_running_loop().call_later(after_s, open_gate.set)


def over_when_sent(n, over):
    """Let a time be over when so many requests are under way; their answers come after that."""
    loop = asyncio.get_running_loop()

    def look():
        if sent.total() < n:
            loop.call_later(0.001, look)
        else:
            over()
            loop.call_later(0.02, open_gate.set)

    loop.call_soon(look)


async def mapped(one, texts):
    async def item(text: str) -> str:
        if text == "broken" and fails:
            await all_sent(len(texts) - 1)
            await opens_soon()
            raise ValueError("broken")
        return await one(text)

    return await flow.map(item, texts)


async def grouped(one, texts):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(text)) for text in texts]
        if fails:
            await all_sent(len(texts))
            await opens_soon()
            raise ValueError("broken")
    return [task.result() for task in tasks]


async def gathered(one, texts):
    together = asyncio.gather(*map(one, texts))
    if fails:
        await all_sent(len(texts))
        await opens_soon()
        together.cancel()
        together.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody else looks at it
        raise ValueError("broken")
    return list(await together)


async def limited(one, texts):
    async with limits(seconds=60) as within:
        if fails:
            over_when_sent(len(texts), within.expire)
        return list(await asyncio.gather(*map(one, texts)))


async def timed(one, texts):
    async with asyncio.timeout(60) as timer:
        if fails:
            over_when_sent(len(texts), lambda: timer.reschedule(0))
        return list(await asyncio.gather(*map(one, texts)))


def outputs():
    return [row.output for row in open_journal("stillhouse.db").steps(RUN) if row.kind in ("model", "turn", "decide")]


@pytest.mark.parametrize("one", WAYS)
@pytest.mark.parametrize("many", [mapped, grouped, gathered, limited, timed])
async def test_requests_under_way_are_waited_for_and_not_paid_again(one, many):
    texts = ["a", "b", "c", "broken"]

    @flow(model=SCRIPT)
    async def main() -> list[str]:
        return await many(one, texts)

    fails.add("first")
    with pytest.raises((ExceptionGroup, ValueError, LimitExceeded, TimeoutError)):
        await main.run(RUN)
    n_sent = 3 if many is mapped else 4
    assert sent.total() == n_sent
    assert len([output for output in outputs() if output is not None]) == n_sent
    if one is by_step:
        assert main.report.ran == {"ask": n_sent}
    fails.clear()
    assert await main.run(RUN) == ["yes"] * 4
    assert sent.total() == 4 and set(sent.values()) == {1}


async def test_what_never_comes_back_is_left_when_its_time_is_over(monkeypatch):
    monkeypatch.setattr("stillhouse.flow.call.GRACE_S", 0.02)

    @flow(model=SCRIPT)
    async def main() -> list[str]:
        return await grouped(ask, ["a", "b"])

    fails.add("first")
    monkeypatch.setattr(f"{__name__}.opens_soon", lambda: asyncio.sleep(0))
    with pytest.raises(ExceptionGroup):
        await main.run(RUN)
    assert outputs() == []
    open_gate.set()
    fails.clear()
    assert await main.run(RUN) == ["yes", "yes"]
    assert sent == {"a": 2, "b": 2}


async def test_what_was_not_sent_yet_is_not_sent():
    """There is room for one call at a time: the second waits for it, and is cancelled before."""

    @flow(model=SCRIPT)
    async def main() -> list[str]:
        async with limits(tokens=1100):
            return await grouped(ask, ["a", "b"])

    async def first_sent(n):
        await all_sent_before(1)
        for _ in range(20):
            await asyncio.sleep(0)

    global all_sent
    all_sent_before, all_sent = all_sent, first_sent
    try:
        fails.add("first")
        with pytest.raises(ExceptionGroup):
            await main.run(RUN)
    finally:
        all_sent = all_sent_before
    assert sent == {"a": 1}


@pytest.mark.parametrize("one", WAYS)
async def test_a_reply_that_came_too_late_for_the_flow_is_not_the_flows_answer_on_resume(one):
    """The flow saw a timeout and went on: that is what happened, though the reply came and was paid for."""

    fails.add("first")

    @flow(model=SCRIPT)
    async def main() -> str:
        try:
            async with asyncio.timeout(60 if fails else 0.01) as timer:
                if fails:
                    over_when_sent(1, lambda: timer.reschedule(0))
                return await one("a")
        except TimeoutError:
            said = await one("b")
        await ask_human("go on?")
        return f"late, then {said}"

    with pytest.raises(Parked):
        await main.run(RUN)
    answer(open_journal("stillhouse.db"), RUN, "yes")
    fails.clear()
    assert await main.run(RUN) == "late, then yes"
    assert sent.total() == 2


async def test_what_came_back_late_is_in_the_costs_and_in_the_limits_of_every_sitting():
    counted = []

    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(tokens=10_000) as within:
            try:
                async with limits(seconds=60) as inner:
                    if fails:
                        over_when_sent(1, inner.expire)
                    return await ask("a")
            except LimitExceeded:
                await ask("b")
            counted.append(within.tokens)
        return await ask_human("go on?")

    fails.add("first")
    for _ in range(2):
        with pytest.raises(Parked):
            await main.run(RUN)
        fails.clear()
    assert counted == [30, 30]
    rows = [row for row in open_journal("stillhouse.db").steps(RUN) if row.kind == "model"]
    assert [(row.facts["input_tokens"], row.facts["output_tokens"]) for row in rows] == [(10, 5), (10, 5)]


@pytest.mark.slow
async def test_a_steps_own_time_being_over_keeps_what_was_sent():
    @step(timeout_s=0.4, retries=1, backoff_s=0.0)
    async def hurried(text: str) -> str:
        """Say yes."""

    @flow(model=SCRIPT)
    async def main() -> str:
        await opens_soon(1.0)
        return await hurried("a")

    with pytest.raises(StepError, match=r"took longer than 0\.4 s"):
        await main.run(RUN)
    assert sent == {"a": 2}  # each try is a sample of its own
    (row,) = [row for row in open_journal("stillhouse.db").steps(RUN) if row.kind == "model"]
    assert (row.facts["input_tokens"], len(row.facts["requests"])) == (20, 2)


async def test_a_run_that_is_cancelled_from_outside_keeps_what_was_sent():
    @flow(model=SCRIPT)
    async def main() -> list[str]:
        return list(await asyncio.gather(ask("a"), ask("b")))

    running = asyncio.create_task(main.run(RUN))
    await all_sent(2)
    await opens_soon()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await main.run(RUN) == ["yes", "yes"]
    assert sent == {"a": 1, "b": 1}
    assert main.report.replayed == {"ask": 2}


async def test_an_unusable_reply_that_comes_late_is_asked_for_anew():
    said = iter(["maybe", "yes"])

    async def unsure(request, example):
        sent["asked"] += 1
        await open_gate.wait()
        return next(said)

    import sys

    sys.modules[__name__].unsure = unsure

    @flow(model=f"scripted:{__name__}:unsure")
    async def main() -> str:
        if fails:
            async with limits(seconds=60) as within:
                over_when_sent(1, within.expire)
                return await ask("a")
        return await ask("a")

    fails.add("first")
    with pytest.raises(LimitExceeded):
        await main.run(RUN)
    fails.clear()
    assert await main.run(RUN) == "yes"
    assert sent == {"asked": 2}
    assert json.loads(outputs()[0]) == "yes"


@pytest.mark.parametrize("around", ["step", "tasks"])
async def test_what_a_steps_own_code_has_sent_in_a_map_is_waited_for_and_nothing_begins_after_a_failure(around):
    begun: Counter = Counter()

    @step
    async def post(number: int) -> int:
        begun[number] += 1
        await open_gate.wait()
        return number

    async def item(number: int) -> int:
        if number == 3 and fails:
            while begun.total() < 3:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await opens_soon()
            raise ValueError("broken")
        if around == "tasks":
            first, _ = await asyncio.gather(post(number), post(number + 100))
        else:
            first = await post(number)
        await post(number + 10)
        return first

    @flow
    async def main() -> list[int]:
        return await flow.map(item, range(8), at_once=4)

    fails.add("first")
    with pytest.raises(ValueError, match=r"^broken$"):  # the item's own exception, and no other failed
        await main.run(RUN)
    assert {number % 100 for number in begun} == {0, 1, 2}
    fails.clear()
    assert await main.run(RUN) == list(range(8))
    assert set(begun.values()) == {1}


async def test_an_item_that_waits_for_nothing_that_was_sent_is_cancelled_at_once():
    async def item(number: int) -> None:
        if number:
            raise ValueError("broken")
        await asyncio.Event().wait()

    @flow
    async def main() -> None:
        await flow.map(item, [0, 1])

    with pytest.raises(ValueError, match="broken"):
        await main.run(RUN)


@pytest.mark.parametrize("many", [mapped, grouped, gathered])
async def test_what_waits_for_its_turn_when_the_flow_fails_is_not_sent(many, monkeypatch):
    """Two of four are sent, as there is room for two in the limit; the item that fails sends nothing."""

    @flow(model=SCRIPT)
    async def main() -> list[str]:
        async with limits(tokens=2300):
            return await many(ask, ["a", "b", "c", "d", "broken"])

    async def two_sent(n):
        while len(sent) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)

    monkeypatch.setitem(globals(), "all_sent", two_sent)
    fails.add("first")
    with pytest.raises((ExceptionGroup, ValueError)):
        await main.run(RUN)
    assert sent == {"a": 1, "b": 1}
    fails.clear()
    assert await main.run(RUN) == ["yes"] * 5
    assert sent.total() == 5 and set(sent.values()) == {1}
