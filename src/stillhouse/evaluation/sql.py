"""Whether two queries give the same result: both run on a SQLite database, read-only, under limits."""

import re
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse.errors import UserError

TIME_LIMIT_S = 2.0
ROW_LIMIT = 10_000
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_FORBIDDEN_FUNCTIONS = {"load_extension", "readfile", "writefile", "fts3_tokenizer", "zeroblob", "randomblob"}


class QueryRefused(Exception):
    """The query is not one SELECT, or it went over a limit, or SQLite would not run it."""


class ReadOnlyDatabase:
    """A SQLite file opened for reading alone."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such database; mend `database` in [task]")
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
        self._connection.execute("PRAGMA query_only=1")
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2**20)
        self._connection.set_authorizer(_authorize)

    def run(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of one SELECT. Raises QueryRefused."""
        deadline = time.monotonic() + TIME_LIMIT_S
        self._connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
        try:
            rows = self._connection.execute(query).fetchmany(ROW_LIMIT + 1)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise QueryRefused(str(error)) from None
        if len(rows) > ROW_LIMIT:
            raise QueryRefused(f"more than {ROW_LIMIT} rows")
        return rows


def _authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
    if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second in _FORBIDDEN_FUNCTIONS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def same_result(database: ReadOnlyDatabase, query: str, gold: str) -> bool:
    """Whether `query` gives the rows of `gold`: in order where gold orders them, else in any order.

    Column names do not matter, and floats are compared to 6 digits.
    """
    try:
        expected = database.run(gold)
    except QueryRefused as error:
        raise UserError(
            f"the gold query {gold[:120]!r} does not run on the task's database ({error}); mend the row"
        ) from None
    try:
        rows = database.run(query)
    except QueryRefused:
        return False
    return _rows(rows, ordered(gold)) == _rows(expected, ordered(gold))


def ordered(query: str) -> bool:
    """Whether the outermost query has an ORDER BY: what stands in parentheses does not count."""
    outer, depth = [], 0
    for character in re.sub(r"'[^']*'", "''", query):
        depth += (character == "(") - (character == ")")
        outer.append(character if depth == 0 else " ")
    return re.search(r"\border\s+by\b", "".join(outer), re.IGNORECASE) is not None


def _rows(rows: Sequence[tuple[Any, ...]], in_order: bool) -> list[str]:
    written = [
        repr(tuple(round(cell, 6) + 0.0 if isinstance(cell, float | int) else cell for cell in row)) for row in rows
    ]
    return written if in_order else sorted(written)
