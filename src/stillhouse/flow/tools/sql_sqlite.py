"""An SQLite file, open for reading alone, each query in a process of its own (`sqlite_walls`).

It holds whatever query reaches it, vetted or not.
"""

import base64
import contextlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse import sqlite_walls as walls
from stillhouse.errors import UserError
from stillhouse.flow.tools.sql_reader import MAX_CELL_CHARS, QueryRows
from stillhouse.flow.tools.sql_vetting import HARMLESS, SqlDialect
from stillhouse.flow.tools.tool import ToolError, clean
from stillhouse.sqlite_walls import quoted

# Beyond its time limit, what the process may take to start and to say that its time is over.
_GRACE_S = 2.0
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
        request = {
            "path": str(self.path),
            "query": query,
            "max_rows": max_rows,
            "max_cell_chars": MAX_CELL_CHARS,
            "timeout_s": timeout_s,
            "functions": sorted(_FUNCTIONS),
        }
        late = f"the query took longer than {timeout_s:g} s and was stopped; ask for less, or add a LIMIT"
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", walls.__file__],
                input=json.dumps(request).encode() + b"\n",
                capture_output=True,
                timeout=timeout_s + _GRACE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ToolError(late) from None
        try:
            told = json.loads(done.stdout, object_hook=_bytes)
        except ValueError:
            reason = clean(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])[:200]
            raise ToolError(
                f"SQLite's process ended without an answer ({reason or f'exit code {done.returncode}'}); ask for less"
            ) from None
        if "error" in told:
            raise ToolError(late if told["late"] else f"SQLite refused the query ({told['error']})")
        return QueryRows(told["columns"], [tuple(row) for row in told["rows"]], told["more"])

    @contextlib.contextmanager
    def _reading(self, deadline: float) -> Iterator[sqlite3.Connection]:
        """A connection with all its walls up, in this process."""
        with walls.reading(self._connect(), _FUNCTIONS, deadline) as connection:
            yield connection

    def _connect(self) -> sqlite3.Connection:
        return walls.connect(self.path)


def _bytes(told: dict[str, Any]) -> Any:
    return base64.b64decode(told["base64"]) if told.keys() == {"base64"} else told


def _written(name: str) -> str:
    """A name as a query has to write it."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else quoted(name)


def _described(connection: sqlite3.Connection, name: str, kind: str) -> str:
    """`orders (id INTEGER, customer INTEGER -> customers.id), key id`."""
    listed = connection.execute(f"PRAGMA table_xinfo({quoted(name)})")
    columns = [column for column in listed if column[6] != 1]  # 1 marks the hidden columns of a virtual table
    keys = {
        row[3]: f" -> {row[2]}.{row[4]}" if row[4] else f" -> {row[2]}"
        for row in connection.execute(f"PRAGMA foreign_key_list({quoted(name)})")
    }
    parts = [f"{_written(column[1])} {column[2]}".rstrip() + keys.get(column[1], "") for column in columns]
    primary = ", ".join(_written(column[1]) for column in sorted(columns, key=lambda column: column[5]) if column[5])
    notes = f"{', a view' if kind == 'view' else ''}{f', key {primary}' if primary else ''}"
    return f"{_written(name)} ({', '.join(parts)}){notes}"
