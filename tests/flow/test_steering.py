"""Runs from outside: an Exception where they wait, and listing, answering, going on, cancelling, pruning; and sleeping."""

import asyncio
import contextlib
import gc
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import Cancelled, Parked, ask_human, sleeping, steering
from stillhouse.store.journal import open_journal
from stillhouse.store.sqlite_journal import SqliteJournal

ran: list[str] = []


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran.clear()
    gc.collect()  # flows of other tests


@step
async def work(n: int) -> int:
    ran.append(f"work {n}")
    return n


@flow(name="steered")
async def asks(n: int) -> str:
    await work(n)
    return await ask_human(f"send {n}?", ["yes", "no"])


async def test_what_waits_for_a_person_is_an_exception_outside_of_the_flow():
    assert issubclass(Parked, Exception)
    outcomes = await asyncio.gather(asks.run("a", n=1), asks.run("b", n=2), return_exceptions=True)
    assert [(type(each), each.run, each.question) for each in outcomes] == [
        (Parked, "a", "send 1?"),
        (Parked, "b", "send 2?"),
    ]

    async def handler():  # as a web server has one: it lives on any Exception
        try:
            return await asks.run("c", n=3)
        except Exception as error:
            return str(error)

    async with asyncio.TaskGroup() as group:
        handled, beside = group.create_task(handler()), group.create_task(asyncio.sleep(0.01, "went on"))
    assert handled.result().startswith("the run c waits for an answer to 'send 3?'")
    assert beside.result() == "went on"


async def test_inside_the_flow_it_is_not_swallowed_by_except_exception():
    @flow
    async def swallows() -> str:
        try:
            return await ask_human("sure?")
        except Exception:
            return "swallowed"

    with pytest.raises(Parked, match="sure"):
        await swallows.run("one")


async def test_a_run_inside_a_run_that_waits_lets_the_outer_one_wait():
    tries = []

    @step(retries=3, backoff_s=0)
    async def outer_step() -> str:
        tries.append(1)
        return await asks.run("inner", n=1)

    @flow
    async def outer() -> str:
        return await outer_step()

    with pytest.raises(Parked, match="the run inner waits"):
        await outer.run("outer")
    assert tries == [1]
    assert {run.run: run.status for run in flow.runs()} == {"outer": "waiting", "inner": "waiting"}
    flow.answer("inner", "yes")
    assert await outer.run("outer") == "yes"


async def test_a_run_is_listed_answered_and_gone_on_with_from_python():
    with pytest.raises(Parked):
        await asks.run("one", n=1)
    [run] = flow.runs()
    assert (run.run, run.flow, run.status, run.steps, run.questions) == ("one", "steered", "waiting", 1, ("send 1?",))
    assert (run.input, run.result, run.ended is not None) == ({"n": 1}, None, True)
    assert flow.runs(status="done") == [] and flow.runs(flow="other") == []
    with pytest.raises(UserError, match="'maybe' is not an answer"):
        flow.answer("one", "maybe")
    assert flow.answer("one", "yes") == "send 1?"
    assert await flow.resume("one") == "yes"
    assert ran == ["work 1"]
    [run] = flow.runs(status="done")
    assert (run.result, run.created.tzinfo) == ("yes", UTC)
    assert await flow.resume("one") == "yes"
    with pytest.raises(UserError, match="there is no run 'two'"):
        await flow.resume("two")
    with pytest.raises(UserError, match="no such journal"):
        flow.runs(store="elsewhere.db")


@dataclass
class Order:
    n: int
    price: float = 1.0


async def test_a_resumed_run_is_given_its_input_as_the_annotations_say():
    given = []

    @flow(name="typed")
    async def typed(order: Order, *more: int, note: str = "none") -> str:
        given.append((order, more, note))
        return await ask_human("go?")

    with pytest.raises(Parked):
        await typed.run("one", Order(1, 2), 3, 4)  # 2 is 2.0 once it is read back
    flow.answer("one", "yes")
    assert await flow.resume("one") == "yes"
    assert given == [(Order(1, 2), (3, 4), "none")] * 2
    assert isinstance(given[1][0], Order)


