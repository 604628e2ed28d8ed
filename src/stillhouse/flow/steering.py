"""Runs seen and steered from outside: listed, answered, gone on with, cancelled, pruned.

Everything here works on the journal, from any process that reaches it; `stillhouse runs`, `answer` and `resume` do the
same from the shell.
"""

import contextlib
import inspect
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from stillhouse.errors import RunBusyError, UserError
from stillhouse.flow.engine import Flow, flows_called
from stillhouse.flow.human import answer as journal_answer
from stillhouse.flow.human import open_questions
from stillhouse.flow.live import live_run
from stillhouse.flow.models import DEFAULT_STORE, ModelName
from stillhouse.flow.parking import Cancelling
from stillhouse.flow.user_flow import load_flow
from stillhouse.store.journal import Journal, RunRow, RunStatus, as_seen, existing_journal

ENDED: tuple[RunStatus, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as the journal has it now. `steps`: number of finished ones; `questions`: what it asks a person."""

    run: str
    flow: str
    status: RunStatus
    input: Mapping[str, Any]
    result: Any  # as JSON has it; None where it is not done
    error: str | None
    created: datetime
    ended: datetime | None
    steps: int
    questions: tuple[str, ...]


def runs(*, store: Path | str = DEFAULT_STORE, flow: str | None = None, status: RunStatus | None = None) -> list[Run]:
    """The runs of a journal, newest first; of one flow, by its name, or of one status where these are given.

    Raises UserError where there is no such journal.
    """
    with contextlib.closing(existing_journal(store)) as journal:
        seen = [(as_seen(journal, row), n_steps) for row, n_steps in journal.runs() if flow in (None, row.flow)]
        return [_as_run(journal, row, n_steps) for row, n_steps in seen if status in (None, row.status)]


def _as_run(journal: Journal, row: RunRow, n_steps: int) -> Run:
    questions = open_questions(journal, row.run) if row.status == "waiting" else ()
    return Run(
        run=row.run,
        flow=row.flow,
        status=row.status,
        input=json.loads(journal.text(row.input)),
        result=None if row.result is None else json.loads(journal.text(row.result)),
        error=row.error,
        created=datetime.fromtimestamp(row.created, UTC),
        ended=None if row.ended is None else datetime.fromtimestamp(row.ended, UTC),
        steps=n_steps,
        questions=tuple(str((question.facts or {})["question"]) for question in questions),
    )


def answer(run: str, text: str, *, question: str | None = None, store: Path | str = DEFAULT_STORE) -> str:
    """Give a person's answer to what the run waits for, to its first question or the one named; returns the question.

    Raises UserError where nothing is asked, or the answer is none of the options.
    """
    with contextlib.closing(existing_journal(store)) as journal:
        return journal_answer(journal, run, text, question)


async def resume(
    run: str,
    *,
    store: Path | str = DEFAULT_STORE,
    models: Mapping[str, ModelName] | None = None,
    rerun: Collection[str] = (),
) -> Any:
    """Go on with a run by its id alone, and give its result. `models` and `rerun` are as for `Flow.execute`.

    The flow is the one of that name in this process, else the one of the file that `stillhouse run` named. Models are
    those that the run was started with where none are given. Raises UserError where there is no such run or flow,
    Parked, Cancelled, RunBusyError, and what the flow raises.
    """
    with contextlib.closing(existing_journal(store)) as journal:
        row = _row(journal, run)
        text = journal.text(row.input)
    found = _flow_of(row)
    named = row.facts.get("models") if models is None else models
    return await found.go_on(run, _bound(found, text), text, store=store, models=named, rerun=rerun)


def _row(journal: Journal, run: str) -> RunRow:
    row = journal.run(run)
    if row is None:
        raise UserError(f"there is no run {run!r} in {journal.url}; `stillhouse runs` lists them")
    return row


def _flow_of(row: RunRow) -> Flow[Any, Any]:
    here = flows_called(row.flow, row.facts.get("code", ()))
    if len(here) == 1:
        return here[0]
    app = row.facts.get("app")
    if app is not None:
        return load_flow(app)
    which = "several flows" if here else "no flow"
    raise UserError(
        f"this process has {which} called {row.flow}, so the run {row.run} cannot be gone on with by its id alone; "
        f"call {row.flow}.run({row.run!r}, ...) with its input"
    )


def _bound(flow: Flow[Any, Any], text: str) -> inspect.BoundArguments:
    """A run's input as the arguments of its flow, of the types that the annotations say."""
    signature, hints = inspect.signature(flow.function), get_type_hints(flow.function, include_extras=True)
    bound = inspect.BoundArguments(signature, {})
    given = json.loads(text)
    for name, parameter in signature.parameters.items():
        if name not in given:
            continue
        value = given[name]
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name in hints and not several:
            try:
                value = TypeAdapter(hints[name]).validate_python(value)
            except ValidationError as error:
                problem = error.errors()[0]["msg"]
                raise UserError(
                    f"the input {name} of the run does not fit {flow.name} any more ({problem}); start it anew"
                ) from None
        bound.arguments[name] = tuple(value) if parameter.kind is parameter.VAR_POSITIONAL else value
    bound.apply_defaults()
    return bound


def cancel(run: str, *, store: Path | str = DEFAULT_STORE) -> bool:
    """Let the run end as cancelled: it does not go on, and its finished steps stay in the journal.

    Whatever process executes it begins no further call; what is under way there ends and is kept. Gives whether the run
    has ended; False: some process executes it, and will end it. Raises UserError where there is no such run or it is
    done.
    """
    active = live_run(store, run)
    if active is not None:
        active.park(Cancelling(run), whole=True)
    with contextlib.closing(existing_journal(store)) as journal:
        if _row(journal, run).status == "done":
            raise UserError(f"the run {run} is done, so there is nothing to cancel; `flow.prune` takes old runs away")
        journal.cancel(run)
        return _ended_as_cancelled(journal, run)


def _ended_as_cancelled(journal: Journal, run: str) -> bool:
    """End a run that was cancelled, unless a process executes it and does that itself; whether it has ended."""
    try:
        with journal.own(run):
            row = _row(journal, run)
            if row.status == "cancelled" and row.ended is None:
                journal.end(run, "cancelled")
    except RunBusyError:
        return False
    return True


def prune(
    older_than: timedelta, *, store: Path | str = DEFAULT_STORE, status: Collection[RunStatus] = ENDED
) -> list[str]:
    """Take runs out of the journal that ended so long ago, with their steps; gives their ids.

    One that somebody goes on with just now stays. What models answered stays in the store: it was paid for. Raises
    UserError for a status of runs that have not ended.
    """
    for each in status:
        if each not in ENDED:
            raise UserError(f"runs that are {each} have not ended, and stay; give some of {', '.join(ENDED)}")
    before = (datetime.now(UTC) - older_than).timestamp()
    with contextlib.closing(existing_journal(store)) as journal:
        for row, _ in journal.runs():
            if row.status == "cancelled" and row.ended is None:
                _ended_as_cancelled(journal, row.run)

        def is_old(row: RunRow | None) -> bool:
            return row is not None and row.status in status and row.ended is not None and row.ended <= before

        gone = []
        for run in [row.run for row, _ in journal.runs() if is_old(row)]:
            with contextlib.suppress(RunBusyError), journal.own(run):
                if is_old(journal.run(run)):
                    journal.delete(run)
                    gone.append(run)
        if gone:
            journal.delete_texts()
        return gone
