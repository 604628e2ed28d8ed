"""`run`: a flow of the user's app by name, under an id that resumes it."""

import contextlib
import inspect
import json
import shlex
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stillhouse.errors import StorageError, UserError
from stillhouse.flow.allowance import Allowance, allowing
from stillhouse.flow.app_errors import told
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.parking import Cancelled, Parked
from stillhouse.flow.resume import RunReport
from stillhouse.flow.steering import answer as answer
from stillhouse.flow.user_flow import load_flow
from stillhouse.session import Session
from stillhouse.settings import TeacherSettings
from stillhouse.stopping import stopping
from stillhouse.store.journal import existing_journal


@dataclass(frozen=True)
class Executed:
    """A run's result, or the exception that the app's own code raised, or the question that it waits with.

    `report`: what this sitting did for it.
    """

    run: str
    result: Any
    report: RunReport
    failure: Exception | None = None
    waits_for: str | None = None

    @property
    def why(self) -> str:
        """The exception in a sentence, with the place in the app that it came from."""
        return "" if self.failure is None else told(self.failure)


async def run(
    target: str,
    *,
    arguments: Mapping[str, Any],
    run_id: str | None = None,
    store: Path | str = DEFAULT_STORE,
    models: Mapping[str, str] | None = None,
    offline: bool = False,
    rerun: Collection[str] = (),
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Executed:
    """Run `APP:FLOW`, APP a Python file or module.

    The same id goes on with what is unfinished and returns what is finished. `models` names another model for a step
    ("*": for all); `offline` answers model calls from the store alone; `rerun` names steps that run again although they
    finished, where they were edited since. `settings`: the cap in dollars for all endpoint calls of this sitting
    (`max_usd`), and prices where no table knows a model (`price_in`, `price_out`).

    Raises UserError where there is no such flow or the input does not fit it, RunBusyError, StorageError. What the
    app's code raises is part of the result.
    """
    flow = load_flow(target)
    name = run_id or uuid.uuid4().hex[:12]
    try:
        inspect.signature(flow.function).bind(**arguments)
    except TypeError as error:
        raise UserError(f"--input {dict(arguments)!r:.200} does not fit {target}: {error}") from None
    elsewhere = [] if store == DEFAULT_STORE else ["--store", str(store)]
    stopping.go_on = shlex.join(["stillhouse", "resume", name, *elsewhere])
    try:
        with allowing(Allowance(Session(settings=settings).over(TeacherSettings()))):
            result = await flow.execute(
                name, arguments, store=store, models=models, offline=offline, app=target, rerun=rerun
            )
        return Executed(name, result, flow.report)
    except (UserError, StorageError, Cancelled):
        raise
    except Parked as parked:
        return Executed(name, None, flow.report, waits_for=parked.question)
    except Exception as error:  # the app's own code may raise anything: the run is journaled up to that point
        return Executed(name, None, flow.report, error)


async def resume(
    run_id: str,
    *,
    store: Path | str = DEFAULT_STORE,
    rerun: Collection[str] = (),
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Executed:
    """Go on with a run by its id alone: the app, the input and the models are those that it was started with."""
    with contextlib.closing(existing_journal(store)) as journal:
        row = journal.run(run_id)
    if row is None:
        raise UserError(f"there is no run {run_id!r} in {journal.url}; `stillhouse runs` lists them")
    if row.facts.get("app") is None:
        raise UserError(
            f"the run {run_id} was started from Python, and where its flow is was not kept; "
            "start it again there, with the same id"
        )
    return await run(
        row.facts["app"],
        arguments=json.loads(row.input),
        run_id=run_id,
        store=store,
        models=row.facts.get("models"),
        rerun=rerun,
        settings=settings,
    )
