"""The flow journal in one SQLite file, in WAL mode.

Writes are synchronous and committed one by one: tens of microseconds, less than a hop to another thread. `synchronous=NORMAL` survives the death of the
process; `full=True` also a power loss, at the price of an fsync per step.
"""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stillhouse.errors import RunBusyError, StorageError
from stillhouse.store.journal import TABLES, Finished, Key, RunRow, Status, StepRow, intern, storable
from stillhouse.store.run_lock import Held, run_lock

# Who had a run last; whether that process lives, the lock tells.
_OWNERS = "CREATE TABLE IF NOT EXISTS owners (run TEXT NOT NULL, process INTEGER NOT NULL, PRIMARY KEY (run))"
_RUN = "run, flow, input, status, result, error, created, ended, facts"
_STEP = "step, args_hash, nth, kind, parent, version, arguments, output, error, started, seconds, attempts, facts"


class SqliteJournal:
    """A journal file, shared by any number of processes; a run belongs to one of them."""

    def __init__(self, path: Path, *, full: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.path, self.url, self._clock = path, str(path), clock
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._db.execute(
                "PRAGMA wal_autocheckpoint=4000"
            )  # pages; a checkpoint waits for the disk, and the default 1,000 is a few hundred steps
            for statement in (*TABLES, _OWNERS):
                self._db.execute(
                    statement + (" WITHOUT ROWID" if "PRIMARY KEY (run" in statement else "")
                )  # one tree to write to instead of two
            self._file = _identity(path)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{path}: the journal cannot be opened ({error}); give another file") from None

    @property
    def in_place(self) -> bool:
        """Whether the file that is open still is the one at the path."""
        try:
            return _identity(self.path) == self._file
        except OSError:
            return False

    # Runs

    def begin(self, run: str, flow: str, input_: str, facts: Mapping[str, Any]) -> RunRow:
        new = storable(json.dumps(dict(facts), ensure_ascii=False))
        row = self.run(run)
        if row is None:
            created = self._clock()
            self._write(
                "INSERT INTO runs VALUES (?,?,?,'running',NULL,NULL,?,NULL,?)", (run, flow, input_, created, new)
            )
            return RunRow(run, flow, input_, "running", None, None, created, None, json.loads(new))
        row.check(flow, input_)
        if row.status != "done":
            self._write(
                "UPDATE runs SET status = 'running', error = NULL, ended = NULL, facts = ? WHERE run = ?", (new, run)
            )
        return row

    @contextlib.contextmanager
    def own(self, run: str) -> Iterator[None]:
        try:
            with run_lock(self.path, run):
                self._write("INSERT OR REPLACE INTO owners VALUES (?,?)", (run, os.getpid()))
                yield
        except Held:
            owner = self._db.execute("SELECT process FROM owners WHERE run = ?", (run,)).fetchone()
            raise RunBusyError(
                f"the run {run} is in use by process {owner[0] if owner else 'unknown'}; wait for it or stop it, then run this again"
            ) from None

    def run(self, run: str) -> RunRow | None:
        found = self._db.execute(f"SELECT {_RUN} FROM runs WHERE run = ?", (run,)).fetchone()
        return None if found is None else _run_row(found)

    def runs(self) -> list[tuple[RunRow, int]]:
        counted = f"SELECT {_RUN}, (SELECT COUNT(*) FROM steps WHERE steps.run = runs.run AND output IS NOT NULL) FROM runs ORDER BY created DESC"
        return [(_run_row(row[:-1]), row[-1]) for row in self._db.execute(counted)]

    def end(self, run: str, status: Status, *, result: str | None = None, error: str | None = None) -> None:
        stored = None if result is None else self._intern(result)
        said = None if error is None else storable(error)
        self._write(
            "UPDATE runs SET status = ?, result = ?, error = ?, ended = ? WHERE run = ?",
            (status, stored, said, self._clock(), run),
        )

    # Steps

    def finished(self, run: str) -> dict[Key, Finished]:
        rows = self._db.execute(
            "SELECT step, args_hash, nth, version, output, parent, facts FROM steps WHERE run = ? AND output IS NOT NULL",
            (run,),
        )
        return {row[:3]: row[3:] for row in rows}

    def steps(self, run: str) -> list[StepRow]:
        return [
            self._step_row(row)
            for row in self._db.execute(
                f"SELECT {_STEP} FROM steps WHERE run = ? ORDER BY started, step, args_hash, nth", (run,)
            )
        ]

    def _step_row(self, row: tuple[Any, ...]) -> StepRow:
        step, args_hash, nth, kind, parent, version, arguments, output, error, started, seconds, attempts, facts = row
        return StepRow(
            (step, args_hash, nth),
            kind,
            parent,
            version,
            self.text(arguments),
            None if output is None else self.text(output),
            error,
            started,
            seconds,
            attempts,
            None if facts is None else json.loads(facts),
        )

    def write(self, run: str, step: StepRow) -> None:
        facts = None if step.facts is None else storable(json.dumps(step.facts, ensure_ascii=False))
        error = None if step.error is None else storable(step.error)
        output = None if step.output is None else self._intern(step.output)
        given = (
            step.kind,
            step.parent,
            step.version,
            self._intern(step.arguments),
            output,
            error,
            step.started,
            step.seconds,
            step.attempts,
            facts,
        )
        self._write("INSERT OR REPLACE INTO steps VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", (run, *step.key, *given))

    async def write_later(self, run: str, step: StepRow) -> None:
        self.write(run, step)

    # Texts

    def _intern(self, text: str) -> str:
        stored, digest = intern(text)
        if digest is not None:
            self._write("INSERT OR IGNORE INTO texts VALUES (?,?)", (digest, text))
        return stored

    def text(self, stored: str) -> str:
        if not stored.startswith("text:"):
            return stored
        found: str = self._db.execute(
            "SELECT text FROM texts WHERE hash = ?", (stored.removeprefix("text:"),)
        ).fetchone()[0]
        return found

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise StorageError(
                f"{self.path}: the journal cannot be written ({error}); free space and run this again: finished steps are kept"
            ) from None

    def close(self) -> None:
        self._db.close()


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _run_row(row: tuple[Any, ...]) -> RunRow:
    return RunRow(*row[:-1], json.loads(row[-1]))  # type: ignore[call-arg]  # a slice has no length to mypy
