"""`run --inputs`: a flow over the rows of a file, one durable run per row.

A row's run is named by the batch and by the row's arguments, the flow and the models. So the same command goes on where
it was, whatever was added to the file or put into another order meanwhile: rows that are done are not run again, those
that failed are, and those that wait for a person look whether there is an answer.
"""

import asyncio
import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from stillhouse.commands.flow_rows import FlowRow, flow_rows
from stillhouse.errors import (
    ArtifactError,
    BudgetError,
    ExistsError,
    KeyMissingError,
    MissingExtraError,
    ModelNameError,
    PriceUnknownError,
    StillhouseError,
    StorageError,
    UserError,
)
from stillhouse.experiment.readiness import check_out
from stillhouse.flow.allowance import Allowance, allowing, piece_of_work
from stillhouse.flow.app_errors import place_of, told
from stillhouse.flow.call import encode
from stillhouse.flow.engine import Flow, check_run_id
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.parking import Cancelled, Parked
from stillhouse.flow.user_flow import load_flow
from stillhouse.json_text import JsonError, read_json
from stillhouse.runs import write_atomic
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.settings import TeacherSettings
from stillhouse.stopping import stopping
from stillhouse.store.journal import open_journal

AT_ONCE = 8  # rows under way
RETRIES = 2  # how often a row that failed is tried again, after all others had their turn
PAUSE_S = 1.0  # before the failed rows are tried again; twice that before the next time
Status = Literal["done", "failed", "waiting", "cancelled", "left"]  # left: the work was stopped before it ended
# What is wrong for every row alike: no row would do better.
_FOR_ALL = (ArtifactError, StorageError, KeyMissingError, MissingExtraError, ModelNameError, PriceUnknownError)
_OWN_WORDS = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")  # what differs between errors of one kind


@dataclass(frozen=True, kw_only=True)
class RowRun:
    """One row's run. `error`: why it failed, and where in the app; `asks`: what it asks a person."""

    row: FlowRow
    run: str
    status: Status = "left"
    result: Any = None
    error: str | None = None
    asks: str | None = None
    alike: str | None = None  # what errors of one kind have in common; None: their words tell
    may_be_retried: bool = False


@dataclass(frozen=True)
class Reason:
    """Rows that failed, or wait, alike: the first one's words, its line and its run."""

    n: int
    words: str
    line: int
    run: str


@dataclass(frozen=True, kw_only=True)
class RowsRun:
    """A sitting over all rows. `n_before`: those that were done before it; `stopped`: why some were not begun."""

    name: str
    flow: str
    rows: tuple[RowRun, ...]
    n_before: int
    unused: tuple[str, ...] = ()
    skipped: int = 0
    notes: tuple[str, ...] = ()
    cost_usd: float | None = 0.0  # of this sitting; None: not known
    out: Path | None = None
    stopped: str | None = None

    @property
    def counts(self) -> Counter[Status]:
        return Counter(row.status for row in self.rows)

    @property
    def failures(self) -> list[Reason]:
        """Why rows failed. Alike are errors of one class from one line of the app; without such a line, those that
        differ in quoted words and numbers alone.
        """
        return _grouped((row, row.error or "") for row in self.rows if row.status == "failed")

    @property
    def questions(self) -> list[Reason]:
        return _grouped((row, row.asks or "") for row in self.rows if row.status == "waiting")


def _grouped(told: Iterable[tuple[RowRun, str]]) -> list[Reason]:
    groups: dict[str, list[tuple[RowRun, str]]] = {}
    for row, words in told:
        groups.setdefault(row.alike or _OWN_WORDS.sub("…", words), []).append((row, words))
    reasons = [Reason(len(alike), alike[0][1], alike[0][0].row.line, alike[0][0].run) for alike in groups.values()]
    return sorted(reasons, key=lambda reason: -reason.n)


