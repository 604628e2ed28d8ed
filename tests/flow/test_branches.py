"""Equal calls in concurrent branches: whichever comes first on resume, each branch gets its own answers, and no effect is repeated."""

import asyncio
import contextlib
import contextvars
import hashlib
import sqlite3
from collections import Counter

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import Parked, ask_human
from stillhouse.flow import shared as shared_module
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
@pytest.mark.parametrize("first", ["a", "b"])
async def test_after_a_kill_only_what_was_under_way_is_done_again(way, at, first, monkeypatch):
    @flow
    async def main() -> list[str]:
        return await way(["a", "b", "c"])

    waits.update(a=0.02, b=0.01 if first == "b" else 0.04)
    await stopped(main, monkeypatch, at)
    journal = open_journal("stillhouse.db")
    finished = Counter(
        (row.key[0], row.arguments) for row in journal.steps(RUN) if row.output is not None and row.kind != "flow"
    )
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


async def test_what_differs_from_run_to_run_is_the_branches_own_without_a_label():
    seen: dict[str, set] = {"a": set(), "b": set()}

    async def draw(item: str) -> None:
        await asyncio.sleep(waits[item])
        seen[item].add((flow.uuid(), flow.random(), flow.now()))

    @flow
    async def main() -> str:
        await asyncio.gather(draw("a"), draw("b"))
        return await ask_human("which?")

    for a, b in ((0.01, 0), (0, 0.01), (0.01, 0)):
        waits.update(a=a, b=b)
        with pytest.raises(Parked):
            await main.run(RUN)
    assert [len(values) for values in seen.values()] == [1, 1]


async def test_equal_questions_in_branches_are_two_questions():
    @flow
    async def main() -> list[str]:
        async def asked(item: str) -> str:
            await asyncio.sleep(waits[item])
            return f"{item} {await ask_human('send?')}"

        return list(await asyncio.gather(asked("a"), asked("b"), return_exceptions=True))

    waits.update(a=0, b=0)
    with pytest.raises(Parked):
        await main.run(RUN)
    journal = open_journal("stillhouse.db")
    for said, a, b in (("first", 0.01, 0), ("second", 0, 0.01)):
        answer(journal, RUN, said)
        waits.update(a=a, b=b)
        if said == "first":
            with pytest.raises(Parked):
                await main.run(RUN)
    assert await main.run(RUN) == ["a first", "b second"]


def edited(monkeypatch, main):
    """The file of the flow is another one now."""
    monkeypatch.setitem(main.__dict__, "_code", "edited")


async def renamed(item: str) -> str:
    return await pay(await ticket(await fetch(item)), item)


@pytest.mark.parametrize("code_is_edited", [True, False])
async def test_after_an_edit_a_branch_finds_the_rows_of_the_branch_that_it_was(code_is_edited, monkeypatch):
    runs = buy

    @flow
    async def main() -> list[str]:
        bought = await asyncio.gather(*map(runs, "ab"))
        return [*bought, await last()]

    waits.update(a=0.01, b=0, last=True)
    with pytest.raises(ConnectionError):
        await main.run(RUN)
    before, runs = list(effects), renamed
    waits.update(a=0, b=0.01)
    if code_is_edited:
        edited(monkeypatch, main)
    assert await main.run(RUN) == (["a on 2", "b on 1", "sent"] if code_is_edited else ["a on 3", "b on 4", "sent"])
    assert (effects == before) is code_is_edited
    assert main.report.moved == (Counter(fetch=2, ticket=2, pay=2) if code_is_edited else {})


async def test_a_row_of_a_branch_that_is_there_is_nobody_elses_though_the_code_was_edited(monkeypatch):
    """Branch a was killed before its ticket was journaled; b's ticket stays b's, whoever asks first."""

    async def at_once(item: str) -> str:
        await asyncio.sleep(waits[item])
        return await pay(await ticket("same"), item)

    @flow
    async def main() -> list[str]:
        return list(await asyncio.gather(at_once("a"), at_once("b")))

    waits.update(a=0.05, b=0)
    await stopped(main, monkeypatch, 1)  # b has its ticket, and a has not asked for one
    edited(monkeypatch, main)
    waits.update(a=0, b=0.01)
    assert await main.run(RUN) == ["a on 2", "b on 1"]


async def test_a_loop_with_a_task_factory_of_its_own_keeps_it():
    made = []

    def factory(loop, coroutine, **options):
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    @flow
    async def main() -> list[str]:
        return await gathered(["a", "b"])

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    await main.run(RUN)
    assert loop.get_task_factory() is factory
    assert len(made) == 2


def as_in_version_1():
    """Write the run's rows as the earlier version had them: equal calls are counted over all branches, in time."""
    with contextlib.closing(sqlite3.connect("stillhouse.db")) as db, db:
        db.execute("DELETE FROM steps WHERE kind = 'flow'")  # that version had no frames
        rows = db.execute("SELECT step, args_hash, nth FROM steps ORDER BY started").fetchall()
        counts: Counter = Counter()
        for name, args_hash, nth in rows:
            plain = args_hash.partition("@")[0]
            counts[name, plain] += 1
            values = (plain, counts[name, plain] - 1, name, args_hash, nth)
            db.execute(
                "UPDATE steps SET args_hash = ?, nth = ?, place = NULL, ended_nth = NULL WHERE step = ? AND args_hash = ? AND nth = ?",
                values,
            )
        db.execute("ALTER TABLE steps DROP COLUMN place")
        db.execute("ALTER TABLE steps DROP COLUMN ended_nth")
        db.execute("ALTER TABLE steps DROP COLUMN frame")
        db.execute("UPDATE meta SET value = '1' WHERE name = 'journal'")


