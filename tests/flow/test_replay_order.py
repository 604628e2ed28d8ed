"""Answers that come in the same moment: which of them a flow is told of first is the same on resume."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from stillhouse import flow, step
from stillhouse.flow.branches import Branch, LiveBranches
from stillhouse.flow.replay_order import ReplayOrder
from stillhouse.store.journal import open_journal


class Sittings:
    """A step whose calls end in one moment, and one that ends each sitting."""

    def __init__(self):
        self.ran, self.n_under_way = [], 0
        self.together, self.fails = asyncio.Event(), True

    async def ended_together(self, text, n):
        """Return when `n` calls are under way."""
        self.ran.append(text)
        self.n_under_way += 1
        if self.n_under_way == n:
            self.together.set()
        await self.together.wait()
        return text


@pytest.fixture
def sittings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Sittings()


def steps_of(sittings):
    @step
    async def one(text: str) -> str:
        return await sittings.ended_together(text, 2)

    @step
    async def then(text: str) -> int:
        sittings.ran.append(text)
        return len(sittings.ran)

    @step
    async def stop() -> None:
        if sittings.fails:
            raise ConnectionError("stopped")

    return one, then, stop


async def twice(main, sittings):
    """Two sittings: what the second gives, and that it ran nothing that the first had done."""
    with pytest.raises(ConnectionError):
        await main.run("r")
    sittings.fails, ran = False, list(sittings.ran)
    result = await main.run("r")
    assert sittings.ran == ran
    return result


async def test_two_branches_of_different_depth_that_end_in_one_moment(sittings):
    one, then, stop = steps_of(sittings)
    told = []

    @flow
    async def main() -> list[tuple[str, int]]:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def deep() -> None:
            await asyncio.gather(one("a"))
            await queue.put("deep")

        async def shallow() -> None:
            await one("b")
            await queue.put("shallow")

        tasks = [asyncio.create_task(deep()), asyncio.create_task(shallow())]
        pairs = [(await queue.get(), await then("same")) for _ in tasks]
        told.append(pairs)
        await stop()
        return pairs

    await twice(main, sittings)
    assert told[0] == told[1]


@pytest.mark.parametrize("by", ["the flow", "whoever runs it"])
async def test_an_answer_that_is_journaled_and_not_told_yet_when_its_call_is_cancelled(sittings, by):
    one, then, stop = steps_of(sittings)
    went_on, running = [], []

    @flow
    async def main() -> int:
        async def first() -> None:
            await one("a")
            if by == "whoever runs it":
                running[0].cancel()
            raise ValueError

        async def second() -> None:
            went_on.append(await one("b"))

        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(second())
                group.create_task(first())  # the last to begin ends first
        number = await then("same")
        await stop()
        return number

    running.append(asyncio.create_task(main.run("r")))
    with pytest.raises((ConnectionError, asyncio.CancelledError)):
        await running[0]
    journal = open_journal("stillhouse.db")
    found = {row.arguments: row for row in journal.steps("r") if row.key[0] == "one"}
    journal.close()
    b = found['{"text":"b"}']
    assert (b.output, b.ended_nth is None, "given_up" in (b.facts or {})) == ('"b"', False, by == "the flow")
    if by == "the flow":
        sittings.fails, ran = False, list(sittings.ran)
        assert await main.run("r") == 3
        assert (went_on, sittings.ran) == ([], ran)


async def test_a_time_that_was_waited_for_comes_in_its_place(sittings):
    _, then, stop = steps_of(sittings)
    told = []

    @flow
    async def main() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def sleeps() -> None:
            await flow.sleep_until(flow.now() + timedelta(milliseconds=30))
            await queue.put("slept")

        async def calls() -> None:
            await then("a")
            await then("b")
            await queue.put("called")

        tasks = [asyncio.create_task(sleeps()), asyncio.create_task(calls())]
        told.append([await queue.get() for _ in tasks])
        await stop()

    await twice(main, sittings)
    assert told == [["called", "slept"]] * 2


async def test_a_call_that_is_given_up_early_takes_no_turn_of_earlier_answers():
    order, live = ReplayOrder([0, 1, 2]), LiveBranches()
    with order.coming(2):
        pass
    given = []

    async def asks(end):
        await order.answer(end, Branch(live, id_=f".{end}"))
        given.append(end)

    await asyncio.gather(asks(1), asks(0))
    assert given == [0, 1]
    assert order.over


async def test_the_answer_of_a_call_that_waits_for_nothing_is_there_before_the_next_one_begins(sittings):
    _, then, stop = steps_of(sittings)
    went_on = []

    @flow
    async def main() -> None:
        async def branch(item: str) -> None:
            went_on.append((item, "begins"))
            await then(item)
            went_on.append((item, "goes on"))

        await asyncio.gather(*map(branch, "ab"))
        await stop()

    await twice(main, sittings)
    assert went_on == [(item, what) for item in "ab" for what in ("begins", "goes on")] * 2


async def test_an_answer_that_waited_for_nothing_does_not_overtake_one_that_is_to_be_told(sittings):
    _, then, stop = steps_of(sittings)
    told, rang = [], asyncio.Event()

    @step
    async def rings(text: str) -> str:
        await asyncio.sleep(0)
        rang.set()  # who waits for that goes on before this answer is told
        return text

    @flow
    async def main() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def waits() -> None:
            await rings("a")
            await queue.put("rung")

        async def hears() -> None:
            await rang.wait()
            await then("b")
            await queue.put("heard")

        tasks = [asyncio.create_task(waits()), asyncio.create_task(hears())]
        told.append([await queue.get() for _ in tasks])
        await stop()

    await twice(main, sittings)
    assert told == [["rung", "heard"]] * 2
