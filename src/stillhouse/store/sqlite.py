"""The store in one SQLite file, in WAL mode.

Writes go through one thread that commits whatever has gathered since its last commit, so that thousands of calls a second share a few fsyncs and the
event loop never waits for the disk. `put` returns when its row is committed. `synchronous=NORMAL` in WAL survives the death of the process (kill -9);
only a power loss may take the last commits.
"""

import asyncio
import contextlib
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from stillhouse.errors import StorageError
from stillhouse.records import Usage
from stillhouse.store.schema import TABLES, VERSION, StoredCompletion

_COLUMNS = "request_hash, model, request, response, usage, cost_usd, price_snapshot, latency_s, created"
_BATCH = 1000  # rows per commit at most
_Write = tuple[StoredCompletion, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class SqliteStore:
    """A store file, shared by any number of readers and writing processes. Use as a context manager, or call `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from None
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="store-writer", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        give_up = time.monotonic() + 30
        while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:  # SQLite does not wait by itself here while another process makes the same file
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def _prepare(self) -> None:
        self._reader.execute("BEGIN IMMEDIATE")  # one process makes the tables, others wait
        for statement in TABLES:
            self._reader.execute(statement)
        self._reader.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (str(VERSION),))
        self._reader.execute("COMMIT")
        (found,) = self._reader.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        if found != str(VERSION):
            raise StorageError(f"{self.path}: a store of version {found}, this Stillhouse writes {VERSION}; use the one that made it, or another file")

    def get(self, request_hash: str) -> StoredCompletion | None:
        """The completion of this request, if it was ever paid for. A key look-up of microseconds: fit to call from the event loop."""
        return next(iter(self.get_many([request_hash])), None)

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        """The completions that exist of these requests, in no particular order."""
        found: list[StoredCompletion] = []
        try:
            for start in range(0, len(hashes), 500):  # SQLite bounds the number of parameters
                part = hashes[start : start + 500]
                marks = ",".join("?" * len(part))
                found += map(_from_row, self._reader.execute(f"SELECT {_COLUMNS} FROM completions WHERE request_hash IN ({marks})", part))
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return found

    async def put(self, completion: StoredCompletion) -> None:
        """Commit one completion. An equal request that is already there keeps its first answer."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put((completion, loop, done))
        await done

    def count(self) -> int:
        return int(self._reader.execute("SELECT COUNT(*) FROM completions").fetchone()[0])

    def _write_all(self) -> None:
        """The writer thread: take what has gathered, commit it, tell the waiting calls."""
        try:
            connection = self._connect()
        except sqlite3.Error as error:
            connection, broken = None, self._refused(error)
        last = False
        while not last:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._queue.get_nowait())
            last = None in batch
            writes = [write for write in batch if write is not None]
            failure = broken if connection is None else self._commit(connection, [completion for completion, _, _ in writes])
            for _, loop, done in writes:
                with contextlib.suppress(RuntimeError):  # the loop is closed: whoever waited is gone, the row is committed all the same
                    loop.call_soon_threadsafe(_settle, done, failure)
        if connection is not None:
            connection.close()

    def _commit(self, connection: sqlite3.Connection, completions: Iterable[StoredCompletion]) -> StorageError | None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT OR IGNORE INTO completions ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", map(_to_row, completions))
            connection.execute("COMMIT")
        except (sqlite3.Error, ValueError, TypeError) as error:  # a row that no database takes must not end the thread: whoever waits would wait forever
            with contextlib.suppress(sqlite3.Error):  # the transaction may be gone already; the first error is the one to report
                connection.execute("ROLLBACK")
            return self._refused(error)
        return None

    def _refused(self, error: Exception) -> StorageError:
        reason = str(error)
        remedy = "give another file" if "not a database" in reason else "free space or give another place, then run this again: what was committed is kept"
        return StorageError(f"{self.path}: the store cannot be read or written ({reason}); {remedy}")

    def close(self) -> None:
        """Commit what is queued and close the file."""
        if self._writer.is_alive():
            self._queue.put(None)
            self._writer.join()
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _settle(done: "asyncio.Future[None]", failure: StorageError | None) -> None:
    if not done.done():
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)


def _to_row(completion: StoredCompletion) -> tuple[object, ...]:
    usage = None if completion.usage is None else json.dumps(asdict(completion.usage))
    request, response = (json.dumps(part, ensure_ascii=False) for part in (completion.request, completion.response))
    paid = (completion.cost_usd, completion.price_snapshot, completion.latency_s, completion.created)
    return (completion.request_hash, completion.model, request, response, usage, *paid)


def _from_row(row: tuple[str, str, str, str, str | None, float | None, str | None, float | None, str]) -> StoredCompletion:
    usage = None if row[4] is None else Usage(**json.loads(row[4]))
    return StoredCompletion(row[0], row[1], json.loads(row[2]), json.loads(row[3]), usage, *row[5:])