async def parked_in_version_1(main):
    with pytest.raises(Parked):
        await main.run(RUN)
    await asyncio.sleep(0)
    _close_lingering()
    as_in_version_1()
    answer(open_journal("stillhouse.db"), RUN, "yes")


def _close_lingering():
    for place, held in list(shared_module._open.items()):
        shared_module._close(place, held)


@pytest.mark.parametrize("way", [mapped, gathered, nested])
async def test_a_run_of_an_earlier_version_goes_on_where_its_calls_differ(way):
    @step
    async def fetch_one(item: str) -> str:
        effects.append(item)
        return item

    async def twice(item: str) -> list[str]:
        return [await fetch_one(item), await fetch_one(item)]

    @flow
    async def main() -> list:
        found = (
            await flow.map(twice, ["a", "b"]) if way is mapped else list(await asyncio.gather(twice("a"), twice("b")))
        )
        equal = await asyncio.gather(
            last(), last(), last()
        )  # nothing but steps: they began in the order of their calls
        return [found, equal, await ask_human("go on?")]

    await parked_in_version_1(main)
    before = list(effects)
    assert await main.run(RUN) == [[["a", "a"], ["b", "b"]], ["sent"] * 3, "yes"]
    assert effects == before
    assert not main.report.ran


async def test_a_run_of_an_earlier_version_is_refused_where_two_branches_may_be_meant():
    @flow
    async def main() -> list[str]:
        return [*await gathered(["a", "b"]), await ask_human("go on?")]

    waits.update(a=0.01, b=0)
    await parked_in_version_1(main)
    before = list(effects)
    with pytest.raises(UserError, match="begun by an earlier version, which did not tell equal calls of ticket"):
        await main.run(RUN)
    assert effects == before


async def test_a_step_that_was_under_way_in_an_earlier_version_keeps_what_was_done_in_its_body(monkeypatch):
    stops = True

    @step
    async def order(item: str) -> str:
        await fetch(item)
        if stops:
            raise asyncio.CancelledError
        return item

    async def ordered(item: str) -> str:
        return await order(item)

    @flow
    async def main() -> list[str]:
        return list(await asyncio.gather(ordered("a")))

    running = asyncio.create_task(main.run(RUN))
    with pytest.raises(asyncio.CancelledError):
        await running
    _close_lingering()
    with contextlib.closing(sqlite3.connect("stillhouse.db")) as db, db:  # its parent's key in the form of version 1
        [(parent, arguments)] = db.execute("SELECT parent, arguments FROM steps").fetchall()
        name, args_hash, nth = parent.rsplit("/", 2)
        old = f"{name}/{args_hash.partition('@')[0]}/{nth}"
        digest = hashlib.sha256(f"{old}\n{arguments}".encode()).hexdigest()
        db.execute("UPDATE steps SET parent = ?, args_hash = ?", (old, digest))
    as_in_version_1()
    stops = False
    assert await main.run(RUN) == ["a"]
    assert effects == [("fetch", "a")]


async def test_a_task_that_shares_the_context_of_its_maker_leaves_the_maker_its_branch():
    """As pydantic-ai runs its nodes: what a task sets in the context is set for its maker, too."""

    async def beside(item: str) -> str:
        task = asyncio.create_task(buy(item))
        return await task

    @flow
    async def main() -> list[str]:
        shared = contextvars.copy_context()
        first = [await asyncio.create_task(beside(item), context=shared) for item in ("a", "b")]
        both = [asyncio.create_task(buy(item), context=shared) for item in ("c", "d")]
        return [*first, *[await task for task in both], await ask_human("go on?")]

    for c, d in ((0.01, 0), (0, 0.01)):
        waits.update(c=c, d=d)
        with pytest.raises(Parked):
            await main.run(RUN)
    assert len(effects) == 12


async def test_equal_calls_in_the_bodies_of_different_calls_are_others():
    @step
    async def order(item: str) -> int:
        return await ticket("same")

    @flow
    async def main() -> list[int]:
        numbers = [await order("a"), await order("b")]
        await last()
        return numbers

    waits["last"] = True
    with pytest.raises(ConnectionError):
        await main.run(RUN)
    rows = [row for row in open_journal("stillhouse.db").steps(RUN) if row.key[0] == "ticket"]
    assert len({row.key for row in rows}) == 2
    assert await main.run(RUN) == [1, 2]


@pytest.mark.parametrize("way", [gathered, mapped, grouped])
async def test_branches_that_come_in_another_order_are_told_by_their_first_call(way):
    items = ["a", "b", "c"]

    @flow
    async def main() -> list[str]:
        bought = await way(items)
        return [*bought, await last()]

    waits.update(a=0.01, last=True)
    with pytest.raises(ConnectionError):
        await main.run(RUN)
    before = list(effects)
    items.append(items.pop(0))
    assert await main.run(RUN) == ["b on 1", "c on 2", "a on 3", "sent"]
    assert effects == before


async def test_a_branch_that_died_before_its_first_answer_takes_no_other_branchs(monkeypatch):
    async def at_once(item: str) -> str:
        await asyncio.sleep(waits[item])
        return await pay(await ticket("same"), item)

    @flow
    async def main() -> list[str]:
        return list(await asyncio.gather(at_once("a"), at_once("b")))

    waits.update(a=0.05, b=0)
    await stopped(main, monkeypatch, 1)  # b has its ticket, and a has not asked for one
    waits.update(a=0, b=0.01)
    assert await main.run(RUN) == ["a on 2", "b on 1"]
