"""The flow journal, from which a run is resumed: what it holds, as values, and what every database behind it must do.

A step call is keyed by its run, its step, the hash of its canonical arguments with the branch of the run in which it
was made, and its number among equal calls there. The order of calls is no part of the key, so that concurrent branches,
loops and edited code find their own answers again.
A step's row is committed before the flow goes on. The journal is also the trace: pictures, cases and data sets are made
of its rows. Only `open_journal` opens a database here.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from stillhouse.errors import UserError
from stillhouse.store.address import is_postgres, sqlite_address
from stillhouse.store.schema import Schema

# Length in characters from which on a text is stored only once, by its hash, however many steps take or return it.
INTERN = 4096
# (step, hash of the arguments, number among equal calls). Where the call was made in a branch of its own, the hash is
# followed by @ and the branch.
StepKey = tuple[str, str, int]
# The journal says "running" also of a run whose process ended before it; `as_seen` calls that "killed". A run that is
# "waiting" needs a person's answer. One that is "cancelled" has a time of its end once no process has work of it under
# way.
RunStatus = Literal["queued", "running", "killed", "waiting", "done", "failed", "cancelled"]

# SQL that SQLite and PostgreSQL both take. `facts` is JSON: of a run its models and the app's file, of a step what its
# model calls used (see StepRow.facts).
TABLES = (
    """CREATE TABLE IF NOT EXISTS runs (
        run TEXT PRIMARY KEY, flow TEXT NOT NULL, input TEXT NOT NULL, status TEXT NOT NULL, result TEXT, error TEXT,
        created DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION, facts TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS steps (
        run TEXT NOT NULL, step TEXT NOT NULL, args_hash TEXT NOT NULL, nth INTEGER NOT NULL, kind TEXT NOT NULL,
        parent TEXT, version TEXT NOT NULL, arguments TEXT NOT NULL, output TEXT, error TEXT,
        started DOUBLE PRECISION NOT NULL, seconds DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL, facts TEXT,
        place INTEGER, ended_nth INTEGER, frame TEXT,
        PRIMARY KEY (run, step, args_hash, nth)
    )""",
    "CREATE TABLE IF NOT EXISTS texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL)",
)
# Version 2 knows branches: rows of version 1 have no place.
_BRANCHES = ("ALTER TABLE steps ADD COLUMN place INTEGER", "ALTER TABLE steps ADD COLUMN ended_nth INTEGER")
# Version 3 knows flows inside flows.
_FRAMES = ("ALTER TABLE steps ADD COLUMN frame TEXT",)
SCHEMA = Schema("journal", "journal", "runs", TABLES, changes=(_BRANCHES, _FRAMES))
RUN_COLUMNS = "run, flow, input, status, result, error, created, ended, facts"
STEP_COLUMNS = (
    "step, args_hash, nth, kind, parent, version, arguments, output, error, started, seconds, attempts, facts, "
    "place, ended_nth, frame"
)
RUNS_WITH_STEP_COUNTS = f"""SELECT {RUN_COLUMNS},
    (SELECT COUNT(*) FROM steps WHERE steps.run = runs.run AND output IS NOT NULL AND kind <> 'flow')
    FROM runs ORDER BY created DESC, run"""


# Takes away the texts that nothing names. While a run is being written none is taken: its next step may name one.
DELETE_TEXTS = """DELETE FROM texts WHERE NOT EXISTS (
        SELECT 1 FROM runs WHERE status = 'running' OR (status = 'cancelled' AND ended IS NULL)
    )
    AND 'text:' || hash NOT IN (SELECT arguments FROM steps)
    AND 'text:' || hash NOT IN (SELECT output FROM steps WHERE output IS NOT NULL)
    AND 'text:' || hash NOT IN (SELECT result FROM runs WHERE result IS NOT NULL)
    AND 'text:' || hash NOT IN (SELECT input FROM runs)"""


def select_finished(mark: str) -> str:
    """SQL for the finished steps of a run: a `StepKey`, then a `FinishedStep`."""
    return (
        "SELECT step, args_hash, nth, version, output, parent, facts, place, ended_nth FROM steps"
        f" WHERE run = {mark} AND output IS NOT NULL AND kind <> 'flow'"
    )


def select_failed(mark: str) -> str:
    """SQL for the steps of a run that failed: a `StepKey`, then a `FailedStep`."""
    return (
        "SELECT step, args_hash, nth, version, error, attempts, facts, parent, place, ended_nth FROM steps"
        f" WHERE run = {mark} AND output IS NULL AND error IS NOT NULL AND kind <> 'flow'"
    )


def select_frames(mark: str) -> str:
    """SQL for the flows inside the flow of a run. They are never replayed: their calls are."""
    return f"SELECT {STEP_COLUMNS} FROM steps WHERE run = {mark} AND kind = 'flow'"


def select_trace(mark: str) -> str:
    """SQL for all steps of a run, in the order in which they began."""
    return f"SELECT {STEP_COLUMNS} FROM steps WHERE run = {mark} ORDER BY started, step, args_hash, nth"


def key_id(key: StepKey) -> str:
    """A step call's key as one text: what its children name as their `parent`."""
    return f"{key[0]}/{key[1]}/{key[2]}"


def branch_key(args_hash: str, branch: str) -> str:
    """What a key holds of the arguments of a call in this branch; "" is the first branch."""
    return f"{args_hash}@{branch}" if branch else args_hash


def args_and_branch(key: StepKey) -> tuple[str, str]:
    """The hash of a key's arguments, and the branch."""
    args_hash, _, branch = key[1].partition("@")
    return args_hash, branch


def intern(text: str) -> tuple[str, str | None]:
    """(what the row holds, the hash to store the text under). The hash is None where the row holds the text itself."""
    if len(text) < INTERN:
        return text, None
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"text:{digest}", digest


def interned_hash(stored: str) -> str | None:
    """The hash under which the text of a row is stored; None where the row holds the text itself."""
    return stored.removeprefix("text:") if stored.startswith("text:") else None


def storable(text: str) -> str:
    """The text as every database takes it: PostgreSQL has no U+0000, and half a surrogate pair is no UTF-8.

    In JSON this changes only how a text is written.
    """
    return text.replace("\0", "\u2400").encode(errors="backslashreplace").decode()


def facts_begun_again(before: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """What a run's row says of this sitting, as JSON, and of the code of all sittings until now."""
    code = [*before.get("code", ()), *facts.get("code", ())]
    return facts_json({**facts, "code": list(dict.fromkeys(code))} if code else facts)


def facts_json(facts: Mapping[str, Any]) -> str:
    return storable(json.dumps(dict(facts), ensure_ascii=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run. `facts`: `models` (step to model name) and `app` (where the flow's code is), where known.

    `code` has a hash of the flow's code for each version of it that a sitting ran.
    """

    run: str
    flow: str
    input: str  # canonical JSON of the flow's arguments
    status: RunStatus
    result: str | None  # the result as JSON, perhaps interned
    error: str | None
    created: float  # seconds since 1970, like all times here
    ended: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def check(self, flow: str, input_: str) -> None:
        """Raises UserError where the run is another flow's, or has another input."""
        if (self.flow, self.input) != (flow, input_):
            what = f"the flow {self.flow}" if self.flow != flow else f"the input {self.input[:200]}"
            raise UserError(
                f"the run {self.run} is there already, with {what}; "
                "give another --run-id, or the same flow and input to resume it"
            )


# What a resumed flow needs of a finished step: the version of its source when it ran, its output, its parent, its facts
# (JSON), its place, its number in the order of ends. Texts may be interned. This is no class, as ten thousand of them
# are read before a long run goes on.
FinishedStep = tuple[str, str, str | None, str | None, int | None, int | None]
# Of a failed one: its version, its error, its attempts, its facts (JSON), its parent, its place, its number among ends.
FailedStep = tuple[str, str, int, str | None, str | None, int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step call with all that is known of it. Rows from `Journal.steps` hold their texts whole, not interned.

    `kind`: step, model, decide, agent, turn, tool, human, value (`flow.now` and its like) or flow. `output` is None
    where the step failed (`error` says how) or waits for a person.
    `facts`, where a model was asked: `model`, `input_tokens`, `output_tokens`, `cost_usd` (None: unknown), `requests`
    (hashes in the completions table), `confidence`, `options`, `choice`, `source`. `failures` holds the reasons of the
    tries before the last, those of earlier sittings too; what these cost is in the sums. `discarded`: how many tries
    ended with a reply that was paid for and could not be read. `sample`: the number of the call's sample among those of
    equal requests, where it is not the number in its key. `stored_tokens`, `stored_usd`: what of the sums came out of
    the store. `replaced`: what the answer used that this one took the place of. `raised`: the exception, as
    `flow.failures` has it. `given_up`: the flow cancelled it and went on. `refused`: a limit did not let it begin.
    `place`: the number of the call in its branch, from 0. `ended_nth`: its number in the order in which the run's calls
    ended. Both are None in rows of version 1. `ended_nth` is None, too, of a failure, and of a call that was given up,
    where that is no outcome to be replayed: the run ended by it. It is below 0, `~n` for the number n, where the call's
    answer was given to the flow at once.
    `frame`: `key_id` of the row of kind `flow` that the call belongs to, the innermost flow inside the run's flow; None
    in the run's own, and in a step's body.
    """

    key: StepKey
    kind: str
    parent: str | None  # `key_id` of the step in whose body this step was called
    version: str
    arguments: str
    output: str | None
    error: str | None
    started: float
    seconds: float
    attempts: int
    facts: Mapping[str, Any] | None = None
    place: int | None = None
    ended_nth: int | None = None
    frame: str | None = None


def run_row(values: Sequence[Any]) -> RunRow:
    """A run from the values of RUN_COLUMNS."""
    run, flow, input_, status, result, error, created, ended, facts = values
    return RunRow(
        run=run,
        flow=flow,
        input=input_,
        status=status,
        result=result,
        error=error,
        created=created,
        ended=ended,
        facts=json.loads(facts),
    )


def step_row(values: Sequence[Any], whole: Callable[[str], str]) -> StepRow:
    """A step from the values of STEP_COLUMNS; `whole` gives the text behind what a row holds."""
    step, args_hash, nth, kind, parent, version, arguments, output, error, started, seconds, attempts, *later = values
    facts, place, ended_nth, frame = later
    return StepRow(
        key=(step, args_hash, nth),
        kind=kind,
        parent=parent,
        version=version,
        arguments=whole(arguments),
        output=None if output is None else whole(output),
        error=error,
        started=started,
        seconds=seconds,
        attempts=attempts,
        facts=None if facts is None else json.loads(facts),
        place=place,
        ended_nth=ended_nth,
        frame=frame,
    )


def step_values(step: StepRow, interned: Callable[[str], str]) -> tuple[object, ...]:
    """The values of STEP_COLUMNS; `interned` stores a long text apart and gives what the row holds instead."""
    return (
        *step.key,
        step.kind,
        step.parent,
        step.version,
        interned(step.arguments),
        None if step.output is None else interned(step.output),
        None if step.error is None else storable(step.error),
        float(step.started),
        float(step.seconds),
        step.attempts,
        None if step.facts is None else facts_json(step.facts),
        step.place,
        step.ended_nth,
        step.frame,
    )


def place_of(end: int) -> int:
    """The number in the order of ends that an `ended_nth` stands for."""
    return end if end >= 0 else ~end


def last_end(ends: Iterable[int | None]) -> int:
    """The last number in the order of ends; -1 where there is none."""
    return max((place_of(end) for end in ends if end is not None), default=-1)


class Journal(Protocol):
    """A journal in some database.

    `write` commits before it returns. `write_later` returns when its own step is committed, too, but may commit it
    together with other steps that run at the same time; where `writes_at_once`, it does not wait for any.
    """

    url: str
    writes_at_once: bool

    def begin(self, run: str, flow: str, input_: str, facts: Mapping[str, Any]) -> RunRow:
        """The run's row, made if it is new, and marked as running if it was not done or cancelled.

        Raises UserError where the id belongs to another flow or input.
        """
        ...

    def own(self, run: str) -> AbstractContextManager[None]:
        """Be the run's one live owner. Raises RunBusyError, naming the owner, while another is."""
        ...

    def is_owned(self, run: str) -> bool:
        """Whether a live process, this one included, owns the run."""
        ...

    def run(self, run: str) -> RunRow | None: ...

    def runs(self) -> list[tuple[RunRow, int]]:
        """All runs, newest first, each with the number of its finished steps."""
        ...

    def end(self, run: str, status: RunStatus, *, result: str | None = None, error: str | None = None) -> None:
        """Note how the run ended. One that was cancelled meanwhile is so, unless it is done."""
        ...

    def cancel(self, run: str) -> None:
        """Ask whoever owns the run to end it as cancelled, unless it is done. Anybody may."""
        ...

    def is_cancelled(self, run: str) -> bool:
        """Whether that was asked for. The owner asks often, so it may be known only from the next `write_later` on."""
        ...

    def delete(self, run: str) -> None:
        """Take the run away with its steps. The caller owns the run."""
        ...

    def delete_texts(self) -> None:
        """Take away the long texts that no run has any more; none while a run is being written."""
        ...

    def finished(self, run: str) -> dict[StepKey, FinishedStep]:
        """The steps whose answers a resumed run takes from here instead of running them again."""
        ...

    def failed(self, run: str) -> dict[StepKey, FailedStep]:
        """The run's failed steps by their key."""
        ...

    def frames(self, run: str) -> dict[StepKey, StepRow]:
        """The flows inside the run's flow, by their key."""
        ...

    def steps(self, run: str) -> list[StepRow]:
        """The run's trace, in the order in which its steps began."""
        ...

    def write(self, run: str, step: StepRow) -> None:
        """Commit one step. It replaces an earlier row of the same key: that step failed, or its code was edited."""
        ...

    async def write_later(self, run: str, step: StepRow) -> None: ...

    def ask_anew(self, run: str, keys: Sequence[StepKey]) -> None:
        """Take their number in the order of ends from these steps: how they ended is not replayed."""
        ...

    def text(self, stored: str) -> str:
        """The text behind what a row holds."""
        ...

    def close(self) -> None: ...


def as_seen(journal: Journal, row: RunRow) -> RunRow:
    """The row as it is to be shown: "killed" where it says "running" and no live process owns the run."""
    if row.status != "running" or journal.is_owned(row.run):
        return row
    now = journal.run(row.run) or row  # it may have ended since the row was read
    if now.status != "running" or journal.is_owned(row.run):
        return now
    return replace(now, status="killed")


def open_journal(url: str | Path) -> Journal:
    """The journal at a file path, a `sqlite:///PATH` or a `postgresql://...` address.

    `sqlite:///PATH?synchronous=full` syncs the file at every step, which survives a power loss too. Raises UserError
    for another form, StorageError where the database refuses, MissingExtraError where PostgreSQL's driver is absent.
    """
    if is_postgres(url):
        from stillhouse.store.postgres_journal import PostgresJournal

        return PostgresJournal(str(url))
    from stillhouse.store.sqlite_journal import SqliteJournal

    path, full = sqlite_address(url)
    return SqliteJournal(path, full=full)


def existing_journal(store: Path | str) -> Journal:
    """The journal at that place. Raises UserError where there is no such file."""
    if not is_postgres(store) and not sqlite_address(store).path.is_file():
        raise UserError(f"{store}: no such journal; give --store, or run a flow first")
    return open_journal(store)
