"""`run`: a flow of the user's app by name, under an id that resumes it."""

import contextlib
import importlib
import importlib.util
import inspect
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.errors import StorageError, UserError
from stillhouse.flow.call import RunReport
from stillhouse.flow.engine import Flow
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.store.journal import RunRow, open_journal


@dataclass(frozen=True)
class Executed:
    """A run's result, or the exception that the app's own code raised; and what this sitting did for it."""

    run: str
    result: Any
    report: RunReport
    failure: Exception | None = None


async def run(target: str, *, given: Mapping[str, Any], run_id: str | None = None, store: Path = DEFAULT_STORE) -> Executed:
    """Run `APP:FLOW`, APP a Python file or module. The same id goes on with what is unfinished and returns what is finished.

    Raises UserError where there is no such flow or the input does not fit it, RunBusyError, StorageError. What the app's code raises is part of the result.
    """
    found = load_flow(target)
    name = run_id or uuid.uuid4().hex[:12]
    try:
        inspect.signature(found.function).bind(**given)
    except TypeError as error:
        raise UserError(f"--input {dict(given)!r} does not fit {target}: {error}") from None
    try:
        return Executed(name, await found.execute(name, given, store=store), found.report)
    except (UserError, StorageError):
        raise
    except Exception as error:  # the app's own code: whatever it raises, the run is journaled up to there
        return Executed(name, None, found.report, error)


def load_flow(target: str) -> Flow[Any, Any]:
    """The flow that `APP:FLOW` names. The app is the user's own code and is imported as Python would."""
    app, colon, name = target.rpartition(":")
    if not colon or not app or not name:
        raise UserError(f"{target!r} names no flow; write FILE.py:FLOW or MODULE:FLOW")
    module = _load(app)
    found = getattr(module, name, None)
    if not isinstance(found, Flow):
        flows = ", ".join(sorted(key for key, value in vars(module).items() if isinstance(value, Flow))) or "none"
        raise UserError(f"{app} has no flow {name!r}; its flows: {flows}")
    return found


def _load(app: str) -> Any:
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
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def runs(store: Path = DEFAULT_STORE) -> list[tuple[RunRow, int]]:
    """The runs of a journal, newest first, each with the number of its finished steps."""
    if not store.is_file():
        raise UserError(f"{store}: no such journal; give --store, or run a flow first")
    with contextlib.closing(open_journal(store)) as journal:
        return journal.runs()
