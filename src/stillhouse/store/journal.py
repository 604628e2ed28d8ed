"""The flow journal in SQLite: every finished step of every run, committed before the flow goes on.

A step call is keyed by (run, step, hash of its canonical arguments, n-th equal call), never by call order, so that concurrent branches, loops and edited
code find their own answers again. WAL with `synchronous=NORMAL` survives the death of the process; `full=True` also a power loss, at the price of an fsync
per step. Texts of `INTERN` characters or more are stored once, by their hash, however many steps take or return them.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stillhouse.errors import StorageError, UserError

INTERN = 4096
Key = tuple[str, str, int]  # step, hash of the arguments, n-th equal call

TABLES = (
    """CREATE TABLE IF NOT EXISTS runs (
        run TEXT PRIMARY KEY, flow TEXT NOT NULL, input TEXT NOT NULL, status TEXT NOT NULL, result TEXT, error TEXT, created DOUBLE PRECISION NOT NULL,
        ended DOUBLE PRECISION
    )""",
    """CREATE TABLE IF NOT EXISTS steps (
        run TEXT NOT NULL, step TEXT NOT NULL, args_hash TEXT NOT NULL, nth INTEGER NOT NULL, version TEXT NOT NULL, arguments TEXT NOT NULL,
        output TEXT NOT NULL, started DOUBLE PRECISION NOT NULL, seconds DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL,
        PRIMARY KEY (run, step, args_hash, nth)
    )""",
    "CREATE TABLE IF NOT EXISTS texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `status`: running (or killed while it was), done, failed."""

    run: str
    flow: str
    input: str
    status: str
    result: str | None
    error: str | None
    created: float


@dataclass(frozen=True, slots=True)
class StepRow:
    """One finished step call. `output` is JSON text, or the hash of one where it is long (`long`)."""

    version: str  # of the step's source when it ran
    output: str


class Journal:
    """A journal file. Writes are synchronous and committed one by one: tens of microseconds, less than a hop to another thread."""

    def __init__(self, path: Path, *, full: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock = path, clock
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            for statement in TABLES:
                self._db.execute(statement)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{path}: the journal cannot be opened ({error}); give another file") from None

    # Runs

    def begin(self, run: str, flow: str, input_: str) -> RunRow:
        """The run's row, made if it is new. Raises UserError where the id belongs to another flow or another input."""
        self._write("INSERT OR IGNORE INTO runs VALUES (?,?,?,'running',NULL,NULL,?,NULL)", (run, flow, input_, self._clock()))
        row = self.run(run)
        assert row is not None
        if (row.flow, row.input) != (flow, input_):
            what = f"the flow {row.flow}" if row.flow != flow else f"the input {row.input[:200]}"
            raise UserError(f"the run {run} is there already, with {what}; give another --run-id, or the same flow and input to resume it")
        return row

    def run(self, run: str) -> RunRow | None:
        found = self._db.execute("SELECT run, flow, input, status, result, error, created FROM runs WHERE run = ?", (run,)).fetchone()
        return None if found is None else RunRow(*found)

    def runs(self) -> list[tuple[RunRow, int]]:
        """All runs, newest first, each with the number of its finished steps."""
        rows = self._db.execute(
            "SELECT run, flow, input, status, result, error, created, (SELECT COUNT(*) FROM steps WHERE steps.run = runs.run) FROM runs ORDER BY created DESC"
        )
        return [(RunRow(*row[:7]), row[7]) for row in rows]

    def end(self, run: str, *, result: str | None = None, error: str | None = None) -> None:
        status = "done" if error is None else "failed"
        self._write("UPDATE runs SET status = ?, result = ?, error = ?, ended = ? WHERE run = ?", (status, result, error, self._clock(), run))

    # Steps

    def finished(self, run: str) -> dict[Key, StepRow]:
        """All finished steps of a run. Long outputs stay behind until `text` asks for them."""
        rows = self._db.execute("SELECT step, args_hash, nth, version, output FROM steps WHERE run = ?", (run,))
        return {(step, args_hash, nth): StepRow(version, output) for step, args_hash, nth, version, output in rows}

    def finish(self, run: str, key: Key, *, version: str, arguments: str, output: str, started: float, seconds: float, attempts: int) -> None:
        """Commit one step. An earlier answer under the same key (of a step that was edited since) is replaced."""
        self._write(
            "INSERT OR REPLACE INTO steps VALUES (?,?,?,?,?,?,?,?,?,?)",
            (run, *key, version, self._intern(arguments), self._intern(output), started, seconds, attempts),
        )

    def _intern(self, text: str) -> str:
        if len(text) < INTERN:
            return text
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._write("INSERT OR IGNORE INTO texts VALUES (?,?)", (digest, text))
        return f"text:{digest}"

    def text(self, stored: str) -> str:
        """The JSON text behind what a row holds."""
        if not stored.startswith("text:"):
            return stored
        found: str = self._db.execute("SELECT text FROM texts WHERE hash = ?", (stored.removeprefix("text:"),)).fetchone()[0]
        return found

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise StorageError(f"{self.path}: the journal cannot be written ({error}); free space and run this again: finished steps are kept") from None

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
