"""The flow journal in PostgreSQL, for runs on many machines: the tables of journal.py, with an owner for each run.

`write` is one round trip. `write_later` goes through one thread that commits whatever has gathered: a fan-out shares
its round trips, and the event loop never waits. Every write of a run checks, in the same statement, that this process
still owns the run (leases.py).
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
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
from stillhouse.store.leases import LEASES, OPEN_RUNS, Leases
from stillhouse.store.postgres import PostgresConnection, columns, parse, parts
from stillhouse.store.writer import GroupWriter

_TYPES = [
    "text",
    "text",
    "int",
    *["text"] * 6,
    "float8",
    "float8",
    "int",
    "text",
    "int",
    "int",
    "text",
]  # SQL types of STEP_COLUMNS
_PRUNING = 7_345_201  # the number of the advisory lock of whoever takes runs away
_HELD = "SELECT FROM leases WHERE run = %(run)s AND owner = %(owner)s FOR KEY SHARE"
_BEGIN = f"""WITH held AS ({_HELD})
    UPDATE runs SET status = 'running', error = NULL, ended = NULL, facts = %(facts)s
    FROM held WHERE run = %(run)s AND status <> 'cancelled' RETURNING run"""
_END = f"""WITH held AS ({_HELD}), kept AS (
        INSERT INTO texts SELECT %(digest)s, %(text)s WHERE %(digest)s::text IS NOT NULL ON CONFLICT DO NOTHING
    )
    UPDATE runs SET
        status = CASE WHEN status = 'cancelled' AND %(status)s::text <> 'done' THEN status ELSE %(status)s END,
        result = %(result)s, error = %(error)s, ended = %(ended)s
    FROM held WHERE run = %(run)s RETURNING run"""
_CANCEL = "UPDATE runs SET status = 'cancelled', ended = NULL WHERE run = %s AND status NOT IN ('done', 'cancelled')"
# Whoever writes a step is told whether its run was cancelled meanwhile.
_REPLACE = f"""ON CONFLICT (run, step, args_hash, nth)
    DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in STEP_COLUMNS.split(", ")[3:])}
    RETURNING run, (SELECT status FROM runs WHERE runs.run = steps.run)"""
# The statement that writes one step, for steps in sequence: it takes half the time of the statement for many.
_WRITE_ONE = f"""INSERT INTO steps (run, {STEP_COLUMNS})
    SELECT %b::text, {", ".join(f"%b::{kind}" for kind in _TYPES)}
    FROM leases WHERE owner = %b AND run = %b FOR KEY SHARE {_REPLACE}"""
_WRITE_MANY = f"""WITH kept AS (
        INSERT INTO texts SELECT * FROM unnest(%b::text[], %b::text[]) ON CONFLICT DO NOTHING
    )
    INSERT INTO steps (run, {STEP_COLUMNS})
    SELECT given.run, {STEP_COLUMNS}
    FROM unnest(%b::text[], %b::text[], {", ".join(f"%b::{kind}[]" for kind in _TYPES)})
        AS given(owner, run, {STEP_COLUMNS})
    JOIN leases ON leases.run = given.run AND leases.owner = given.owner FOR KEY SHARE OF leases {_REPLACE}"""
_ASK_ANEW = """UPDATE steps SET ended_nth = NULL
    FROM unnest(%b::text[], %b::text[], %b::int[]) AS given(step, args_hash, nth), leases
    WHERE steps.run = %b AND leases.run = steps.run AND leases.owner = %b AND steps.step = given.step
    AND steps.args_hash = given.args_hash AND steps.nth = given.nth"""
_QUEUE = """INSERT INTO runs
    SELECT run, %s, input, 'queued', NULL, NULL, %s, NULL, %s FROM unnest(%b::text[], %b::text[]) AS given(run, input)
    ON CONFLICT (run) DO UPDATE SET status = 'queued', ended = NULL WHERE runs.status = 'failed'"""
_OTHER_RUN = """SELECT runs.run FROM runs JOIN unnest(%b::text[], %b::text[]) AS given(run, input) USING (run)
    WHERE (flow, runs.input) <> (%s, given.input) LIMIT 1"""
_TEXTS = """SELECT hash, text FROM texts
    WHERE hash IN (SELECT substr(unnest(ARRAY[arguments, output]), 6) FROM steps WHERE run = %s)"""
_Write = tuple[str, str, StepRow]  # (owner, run, step)


class PostgresJournal:
    """A journal in a PostgreSQL database, shared by any number of machines; a run belongs to one process of them."""

    writes_at_once = False

    def __init__(self, url: str, *, clock: Callable[[], float] = steady_time) -> None:
        address = parse(url)
        self.url, self._clock = address.shown, clock
        self._db, self._later = PostgresConnection(address), PostgresConnection(address)
        self._db.prepare(replace(SCHEMA, tables=[*TABLES, LEASES, OPEN_RUNS]))
        self._leases = Leases(self._db, address)
        self._writer: GroupWriter[_Write, None] = GroupWriter(
            "journal-writer", lambda writes: self._commit(self._later, writes)
        )

    # Runs

    def begin(self, run: str, flow: str, input_: str, facts: Mapping[str, Any]) -> RunRow:
        owner = self._leases.owner(run)
        made = "INSERT INTO runs VALUES (%s, %s, %s, 'running', NULL, NULL, %s, NULL, %s) ON CONFLICT DO NOTHING"
        self._db.execute(made, (run, flow, input_, self._clock(), facts_json(facts)))
        row = self.run(run)
        assert row is not None
        row.check(flow, input_)
        begun = {"run": run, "owner": owner, "facts": facts_begun_again(row.facts, facts)}
        if row.status in ("done", "cancelled") or self._db.execute(_BEGIN, begun):
            return row
        again = self.run(run)
        if again is not None and again.status == "cancelled":  # by somebody else, just now
            return again
        raise self._leases.lost(run)

    @contextlib.contextmanager
    def own(self, run: str) -> Iterator[None]:
        self._leases.take(run)
        try:
            yield
        finally:
            self._writer.flush()  # what a cancelled step wrote last is committed while the run is still ours
            # The lease ends by itself, and a failure here must not hide the error that is on its way up.
            with contextlib.suppress(StorageError):
                self._leases.release(run)

    def is_owned(self, run: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM leases WHERE run = %s AND expires >= clock_timestamp()", (run,)))

    def run(self, run: str) -> RunRow | None:
        rows = self._db.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE run = %s", (run,))
        return run_row(rows[0]) if rows else None

    def runs(self) -> list[tuple[RunRow, int]]:
        return [(run_row(values), n_steps) for *values, n_steps in self._db.execute(RUNS_WITH_STEP_COUNTS)]

    def end(self, run: str, status: RunStatus, *, result: str | None = None, error: str | None = None) -> None:
        stored_result, digest = (None, None) if result is None else intern(result)
        values = {
            "run": run,
            "owner": self._leases.owner(run),
            "status": status,
            "result": stored_result,
            "error": None if error is None else storable(error),
            "ended": self._clock(),
            "digest": digest,
            "text": None if digest is None else result,
        }
        if not self._db.execute(_END, values):
            raise self._leases.lost(run)

    def cancel(self, run: str) -> None:
        self._db.execute(_CANCEL, (run,))

    def is_cancelled(self, run: str) -> bool:
        return run in self._leases.cancelled

    def delete(self, run: str) -> None:
        owner = self._leases.owner(run)

        def deleted(execute: Callable[[str, Sequence[object]], list[tuple[Any, ...]]]) -> bool:
            if not execute("SELECT 1 FROM leases WHERE run = %s AND owner = %s FOR KEY SHARE", (run, owner)):
                return False
            for table in ("steps", "runs"):
                execute(f"DELETE FROM {table} WHERE run = %s", (run,))
            return True

        if not self._db.alone(_PRUNING, deleted):
            raise self._leases.lost(run)

    def delete_texts(self) -> None:
        def deleted(execute: Callable[[str, Sequence[object]], list[tuple[Any, ...]]]) -> None:
            execute("LOCK TABLE runs, steps, texts IN SHARE ROW EXCLUSIVE MODE", ())
            execute(DELETE_TEXTS, ())

        self._db.alone(_PRUNING, deleted)

    # The queue: runs that any process may take

    def enqueue(self, flow: str, inputs: Mapping[str, str], facts: Mapping[str, Any]) -> None:
        """Queue runs of a flow, given as run id to the canonical JSON of its arguments.

        A run that is there already keeps its state, but a failed one is queued again. Raises UserError where an id
        belongs to another flow or input.
        """
        new_facts = facts_json(facts)
        for part in parts(sorted(inputs.items()), lambda run_and_input: sum(map(len, run_and_input))):
            ids, texts = columns(part, 2)
            self._db.execute(_QUEUE, (flow, self._clock(), new_facts, ids, texts))
            for (run,) in self._db.execute(_OTHER_RUN, (ids, texts, flow)):
                row = self.run(run)
                assert row is not None
                row.check(flow, inputs[run])

    def claim(self, pattern: str = "") -> RunRow | None:
        """Own the oldest run that is queued, or whose owner died, and whose id matches this regular expression.

        None: there is none now. Each run goes to one claimer, who runs it under `own` like any other run. A claimed
        run that was not run is free again when this journal closes.
        """
        run = self._leases.claim(pattern)
        return None if run is None else self.run(run)

    def statuses(self, pattern: str) -> dict[RunStatus, int]:
        """How many runs there are of each status, among those whose id matches the regular expression."""
        return dict(self._db.execute("SELECT status, COUNT(*) FROM runs WHERE run ~ %s GROUP BY status", (pattern,)))

    def outcomes(self, pattern: str) -> dict[str, RunRow]:
        """The runs whose id matches the regular expression, with their results whole."""
        whole = RUN_COLUMNS.replace("result", "COALESCE(text, result)")
        statement = f"SELECT {whole} FROM runs LEFT JOIN texts ON 'text:' || hash = result WHERE run ~ %s"
        return {values[0]: run_row(values) for values in self._db.execute(statement, (pattern,))}

    # Steps

    def finished(self, run: str) -> dict[StepKey, FinishedStep]:
        return {row[:3]: row[3:] for row in self._db.execute(select_finished("%s"), (run,))}

    def failed(self, run: str) -> dict[StepKey, FailedStep]:
        return {row[:3]: row[3:] for row in self._db.execute(select_failed("%s"), (run,))}

    def frames(self, run: str) -> dict[StepKey, StepRow]:
        rows = [step_row(values, self.text) for values in self._db.execute(select_frames("%s"), (run,))]
        return {row.key: row for row in rows}

    def steps(self, run: str) -> list[StepRow]:
        texts = dict(self._db.execute(_TEXTS, (run,)))

        def whole(stored: str) -> str:
            digest = interned_hash(stored)
            return stored if digest is None else texts.get(digest, stored)

        return [step_row(values, whole) for values in self._db.execute(select_trace("%s"), (run,))]

    def write(self, run: str, step: StepRow) -> None:
        [error] = self._commit(self._db, [(self._leases.owner(run), run, step)])
        if error is not None:
            raise error

    async def write_later(self, run: str, step: StepRow) -> None:
        await self._writer.put((self._leases.owner(run), run, step))

    def ask_anew(self, run: str, keys: Sequence[StepKey]) -> None:
        self._writer.flush()  # rows of these steps may be on their way
        self._db.execute(_ASK_ANEW, (*columns(list(keys), 3), run, self._leases.owner(run)))

    def _commit(self, db: PostgresConnection, writes: Sequence[_Write]) -> list[RunBusyError | None]:
        """For each write None, or why it was not made: another process has taken over its run."""
        # A statement can replace a row only once, so of several writes of a step the last counts.
        latest = {(run, step.key): (owner, run, step) for owner, run, step in writes}
        written: set[str] = set()
        for part in parts(list(latest.values()), lambda write: len(write[2].arguments) + len(write[2].output or "")):
            texts: dict[str, str] = {}
            rows = [(owner, run, *step_values(step, _interned_in(texts))) for owner, run, step in part]
            if len(rows) == 1 and not texts:
                [(owner, run, *values)] = rows
                done = db.execute(_WRITE_ONE, (run, *values, owner, run))
            else:
                # All processes write texts in the order of their hashes, so that no two processes wait for one another.
                done = db.execute(_WRITE_MANY, [*columns(sorted(texts.items()), 2), *columns(rows, 2 + len(_TYPES))])
            written |= {run for run, _ in done}
            self._leases.cancelled |= {run for run, status in done if status == "cancelled"}
        return [None if run in written else self._leases.lost(run) for _, run, _ in writes]

    # Texts

    def text(self, stored: str) -> str:
        digest = interned_hash(stored)
        if digest is None:
            return stored
        [(text,)] = self._db.execute("SELECT text FROM texts WHERE hash = %s", (digest,))
        return str(text)

    def close(self) -> None:
        """Commit what is queued, give back what is claimed, and close the connections."""
        self._writer.close()
        with contextlib.suppress(StorageError):  # a lease that could not be given back ends by itself
            self._leases.close()
        self._later.close()
        self._db.close()


def _interned_in(texts: dict[str, str]) -> Callable[[str], str]:
    """Puts long texts into `texts`, by their hash, and gives what a row holds instead."""

    def interned(text: str) -> str:
        stored, digest = intern(text)
        if digest is not None:
            texts[digest] = text
        return stored

    return interned
