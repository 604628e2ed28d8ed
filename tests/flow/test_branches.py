"""Equal calls in concurrent branches: whichever comes first on resume, each branch gets its own answers, and no effect is repeated."""

import asyncio
from collections import Counter

import pytest

from stillhouse import flow, step
from stillhouse.flow import Parked, ask_human
from stillhouse.flow.human import answer
from stillhouse.store.journal import open_journal
from stillhouse.store.sqlite_journal import SqliteJournal

RUN = "r"
effects: list = []
tickets = iter(())
waits: dict = {}


@pytest.fixture(autouse=True)
def nothing_done():
    global tickets
    effects.clear()
    waits.clear()
    tickets = iter(range(1, 1000))


@step
async def fetch(item: str) -> str:
    await asyncio.sleep(waits.get(item, 0))
    effects.append(("fetch", item))
    return "same"


@step
async def ticket(text: str) -> int:
    effects.append(("ticket", text))
    return next(tickets)


@step
async def pay(number: int, item: str) -> str:
    effects.append(("pay", item))
    await asyncio.sleep(0)
    return f"{item} on {number}"


@step
async def last() -> str:
    if waits.pop("last", None):
        raise ConnectionError
    return "sent"


async def buy(item: str) -> str:
    number = await ticket(await fetch(item))
    return await pay(number, item)


async def mapped(items):
    return await flow.map(buy, items)


async def gathered(items):
    return list(await asyncio.gather(*map(buy, items)))


async def grouped(items):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(buy(item)) for item in items]
    return [task.result() for task in tasks]


async def made_apart(items):
    tasks = []
    for item in items:
        tasks.append(asyncio.create_task(buy(item)))
        await asyncio.sleep(0)
    return [await task for task in tasks]


async def completed(items):
    return sorted([await done for done in asyncio.as_completed(list(map(buy, items)))])


async def waited_for(items):
    return list(await asyncio.gather(*(asyncio.wait_for(buy(item), 60) for item in items)))


@flow
async def shop(items: list[str]) -> list[str]:
    return [await buy(item) for item in items]


async def nested(items):
    return [item for bought in await asyncio.gather(*(shop([item]) for item in items)) for item in bought]


async def in_threads(items):
    return list(await asyncio.gather(*(asyncio.to_thread(asyncio.run, buy(item)) for item in items)))


async def from_a_queue(items):
    queue: asyncio.Queue[str] = asyncio.Queue()
    for item in items:
        queue.put_nowait(item)
    bought: list[str] = []

    async def worker() -> None:
        while not queue.empty():
            bought.append(await buy(queue.get_nowait()))

    await asyncio.gather(worker(), worker())
    return sorted(bought)


WAYS = [mapped, gathered, grouped, made_apart, completed, waited_for, nested, in_threads, from_a_queue]


@pytest.mark.parametrize("way", WAYS)
async def test_after_the_answer_of_a_person_nothing_is_paid_again(way):
    @flow
    async def main() -> list[str]:
        bought = await way(["a", "b", "c"])
        return [*bought, await ask_human("send?")]

    waits.update(a=0.02, b=0.01)
    with pytest.raises(Parked):
        await main.run(RUN)
    before = list(effects)
    journal = open_journal("stillhouse.db")
    answer(journal, RUN, "yes")
    assert await main.run(RUN) == sorted([*bought_first(journal), "yes"], key=lambda text: (text == "yes", text))
    assert effects == before
    assert not main.report.unused and not main.report.ran


def bought_first(journal):
    return [row.output.strip('"') for row in journal.steps(RUN) if row.key[0] == "pay"]


@pytest.mark.parametrize("way", [way for way in WAYS if way is not in_threads])
@pytest.mark.parametrize("at", range(2, 9, 2))
async def test_after_a_kill_only_what_was_under_way_is_done_again(way, at, monkeypatch):
    @flow
    async def main() -> list[str]:
        return await way(["a", "b", "c"])

    waits.update(a=0.02, b=0.01)
    await stopped(main, monkeypatch, at)
    journal = open_journal("stillhouse.db")
    finished = Counter((row.key[0], row.arguments) for row in journal.steps(RUN) if row.output is not None)
    before = len(effects)
    waits.update(a=0, b=0.01)
    bought = await main.run(RUN)
    assert sorted(text[0] for text in bought) == ["a", "b", "c"]
    assert sorted({text[-1] for text in bought}) == sorted(text[-1] for text in bought)  # a ticket of its own each
    assert len(effects) - before == 9 - finished.total()
    assert not main.report.unused


async def stopped(main, monkeypatch, at):
    """Run until `at` calls are journaled, and drop the run there, as if the process had died."""
    dead, n, write = asyncio.Event(), 0, SqliteJournal.write

    async def counted(self, run, row):
        nonlocal n
        if n >= at:
            dead.set()
            await asyncio.Future()
        n += 1
        write(self, run, row)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteJournal, "write_later", counted)
        running = asyncio.create_task(main.run(RUN))
        await dead.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
