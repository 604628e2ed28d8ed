"""The walls around one query on an SQLite file: mode=ro, an authorizer, a clock, and limits on what it may use.

Run as a script, it answers queries in a process of its own, which may be ended: a call of one function is one
instruction of SQLite's machine, however long it takes, and nothing inside the process bounds its memory or its
temporary files. So it takes the standard library alone and starts in some 30 ms. Each line that it reads is a request,
each line that it writes an answer.
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
MAX_QUERY_BYTES = 80_000  # at most four for each of 20,000 characters
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_CELL_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MAX_QUERY_BYTES,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
# Instructions of SQLite's machine between two looks at the clock.
_CLOCK_STEPS = 500
# What a query may not call where it may call all else.
_FORBIDDEN = {"load_extension", "readfile", "writefile", "fts3_tokenizer", "zeroblob", "randomblob"}


def connect(path: Path, *, exact: bool = False) -> sqlite3.Connection:
    """Texts that are no UTF-8 are read, too: to be shown, or `exact`, so that different bytes stay different."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape" if exact else "replace")
    return connection


@contextlib.contextmanager
def reading(opened: sqlite3.Connection, functions: Set[str] | None, deadline: float) -> Iterator[sqlite3.Connection]:
    """The connection with all its walls up. `functions`: those that a query may call.

    None: the query is its user's own, or is compared with one. It may call what stays in the database, and may read
    the schema.
    """
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


def _authorizer(functions: Set[str] | None) -> Callable[..., int]:
    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and (functions is None or not is_own_table(first or "")):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            name = (second or "").lower()
            if name in functions if functions is not None else name not in _FORBIDDEN:
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


def answer(connection: sqlite3.Connection, query: str, max_rows: int, max_cell_chars: int | None) -> dict[str, Any]:
    """The rows, read one by one: `columns`, `rows`, whether there are `more`.

    `max_cell_chars` None: texts are whole.
    """
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


def _cut(row: tuple[Any, ...], max_cell_chars: int | None) -> list[Any]:
    """The cells as far as they are shown; one character more tells that a text was cut."""
    if max_cell_chars is None:
        return list(row)
    return [value[: max_cell_chars + 1] if isinstance(value, str) else value for value in row]


def main() -> None:
    for limit, value in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MAX_TEMPORARY_BYTES),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    for line in sys.stdin:
        json.dump(_told(json.loads(line)), sys.stdout, default=_in_json)
        sys.stdout.write("\n")
        sys.stdout.flush()


def _told(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request, or its `error` and whether it came too `late`."""
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used_s + request["timeout_s"]) + 3, resource.RLIM_INFINITY))
    deadline = time.monotonic() + request["timeout_s"]
    functions = None if request["functions"] is None else frozenset(request["functions"])
    try:
        opened = connect(Path(request["path"]), exact=request.get("exact", False))
        with reading(opened, functions, deadline) as connection:
            told = answer(connection, request["query"], request["max_rows"], request["max_cell_chars"])
        # Within one function nobody looks at the clock, and what it gave may need no further step.
        return told if time.monotonic() <= deadline else {"error": "interrupted", "late": True}
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        return {"error": str(error), "late": time.monotonic() > deadline}
    except MemoryError:
        return {"error": f"it needs more than {MAX_MEMORY_BYTES // 2**20} MB of memory", "late": False}


def _in_json(value: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}


if __name__ == "__main__":
    main()
