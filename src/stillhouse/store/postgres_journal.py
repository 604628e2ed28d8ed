"""The flow journal in PostgreSQL, for runs on many machines: the tables of journal.py, and a lease for every run that is owned (leases.py).

`write` is one round trip. `write_later` goes through one thread that commits whatever has gathered, so that a fan-out shares its round trips and the event loop
never waits. Every write of a run checks, in the same statement, that the run is still this process's.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stillhouse.errors import RunBusyError, StorageError
from stillhouse.store.journal import TABLES, Finished, Key, RunRow, Status, StepRow, intern, storable
from stillhouse.store.leases import LEASES, OPEN_RUNS, Leases
from stillhouse.store.postgres import Database, columns, parse, parts
from stillhouse.store.writer import GroupWriter

_RUN = "run, flow, input, status, result, error, created, ended, facts"
_STEP = "step, args_hash, nth, kind, parent, version, arguments, output, error, started, seconds, attempts, facts"
_TYPES = ["text", "text", "int", *["text"] * 6, "float8", "float8", "int", "text"]  # of _STEP
_HELD = "SELECT FROM leases WHERE run = %(run)s AND owner = %(owner)s FOR KEY SHARE"
_BEGIN = f"""WITH held AS ({_HELD})
    UPDATE runs SET status = 'running', error = NULL, ended = NULL, facts = %(facts)s FROM held WHERE run = %(run)s RETURNING run"""
_END = f"""WITH held AS ({_HELD}), kept AS (INSERT INTO texts SELECT %(digest)s, %(text)s WHERE %(digest)s::text IS NOT NULL ON CONFLICT DO NOTHING)
    UPDATE runs SET status = %(status)s, result = %(result)s, error = %(error)s, ended = %(ended)s FROM held WHERE run = %(run)s RETURNING run"""
_REPLACE = f"""ON CONFLICT (run, step, args_hash, nth) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _STEP.split(", ")[3:])}
    RETURNING run"""
# One step, as sequences write them: half the time of the statement for many.
_WRITE_ONE = f"""INSERT INTO steps (run, {_STEP}) SELECT %b::text, {", ".join(f"%b::{kind}" for kind in _TYPES)}
    FROM leases WHERE owner = %b AND run = %b FOR KEY SHARE {_REPLACE}"""
_WRITE = f"""WITH kept AS (INSERT INTO texts SELECT * FROM unnest(%b::text[], %b::text[]) ON CONFLICT DO NOTHING)
    INSERT INTO steps (run, {_STEP})
    SELECT given.run, {_STEP} FROM unnest(%b::text[], %b::text[], {", ".join(f"%b::{kind}[]" for kind in _TYPES)}) AS given(owner, run, {_STEP})
    JOIN leases ON leases.run = given.run AND leases.owner = given.owner FOR KEY SHARE OF leases {_REPLACE}"""
_QUEUE = """INSERT INTO runs SELECT run, %s, input, 'queued', NULL, NULL, %s, NULL, %s FROM unnest(%b::text[], %b::text[]) AS given(run, input)
    ON CONFLICT (run) DO UPDATE SET status = 'queued', ended = NULL WHERE runs.status = 'failed'"""
_OTHER = """SELECT runs.run FROM runs JOIN unnest(%b::text[], %b::text[]) AS given(run, input) USING (run)
    WHERE (flow, runs.input) <> (%s, given.input) LIMIT 1"""
_Write = tuple[str, str, StepRow]  # owner, run, step


class PostgresJournal:
    """A journal in a PostgreSQL database, shared by any number of machines; a run belongs to one process of them."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        address = parse(url)
        self.url, self._clock = address.shown, clock
        self._db, self._later = Database(address), Database(address)
        self._db.create([*TABLES, LEASES, OPEN_RUNS], "leases")
        self._leases = Leases(self._db, address)
        self._writer: GroupWriter[_Write] = GroupWriter(
            "journal-writer", lambda writes: self._commit(self._later, writes)
        )

    # Runs

    def begin(self, run: str, flow: str, input_: str, facts: Mapping[str, Any]) -> RunRow:
        owner, new = self._leases.owner(run), storable(json.dumps(dict(facts), ensure_ascii=False))
        made = "INSERT INTO runs VALUES (%s, %s, %s, 'running', NULL, NULL, %s, NULL, %s) ON CONFLICT DO NOTHING"
        self._db.execute(made, (run, flow, input_, self._clock(), new))
        row = self.run(run)
        assert row is not None
        row.check(flow, input_)
        if row.status != "done" and not self._db.execute(_BEGIN, {"run": run, "owner": owner, "facts": new}):
            raise self._leases.lost(run)
        return row

    @contextlib.contextmanager
    def own(self, run: str) -> Iterator[None]:
        self._leases.take(run)
        try:
            yield
        finally:
            self._writer.flush()  # what a cancelled step wrote last is committed while the run is still ours
            with contextlib.suppress(
                StorageError
            ):  # the lease ends by itself, and must not hide the error that is on its way up
                self._leases.release(run)

    def run(self, run: str) -> RunRow | None:
        found = self._db.execute(f"SELECT {_RUN} FROM runs WHERE run = %s", (run,))
        return _run_row(found[0]) if found else None

    def runs(self) -> list[tuple[RunRow, int]]:
        counted = f"SELECT {_RUN}, (SELECT COUNT(*) FROM steps WHERE steps.run = runs.run AND output IS NOT NULL) FROM runs ORDER BY created DESC, run"
        return [(_run_row(row[:-1]), row[-1]) for row in self._db.execute(counted)]

    def end(self, run: str, status: Status, *, result: str | None = None, error: str | None = None) -> None:
        stored, digest = (None, None) if result is None else intern(result)
        said = None if error is None else storable(error)
        values = {
            "run": run,
            "owner": self._leases.owner(run),
            "status": status,
            "result": stored,
            "error": said,
            "ended": self._clock(),
        }
        if not self._db.execute(_END, values | {"digest": digest, "text": None if digest is None else result}):
            raise self._leases.lost(run)

    # The queue: runs that any process may take

    def enqueue(self, flow: str, inputs: Mapping[str, str], facts: Mapping[str, Any]) -> None:
        """Queue runs of a flow, given as run id to the canonical JSON of its arguments. One that is there keeps its state, but a failed one is queued again.

        Raises UserError where an id belongs to another flow or input.
        """
        new = storable(json.dumps(dict(facts), ensure_ascii=False))
        for part in parts(sorted(inputs.items()), lambda given: len(given[0]) + len(given[1])):
            ids, texts = columns(part, 2)
            self._db.execute(_QUEUE, (flow, self._clock(), new, ids, texts))
            for (run,) in self._db.execute(_OTHER, (ids, texts, flow)):
                row = self.run(run)
                assert row is not None
                row.check(flow, inputs[run])

    def claim(self, pattern: str = "") -> RunRow | None:
        """Own the oldest run that is queued or whose owner died, among those whose id matches the regular expression; None: there is none now.

        Each run goes to one claimer. It is run under `own`, as any other; one that is not is free again when this journal closes.
        """
        run = self._leases.claim(pattern)
        return None if run is None else self.run(run)

    def statuses(self, pattern: str) -> dict[Status, int]:
        """How many runs there are of each status, among those whose id matches the regular expression."""
        return dict(self._db.execute("SELECT status, COUNT(*) FROM runs WHERE run ~ %s GROUP BY status", (pattern,)))

    def outcomes(self, pattern: str) -> dict[str, RunRow]:
        """The runs whose id matches the regular expression, with their results whole."""
        whole = _RUN.replace("result", "COALESCE(text, result)")
        rows = self._db.execute(
            f"SELECT {whole} FROM runs LEFT JOIN texts ON 'text:' || hash = result WHERE run ~ %s", (pattern,)
        )
        return {row[0]: _run_row(row) for row in rows}

    # Steps

    def finished(self, run: str) -> dict[Key, Finished]:
        rows = self._db.execute(
            "SELECT step, args_hash, nth, version, output, parent, facts FROM steps WHERE run = %s AND output IS NOT NULL",
            (run,),
        )
        return {row[:3]: row[3:] for row in rows}

    def steps(self, run: str) -> list[StepRow]:
        texts = "SELECT hash, text FROM texts WHERE hash IN (SELECT substr(unnest(ARRAY[arguments, output]), 6) FROM steps WHERE run = %s)"
        kept = dict(self._db.execute(texts, (run,)))
        whole = f"SELECT {_STEP} FROM steps WHERE run = %s ORDER BY started, step, args_hash, nth"
        return [_step_row(row, kept) for row in self._db.execute(whole, (run,))]

    def write(self, run: str, step: StepRow) -> None:
        [outcome] = self._commit(self._db, [(self._leases.owner(run), run, step)])
        if outcome is not None:
            raise outcome

    async def write_later(self, run: str, step: StepRow) -> None:
        await self._writer.put((self._leases.owner(run), run, step))

    def _commit(self, db: Database, writes: Sequence[_Write]) -> list[RunBusyError | None]:
        """What was not written, with the reason: its run was taken over."""
        latest = {
            (run, step.key): (owner, run, step) for owner, run, step in writes
        }  # one statement replaces a row once
        written: set[str] = set()
        for part in parts(list(latest.values()), lambda write: len(write[2].arguments) + len(write[2].output or "")):
            texts: dict[str, str] = {}
            rows = [(owner, run, *_step_values(step, texts)) for owner, run, step in part]
            if len(rows) == 1 and not texts:
                done = db.execute(_WRITE_ONE, (*rows[0][1:], *rows[0][:2]))
            else:  # everybody writes texts in the order of their hashes, so that two processes never wait for one another in a circle
                done = db.execute(_WRITE, [*columns(sorted(texts.items()), 2), *columns(rows, 15)])
            written |= {row[0] for row in done}
        return [None if run in written else self._leases.lost(run) for _, run, _ in writes]

    # Texts

    def text(self, stored: str) -> str:
        if not stored.startswith("text:"):
            return stored
        [(found,)] = self._db.execute("SELECT text FROM texts WHERE hash = %s", (stored.removeprefix("text:"),))
        return str(found)

    def close(self) -> None:
        """Commit what is queued, give back what is claimed, and close the connections."""
        self._writer.close()
        with contextlib.suppress(StorageError):  # leases end by themselves
            self._leases.close()
        self._later.close()
        self._db.close()


