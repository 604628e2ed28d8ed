"""Which plans looked at which rows: kept beside the paid replies, so that every process counts the same looks.

A plan and a row are hashes here; what they stand for is said in `experiment.looks`. A look is one row of `looks`, and
the rows that it decided by are in `looked_rows`. Two processes that look at once take different numbers: a look is
taken in one transaction that shuts others out. A plan that has looked keeps its number and its rows for ever.
"""

import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from stillhouse.errors import StorageError
from stillhouse.store.address import is_postgres, sqlite_address
from stillhouse.store.postgres import PostgresConnection, parse
from stillhouse.store.schema import Schema
from stillhouse.store.sqlite_file import connected, prepare

SCHEMA = Schema(
    "list of looks",
    "looks",
    "looks",
    (
        """CREATE TABLE IF NOT EXISTS looks (
            plan TEXT PRIMARY KEY, k INTEGER NOT NULL, k_calibration INTEGER NOT NULL, created TEXT NOT NULL
        )""",
        """CREATE TABLE IF NOT EXISTS looked_rows (
            row_hash TEXT NOT NULL, plan TEXT NOT NULL, PRIMARY KEY (row_hash, plan)
        )""",
        "CREATE INDEX IF NOT EXISTS looked_rows_of_plan ON looked_rows (plan)",
    ),
    (),
)
_LOCK = 0x4C4F4F4B  # number of the advisory lock that is held while a look is taken
_PARAMETERS = 500  # most parameters of one statement: SQLite bounds their number
_CALIBRATION = "calibration:"  # a calibration row is another thing than a test row of the same input

Choose = Callable[[Set[str]], Sequence[str]]  # from the test rows that were looked at to those that decide
Execute = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]  # runs SQL with `?` for its values


@dataclass(frozen=True, kw_only=True)
class TakenLook:
    """A look: `k` is 1 + the other plans that looked at any of `rows` before; `k_calibration`, at the calibration rows.

    `n_before`: of the test rows that the plan has, those that other plans had looked at; None: it was taken before.
    """

    k: int
    k_calibration: int
    rows: frozenset[str]
    n_before: int | None = None


class Looks(ABC):
    """The looks in some database. Every method raises StorageError where the database refuses."""

    def taken(self, plan: str) -> TakenLook | None:
        """The look that the plan took; None: it has not looked yet."""
        with self._reading() as execute:
            return _taken(execute, plan)

    def coming(self, rows: Sequence[str], calibration: Sequence[str], choose: Choose) -> TakenLook:
        """The look that a plan which has not looked yet would take now. It takes none."""
        with self._reading() as execute:
            return _next(execute, rows, calibration, choose)

    def take(self, plan: str, rows: Sequence[str], calibration: Sequence[str], choose: Choose) -> TakenLook:
        """The look of this plan: the one that it took before, or the next one, which is committed before it is given.

        `rows`: the plan's test rows, of which `choose` says which decide. It is called while others are shut out.
        """

        def look(execute: Execute) -> TakenLook:
            if (before := _taken(execute, plan)) is not None:
                return before
            taken = _next(execute, rows, calibration, choose)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            execute("INSERT INTO looks VALUES (?, ?, ?, ?)", (plan, taken.k, taken.k_calibration, now))
            looked_at = sorted({*taken.rows, *(_CALIBRATION + row for row in calibration)})
            for start in range(0, len(looked_at), _PARAMETERS // 2):
                part = looked_at[start : start + _PARAMETERS // 2]
                values = [value for row in part for value in (row, plan)]
                execute(f"INSERT INTO looked_rows VALUES {', '.join(['(?, ?)'] * len(part))}", values)
            return taken

        return self._alone(look)

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Execute]: ...

    @abstractmethod
    def _alone(self, work: Callable[[Execute], TakenLook]) -> TakenLook:
        """Run the work in one transaction while nobody else takes a look."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_looks(url: str | Path) -> Looks:
    """The looks of the store at this address (see `open_store`); their tables are made where they are missing."""
    if is_postgres(url):
        return _PostgresLooks(str(url))
    return _SqliteLooks(sqlite_address(url).path)


def _next(execute: Execute, rows: Sequence[str], calibration: Sequence[str], choose: Choose) -> TakenLook:
    looked_at = {row for _, row in _plans_at(execute, rows)}
    chosen = choose(looked_at)
    plans = {plan for plan, _ in _plans_at(execute, chosen)}
    before = {plan for plan, _ in _plans_at(execute, [_CALIBRATION + row for row in calibration])}
    return TakenLook(k=1 + len(plans), k_calibration=1 + len(before), rows=frozenset(chosen), n_before=len(looked_at))


def _plans_at(execute: Execute, rows: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(plan, row) of every look at one of these rows."""
    wanted = sorted(set(rows))
    for start in range(0, len(wanted), _PARAMETERS):
        part = wanted[start : start + _PARAMETERS]
        marks = ", ".join("?" * len(part))
        yield from execute(f"SELECT plan, row_hash FROM looked_rows WHERE row_hash IN ({marks})", part)


def _taken(execute: Execute, plan: str) -> TakenLook | None:
    found = execute("SELECT k, k_calibration FROM looks WHERE plan = ?", (plan,))
    if not found:
        return None
    rows = (row for (row,) in execute("SELECT row_hash FROM looked_rows WHERE plan = ?", (plan,)))
    k, k_calibration = found[0]
    of_test = frozenset(row for row in rows if not row.startswith(_CALIBRATION))
    return TakenLook(k=int(k), k_calibration=int(k_calibration), rows=of_test)


class _SqliteLooks(Looks):
    """In the store's file. Every commit is synced: looks are few, and a power loss must not bring one back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._refused():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = connected(path, full=True)
            prepare(self._db, SCHEMA, path)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Execute]:
        with self._refused():
            yield self._execute

    def _execute(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._db.execute(statement, values).fetchall()

    def _alone(self, work: Callable[[Execute], TakenLook]) -> TakenLook:
        with self._refused():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                taken = work(self._execute)
                self._db.execute("COMMIT")
            except BaseException:
                # The transaction may be gone already, and then ROLLBACK fails. The first error is the one to report.
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        return taken

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self._path}: the looks at the test rows cannot be read or written ({error}); free space, make its "
                "folder writable, or give another place with --store: what was paid for or trained is kept"
            ) from None

    def close(self) -> None:
        self._db.close()


class _PostgresLooks(Looks):
    """In the store's database."""

    def __init__(self, url: str) -> None:
        self._db = PostgresConnection(parse(url))
        self._db.prepare(SCHEMA)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Execute]:
        yield lambda statement, values: self._db.execute(statement.replace("?", "%s"), values)

    def _alone(self, work: Callable[[Execute], TakenLook]) -> TakenLook:
        def looked(execute: Execute) -> TakenLook:
            return work(lambda statement, values: execute(statement.replace("?", "%s"), values))

        return self._db.alone(_LOCK, looked)

    def close(self) -> None:
        self._db.close()