async def run_rows(
    target: str,
    inputs: Path,
    session: Session = DEFAULT_SESSION,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    skip_bad: bool = False,
    name: str | None = None,
    store: Path | str = DEFAULT_STORE,
    models: Mapping[str, str] = MappingProxyType({}),
    offline: bool = False,
    at_once: int = AT_ONCE,
    retries: int = RETRIES,
    out: Path | None = None,
) -> RowsRun:
    """Run `APP:FLOW` on each row of a file, at most `at_once` at a time.

    `columns`: parameter -> column, where the names differ. `name`: of the batch; default: the flow's and the file's.
    Of the `session` hold the prices, the cap and the consent: twenty calls are made before it is asked. `out` takes a
    line of JSON per row, in the file's order, also where the work is stopped. A row that fails leaves the others alone.

    Raises UserError, DatasetError, ExistsError, StorageError, and what is wrong for every row alike.
    """
    flow = load_flow(target)
    read = flow_rows(inputs, flow.function, columns=columns, encoding=encoding, skip_bad=skip_bad)
    name = name or re.sub(r"[^\w.-]+", "-", f"{flow.name}-{inputs.name.partition('.')[0]}")
    check_run_id(name)
    if out is not None:
        _refuse_overwriting(out, inputs)
        check_out(out)
    batch = _Batch(flow, list(_named(read.rows, flow, name, target, models)), session)
    n_before = batch.take_what_is_done(store)
    settings = session.over(TeacherSettings())
    n_left = len(batch.rows) - n_before
    allowance = Allowance(settings, session.asks, n_least=0 if offline else n_left, share_done=batch.share_done)
    stopped = None
    how = {"store": store, "models": dict(models) or None, "offline": offline, "app": target}
    try:
        with allowing(allowance), stopping.telling(batch.sentence):
            await batch.run(allowance, how, at_once, retries)
            if isinstance(allowance.refusal, UserError):
                raise allowance.refusal
            stopped = None if allowance.refusal is None else str(allowance.refusal)
    finally:
        if out is not None:
            write_atomic(out, "".join(map(_line, batch.rows)))
    return RowsRun(
        name=name,
        flow=flow.name,
        rows=tuple(batch.rows),
        n_before=n_before,
        unused=read.unused,
        skipped=read.skipped,
        notes=read.notes,
        cost_usd=allowance.ledger.spent_usd,
        out=out,
        stopped=stopped,
    )


def _named(
    rows: Iterable[FlowRow], flow: Flow[Any, Any], name: str, target: str, models: Mapping[str, str]
) -> Iterator[RowRun]:
    """Each row with its run's id. Equal rows are told apart by their number."""
    seen: Counter[str] = Counter()
    for row in rows:
        bound = flow.bound((), row.arguments)
        arguments = encode(bound.arguments, f"line {row.line}", canonical=True)
        decided_by = json.dumps([target, sorted(models.items()), arguments])
        digest = hashlib.sha256(decided_by.encode()).hexdigest()[:12]
        seen[digest] += 1
        nth = f"-{seen[digest]}" if seen[digest] > 1 else ""
        yield RowRun(row=row, run=f"{name}.{digest}{nth}")