async def test_a_flow_that_is_not_here_or_twice_is_said():
    def made(answer):
        @flow(name="made")
        async def made_flow() -> str:
            return f"{answer} {await ask_human('go?')}"

        return made_flow

    first = made("first")
    with pytest.raises(Parked):
        await first.run("one")
    flow.answer("one", "yes")
    second = made("second")
    with pytest.raises(UserError, match=r"several flows called made.*call made.run\('one', ...\) with its input"):
        await flow.resume("one")
    del first, second
    gc.collect()
    with pytest.raises(UserError, match="this process has no flow called made"):
        await flow.resume("one")


async def test_a_cancelled_run_does_not_go_on():
    with pytest.raises(Parked):
        await asks.run("one", n=1)
    flow.cancel("one")
    for go_on in (lambda: asks.run("one", n=1), lambda: flow.resume("one")):
        with pytest.raises(Cancelled, match="the run one was cancelled"):
            await go_on()
    assert [(run.status, run.steps) for run in flow.runs()] == [("cancelled", 1)]
    assert await work(2) == 2
    with pytest.raises(UserError, match="there is no run 'two'"):
        flow.cancel("two")


async def test_a_run_of_this_process_begins_no_further_call_when_it_is_cancelled_and_what_is_under_way_is_kept():
    began, go_on = asyncio.Event(), asyncio.Event()

    @step
    async def slow() -> str:
        began.set()
        await go_on.wait()
        return "kept"

    @flow
    async def main() -> int:
        with contextlib.suppress(Exception):
            await slow()
            await work(1)
        return await work(2)

    running = asyncio.create_task(main.run("one"))
    await began.wait()
    flow.cancel("one", store="./stillhouse.db")
    go_on.set()
    with pytest.raises(Cancelled):
        await running
    assert ran == []
    [row] = open_journal("stillhouse.db").steps("one")
    assert (row.key[0], row.output) == ("slow", '"kept"')
    assert flow.runs()[0].status == "cancelled"


async def test_a_run_that_failed_while_it_was_cancelled_is_cancelled():
    @step
    async def fails() -> None:
        flow.cancel("one")
        raise ConnectionError("gone")

    @flow
    async def main() -> None:
        await fails()

    with pytest.raises(Cancelled):
        await main.run("one")
    assert flow.runs()[0].status == "cancelled"


async def test_a_run_that_is_done_is_not_cancelled():
    @flow
    async def main() -> int:
        return await work(1)

    await main.run("one")
    with pytest.raises(UserError, match="the run one is done"):
        flow.cancel("one")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    return str(tmp_path / "s.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.mark.parametrize("then", ["a call", "a question", "the end", "a failure"])
async def test_a_run_of_another_process_obeys_at_its_next_call(store, then, monkeypatch):
    monkeypatch.setattr(steering, "live_run", lambda *_: None)  # as if another process executed it
    began, go_on = asyncio.Event(), asyncio.Event()

    @step
    async def slow() -> str:
        began.set()
        await go_on.wait()
        return "kept"

    @flow
    async def main() -> str | int:
        kept = await slow()
        if then == "a failure":
            raise ConnectionError("gone")
        return kept if then == "the end" else await (work(1) if then == "a call" else ask_human("sure?"))

    running = asyncio.create_task(main.run("one", store=store))
    await began.wait()
    assert flow.cancel("one", store=store) is False and flow.cancel("one", store=store) is False
    assert [(run.status, run.ended) for run in flow.runs(store=store)] == [("cancelled", None)]
    assert flow.prune(timedelta(0), store=store) == []
    go_on.set()
    with pytest.raises(Cancelled):
        await running
    assert ran == []
    with contextlib.closing(open_journal(store)) as journal:
        assert [row.output for row in journal.steps("one") if row.kind == "step"] == ['"kept"']
    [run] = flow.runs(store=store)
    assert run.status == "cancelled" and run.ended is not None
    with pytest.raises(Cancelled):
        await main.run("one", store=store)
    assert flow.runs(store=store)[0].ended == run.ended
    assert flow.cancel("one", store=store) is True


async def test_a_run_whose_process_died_after_it_was_asked_to_end_does_not_go_on(store):
    with pytest.raises(Parked):
        await asks.run("one", n=1, store=store)
    owner = open_journal(store)
    with owner.own("one"):
        assert flow.cancel("one", store=store) is False
    owner.close()
    flow.prune(timedelta(days=1), store=store)
    [run] = flow.runs(store=store)
    assert run.status == "cancelled" and run.ended is not None
    with pytest.raises(Cancelled):
        await asks.run("one", n=1, store=store)


async def test_a_run_that_is_cancelled_while_it_waits_for_what_is_under_way_is_cancelled():
    asked, go_on = asyncio.Event(), asyncio.Event()

    @step
    async def slow() -> None:
        await go_on.wait()

    @flow
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow())
            await asyncio.sleep(0)
            try:
                await ask_human("sure?")
            finally:
                asked.set()

    running = asyncio.create_task(main.run("one"))
    await asked.wait()
    flow.cancel("one")
    go_on.set()
    with pytest.raises(Cancelled):
        await running
    assert flow.runs()[0].status == "cancelled"


