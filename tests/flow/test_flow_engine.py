"""Steps and flows: journaled, resumed, edited, retried; what is stored and how often."""

import asyncio
import contextlib
import importlib.util
import json
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from stillhouse import flow, step
from stillhouse.errors import RunBusyError, UserError
from stillhouse.flow import StepError, idempotency_key
from stillhouse.store.journal import open_journal
from stillhouse.store.sqlite_journal import SqliteJournal

calls: list[str] = []


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    calls.clear()
    monkeypatch.chdir(tmp_path)


@step
async def double(n: int) -> int:
    calls.append(f"double {n}")
    return 2 * n


@step
async def broken_once(n: int) -> int:
    calls.append(f"broken {n}")
    if len([call for call in calls if call.startswith("broken")]) == 1:
        raise ConnectionError("gone")
    return n


@flow
async def story(n: int) -> int:
    first = await double(n)
    both = await asyncio.gather(double(first), double(first + 1))
    return await broken_once(sum(both))


async def test_a_flow_is_awaited_like_any_function_and_a_step_outside_one_is_just_called():
    assert await double(4) == 8
    calls.append("broken before")
    assert await story(n=3) == 26
    assert calls.count("double 3") == 1


async def test_a_failed_run_goes_on_where_it_was_and_a_finished_one_answers_at_once():
    with pytest.raises(ConnectionError):
        await story.run("r1", n=3)
    assert await story.run("r1", n=3) == 26
    assert calls == ["double 3", "double 6", "double 7", "broken 26", "broken 26"]
    assert (story.report.ran, story.report.replayed) == ({"broken_once": 1}, {"double": 3})
    assert await story.run("r1", n=3) == 26
    assert len(calls) == 5


async def test_a_run_id_belongs_to_one_flow_and_one_input():
    calls.append("broken before")
    await story.run("r1", n=3)
    with pytest.raises(UserError, match="with the input"):
        await story.run("r1", n=4)
    with pytest.raises(UserError, match="cannot name a run"):
        await story.run("../r1", n=4)


async def test_a_live_run_is_refused_with_the_owner_named(tmp_path):
    import os

    owner = open_journal(tmp_path / "stillhouse.db")
    with owner.own("r1"), pytest.raises(RunBusyError, match=f"the run r1 is in use by process {os.getpid()}"):
        await story.run("r1", n=3)
    owner.close()


@dataclass
class Order:
    id: int
    state: Literal["open", "shipped"]


@step
async def look_up(order: Order) -> list[Order]:
    return [order, Order(order.id + 1, "shipped")]


@flow
async def orders(n: int) -> list[Order]:
    return await look_up(Order(n, "open"))


async def test_dataclasses_come_back_as_what_the_annotation_says_on_every_run():
    first = await orders.run("o", n=1)
    assert first == [Order(1, "open"), Order(2, "shipped")]
    assert await orders.run("o", n=1) == first


async def test_what_cannot_be_stored_is_named():
    @step
    async def strange() -> object:
        return object()

    @flow
    async def main() -> None:
        await strange()

    with pytest.raises(UserError, match="the result of the step strange cannot be stored"):
        await main()


async def test_an_answer_that_is_not_what_the_annotation_says_is_refused():
    @step
    async def wrong() -> int:
        return "many"

    @flow
    async def main() -> int:
        return await wrong()

    with pytest.raises(StepError, match='the step wrong returned "many"'):
        await main()


async def test_a_flow_that_returns_what_its_annotation_does_not_say_has_failed_and_goes_on_when_that_is_mended():
    @step
    async def three() -> int:
        return 3

    results = iter(["many", 4])

    @flow
    async def main() -> int:
        return await three() and next(results)

    with pytest.raises(UserError, match='the flow main returned "many", which is not what its annotation says'):
        await main.run("r")
    assert open_journal("stillhouse.db").run("r").status == "failed"
    assert await main.run("r") == 4


async def test_equal_calls_are_told_apart_and_so_are_branches():
    drawn = iter("abcd")

    @step
    async def draw(what: str) -> str:
        return next(drawn)

    @flow
    async def main() -> list[str]:
        return [await draw("x"), await draw("x"), await draw("y")]

    assert await main.run("m") == ["a", "b", "c"]


async def test_a_users_mistake_is_not_tried_again():
    @step(retries=2, backoff_s=0.0)
    async def mistaken() -> None:
        calls.append("mistaken")
        raise UserError("mend it")

    @flow
    async def main() -> None:
        await mistaken()

    with pytest.raises(UserError, match="mend it"):
        await main.run("r1")
    assert calls == ["mistaken"]


