"""A SQLite file in WAL mode, shared by any number of processes: how it is opened, and brought up to date."""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse.store.schema import Schema, bring_up, is_current

_WAIT_S = 30  # for another process that has the file locked
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # SQLite's codes for that


def connected(path: Path, *, full: bool) -> sqlite3.Connection:
    """A connection that any thread may use. `full`: every commit is synced to the disk."""
    connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    give_up = time.monotonic() + _WAIT_S
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # While another process makes the same file, this statement fails at once, whatever `timeout` says.
            if code(error) not in _LOCKED or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
    connection.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
    return connection


def code(error: Exception) -> int | None:
    """SQLite's code of an error, without the details that its extended codes add; None: the error is not SQLite's."""
    number: int | None = getattr(error, "sqlite_errorcode", None)
    return None if number is None else number & 0xFF


class _SqliteTables:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def has(self, table: str) -> bool:
        statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection.execute(statement, (table,)).fetchone() is not None

    def rows(self, statement: str) -> Sequence[Sequence[Any]]:
        return self._connection.execute(statement).fetchall()


def prepare(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    """Make the tables, or bring them up to date.

    Raises StorageError where they are of a later version, sqlite3.Error where the file refuses.
    """
    tables = _SqliteTables(connection)
    if is_current(schema, tables, path):
        return
    connection.execute("BEGIN IMMEDIATE")  # one process does it, others wait
    try:
        bring_up(schema, tables, path)
        connection.execute("COMMIT")
    except BaseException:
        # The transaction may be gone already, and then ROLLBACK fails. The first error is the one to report.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
