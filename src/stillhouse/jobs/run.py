"""`run`: a flow of the user's app by name, under an id that resumes it."""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from stillhouse.errors import StorageError, UserError
from stillhouse.flow.call import RunReport
from stillhouse.flow.engine import Flow
from stillhouse.flow.human import Parked
from stillhouse.flow.human import answer as journal_answer
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.store.address import is_postgres, sqlite_address
from stillhouse.store.journal import Journal, open_journal


@dataclass(frozen=True)
class Executed:
    """A run's result, or the exception that the app's own code raised, or the question that it waits with; and what this sitting did for it."""

    run: str
    result: Any
    report: RunReport
    failure: Exception | None = None
    waits_for: str | None = None


async def run(
    target: str,
    *,
    given: Mapping[str, Any],
    run_id: str | None = None,
    store: Path | str = DEFAULT_STORE,
    models: Mapping[str, str] | None = None,
    offline: bool = False,
) -> Executed:
    """Run `APP:FLOW`, APP a Python file or module. The same id goes on with what is unfinished and returns what is finished.

    `models` names another model for a step ("*": for all); `offline` answers model calls from the store alone.
    Raises UserError where there is no such flow or the input does not fit it, RunBusyError, StorageError. What the app's code raises is part of the result.
    """
    found = load_flow(target)
    name = run_id or uuid.uuid4().hex[:12]
    try:
        inspect.signature(found.function).bind(**given)
    except TypeError as error:
        raise UserError(f"--input {dict(given)!r} does not fit {target}: {error}") from None
    try:
        return Executed(
            name,
            await found.execute(name, given, store=store, models=models, offline=offline, app=target),
            found.report,
        )
    except (UserError, StorageError):
        raise
    except Parked as parked:
        return Executed(name, None, found.report, waits_for=parked.question)
    except Exception as error:  # the app's own code: whatever it raises, the run is journaled up to there
        return Executed(name, None, found.report, error)


async def resume(run_id: str, *, store: Path | str = DEFAULT_STORE) -> Executed:
    """Go on with a run by its id alone: the app, the input and the models are those that it was started with."""
    with contextlib.closing(existing_journal(store)) as journal:
        row = journal.run(run_id)
    if row is None:
        raise UserError(f"there is no run {run_id!r} in {journal.url}; `stillhouse runs` lists them")
    if row.facts.get("app") is None:
        raise UserError(
            f"the run {run_id} was started from Python, and where its flow is was not kept; start it again there, with the same id"
        )
    return await run(
        row.facts["app"], given=json.loads(row.input), run_id=run_id, store=store, models=row.facts.get("models")
    )


def answer(run_id: str, text: str, *, question: str | None = None, store: Path | str = DEFAULT_STORE) -> str:
    """Give a person's answer to what the run waits for; returns the question."""
    with contextlib.closing(existing_journal(store)) as journal:
        return journal_answer(journal, run_id, text, question)


def load_flow(target: str) -> Flow[Any, Any]:
    """The flow that `APP:FLOW` names. The app is the user's own code and is imported as Python would."""
    app, colon, name = target.rpartition(":")
    if not colon or not app or not name:
        raise UserError(f"{target!r} names no flow; write FILE.py:FLOW or MODULE:FLOW")
    module = load_app(app)
    found = getattr(module, name, None)
    if not isinstance(found, Flow):
        flows = ", ".join(sorted(key for key, value in vars(module).items() if isinstance(value, Flow))) or "none"
        raise UserError(f"{app} has no flow {name!r}; its flows: {flows}")
    twins = [
        key
        for key, value in vars(module).items()
        if isinstance(value, Flow) and value is not found and value.name == found.name
    ]
    if twins:
        raise UserError(
            f"{app} has two flows called {found.name} ({name} and {', '.join(twins)}); give one of them another: @flow(name=...)"
        )
    return found


def load_app(app: str) -> Any:
    """The app's module, of a Python file or by its name. Raises UserError where there is none; what its own code raises is its own."""
    if not app.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
        try:
            return importlib.import_module(app)
        except ModuleNotFoundError as error:
            if error.name != app:
                raise
            raise UserError(f"there is no module {app!r} here; give a file, as in app.py:main") from None
    path = Path(app)
    if not path.is_file():
        raise UserError(f"{app}: no such file; give FILE.py:FLOW")
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=_FromSource(path.stem, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class _FromSource(importlib.machinery.SourceFileLoader):
    """Compiles what the file holds now: Python's cache of bytecode takes an edit of equal length within the same second for no edit."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def existing_journal(store: Path | str) -> Journal:
    """The journal at that place. Raises UserError where there is no such file."""
    if not is_postgres(store) and not sqlite_address(store).path.is_file():
        raise UserError(f"{store}: no such journal; give --store, or run a flow first")
    return open_journal(store)