async def test_equal_arguments_are_equal_in_whatever_order_they_are_written():
    @step
    async def totals(of: dict[str, int]) -> int:
        calls.append("totals")
        return sum(of.values())

    turned = False

    @flow
    async def main() -> int:
        total = await totals({"b": 2, "a": 1} if turned else {"a": 1, "b": 2})
        return await broken_once(total)

    with pytest.raises(ConnectionError):
        await main.run("r1")
    turned = True
    assert await main.run("r1") == 3
    assert calls.count("totals") == 1


async def test_retries_and_timeouts():
    tries = []

    @step(retries=2, backoff_s=0.0)
    async def shaky() -> int:
        tries.append(idempotency_key())
        if len(tries) < 3:
            raise OSError("shaky")
        return 1

    @step(timeout_s=0.01)
    async def slow() -> None:
        await asyncio.sleep(5)

    @flow
    async def main() -> int:
        return await shaky()

    @flow
    async def late() -> None:
        await slow()

    assert await main() == 1
    assert len(tries) == 3
    assert len(set(tries)) == 1  # a service can tell the tries of one call from another call
    with pytest.raises(StepError, match=r"the step slow took longer than 0\.01 s"):
        await late()
    with pytest.raises(UserError, match="outside a step"):
        idempotency_key()


async def test_the_clock_chance_and_uuids_are_those_of_the_first_run():
    seen = []

    @step
    async def fail_first() -> None:
        if len(seen) == 1:
            raise OSError("first")

    @flow
    async def main() -> str:
        seen.append((flow.now().isoformat(), flow.random(), flow.uuid(), flow.uuid("other")))
        await fail_first()
        return flow.uuid()

    with pytest.raises(OSError, match="first"):
        await main.run("m")
    second = await main.run("m")
    assert seen[0] == seen[1]
    assert second != seen[0][2]  # the second call of uuid() is another one


async def test_map_is_bounded_and_keeps_the_order():
    inside, most = 0, 0

    @step
    async def work(n: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001 * (5 - n % 5))
        inside -= 1
        return n * n

    @flow
    async def main(n: int) -> list[int]:
        return await flow.map(work, range(n), at_once=3)

    assert await main(n=12) == [n * n for n in range(12)]
    assert most == 3


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


APP = """
from stillhouse import flow, step
ran = []

@step(pure=True)
async def a(n: int) -> int:
    ran.append("a")
    return n {change}

@step
async def b(n: int) -> int:
    ran.append("b")
    return n

@flow
async def main() -> int:
    first = await a(1)
    await b(10)
    if {fail}:
        raise OSError("killed here")
    return await b(first)
"""


async def test_an_edited_flow_runs_only_what_is_new_or_changed_and_says_so(tmp_path):
    path = tmp_path / "edited_app.py"
    path.write_text(APP.format(change="+ 1", fail=True))
    before = load(path)
    with pytest.raises(OSError, match="killed here"):
        await before.main.run("r")
    path.write_text(APP.format(change="+ 2", fail=False))
    after = load(path)
    assert await after.main.run("r") == 3
    assert after.ran == ["a", "b"]  # a was edited; b(10) was not; b(3) is new
    assert (after.main.report.changed, after.main.report.replayed, after.main.report.ran) == (
        {"a": 1},
        {"b": 1},
        {"a": 1, "b": 1},
    )


async def test_answers_that_nothing_asks_for_any_more_are_reported():
    given = iter([1, 2])

    @step
    async def take(n: int) -> int:
        if n == 1:
            return n
        return n

    @step
    async def stop(n: int) -> None:
        if n == 1:
            raise OSError("first")

    @flow
    async def main() -> int:
        n = next(given)  # not journaled: it drifts
        found = await take(n)
        await stop(n)
        return found

    with pytest.raises(OSError, match="first"):
        await main.run("m")
    assert await main.run("m") == 2
    assert main.report.unused == {"take": 1}


async def test_a_large_output_is_stored_once_however_many_steps_pass_it_on(tmp_path):
    @step
    async def make() -> str:
        return "x" * 8_000_000

    @step
    async def keep(n: int) -> str:
        return "x" * 8_000_000

    @flow
    async def main() -> int:
        return len(await make()) + sum([len(await keep(n)) for n in range(5)])

    assert await main() == 48_000_000
    with sqlite3.connect(tmp_path / "stillhouse.db") as db:
        assert db.execute("SELECT COUNT(*), SUM(LENGTH(text)) FROM texts").fetchone() == (1, 8_000_002)


