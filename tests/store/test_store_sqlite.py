"""The store: committed before anything moves on, one answer per request, one sentence when the disk refuses."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys

import pytest

from stillhouse.errors import RunBusyError, StorageError, UserError
from stillhouse.records import Usage
from stillhouse.store import SqliteStore, claims, open_store
from stillhouse.store.completions import StoredCompletion
from stillhouse.store.journal import open_journal


def row(number, text="yes"):
    return StoredCompletion(
        request_hash=f"hash-{number}",
        model="m",
        request={"n": number},
        response={"text": text},
        usage=Usage(1, 2),
        cost_usd=0.5,
        price_snapshot="a price",
        latency_s=0.1,
        created="2026-01-01T00:00:00Z",
    )


async def test_what_was_put_is_there_for_the_next_process(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        await asyncio.gather(*(store.put(row(number)) for number in range(2000)))
        assert store.count() == 2000
    with open_store(tmp_path / "s.db") as again:
        assert again.get("hash-77") == row(77)
        assert again.get("absent") is None
        assert len(again.get_many([f"hash-{number}" for number in range(1500)])) == 1500


async def test_the_first_answer_to_a_request_stays(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        await store.put(row(1, "first"))
        await store.put(row(1, "second"))
        assert store.get("hash-1").response == {"text": "first"}


async def test_two_processes_may_write_at_once(tmp_path):
    with open_store(tmp_path / "s.db") as one, open_store(tmp_path / "s.db") as other:
        await asyncio.gather(*((one if number % 2 else other).put(row(number)) for number in range(400)))
        assert one.count() == other.count() == 400


async def test_a_row_that_no_database_takes_is_refused_and_the_next_one_is_written(tmp_path):
    """The writer outlives it: whoever waited would wait forever."""
    with open_store(tmp_path / "s.db") as store:
        with pytest.raises(StorageError, match="surrogates"):
            await asyncio.wait_for(store.put(row(1, "half \ud800")), 10)
        await asyncio.wait_for(store.put(row(2)), 10)
        assert store.count() == 1


@pytest.mark.slow
def test_many_processes_may_make_one_store_at_once(tmp_path):
    script = """
import sys, time
from pathlib import Path
from stillhouse.store import SqliteStore, open_store
from stillhouse.store.journal import open_journal
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
for number in range(20):
    open_store(Path(sys.argv[1], f"{number}.db")).close()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    (tmp_path / "go").touch()
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err


def test_a_file_that_is_no_store_and_a_store_of_another_version_are_named(tmp_path):
    (tmp_path / "text.db").write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(StorageError, match=r"text\.db.*not a database\); give another file"):
        open_store(tmp_path / "text.db")
    open_store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE name = 'version'")
    with pytest.raises(StorageError, match="version 999"):
        open_store(tmp_path / "s.db")


VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE completions (request_hash TEXT PRIMARY KEY, model TEXT NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL, usage TEXT,
    cost_usd DOUBLE PRECISION, price_snapshot TEXT, latency_s DOUBLE PRECISION, created TEXT NOT NULL);
INSERT INTO meta VALUES ('version', '1');
INSERT INTO completions VALUES ('old', 'm',
    '{"messages": [{"role": "user", "content": "hi"}], "model": "m"}', '{"text": "yes"}', NULL, 0.5, NULL, NULL, '2025-12-31');
"""


async def test_a_store_of_version_1_is_opened_and_nothing_paid_for_is_lost(tmp_path):
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.executescript(VERSION_1)
    messages = [{"role": "user", "content": "hi"}]
    old = StoredCompletion(
        request_hash="old",
        model="m",
        request={"messages": messages, "model": "m"},
        response={"text": "yes"},
        usage=None,
        cost_usd=0.5,
        price_snapshot=None,
        latency_s=None,
        created="2025-12-31",
    )
    for _ in range(2):
        with open_store(tmp_path / "s.db") as store:
            await store.put(
                StoredCompletion(
                    request_hash="new",
                    model="m",
                    request={"messages": messages, "model": "m"},
                    response={"text": "no"},
                    usage=None,
                    cost_usd=None,
                    price_snapshot=None,
                    latency_s=None,
                    created="2026-01-01",
                )
            )
            assert store.get("old") == old
            assert {stored.request_hash for stored in store.get_many(["old", "new"])} == {"old", "new"}
            assert store.get("new").request == old.request


def test_a_full_disk_is_one_sentence_and_what_was_committed_stays(tmp_path):
    """A process that may write no file beyond 300 kB stores until it is refused."""
    script = f"""
import asyncio, resource, signal
from pathlib import Path
from stillhouse.store import SqliteStore, open_store
from stillhouse.store.journal import open_journal
from stillhouse.store.completions import StoredCompletion
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
async def main():
    with open_store(Path({str(tmp_path / "s.db")!r})) as store:
        for number in range(10_000):
            try:
                await store.put(StoredCompletion(request_hash=f"hash-{{number}}", model="m", request={{}}, response={{"text": "x" * 500}}, usage=None, cost_usd=None, price_snapshot=None, latency_s=None, created="2026-01-01"))
            except Exception as error:
                print(number, type(error).__name__, error, flush=True)
                return
