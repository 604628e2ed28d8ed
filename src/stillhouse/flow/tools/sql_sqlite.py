"""An SQLite file, open for reading alone: mode=ro, an authorizer, a clock and SQLite's own limits.

It holds whatever query reaches it, vetted or not.
"""

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.flow.tools.sql_reader import QueryRows
from stillhouse.flow.tools.sql_vetting import HARMLESS, MAX_QUERY_CHARS, SqlDialect
from stillhouse.flow.tools.tool import ToolError

MAX_CELL_BYTES = 1_000_000  # most bytes of a value, also of values that a query makes on its way
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_CELL_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MAX_QUERY_CHARS * 4,  # the limit is in bytes, at most four per character
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
# Instructions of SQLite's machine between two looks at the clock. A call of one function is one instruction, however
# long it takes. printf with a wide field would take minutes, so it is not among the allowed functions. The tool's own
# time limit bounds how long the allowed ones take with two texts of a megabyte.
_CLOCK_STEPS = 500
# Operators that SQLite reports as functions; `match` is the operator that searches a full-text table.
_FUNCTIONS = HARMLESS["sqlite"] | {"like", "glob", "match"}


class SqliteReader:
    """One SQLite file."""

    dialect: SqlDialect = "sqlite"

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such database; name an SQLite file, or a postgresql:// URL")
        self.path = path.resolve()

    def describe(self) -> list[str]:
        try:
            with contextlib.closing(self._connect()) as connection:
                tables = connection.execute(
                    "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow' ORDER BY name"
                ).fetchall()
                return [_described(connection, name, kind) for name, kind in tables if not name.startswith("sqlite_")]
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: SQLite cannot read it ({error}); name an SQLite database") from None

    def read(self, query: str, max_rows: int, timeout_s: float) -> QueryRows:
        deadline = time.monotonic() + timeout_s
        try:
            with self._reading(deadline) as connection:
                cursor = connection.execute(query)
                rows = cursor.fetchmany(max_rows + 1)
                columns = [column[0] for column in cursor.description or ()]
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if time.monotonic() > deadline:
                remedy = "ask for less, or add a LIMIT"
                raise ToolError(f"the query took longer than {timeout_s:g} s and was stopped; {remedy}") from None
            raise ToolError(f"SQLite refused the query ({error})") from None
        return QueryRows(columns, rows[:max_rows], len(rows) > max_rows)

    @contextlib.contextmanager
    def _reading(self, deadline: float) -> Iterator[sqlite3.Connection]:
        """A connection with all its walls up."""
        with contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA trusted_schema = 0")  # no view may call a function with side effects
            # When a virtual table is first used, SQLite asks leave to write to its schema in memory. The authorizer
            # would refuse that, so each virtual table is used once before the authorizer is set.
            connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
            virtual = "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
            for (name,) in connection.execute(virtual).fetchall():
                connection.execute(f"SELECT 1 FROM {_quoted(name)} LIMIT 0")
            for limit, value in _LIMITS.items():
                connection.setlimit(limit, value)
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _CLOCK_STEPS)
            connection.set_authorizer(_authorize)
            yield connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=2)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        return connection


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "data_version" and second is None:
        return sqlite3.SQLITE_OK  # full-text tables read this to see whether their index has changed
    return sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _written(name: str) -> str:
    """A name as a query has to write it."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else _quoted(name)


def _described(connection: sqlite3.Connection, name: str, kind: str) -> str:
    """`orders (id INTEGER, customer INTEGER -> customers.id), key id`."""
    listed = connection.execute(f"PRAGMA table_xinfo({_quoted(name)})")
    columns = [column for column in listed if column[6] != 1]  # 1 marks the hidden columns of a virtual table
    keys = {
        row[3]: f" -> {row[2]}.{row[4]}" if row[4] else f" -> {row[2]}"
        for row in connection.execute(f"PRAGMA foreign_key_list({_quoted(name)})")
    }
    parts = [f"{_written(column[1])} {column[2]}".rstrip() + keys.get(column[1], "") for column in columns]
    primary = ", ".join(_written(column[1]) for column in sorted(columns, key=lambda column: column[5]) if column[5])
    notes = f"{', a view' if kind == 'view' else ''}{f', key {primary}' if primary else ''}"
    return f"{_written(name)} ({', '.join(parts)}){notes}"
