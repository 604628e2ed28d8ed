"""The store of paid completions in one SQLite file, in WAL mode.

One thread writes: it commits whatever has gathered since its last commit, and `put` returns when its row is committed.
Under `synchronous=NORMAL` a commit survives the death of the process (kill -9). Only a power loss may take the last
commits, and with `full=True` not even that.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stillhouse.errors import StorageError
from stillhouse.store.completions import (
    COLUMNS,
    TABLES,
    VERSION,
    CompletionReader,
    Store,
    StoredCompletion,
    Written,
    select,
    select_chains,
)
from stillhouse.store.writer import GroupWriter

_WAIT_S = 30  # seconds to wait for another process that has locked the file
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # SQLite's codes for a locked file
_PARAMETERS = 500  # most parameters in one statement: SQLite bounds their number
_REMEMBERED = 10_000  # hashes of stored messages kept in memory; with more, all are forgotten and the database is asked


class SqliteStore(Store):
    """A store file, shared by any number of reading and writing processes."""

    def __init__(self, path: Path, *, full: bool = False) -> None:
        self.path, self._synchronous = path, "FULL" if full else "NORMAL"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            self._prepare()
            self._db = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from None
        self._whole = CompletionReader(lambda hashes: self._reader.execute(select_chains(_marks(hashes)), hashes))
        self._stored: set[str] = set()  # hashes of messages known to be stored; only the writer's thread uses them
        self._writer = GroupWriter("store-writer", self._commit)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        give_up = time.monotonic() + _WAIT_S
        while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # While another process makes the same file, this statement fails at once, whatever `timeout` says.
                if _code(error) not in _LOCKED or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        return connection

    def _prepare(self) -> None:
        self._reader.execute("BEGIN IMMEDIATE")  # one process makes the tables, and the others wait
        for statement in TABLES:
            self._reader.execute(statement)
        self._reader.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (str(VERSION),))
        (version,) = self._reader.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        if version == "1":  # rows of version 1 stay as they are: each holds its own messages
            self._reader.execute("ALTER TABLE completions ADD COLUMN tip TEXT")
            self._reader.execute("UPDATE meta SET value = '2' WHERE name = 'version'")
        elif version != str(VERSION):
            self._reader.execute("ROLLBACK")
            raise StorageError(
                f"{self.path}: a store of version {version}, this Stillhouse writes {VERSION}; "
                "use the one that made it, or another file"
            )
        self._reader.execute("COMMIT")

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        completions: list[StoredCompletion] = []
        try:
            for part in _parts(hashes):
                completions += self._whole.completions(self._reader.execute(select(_marks(part)), part).fetchall())
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return completions

    def known(self, hashes: Sequence[str]) -> set[str]:
        known: set[str] = set()
        try:
            for part in _parts(hashes):
                statement = f"SELECT request_hash FROM completions WHERE request_hash IN ({_marks(part)})"
                known.update(hash_ for (hash_,) in self._reader.execute(statement, part))
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return known

    def count(self) -> int:
        return int(self._reader.execute("SELECT COUNT(*) FROM completions").fetchone()[0])

    def _commit(self, rows: Sequence[Written]) -> Sequence[None]:
        messages = {message[0]: message for _, chain in rows for message in chain if message[0] not in self._stored}
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO messages VALUES (?,?,?)", messages.values())
            self._db.executemany(
                f"INSERT OR IGNORE INTO completions ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", [row for row, _ in rows]
            )
            self._db.execute("COMMIT")
        except (sqlite3.Error, ValueError, TypeError) as error:
            # The transaction may be gone already, and then ROLLBACK fails. The first error is the one to report.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise self._refused(error) from None
        if len(self._stored) > _REMEMBERED:
            self._stored.clear()
        # Only messages that others follow are remembered: calls share these, and rarely a last message.
        self._stored.update(parent for _, parent, _ in messages.values() if parent is not None)
        return [None] * len(rows)

    def _refused(self, error: Exception) -> StorageError:
        remedy = "free space or give another place, then run this again: what was committed is kept"
        if _code(error) == sqlite3.SQLITE_NOTADB:
            remedy = "give another file"
        return StorageError(f"{self.path}: the store cannot be read or written ({error}); {remedy}")

    def close(self) -> None:
        self._writer.close()
        self._db.close()
        self._reader.close()


def _code(error: Exception) -> int | None:
    """SQLite's code of an error, without the details that its extended codes add; None: the error is not SQLite's."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _parts(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    """The hashes in parts that one statement takes."""
    return (hashes[start : start + _PARAMETERS] for start in range(0, len(hashes), _PARAMETERS))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
