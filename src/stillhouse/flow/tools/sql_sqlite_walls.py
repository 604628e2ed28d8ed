"""The walls around one query on an SQLite file: mode=ro, an authorizer, a clock, and limits on what it may use.

Run as a script, it answers one query in a process of its own, which may be ended: a call of one function is one
instruction of SQLite's machine, however long it takes, and nothing inside the process bounds its memory or its
temporary files. So it takes the standard library alone and starts in some 30 ms.
"""

import base64
import contextlib
import json
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

MAX_CELL_BYTES = 1_000_000  # most bytes of a value, also of values that a query makes on its way
MAX_ROW_BYTES = 32_000_000  # most bytes of a row, so of many columns each may hold less
MAX_ANSWER_BYTES = 16_000_000  # most bytes of rows that are kept; the rest is left out, and said to be
MAX_MEMORY_BYTES = 512 * 2**20
MAX_TEMPORARY_BYTES = 64 * 2**20  # most bytes of one temporary file
MAX_FILES = 16  # most open files, which leaves some ten for temporary ones
MAX_COLUMNS = 1_000
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_CELL_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 80_000,  # the limit is in bytes, at most four for each of 20,000 characters
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
# Instructions of SQLite's machine between two looks at the clock.
_CLOCK_STEPS = 500


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


@contextlib.contextmanager
def reading(opened: sqlite3.Connection, functions: Set[str], deadline: float) -> Iterator[sqlite3.Connection]:
    """The connection with all its walls up. `functions`: those that a query may call."""
    with contextlib.closing(opened) as connection:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA trusted_schema = 0")  # no view may call a function with side effects
        connection.execute("PRAGMA temp_store = 1")  # in files, whose size is bounded
        # When a virtual table is first used, SQLite asks leave to write to its schema in memory. The authorizer would
        # refuse that, so each virtual table is used once before the authorizer is set.
        connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
        virtual = "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
        for (name,) in connection.execute(virtual).fetchall():
            connection.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 0")
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _CLOCK_STEPS)
        connection.set_authorizer(_authorizer(functions))
        yield connection


def _authorizer(functions: Set[str]) -> Callable[..., int]:
    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and not is_own_table(first or ""):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in functions:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and first == "data_version" and second is None:
            return sqlite3.SQLITE_OK  # full-text tables read this to see whether their index has changed
        return sqlite3.SQLITE_DENY

    return authorize


def is_own_table(name: str) -> bool:
    """Whether a table is the database's own: its schema, its statistics, its pages."""
    return name.lower().startswith(("sqlite_", "pragma_", "dbstat"))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def answer(connection: sqlite3.Connection, query: str, max_rows: int, max_cell_chars: int) -> dict[str, Any]:
    """The rows, read one by one: `columns`, `rows`, whether there are `more`."""
    # How many columns there are tells how long each value may be; LIMIT 0 makes no row.
    with contextlib.suppress(sqlite3.Error):  # the query itself says it better
        width = len(connection.execute(f"SELECT * FROM ({query}\n) LIMIT 0").description or ())
        if width > MAX_COLUMNS:
            raise ValueError(f"it has {width:,} columns; at most {MAX_COLUMNS:,} are taken")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(MAX_CELL_BYTES, MAX_ROW_BYTES // max(1, width)))
    cursor = connection.execute(query)
    columns = [column[0] for column in cursor.description or ()]
    rows: list[list[Any]] = []
    size, more = 0, False
    for row in cursor:
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in _cut(row, max_cell_chars))
        if len(rows) == max_rows or size > MAX_ANSWER_BYTES:
            more = True
            break
        rows.append(_cut(row, max_cell_chars))
    return {"columns": columns, "rows": rows, "more": more}


def _cut(row: tuple[Any, ...], max_cell_chars: int) -> list[Any]:
    """The cells as far as they are shown; one character more tells that a text was cut."""
    return [value[: max_cell_chars + 1] if isinstance(value, str) else value for value in row]


def main() -> None:
    request = json.load(sys.stdin)
    for limit, value in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MAX_TEMPORARY_BYTES),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CPU, int(request["timeout_s"]) + 2),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    deadline = time.monotonic() + request["timeout_s"]
    try:
        with reading(connect(Path(request["path"])), frozenset(request["functions"]), deadline) as connection:
            told = answer(connection, request["query"], request["max_rows"], request["max_cell_chars"])
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        told = {"error": str(error), "late": time.monotonic() > deadline}
    except MemoryError:
        told = {"error": f"it needs more than {MAX_MEMORY_BYTES // 2**20} MB of memory", "late": False}
    json.dump(told, sys.stdout, default=lambda value: {"base64": base64.b64encode(value).decode()})


if __name__ == "__main__":
    main()