asyncio.run(main())
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    committed, kind, message = found.stdout.split(" ", 2)
    assert kind == "StorageError"
    assert "s.db" in message
    assert "free space" in message
    with open_store(tmp_path / "s.db") as store:
        assert store.count() == int(committed) > 10


@pytest.mark.parametrize(("setting", "synchronous"), [("", 1), ("?synchronous=normal", 1), ("?synchronous=full", 2)])
def test_an_address_may_ask_for_a_sync_at_every_commit(tmp_path, setting, synchronous):
    url = f"sqlite:///{tmp_path}/stillhouse.db{setting}"
    store, journal = open_store(url), open_journal(url)
    assert {one._db.execute("PRAGMA synchronous").fetchone() for one in (store, journal)} == {(synchronous,)}
    store.close()
    journal.close()
    assert (tmp_path / "stillhouse.db").is_file()


@pytest.mark.parametrize("setting", ["?synchronous=off", "?mode=ro", "?synchronous"])
def test_a_setting_that_is_none_is_named(tmp_path, setting):
    for opened in (open_store, open_journal):
        with pytest.raises(UserError, match="unknown; the one there is is synchronous=full"):
            opened(f"sqlite:///{tmp_path}/stillhouse.db{setting}")


# Claims of another machine: its locks are not seen here


@pytest.mark.parametrize(("silent_s", "outcome"), [(0, "theirs"), (29, "theirs"), (31, "ours"), (-31, "theirs")])
async def test_the_claim_of_another_machine_is_free_after_half_a_minute_of_silence(tmp_path, silent_s, outcome):
    store = SqliteStore(tmp_path / "s.db", clock=lambda: 1_000_000.0)
    with store:
        with sqlite3.connect(tmp_path / "s.db") as elsewhere:
            elsewhere.execute("INSERT INTO claims VALUES ('a', 'elsewhere:1:0f', NULL)")
            elsewhere.execute("INSERT INTO claimants VALUES ('elsewhere:1:0f', ?)", (1_000_000.0 - silent_s,))
        assert [row.owner for row in store.claimed(["a"])] == ["elsewhere:1:0f"] * (outcome == "theirs")
        assert await store.claim("a") == outcome


async def test_another_machine_whose_clock_is_ahead_is_silent_from_when_it_was_looked_at(tmp_path):
    watched = [0.0]
    store = SqliteStore(tmp_path / "s.db", clock=lambda: 1_000_000.0)
    store._claims.silence = claims.Silence(lambda: watched[0])
    with store:
        with sqlite3.connect(tmp_path / "s.db") as elsewhere:
            elsewhere.execute("INSERT INTO claims VALUES ('a', 'elsewhere:1:0f', NULL)")
            elsewhere.execute("INSERT INTO claimants VALUES ('elsewhere:1:0f', ?)", (1_000_900.0,))
        for second, outcome in ((0, "theirs"), (29, "theirs"), (31, "ours")):
            watched[0] = second
            assert await store.claim("a") == outcome


async def test_a_claim_of_another_machine_is_free_while_time_goes_by(tmp_path):
    now = [1_000_000.0]
    here = SqliteStore(tmp_path / "s.db", clock=lambda: now[0])
    with here:
        with sqlite3.connect(tmp_path / "s.db") as elsewhere:
            elsewhere.execute("INSERT INTO claims VALUES ('a', 'elsewhere:1:0f', NULL)")
            elsewhere.execute("INSERT INTO claimants VALUES ('elsewhere:1:0f', ?)", (now[0],))
        for _ in range(30):
            assert await here.claim("a") == "theirs"
            now[0] += 1.0
        assert await here.claim("a") == "theirs"
        now[0] += 0.1
        assert await here.claim("a") == "ours"


async def test_a_batch_that_another_machine_sent_is_waited_for_for_a_day(tmp_path):
    now = [1_000_000.0]
    here = SqliteStore(tmp_path / "s.db", clock=lambda: now[0])
    with here:
        with sqlite3.connect(tmp_path / "s.db") as elsewhere:
            elsewhere.execute("INSERT INTO claims VALUES ('a', 'elsewhere:1:0f', 'elsewhere:/work/.batches.json')")
            elsewhere.execute("INSERT INTO claimants VALUES ('elsewhere:1:0f', ?)", (now[0],))
        now[0] += 24 * 3600
        assert [row.held() for row in here.claimed(["a"])] == ["batch"]
        now[0] += 2 * 3600
        assert await here.claim("a") == "ours"


async def test_two_names_of_one_file_are_one_store(tmp_path):
    """Whether an owner lives is seen by either name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "folder" / "s.db")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "folder")
    names = [tmp_path / "folder" / "s.db", tmp_path / "link.db", tmp_path / "elsewhere" / "s.db"]
    with contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(open_store(name)) for name in names]
        assert await first.claim("a") == "ours"
        assert [await other.claim("a") for other in others] == ["theirs", "theirs"]
        journal, other = (stack.enter_context(contextlib.closing(open_journal(name))) for name in names[:2])
        with journal.own("r"), pytest.raises(RunBusyError), other.own("r"):
            pass
