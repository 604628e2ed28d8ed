"""The store in one SQLite file, in WAL mode.

Writes go through one thread that commits whatever has gathered since its last commit. `put` returns when its row is committed. `synchronous=NORMAL` in WAL
survives the death of the process (kill -9); only a power loss may take the last commits, and with `full=True` not even that.
"""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from stillhouse.errors import StorageError
from stillhouse.store.schema import (
    COLUMNS,
    TABLES,
    VERSION,
    Link,
    Reader,
    Row,
    StoredCompletion,
    select,
    select_chains,
    to_row,
)
from stillhouse.store.writer import GroupWriter

_TAKEN = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # what SQLite calls a file that another connection has locked
_REMEMBERED = 10_000  # hashes of messages known to be stored; beyond it, forget and ask the database again


class SqliteStore:
    """A store file, shared by any number of readers and writing processes. Use as a context manager, or call `close`."""

    def __init__(self, path: Path, *, full: bool = False) -> None:
        self.path, self._synchronous = path, "FULL" if full else "NORMAL"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            self._prepare()
            self._db = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from None
        self._whole = Reader(lambda hashes: self._reader.execute(select_chains(_marks(hashes)), hashes))
        self._stored: set[str] = set()  # used by the writer's thread alone
        self._writer = GroupWriter("store-writer", self._commit)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        give_up = time.monotonic() + 30
        while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # Another process is making the same file. This statement fails at once then, whatever `timeout` says.
                if _code(error) not in _TAKEN or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        return connection

    def _prepare(self) -> None:
        self._reader.execute("BEGIN IMMEDIATE")  # one process makes the tables, others wait
        for statement in TABLES:
            self._reader.execute(statement)
        self._reader.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (str(VERSION),))
        (found,) = self._reader.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        if found == "1":  # its rows stay as they are: they hold their messages themselves
            self._reader.execute("ALTER TABLE completions ADD COLUMN tip TEXT")
            self._reader.execute("UPDATE meta SET value = '2' WHERE name = 'version'")
        elif found != str(VERSION):
            self._reader.execute("ROLLBACK")
            raise StorageError(
                f"{self.path}: a store of version {found}, this Stillhouse writes {VERSION}; use the one that made it, or another file"
            )
        self._reader.execute("COMMIT")

    def get(self, request_hash: str) -> StoredCompletion | None:
        """The completion of this request, if it was ever paid for. A key look-up of microseconds: fit to call from the event loop."""
        return next(iter(self.get_many([request_hash])), None)

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        """The completions that exist of these requests, in no particular order."""
        found: list[StoredCompletion] = []
        try:
            for start in range(0, len(hashes), 500):  # SQLite bounds the number of parameters
                part = hashes[start : start + 500]
                found += self._whole.completions(self._reader.execute(select(_marks(part)), part).fetchall())
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return found

    def known(self, hashes: Sequence[str]) -> set[str]:
        """Those of these requests that have a completion."""
        found: set[str] = set()
        try:
            for start in range(0, len(hashes), 500):  # SQLite bounds the number of parameters
                part = hashes[start : start + 500]
                found.update(
                    one
                    for (one,) in self._reader.execute(
                        f"SELECT request_hash FROM completions WHERE request_hash IN ({_marks(part)})", part
                    )
                )
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return found

    async def put(self, completion: StoredCompletion) -> None:
        """Commit one completion. An equal request that is already there keeps its first answer."""
        try:
            row = to_row(completion)
        except (ValueError, TypeError) as error:
            raise self._refused(error) from None
        await self._writer.put(row)

    def count(self) -> int:
        return int(self._reader.execute("SELECT COUNT(*) FROM completions").fetchone()[0])

    def _commit(self, rows: Sequence[tuple[Row, list[Link]]]) -> Sequence[None]:
        links = {link[0]: link for _, chained in rows for link in chained if link[0] not in self._stored}
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO messages VALUES (?,?,?)", links.values())
            self._db.executemany(
                f"INSERT OR IGNORE INTO completions ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", [row for row, _ in rows]
            )
            self._db.execute("COMMIT")
        except (sqlite3.Error, ValueError, TypeError) as error:
            with contextlib.suppress(
                sqlite3.Error
            ):  # the transaction may be gone already; the first error is the one to report
                self._db.execute("ROLLBACK")
            raise self._refused(error) from None
        if len(self._stored) > _REMEMBERED:
            self._stored.clear()
        self._stored.update(
            link[1] for link in links.values() if link[1] is not None
        )  # beginnings, which calls share; the last messages rarely come again
        return [None] * len(rows)

    def _refused(self, error: Exception) -> StorageError:
        remedy = "free space or give another place, then run this again: what was committed is kept"
        if _code(error) == sqlite3.SQLITE_NOTADB:
            remedy = "give another file"
        return StorageError(f"{self.path}: the store cannot be read or written ({error}); {remedy}")

    def close(self) -> None:
        """Commit what is queued and close the file."""
        self._writer.close()
        self._db.close()
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _code(error: Exception) -> int | None:
    """SQLite's own code of what went wrong, without its details; None: the error is not SQLite's."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