@pytest.mark.slow
def test_from_the_shell_a_run_of_another_process_is_cancelled(tmp_path, stillhouse):
    (tmp_path / "app.py").write_text(
        "import asyncio, pathlib\nfrom stillhouse import flow, step\n\n\n"
        "@step\nasync def work(n: int) -> int:\n"
        "    pathlib.Path('began').touch()\n    await asyncio.sleep(0.05)\n    return n\n\n\n"
        "@flow\nasync def main() -> None:\n    for n in range(1000):\n        await work(n)\n"
    )
    command = [sys.executable, "-m", "stillhouse", "run", "app.py:main", "--run-id", "one"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "began").exists():
            assert process.poll() is None
            time.sleep(0.01)
        said = "the run one is cancelled; the process that executes it begins no further call"
        assert said in stillhouse("runs", "cancel", "one").out.replace("\n", " ")
        _, told = process.communicate(timeout=20)
    assert (process.returncode, "the run one was cancelled" in told.replace("\n", " ")) == (1, True)
    assert stillhouse("runs", "--json").json[0]["steps"] < 1000


def rows(store, statement):
    """What the database itself holds, asked past our code."""
    if not store.startswith("postgresql://"):
        with contextlib.closing(sqlite3.connect(store)) as db, db:
            return db.execute(statement).fetchall()
    import psycopg

    with psycopg.connect(store, options="-c search_path=stillhouse") as db:
        done = db.execute(statement)
        return [] if done.description is None else done.fetchall()


async def test_old_runs_are_pruned_with_their_long_texts_and_nothing_else_is(store):
    long, shared = "a" * 5000, "b" * 5000

    @step
    async def says(text: str) -> str:
        return text

    @flow
    async def main(texts: list[str]) -> int:
        return sum([len(await says(text)) for text in texts])

    await main.run("old", [long, shared], store=store)
    await main.run("young", [shared], store=store)
    with pytest.raises(Parked):
        await asks.run("waits", n=1, store=store)
    rows(store, "UPDATE runs SET ended = ended - 864000 WHERE run IN ('old', 'waits')")
    assert flow.prune(timedelta(days=30), store=store) == []
    assert flow.prune(timedelta(days=7), store=store) == ["old"]
    assert [run.run for run in flow.runs(store=store)] == ["waits", "young"]
    texts = {text for (text,) in rows(store, "SELECT text FROM texts")}
    assert not any(long in text for text in texts) and any(shared in text for text in texts)
    assert rows(store, "SELECT COUNT(*) FROM steps WHERE run = 'old'") == [(0,)]
    assert await main.run("young", [shared], store=store) == 5000
    with pytest.raises(UserError, match="runs that are waiting have not ended"):
        flow.prune(timedelta(0), status=["waiting"], store=store)


@pytest.mark.parametrize("cancelled", [False, True])
def test_no_text_is_taken_while_a_run_is_written(store, cancelled):
    """Its process may have stored a text, and not yet the step that names it."""
    with contextlib.closing(open_journal(store)) as journal:
        with journal.own("one"):
            journal.begin("one", "main", "{}", {})
            if cancelled:
                journal.cancel("one")
            rows(store, "INSERT INTO texts VALUES ('hash', 'long')")
            journal.delete_texts()
            assert rows(store, "SELECT COUNT(*) FROM texts") == [(1,)]
            journal.end("one", "failed", error="gone")
        journal.delete_texts()
        assert rows(store, "SELECT COUNT(*) FROM texts") == [(0,)]