async def test_the_journal_lists_runs_newest_first(tmp_path):
    calls.append("broken before")
    await story.run("first", n=1)
    await orders.run("second", n=1)
    with contextlib.closing(SqliteJournal(tmp_path / "stillhouse.db")) as journal:
        assert [(row.run, row.flow, row.status, n) for row, n in journal.runs()] == [
            ("second", "orders", "done", 1),
            ("first", "story", "done", 4),
        ]
        assert json.loads(journal.run("first").input) == {"n": 1}


def test_a_plain_function_is_no_step():
    with pytest.raises(UserError, match="not an async function"):
        step(lambda n: n)


async def test_a_step_that_is_not_awaited_is_an_error_that_names_it():
    @step
    async def forgotten(n: int) -> int:
        return n

    @flow
    async def main() -> str:
        forgotten(1)
        return "done"

    with pytest.raises(UserError, match="the flow main calls forgotten and does not await it, so it did not run"):
        await main.run("one")


async def test_two_steps_of_one_name_in_one_run_are_refused():
    def made(answer):
        @step(name="twin")
        async def one() -> int:
            return answer

        return one

    first, second = made(1), made(2)

    @flow
    async def main() -> int:
        return await first() + await second()

    with pytest.raises(UserError, match="two steps are called twin"):
        await main.run("one")


async def test_equal_calls_inside_other_steps_are_told_apart_by_where_they_stand():
    """The outer step of one branch is finished when the run dies: its inner call must not shift those of the other branch."""
    draws = iter(range(100))

    @step
    async def draw(what: str) -> int:
        return next(draws)

    @step
    async def outer(branch: str) -> int:
        drawn = await draw("card")
        if branch == "b" and not calls:
            raise ConnectionError(branch)
        return drawn

    @flow
    async def main() -> list[int]:
        return [await outer("a"), await outer("b")]

    with pytest.raises(ConnectionError):
        await main.run("one")
    calls.append("second time")
    assert await main.run("one") == [0, 1]
    assert main.report.unused == {}


async def test_a_cancelled_run_is_resumable():
    started = asyncio.Event()

    @step
    async def first() -> int:
        calls.append("first")
        return 1

    @step
    async def slow() -> int:
        started.set()
        if len(calls) == 1:
            calls.append("slow")
            await asyncio.sleep(60)
        return 2

    @flow
    async def main() -> int:
        return await first() + await slow()

    running = asyncio.create_task(main.run("one"))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await main.run("one") == 3
    assert calls == ["first", "slow"]


async def test_a_branch_left_behind_by_a_failed_gather_finishes_its_step_and_begins_no_other():
    @step
    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ConnectionError("closed")

    @step
    async def pays(n: int) -> int:
        await asyncio.sleep(0.03)
        calls.append(f"paid {n}")
        return n

    async def branch() -> int:
        return await pays(1) + await pays(2)

    @flow
    async def main() -> None:
        await asyncio.gather(fails(), branch())

    with pytest.raises(ConnectionError):
        await main.run("one")
    await asyncio.sleep(0.1)
    assert calls == ["paid 1"]
    with contextlib.closing(SqliteJournal(Path("stillhouse.db"))) as journal:
        assert {row.key[0]: row.output is not None for row in journal.steps("one")} == {"fails": False, "pays": True}
        assert journal.run("one").status == "failed"


async def test_a_failed_step_is_in_the_journal_with_its_tries():
    @step(retries=2, backoff_s=0.001)
    async def fails() -> None:
        raise ConnectionError("closed")

    @flow
    async def main() -> None:
        await fails()

    with pytest.raises(ConnectionError):
        await main.run("one")
    with contextlib.closing(SqliteJournal(Path("stillhouse.db"))) as journal:
        (row,) = journal.steps("one")
    assert (row.attempts, row.error, row.facts["failures"]) == (
        3,
        "ConnectionError: closed",
        ["ConnectionError: closed"] * 2,
    )


async def test_arguments_named_like_our_own_options_reach_the_flow():
    @flow
    async def main(store: str, models: str, app: str) -> str:
        return store + models + app

    assert await main.execute("one", {"store": "a", "models": "b", "app": "c"}) == "abc"


@pytest.mark.parametrize("value", ["\ud800", "é" * 1_000_000, "\x00", "a'b\"c\n"])
async def test_odd_and_huge_texts_pass_or_are_refused_in_one_sentence(value):
    @step
    async def same(text: str) -> str:
        return text

    @flow
    async def main() -> str:
        return await same(value)

    if value == "\ud800":
        with pytest.raises(UserError, match="cannot be stored"):
            await main.run("one")
    else:
        assert await main.run("one") == value
        assert await main.run("one") == value
