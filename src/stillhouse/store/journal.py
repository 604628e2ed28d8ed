"""The flow journal: what it holds, as values, and what every database behind it must do. Nothing here opens one but `open_journal`.

A step call is keyed by (run, step, hash of its canonical arguments, n-th equal call), never by call order, so that concurrent branches, loops and edited
code find their own answers again. A step's row is committed before the flow goes on. The journal is also the trace: pictures, cases and data sets are made
of its rows.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from stillhouse.errors import UserError
from stillhouse.store.address import is_postgres, sqlite_address

INTERN = 4096  # characters: texts that long are stored once, by their hash, however many steps take or return them
Key = tuple[str, str, int]  # step, hash of the arguments, n-th equal call
Status = Literal[
    "queued", "running", "waiting", "done", "failed"
]  # running: or killed while it was; waiting: for a person's answer

# SQL that SQLite and PostgreSQL both take. `facts` is JSON: of a run the models and the app's file, of a step what its model calls used (see StepRow.facts).
TABLES = (
    """CREATE TABLE IF NOT EXISTS runs (
        run TEXT PRIMARY KEY, flow TEXT NOT NULL, input TEXT NOT NULL, status TEXT NOT NULL, result TEXT, error TEXT, created DOUBLE PRECISION NOT NULL,
        ended DOUBLE PRECISION, facts TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS steps (
        run TEXT NOT NULL, step TEXT NOT NULL, args_hash TEXT NOT NULL, nth INTEGER NOT NULL, kind TEXT NOT NULL, parent TEXT, version TEXT NOT NULL,
        arguments TEXT NOT NULL, output TEXT, error TEXT, started DOUBLE PRECISION NOT NULL, seconds DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL,
        facts TEXT, PRIMARY KEY (run, step, args_hash, nth)
    )""",
    "CREATE TABLE IF NOT EXISTS texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL)",
)


def key_id(key: Key) -> str:
    """A step call's key as one text: what its children name as their `parent`."""
    return f"{key[0]}/{key[1]}/{key[2]}"


def intern(text: str) -> tuple[str, str | None]:
    """(what the row holds, the hash to store the text under or None where the row holds the text itself)."""
    if len(text) < INTERN:
        return text, None
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"text:{digest}", digest


def storable(text: str) -> str:
    """The text as every database takes it: PostgreSQL has no U+0000, and half a surrogate pair is no UTF-8. In JSON this changes only how a text is written."""
    return text.replace("\0", "\u2400").encode(errors="backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `facts`: `models` (step to model name) and `app` (where the flow's code is), where known."""

    run: str
    flow: str
    input: str  # canonical JSON of the flow's arguments
    status: Status
    result: str | None  # JSON, perhaps interned
    error: str | None
    created: float  # seconds since 1970, as all times here
    ended: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def check(self, flow: str, input_: str) -> None:
        """Raises UserError where the run is another flow's, or has another input."""
        if (self.flow, self.input) != (flow, input_):
            what = f"the flow {self.flow}" if self.flow != flow else f"the input {self.input[:200]}"
            raise UserError(
                f"the run {self.run} is there already, with {what}; give another --run-id, or the same flow and input to resume it"
            )


# Of a finished step what a resumed flow needs: the version of its source when it ran, output, parent, facts (JSON); texts may be interned. No class: ten
# thousand of them are read before a long run goes on.
Finished = tuple[str, str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step call with all that is known of it; its texts are whole (not interned) when they come from `Journal.steps`.

    `kind`: step, model, decide, agent, turn, tool, human or value (`flow.now` and its like). `output` None: it failed (`error` says how), or it waits for a
    person.
    `facts`, where a model was asked: `model`, `input_tokens`, `output_tokens`, `cost_usd` (None: unknown), `requests` (hashes in the completions table),
    `confidence`, `options`, `choice`, `source`; `failures` holds the reasons of the tries before the last.
    """

    key: Key
    kind: str
    parent: str | None  # `key_id` of the step in whose body it was called
    version: str
    arguments: str
    output: str | None
    error: str | None
    started: float
    seconds: float
    attempts: int
    facts: Mapping[str, Any] | None = None


class Journal(Protocol):
    """A journal in some database. `write` commits before it returns; `write_later` may gather commits of concurrent steps, and returns when its own is done."""

    url: str

    def begin(self, run: str, flow: str, input_: str, facts: Mapping[str, Any]) -> RunRow:
        """The run's row, made if it is new, and marked as running if it was not done. Raises UserError where the id belongs to another flow or input."""
        ...

    def own(self, run: str) -> AbstractContextManager[None]:
        """Be the run's one live owner. Raises RunBusyError, naming the owner, while another is."""
        ...

    def run(self, run: str) -> RunRow | None: ...

    def runs(self) -> list[tuple[RunRow, int]]:
        """All runs, newest first, each with the number of its finished steps."""
        ...

    def end(self, run: str, status: Status, *, result: str | None = None, error: str | None = None) -> None: ...

    def finished(self, run: str) -> dict[Key, Finished]: ...

    def steps(self, run: str) -> list[StepRow]:
        """The run's trace, in the order in which its steps began."""
        ...

    def write(self, run: str, step: StepRow) -> None:
        """Commit one step. An earlier row under the same key (it failed, or its code was edited since) is replaced."""
        ...

    async def write_later(self, run: str, step: StepRow) -> None: ...

    def text(self, stored: str) -> str:
        """The text behind what a row holds."""
        ...

    def close(self) -> None: ...


def open_journal(url: str | Path) -> Journal:
    """The journal at a file path, `sqlite:///PATH` (with `?synchronous=full`: synced at every step, against power loss too) or `postgresql://...`.

    Raises UserError for another form, StorageError where the database refuses, MissingExtraError where PostgreSQL's driver is absent.
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
