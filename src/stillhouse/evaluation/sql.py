"""Whether two queries give the same result: both run on a SQLite database, read-only, under limits.

Two results are the same where they hold the same rows equally often, and in the same order where the gold query orders
them. Columns count by their place; their names do not matter. Of two values:

- whole numbers are compared exactly, and 2 and 2.0 are one number; other numbers to 6 digits after the point, and below
  1 to 6 digits after the zeros, so that 0.0000001 is not 0.0000002;
- a text, a number, a blob and NULL are never the same ('1' is not 1), and SQLite's booleans are the numbers 0 and 1;
- texts are compared byte by byte, also those that are no UTF-8.
"""

import base64
import json
import math
import os
import re
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse import sqlite_walls
from stillhouse.errors import UserError

TIME_LIMIT_S = 2.0
ROW_LIMIT = 10_000
_GRACE_S = 1.0  # beyond the time limit, what the process may take to say that its time is over, or to send its rows
_START_S = 30.0  # what the process may take to start
_DIGITS = 6  # digits to which numbers that are not whole are compared


Row = tuple[tuple[str, Any], ...]  # for each cell its kind, and what of it is compared


class QueryRefused(Exception):
    """The query is not one SELECT, or it went over a limit, or SQLite would not run it."""


class ReadOnlyDatabase:
    """A SQLite file opened for reading alone, by one process that answers query after query.

    A call of one function cannot be stopped from inside; where a query goes beyond its time, the process is ended and
    the next query gets another one.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such database; mend `database` in [task]")
        self.path, self._lock = path.resolve(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of one SELECT. Raises QueryRefused."""
        with self._lock:
            if self._process is None:
                self._process = self._started()
            told = self._asked(self._process, query, TIME_LIMIT_S, _GRACE_S)
        if "error" in told:
            raise QueryRefused(_LATE.format(TIME_LIMIT_S) if told["late"] else told["error"])
        if not told["columns"]:
            raise QueryRefused("it is no SELECT")
        if told["more"]:
            raise QueryRefused(f"more than {ROW_LIMIT} rows, or {sqlite_walls.MAX_ANSWER_BYTES // 10**6} MB of them")
        return [tuple(row) for row in told["rows"]]

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-I", "-S", sqlite_walls.__file__]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        weakref.finalize(self, _end, process)
        self._asked(process, "SELECT 1", TIME_LIMIT_S, _START_S)  # so that its start counts for no query
        return process

    def _asked(self, process: "subprocess.Popen[bytes]", query: str, timeout_s: float, grace_s: float) -> Any:
        """What the process answers. It is ended where it does not in time."""
        request = {
            "path": str(self.path),
            "query": query,
            "max_rows": ROW_LIMIT,
            "max_cell_chars": None,
            "timeout_s": timeout_s,
            "functions": None,
            "exact": True,
        }
        if len(query) > sqlite_walls.MAX_QUERY_BYTES:
            raise QueryRefused(f"the query has {len(query):,} characters; at most {sqlite_walls.MAX_QUERY_BYTES:,}")
        assert process.stdin is not None and process.stdout is not None  # they are pipes
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = _line(process.stdout.fileno(), time.monotonic() + timeout_s + grace_s)
        except OSError:
            line = b""
        except BaseException:  # such as Ctrl-C: an answer that nobody took would be the next query's
            self._drop(process)
            raise
        if line is None or not line:
            self._drop(process)
            raise QueryRefused(_LATE.format(timeout_s) if line is None else "SQLite's process ended without an answer")
        return json.loads(line, object_hook=_bytes)

    def _drop(self, process: "subprocess.Popen[bytes]") -> None:
        _end(process)
        self._process = None


_LATE = "it takes longer than {:g} s"


def _line(file: int, deadline: float) -> bytes | None:
    """All that comes up to the end of a line; None: not by the deadline; empty: the other side is gone."""
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        while not parts or not parts[-1].endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            parts.append(os.read(file, 2**20))
            if not parts[-1]:
                return b""
    return b"".join(parts)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not sent is not needed any more
                continue


def _bytes(told: dict[str, Any]) -> Any:
    return base64.b64decode(told["base64"]) if told.keys() == {"base64"} else told


# What SQLite takes for a comment, a text or a quoted name; one that is not closed goes on to the end.
_NOT_CODE = re.compile(
    r"""--[^\n]*+ | /\*(?:[^*]|\*(?!/))*+(?:\*/)?
    | '(?:[^']|'')*+'? | "(?:[^"]|"")*+"? | `(?:[^`]|``)*+`? | \[[^]]*+]?""",
    re.VERBOSE,
)


def ordered(query: str) -> bool:
    """Whether the outermost query has an ORDER BY: those of subqueries, windows and aggregates stand in parentheses."""
    outer, depth = [], 0
    for character in _NOT_CODE.sub(lambda part: " " if part[0][:2] in ("--", "/*") else " x ", query):
        depth += (character == "(") - (character == ")")
        outer.append(character if depth == 0 else " ")
    return re.search(r"\border\s+by\b", "".join(outer), re.IGNORECASE) is not None


def compared(rows: Sequence[tuple[Any, ...]]) -> list[Row]:
    """The rows as they are compared with others."""
    return [tuple(_value(cell) for cell in row) for row in rows]


def _value(cell: Any) -> tuple[str, Any]:
    """The kind of a value and what of it is compared."""
    if isinstance(cell, float) and math.isfinite(cell):
        cell = round(cell, _DIGITS) if abs(cell) >= 1 else float(f"{cell:.{_DIGITS}g}")
        return "number", int(cell) if cell.is_integer() else cell
    return "number" if isinstance(cell, int | float) else type(cell).__name__, cell
