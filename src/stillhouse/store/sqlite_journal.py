"""The flow journal in one SQLite file, in WAL mode.

Each write is committed on its own before the call returns: that takes tens of microseconds, less than a hop to another
thread. `synchronous=NORMAL` survives the death of the process. `full=True` also survives a power loss, at the price of
an fsync per step.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillhouse.errors import RunBusyError, StorageError
from stillhouse.steady_clock import steady_time
from stillhouse.store.journal import (
    DELETE_TEXTS,
    RUN_COLUMNS,
    RUNS_WITH_STEP_COUNTS,
    SCHEMA,
    STEP_COLUMNS,
    TABLES,
    FailedStep,
    FinishedStep,
    RunRow,
    RunStatus,
    StepKey,
    StepRow,
    facts_begun_again,
    facts_json,
    intern,
    interned_hash,
    run_row,
    select_failed,
    select_finished,
    select_frames,
    select_trace,
    step_row,
    step_values,
    storable,
)
from stillhouse.store.name_lock import NameHeld, NameLock, is_held
from stillhouse.store.sqlite_file import connected, prepare

# The process that had a run last. The run's lock tells whether that process still lives.
_OWNERS = "CREATE TABLE IF NOT EXISTS owners (run TEXT NOT NULL, process INTEGER NOT NULL, PRIMARY KEY (run))"
# WITHOUT ROWID: a table with a key of its own is one tree to write to instead of two.
_TABLES = [table + (" WITHOUT ROWID" if "PRIMARY KEY (run" in table else "") for table in (*TABLES, _OWNERS)]
_SCHEMA = replace(SCHEMA, tables=_TABLES)
_WRITE_STEP = f"INSERT OR REPLACE INTO steps (run, {STEP_COLUMNS}) VALUES (?{',?' * len(STEP_COLUMNS.split(', '))})"
_BEGIN = """UPDATE runs SET status = 'running', error = NULL, ended = NULL, facts = ?
    WHERE run = ? AND status <> 'cancelled'"""
_END = """UPDATE runs SET status = CASE WHEN status = 'cancelled' AND ? <> 'done' THEN status ELSE ? END,
    result = ?, error = ?, ended = ? WHERE run = ?"""
_CANCEL = "UPDATE runs SET status = 'cancelled', ended = NULL WHERE run = ? AND status NOT IN ('done', 'cancelled')"
_IS_CANCELLED = "SELECT 1 FROM runs WHERE run = ? AND status = 'cancelled'"
_ASK_ANEW = "UPDATE steps SET ended_nth = NULL WHERE run = ? AND step = ? AND args_hash = ? AND nth = ?"
# A checkpoint waits for the disk. SQLite's default of 1,000 pages is reached after a few hundred steps.
_PAGES_TO_CHECKPOINT = 4000


class SqliteJournal:
    """A journal file, shared by any number of processes; a run belongs to one of them."""

    writes_at_once = True

    def __init__(self, path: Path, *, full: bool = False, clock: Callable[[], float] = steady_time) -> None:
        self.path, self.url, self._clock = path, str(path), clock
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = connected(path, full=full)
            self._db.execute(f"PRAGMA wal_autocheckpoint={_PAGES_TO_CHECKPOINT}")
            prepare(self._db, _SCHEMA, path)
            self._file = _identity(path)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{path}: the journal cannot be opened ({error}); free space if there is none, or give another file"
            ) from None

    @property
    def in_place(self) -> bool:
        """Whether the file that is open still is the one at the path."""
        try:
            return _identity(self.path) == self._file
        except OSError:
            return False

    # Runs

    def begin(self, run: str, flow: str, input_: str, facts: Mapping[str, Any]) -> RunRow:
        row = self.run(run)
        if row is None:
            values = (run, flow, input_, "running", None, None, self._clock(), None, facts_json(facts))
            self._write("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?)", values)
            return run_row(values)
        row.check(flow, input_)
        if row.status != "done":
            self._write(_BEGIN, (facts_begun_again(row.facts, facts), run))
        return row

    @contextlib.contextmanager
    def own(self, run: str) -> Iterator[None]:
        try:
            with NameLock(self.path, run):
                self._write("INSERT OR REPLACE INTO owners VALUES (?,?)", (run, os.getpid()))
                yield
        except NameHeld:
            owner = self._db.execute("SELECT process FROM owners WHERE run = ?", (run,)).fetchone()
            raise RunBusyError(
                f"the run {run} is in use by process {owner[0] if owner else 'unknown'}; "
                "wait for it or stop it, then run this again"
            ) from None

    def is_owned(self, run: str) -> bool:
        try:
            return is_held(self.path, run)
        except StorageError:  # nobody can write here, so nobody tells
            return True

    def run(self, run: str) -> RunRow | None:
        values = self._db.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE run = ?", (run,)).fetchone()
        return None if values is None else run_row(values)

    def runs(self) -> list[tuple[RunRow, int]]:
        return [(run_row(values), n_steps) for *values, n_steps in self._db.execute(RUNS_WITH_STEP_COUNTS)]

    def end(self, run: str, status: RunStatus, *, result: str | None = None, error: str | None = None) -> None:
        stored_result = None if result is None else self._intern(result)
        stored_error = None if error is None else storable(error)
        self._write(_END, (status, status, stored_result, stored_error, self._clock(), run))

    def cancel(self, run: str) -> None:
        self._write(_CANCEL, (run,))

    def is_cancelled(self, run: str) -> bool:
        return self._db.execute(_IS_CANCELLED, (run,)).fetchone() is not None

    def delete(self, run: str) -> None:
        with self._transaction():
            for table in ("steps", "runs", "owners"):
                self._write(f"DELETE FROM {table} WHERE run = ?", (run,))

    def delete_texts(self) -> None:
        self._write(DELETE_TEXTS, ())

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._write("BEGIN IMMEDIATE", ())
        try:
            yield
        except BaseException:
            self._write("ROLLBACK", ())
            raise
        self._write("COMMIT", ())

    # Steps

    def finished(self, run: str) -> dict[StepKey, FinishedStep]:
        return {row[:3]: row[3:] for row in self._db.execute(select_finished("?"), (run,))}

    def failed(self, run: str) -> dict[StepKey, FailedStep]:
        return {row[:3]: row[3:] for row in self._db.execute(select_failed("?"), (run,))}

    def frames(self, run: str) -> dict[StepKey, StepRow]:
        rows = [step_row(values, self.text) for values in self._db.execute(select_frames("?"), (run,))]
        return {row.key: row for row in rows}

    def steps(self, run: str) -> list[StepRow]:
        return [step_row(values, self.text) for values in self._db.execute(select_trace("?"), (run,))]

    def write(self, run: str, step: StepRow) -> None:
        values = (run, *step_values(step, self._intern))
        self._write(_WRITE_STEP, values)

    async def write_later(self, run: str, step: StepRow) -> None:
        self.write(run, step)

    def ask_anew(self, run: str, keys: Sequence[StepKey]) -> None:
        for key in keys:
            self._write(_ASK_ANEW, (run, *key))

    # Texts

    def _intern(self, text: str) -> str:
        stored, digest = intern(text)
        if digest is not None:
            self._write("INSERT OR IGNORE INTO texts VALUES (?,?)", (digest, text))
        return stored

    def text(self, stored: str) -> str:
        digest = interned_hash(stored)
        if digest is None:
            return stored
        (text,) = self._db.execute("SELECT text FROM texts WHERE hash = ?", (digest,)).fetchone()
        return str(text)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise StorageError(
                f"{self.path}: the journal cannot be written ({error}); "
                "free space and run this again: finished steps are kept"
            ) from None

    def close(self) -> None:
        self._db.close()


def _identity(path: Path) -> tuple[int, int]:
    """The file that is at a path now, as the disk knows it: a new file at the same path has another identity."""
    status = path.stat()
    return status.st_dev, status.st_ino