class _Batch:
    """The rows of one sitting and how far they are."""

    def __init__(self, flow: Flow[Any, Any], rows: list[RowRun], session: Session) -> None:
        self.rows = rows
        self._counts: Counter[Status] = Counter(row.status for row in rows)
        self._flow, self._session, self.n_before = flow, session, 0

    def take_what_is_done(self, store: Path | str) -> int:
        """Put in the results of rows that earlier sittings finished; gives how many."""
        with contextlib.closing(open_journal(store)) as journal:
            for number, row in enumerate(self.rows):
                known = journal.run(row.run)
                if known is not None and known.status == "done" and known.result is not None:
                    self._put(number, _with(row, status="done", result=json.loads(journal.text(known.result))))
        self.n_before = self._counts["done"]
        return self.n_before

    def _put(self, number: int, row: RowRun) -> None:
        self._counts[self.rows[number].status] -= 1
        self._counts[row.status] += 1
        self.rows[number] = row

    def share_done(self) -> float:
        """The share of this sitting's rows that have ended."""
        n_left, n_before = self._counts["left"], self.n_before
        return (len(self.rows) - n_before - n_left) / max(1, len(self.rows) - n_before)

    def sentence(self) -> str:
        return f"{self._counts['done']:,} of {len(self.rows):,} rows are done and kept"

    async def run(self, allowance: Allowance, how: Mapping[str, Any], at_once: int, retries: int) -> None:
        """All rows that are not done; then those that failed, again."""
        todo = [number for number, row in enumerate(self.rows) if row.status == "left"]
        n_ended = len(self.rows) - len(todo)
        await self._each(todo, allowance, how, at_once, f"running {self._flow.name}", n_ended, len(self.rows))
        for attempt in range(1, retries + 1):
            again = [number for number, row in enumerate(self.rows) if row.may_be_retried]
            if not again or allowance.refusal is not None:
                return
            await asyncio.sleep(PAUSE_S * 2 ** (attempt - 1))
            what = f"trying failed rows again ({attempt} of {retries})"
            await self._each(again, allowance, how, at_once, what, 0, len(again))

    async def _each(
        self,
        numbers: list[int],
        allowance: Allowance,
        how: Mapping[str, Any],
        at_once: int,
        what: str,
        n_ended: int,
        total: int,
    ) -> None:
        left = iter(numbers)

        def tick() -> None:
            kinds: tuple[Status, ...] = ("failed", "waiting")
            note = ", ".join(f"{self._counts[kind]:,} {kind}" for kind in kinds if self._counts[kind])
            self._session.report(n_ended, total, what, allowance.ledger.spent_usd, unit="rows", note=note)

        async def worker() -> None:
            nonlocal n_ended
            for number in left:
                if allowance.refusal is not None:
                    return
                ended = await self._one(self.rows[number], how)
                if allowance.refusal is None or ended.status != "failed":
                    self._put(number, ended)
                n_ended += 1
                tick()

        tick()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(at_once, len(numbers))):
                    group.create_task(worker())
        except* StillhouseError as errors:
            raise _first(errors) from None

    async def _one(self, row: RowRun, how: Mapping[str, Any]) -> RowRun:
        try:
            with piece_of_work():
                result = await self._flow.execute(row.run, row.row.arguments, **how)
        except Parked as parked:
            return _with(row, status="waiting", asks=parked.question)
        except Cancelled:
            return _with(row, status="cancelled")
        except _FOR_ALL:
            raise
        except (UserError, BudgetError) as error:
            return _with(row, status="failed", error=str(error))
        except Exception as error:  # the app's own code may raise anything: the run is journaled up to that point
            alike = None if (place := place_of(error)) is None else f"{type(error).__name__} {place}"
            return _with(row, status="failed", error=told(error), alike=alike, may_be_retried=True)
        return _with(row, status="done", result=to_jsonable_python(result))


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _with(row: RowRun, **ended: Any) -> RowRun:
    return RowRun(row=row.row, run=row.run, **ended)


def _line(row: RowRun) -> str:
    told: dict[str, Any] = {"line": row.row.line, "run": row.run, "status": row.status, "row": dict(row.row.fields)}
    told |= {"result": row.result} if row.status == "done" else {}
    told |= {name: value for name, value in (("error", row.error), ("asks", row.asks)) if value is not None}
    return json.dumps(told, ensure_ascii=False) + "\n"


def _refuse_overwriting(out: Path, inputs: Path) -> None:
    """Raise for an output that is no JSONL, or is there already and was not written by such a command."""
    if not out.name.endswith((".jsonl", ".ndjson")):
        raise UserError(f"--out {out}: a line of JSON is written per row; name it .jsonl")
    if out.exists() and (out.resolve() == inputs.resolve() or not _is_ours(out)):
        raise ExistsError(f"{out} is there already and holds something else; give another --out, or move it away")


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as lines:
            first = lines.readline()
        return not first or {"line", "run", "status", "row"} <= set(read_json(first))
    except (OSError, JsonError, TypeError):
        return False
