"""The calls that went through the gateway: one row each, in the store's file or database.

They are written in groups, by a thread of the gateway's, and each once: an id that is there already is left alone.
"""

import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from stillhouse.errors import StorageError, UserError
from stillhouse.store.address import is_postgres, sqlite_address
from stillhouse.store.postgres import PostgresConnection, columns, parse, parts
from stillhouse.store.schema import Schema
from stillhouse.store.sqlite_file import connected, prepare

# Name and SQL type of each column, in order.
COLUMNS = {
    "id": "TEXT PRIMARY KEY",
    "began": "DOUBLE PRECISION NOT NULL",
    "kind": "TEXT NOT NULL",
    "upstream": "TEXT NOT NULL",
    "model": "TEXT",
    "step": "TEXT",
    "constant": "TEXT",
    "status": "INTEGER",
    "seconds": "DOUBLE PRECISION",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cost_usd": "DOUBLE PRECISION",
    "input_hash": "TEXT",
    "output_hash": "TEXT",
    "no_row": "TEXT",
    "session": "TEXT",
    "instruction": "TEXT",
    "schema_json": "TEXT",
    "tools": "TEXT",
    "input": "TEXT",
    "output": "TEXT",
}
_TYPES = [kind.split(" PRIMARY")[0].removesuffix(" NOT NULL").lower() for kind in COLUMNS.values()]
SCHEMA = Schema(
    "list of gateway calls",
    "gateway_calls",
    "gateway_calls",
    (
        f"CREATE TABLE IF NOT EXISTS gateway_calls ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})",
        "CREATE INDEX IF NOT EXISTS gateway_calls_by_time ON gateway_calls (began)",
        """CREATE TABLE IF NOT EXISTS gateway_feedback (
            id TEXT PRIMARY KEY, call TEXT NOT NULL, said DOUBLE PRECISION NOT NULL, is_right INTEGER, answer TEXT
        )""",
    ),
    (),
)
_NAMES = ", ".join(COLUMNS)
# May be read beside the columns: the input of a call that neither a name nor a constant part gives to a step.
BARE_INPUT = "bare_input"
_READABLE = {name: name for name in COLUMNS} | {
    BARE_INPUT: "CASE WHEN step IS NULL AND constant IS NULL THEN input END"
}
Row = Sequence[Any]
Said = tuple[str, str, float, int | None, str | None]  # id, the call's id, when, 1 right or 0 wrong, the right answer
_FEEDBACK = "SELECT call, is_right, answer FROM gateway_feedback ORDER BY said, id"


class GatewayCalls(ABC):
    """Rows with the columns above. Every method raises StorageError where the database refuses."""

    @abstractmethod
    def add(self, rows: Sequence[Row]) -> None:
        """Commit these, all or none."""

    @abstractmethod
    def say(self, said: Sequence[Said]) -> None:
        """Commit this feedback; an id that is there already is left alone."""

    @abstractmethod
    def feedback(self) -> list[tuple[str, int | None, str | None]]:
        """(call, 1 right or 0 wrong, the right answer) in the order in which it was said."""

    @abstractmethod
    def rows(self, names: Sequence[str], where: str = "", values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """These columns (or BARE_INPUT) of the calls in their order of time. `where`: SQL with `?` for its values."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_gateway_calls(url: str | Path, *, make: bool = True) -> GatewayCalls:
    """The calls in the store at this address. `make` False: UserError where there is no such file."""
    if is_postgres(url):
        return _Postgres(str(url))
    path, full = sqlite_address(url)
    if not make and not path.is_file():
        raise UserError(f"{path}: no such store; give --store, or let calls go through `stillhouse gateway` first")
    return _Sqlite(path, full=full)


def _select(names: Sequence[str], where: str) -> str:
    clause = f" WHERE {where}" if where else ""
    return f"SELECT {', '.join(_READABLE[name] for name in names)} FROM gateway_calls{clause} ORDER BY began, id"


class _Sqlite(GatewayCalls):
    def __init__(self, path: Path, *, full: bool) -> None:
        self._path = path
        with self._refused():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = connected(path, full=full)
            prepare(self._db, SCHEMA, path)

    def add(self, rows: Sequence[Row]) -> None:
        marks = ",".join("?" * len(COLUMNS))
        self._insert(f"INSERT OR IGNORE INTO gateway_calls ({_NAMES}) VALUES ({marks})", rows)

    def say(self, said: Sequence[Said]) -> None:
        self._insert("INSERT OR IGNORE INTO gateway_feedback VALUES (?, ?, ?, ?, ?)", said)

    def feedback(self) -> list[tuple[str, int | None, str | None]]:
        with self._refused():
            return self._db.execute(_FEEDBACK).fetchall()

    def _insert(self, statement: str, rows: Sequence[Row]) -> None:
        with self._refused():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, names: Sequence[str], where: str = "", values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        with self._refused():
            yield from self._db.execute(_select(names, where), values)

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self._path}: the gateway's calls cannot be read or written ({error}); free space, make its folder "
                "writable, or give another place with --store"
            ) from None

    def close(self) -> None:
        self._db.close()


class _Postgres(GatewayCalls):
    def __init__(self, url: str) -> None:
        self._db = PostgresConnection(parse(url))
        self._db.prepare(SCHEMA)

    def add(self, rows: Sequence[Row]) -> None:
        types = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
        statement = f"INSERT INTO gateway_calls ({_NAMES}) SELECT * FROM unnest({types}) ON CONFLICT DO NOTHING"
        for part in parts(rows, lambda row: sum(len(value) for value in row if isinstance(value, str))):
            self._db.execute(statement, columns(part, len(COLUMNS)))

    def say(self, said: Sequence[Said]) -> None:
        types = "%s::text[], %s::text[], %s::double precision[], %s::int[], %s::text[]"
        statement = f"INSERT INTO gateway_feedback SELECT * FROM unnest({types}) ON CONFLICT DO NOTHING"
        self._db.execute(statement, columns(said, 5))

    def feedback(self) -> list[tuple[str, int | None, str | None]]:
        return [(call, is_right, answer) for call, is_right, answer in self._db.execute(_FEEDBACK)]

    def rows(self, names: Sequence[str], where: str = "", values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        yield from self._db.execute(_select(names, where).replace("?", "%s"), tuple(values))

    def close(self) -> None:
        self._db.close()
