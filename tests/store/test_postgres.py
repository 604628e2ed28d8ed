"""What is PostgreSQL's alone: addresses and passwords, dropped connections, leases and the queue of runs."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading

import pytest

import postgres
from stillhouse.errors import MissingExtraError, RunBusyError, StorageError, UserError
from stillhouse.store import open_store
from stillhouse.store.completions import StoredCompletion
from stillhouse.store.journal import StepRow, open_journal

psycopg = pytest.importorskip("psycopg")


def sql(url, statement, *values):
    with psycopg.connect(url, options="-c search_path=stillhouse", autocommit=True) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def step(nth=0, output="1"):
    return StepRow(
        key=("a", "0" * 64, nth),
        kind="step",
        parent=None,
        version="v1",
        arguments="{}",
        output=output,
        error=None,
        started=1.0,
        seconds=0.5,
        attempts=1,
    )


@pytest.fixture
def journal(postgres_url):
    """Its heart beats every five minutes: what a test says of its leases stays so."""
    with contextlib.closing(open_journal(f"{postgres_url}?lease_s=900")) as opened:
        yield opened


@pytest.fixture
def other(postgres_url):
    with contextlib.closing(open_journal(f"{postgres_url}?lease_s=900")) as opened:
        yield opened


# Addresses


def test_errors_name_the_database_and_never_the_password(postgres_url, monkeypatch):
    wrong = postgres_url.replace(postgres.PASSWORD, "wr0ng-w0rd")
    place = postgres_url.split("@")[1]
    for opened in (open_store, open_journal):
        with pytest.raises(StorageError, match=f"postgresql://{place}: .*password authentication failed") as refused:
            opened(wrong)
        assert "wr0ng-w0rd" not in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
        with pytest.raises(StorageError, match=r"postgresql://127\.0\.0\.1:1/x: .*refused"):
            opened("postgresql://u:s3cret@127.0.0.1:1/x")
        for unreadable in ("postgresql://u:s3cret@h:po/rt?x=y", "postgresql://u@h/d?password=s3cret&no_such_option=1"):
            with pytest.raises(UserError, match="cannot be read") as refused:
                opened(unreadable)
            assert "s3cret" not in str(refused.value)
        with pytest.raises(UserError, match="lease_s=0 is no lease"):
            opened(f"{postgres_url}?lease_s=0")
        with pytest.raises(UserError, match="unknown kind") as refused:
            opened("mysql://u:s3cret@h/d")
        assert "s3cret" not in str(refused.value)


def test_the_password_may_come_from_the_environment(postgres_url, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    bare = postgres_url.replace(f":{postgres.PASSWORD}", "")
    with (
        open_store(bare) as store,
        contextlib.closing(open_journal(f"{bare}?lease_s=7&application_name=shop")) as journal,
    ):
        assert store.count() == 0
        assert journal.url == f"postgresql://{postgres_url.split('@')[1]}"
        assert ("shop",) in sql(postgres_url, "SELECT DISTINCT application_name FROM pg_stat_activity")


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for opened in (open_store, open_journal):
        with pytest.raises(MissingExtraError, match=r"pip install 'stillhouse\[scale\]'"):
            opened("postgresql://h/d")


def test_a_store_of_another_version_is_named(postgres_url):
    open_store(postgres_url).close()
    sql(postgres_url, "UPDATE meta SET value = '999'")
    with pytest.raises(StorageError, match="a store of version 999"):
        open_store(postgres_url)


def test_many_may_make_the_tables_at_once(postgres_url):
    failed, ready = [], threading.Barrier(8)

    def make(number):
        ready.wait()
        try:
            (open_store if number % 2 else open_journal)(postgres_url).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


# Dropped connections


def drop_connections(url):
    return sql(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


async def test_a_dropped_connection_is_made_again(postgres_url, journal):
    row = StoredCompletion(
        request_hash="a",
        model="m",
        request={},
        response={"text": "yes"},
        usage=None,
        cost_usd=None,
        price_snapshot=None,
        latency_s=None,
        created="2026-01-01T00:00:00Z",
    )
    with open_store(postgres_url) as store, journal.own("r"):
        journal.begin("r", "main", "{}", {})
        await store.put(row)
        await journal.write_later("r", step(0))
        assert len(drop_connections(postgres_url)) >= 4
        assert store.get("a") == row
        await store.put(row)
        journal.write("r", step(1))
        await journal.write_later("r", step(2))
        assert len(journal.finished("r")) == 3


@pytest.mark.slow
async def test_a_server_that_is_gone_is_one_sentence():
    with contextlib.ExitStack() as opened:
        with postgres.running() as server:
            journal = opened.enter_context(contextlib.closing(open_journal(f"{server}/postgres")))
            store = opened.enter_context(open_store(f"{server}/postgres"))
            opened.enter_context(journal.own("r"))
            journal.begin("r", "main", "{}", {})
        for refused in (lambda: journal.write("r", step()), lambda: journal.finished("r"), lambda: store.get("a")):
            with pytest.raises(
                StorageError, match=r"postgresql://127\.0\.0\.1:\d+/postgres: .*what was committed is kept"
            ) as said:
                refused()
            assert postgres.PASSWORD not in str(said.value)
            assert len(str(said.value).splitlines()) == 1
        with pytest.raises(StorageError, match="what was committed is kept"):
            await journal.write_later("r", step())


# Leases


def expire(url):
    sql(url, "UPDATE leases SET expires = clock_timestamp() - interval '1 second'")


def test_a_dead_owners_run_is_taken_over_and_a_live_ones_is_not(postgres_url, journal, other):
    journal._leases.take("r")
    with (
        pytest.raises(
            RunBusyError, match=rf"by process {os.getpid()} on .*; wait for it or stop it, .*free in (8..|900) s"
        ),
        other.own("r"),
    ):
        pass
    expire(postgres_url)
    with other.own("r"):
        assert other.begin("r", "main", "{}", {}).status == "running"


async def test_an_owner_that_was_paused_for_too_long_writes_nothing_more(postgres_url, journal, other):
    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        await journal.write_later("r", step(0))
        expire(postgres_url)
        await journal.write_later("r", step(1))  # nobody took the run over: it is still its own
        expire(postgres_url)
        with other.own("r"):
            other.begin("r", "main", "{}", {})
            assert set(other.finished("r")) == {step(0).key, step(1).key}
            other.write("r", step(2, "2"))
            lost = rf"the run r was taken over by process {os.getpid()} on .*silent for longer than its lease of 900 s"
            for write in (
                lambda: journal.write("r", step(2, "9")),
                lambda: journal.begin("r", "main", "{}", {}),
                lambda: journal.end("r", "failed", error="late"),
            ):
                with pytest.raises(RunBusyError, match=lost):
                    write()
            with pytest.raises(RunBusyError, match=lost):
                await journal.write_later("r", step(3, "9"))
            other.end("r", "done", result="1")
    assert (other.run("r").status, other.finished("r")[step(2).key][1], len(other.finished("r"))) == ("done", "2", 3)


def test_who_does_not_own_a_run_cannot_write_it(journal):
    for write in (
        lambda: journal.write("r", step()),
        lambda: journal.begin("r", "main", "{}", {}),
        lambda: journal.end("r", "done"),
    ):
        with pytest.raises(StorageError, match="does not own it"):
            write()


def test_a_takeover_waits_for_the_write_under_way_and_a_heartbeat_does_not(postgres_url, journal, other):
    """So a new owner sees every step that the old one was told is committed."""
    from stillhouse.store.leases import _CLAIM, _HEARTBEAT, _TAKE_OVER

    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        expire(postgres_url)
        mine = {"owner": "h:1:x", "lease_s": 15.0}
        with psycopg.connect(
            postgres_url, options="-c search_path=stillhouse"
        ) as writing:  # what a write holds until it is committed
            writing.execute("SELECT FROM leases WHERE run = 'r' FOR KEY SHARE")
            assert other._db.execute(_TAKE_OVER, mine | {"run": "r"}) == []
            assert other._db.execute(_CLAIM, mine | {"pattern": ""}) == [("r", None)]
            other._db.execute(_HEARTBEAT, {"owners": [journal._leases.owner("r")], "lease_s": -1.0})
        assert other._db.execute(_TAKE_OVER, mine | {"run": "r"}) == [("r",)]


def test_the_heartbeat_keeps_the_lease(postgres_url):
    with contextlib.closing(open_journal(f"{postgres_url}?lease_s=0.3")) as journal, journal.own("r"):
        seen = set()
        while len(seen) < 4:  # three heartbeats; without them this would never end
            seen.add(sql(postgres_url, "SELECT expires FROM leases")[0])
        drop_connections(postgres_url)
        while len(seen) < 6:
            seen.add(sql(postgres_url, "SELECT expires FROM leases")[0])


async def test_what_a_cancelled_step_wrote_last_is_committed_before_the_run_is_given_back(journal, other):
    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        writing = asyncio.create_task(journal.write_later("r", step()))
        await asyncio.sleep(0)
        writing.cancel()
    with other.own("r"):
        assert set(other.finished("r")) == {step().key}


# The queue


def test_queued_runs_are_claimed_oldest_first_each_once(postgres_url, journal, other):
    journal.enqueue("main", {"m.0": '{"n":0}', "m.1": '{"n":1}', "n.0": "{}"}, {"app": "a.py"})
    journal.enqueue("main", {"m.0": '{"n":0}'}, {})  # is there already
    assert journal.statuses("") == {"queued": 3}
    first, second = journal.claim(r"^m\.[0-9]+$"), other.claim(r"^m\.[0-9]+$")
    assert (first.run, first.flow, first.input, first.status, first.facts) == (
        "m.0",
        "main",
        '{"n":0}',
        "running",
        {"app": "a.py"},
    )
    assert (second.run, other.claim(r"^m\.[0-9]+$")) == ("m.1", None)
    with pytest.raises(RunBusyError), other.own("m.0"):
        pass
    with journal.own("m.0"):
        journal.begin("m.0", "main", '{"n":0}', {})
        journal.end("m.0", "done", result="0")
    assert other.statuses("^m") == {"done": 1, "running": 1}
    with pytest.raises(UserError, match=r'the run m\.1 is there already, with the input \{"n":1\}'):
        journal.enqueue("main", {"m.1": '{"n":7}'}, {})


def test_a_claimed_run_is_free_again_when_its_owner_dies_closes_or_fails(postgres_url, journal, other):
    journal.enqueue("main", {"r": "{}"}, {})
    for _ in range(2):
        assert journal.claim().run == "r"
        assert other.claim() is None
        expire(postgres_url)
        assert other.claim().run == "r"
        other._leases.release("r")
    third = open_journal(postgres_url)
    assert third.claim().run == "r"
    third.close()
    assert journal.claim().run == "r"
    with journal.own("r"):
        journal.end("r", "failed", error="OSError: closed")
    assert journal.claim() is None
    journal.enqueue("main", {"r": "{}"}, {})
    assert journal.claim().run == "r"


CONTENDER = """
import sys
from stillhouse.errors import RunBusyError
from stillhouse.store.journal import open_journal
journal = open_journal(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with journal.own("r"):
        print("mine", flush=True)
        sys.stdin.readline()
except RunBusyError as error:
    print(error, flush=True)
"""


@pytest.mark.slow
def test_of_ten_contenders_exactly_one_gets_a_dead_run(postgres_url, journal):
    journal._leases.take("r")
    expire(postgres_url)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    contenders = [subprocess.Popen([sys.executable, "-c", CONTENDER, postgres_url], **pipes) for _ in range(10)]
    for contender in contenders:
        assert contender.stdout.readline() == "ready\n"
    for contender in contenders:
        contender.stdin.write("go\n")
        contender.stdin.flush()
    said = [contender.stdout.readline() for contender in contenders]
    winner = said.index("mine\n")
    for contender in contenders:
        contender.communicate("end\n")
    assert len([line for line in said if f"the run r is in use by process {contenders[winner].pid} on " in line]) == 9


WORKER = """
import sys
import psycopg
from stillhouse.store.journal import StepRow, open_journal
journal, effects = open_journal(sys.argv[1]), psycopg.connect(sys.argv[1], autocommit=True)
while (row := journal.claim()) is not None:
    with journal.own(row.run):
        journal.begin(row.run, row.flow, row.input, {})
        effects.execute("INSERT INTO effects VALUES (%s, pg_backend_pid())", (row.run,))
        journal.write(row.run, StepRow(key=("a", "0", 0), kind="step", parent=None, version="v1", arguments="{}", output="1", error=None, started=1.0, seconds=0.0, attempts=1))
        journal.end(row.run, "done", result="1")
journal.close()
"""


@pytest.mark.slow
def test_four_workers_drain_a_thousand_runs_each_exactly_once(postgres_url, journal):
    sql(postgres_url, "CREATE TABLE public.effects (run text, worker int)")
    journal.enqueue("main", {f"r{n}": "{}" for n in range(1000)}, {})
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, postgres_url]) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    assert journal.statuses("") == {"done": 1000}
    assert sql(postgres_url, "SELECT COUNT(*), COUNT(DISTINCT run) FROM public.effects") == [(1000, 1000)]
    assert sql(postgres_url, "SELECT COUNT(*) FROM steps") == [(1000,)]
    assert sql(postgres_url, "SELECT COUNT(DISTINCT worker) > 1 FROM public.effects") == [(True,)]
    assert sql(postgres_url, "SELECT COUNT(*) FROM leases") == [(0,)]