async def test_a_run_that_somebody_goes_on_with_is_not_taken_away_and_others_are(store):
    for run in ("one", "two"):
        with pytest.raises(Parked):
            await asks.run(run, n=1, store=store)
        flow.cancel(run, store=store)
    with contextlib.closing(open_journal(store)) as owner, owner.own("two"):
        assert flow.prune(timedelta(0), store=store) == ["one"]
    assert flow.prune(timedelta(0), store=store) == ["two"]


async def test_a_run_that_was_gone_on_with_since_it_was_listed_is_not_taken_away(monkeypatch):
    with pytest.raises(Parked):
        await asks.run("one", n=1)
    listed = SqliteJournal.runs

    def ended_then(journal):
        return [(replace(row, status="failed"), n) for row, n in listed(journal)]

    monkeypatch.setattr(SqliteJournal, "runs", ended_then)
    assert flow.prune(timedelta(0)) == []
    monkeypatch.setattr(SqliteJournal, "runs", listed)
    assert [run.status for run in flow.runs()] == ["waiting"]


async def test_a_flow_sleeps_until_a_time_and_not_again_when_it_is_resumed(monkeypatch):
    waits: list[float] = []
    now = datetime(2030, 1, 1, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return now

    async def slept(seconds):
        nonlocal now
        waits.append(seconds)
        now += timedelta(seconds=seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt  # as the process is stopped
        assert len(waits) < 10, "it waits again"

    monkeypatch.setattr(sleeping, "datetime", Clock)
    monkeypatch.setattr(sleeping.asyncio, "sleep", slept)
    fails = True

    @step
    async def stop() -> None:
        if fails:
            raise ConnectionError("after")

    @flow
    async def main() -> str:
        await flow.sleep_until(datetime(2030, 1, 1, 0, 0, 3, tzinfo=UTC))
        await stop()
        return "awake"

    async def sitting():
        try:
            return await main.run("one")
        except KeyboardInterrupt:
            return "stopped"

    assert await sitting() == "stopped"
    with pytest.raises(ConnectionError):
        await sitting()
    assert waits == [1.0, 1.0, 1.0]
    now, fails = datetime(2029, 1, 1, tzinfo=UTC), False  # the clock is set back
    assert await sitting() == "awake"
    assert waits == [1.0, 1.0, 1.0]
    assert main.report.replayed == {} and main.report.unused == {}


async def test_a_sleeping_run_can_be_cancelled_and_a_time_without_a_zone_is_an_error(monkeypatch):
    monkeypatch.setattr(sleeping, "_LOOK_S", 0.001)

    @flow
    async def main() -> None:
        await flow.sleep_until(flow.now() + timedelta(days=3))

    running = asyncio.create_task(main.run("one"))
    await asyncio.sleep(0.01)
    flow.cancel("one")
    with pytest.raises(Cancelled):
        await running
    with pytest.raises(UserError, match="has no time zone"):
        await flow.sleep_until(datetime(2030, 1, 1))
    await flow.sleep_until(datetime(2020, 1, 1, tzinfo=UTC))  # outside a run


def test_from_the_shell_a_run_is_cancelled_and_pruned_and_a_waiting_one_exits_with_3(tmp_path, stillhouse):
    (tmp_path / "app.py").write_text(
        "from stillhouse import flow\nfrom stillhouse.flow import ask_human\n\n\n"
        "@flow\nasync def main() -> str:\n    return await ask_human('how many?')\n"
    )
    assert stillhouse("run", "app.py:main", "--run-id", "one").code == 3
    assert stillhouse("resume", "one", "--json").code == 3
    assert stillhouse("runs", "cancel", "one").out == "the run one is cancelled\n"
    refused = stillhouse("resume", "one")
    assert (refused.code, "the run one was cancelled" in refused.err) == (1, True)
    assert "cancelled" in stillhouse("runs").out
    assert stillhouse("runs", "prune", "--older-than", "1").out == "0 runs taken out of the journal\n"
    assert stillhouse("runs", "prune", "--older-than", "0", "--json").json == {"runs": ["one"]}