def _step_values(step: StepRow, texts: dict[str, str]) -> tuple[object, ...]:
    """The values of _STEP; long texts go into `texts`, by their hash."""

    def interned(text: str) -> str:
        stored, digest = intern(text)
        if digest is not None:
            texts[digest] = text
        return stored

    facts = None if step.facts is None else storable(json.dumps(step.facts, ensure_ascii=False))
    output = None if step.output is None else interned(step.output)
    error = None if step.error is None else storable(step.error)
    took = float(step.started), float(step.seconds), step.attempts
    return (*step.key, step.kind, step.parent, step.version, interned(step.arguments), output, error, *took, facts)


def _step_row(row: tuple[Any, ...], kept: Mapping[str, str]) -> StepRow:
    step, args_hash, nth, kind, parent, version, arguments, output, error, started, seconds, attempts, facts = row
    whole = [
        None if text is None else kept.get(text[5:], text) if text.startswith("text:") else text
        for text in (arguments, output)
    ]
    assert whole[0] is not None
    used = None if facts is None else json.loads(facts)
    return StepRow(
        (step, args_hash, nth), kind, parent, version, whole[0], whole[1], error, started, seconds, attempts, used
    )


def _run_row(row: tuple[Any, ...]) -> RunRow:
    return RunRow(*row[:-1], json.loads(row[-1]))  # type: ignore[call-arg]  # a slice has no length to mypy
