"""`flow.map(..., cluster="ray")`: a map whose items run on the workers of a Ray cluster.

Runs are independent of one another, so each item is a run of its own, and PostgreSQL is the journal of all of them. The
runs stand in the journal's queue. A worker takes one after the other; it also takes the runs of a dead worker, when
their leases have ended. So Ray only starts and restarts workers. The journal says which run is where and what is
finished, and nothing that was paid for depends on Ray.
"""

import asyncio
import functools
import json
import os
import re
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter

from stillhouse.errors import MissingExtraError, RunBusyError, StorageError, UserError
from stillhouse.flow.call import (
    StepError,
    active_run,
    canonical_json,
    current_call,
    encode,
    error_line,
    perform,
)
from stillhouse.flow.engine import Flow, check_run_id
from stillhouse.flow.models import DEFAULT_STORE, ModelName
from stillhouse.flow.parking import Cancelled, Parked
from stillhouse.flow.shared import shared
from stillhouse.store.address import is_postgres
from stillhouse.store.journal import RunRow
from stillhouse.store.postgres_journal import PostgresJournal
from stillhouse.user_code import load_module

RESTARTS = 3  # how often a worker that died is started again before its death is an error
POLL_S = 0.5  # how often a worker that has room looks for runs whose owners died
T = TypeVar("T")
U = TypeVar("U")


async def spread(
    function: Callable[[T], Awaitable[U]],
    items: Iterable[T],
    *,
    at_once: int,
    store: Path | str | None,
    run_id: str | None,
    models: Mapping[str, ModelName] | None,
) -> list[U]:
    """`flow.map` on Ray: what the function returns for each item, in the items' order.

    All runs are done or failed when it returns or raises. Raises StepError naming what failed, UserError where the
    function cannot be found by a worker or the store is no PostgreSQL, MissingExtraError.
    """
    active = active_run.get()
    url = str(store or (active.models.store if active is not None else DEFAULT_STORE))
    if not is_postgres(url):
        place = url.rpartition("@")[2]  # the URL without the password
        raise UserError(
            f'cluster="ray" needs a store that every machine reaches, and {place} is none; '
            'give store="postgresql://HOST/DATABASE"'
        )
    target = Target.of(function)
    mapped = target.load()
    inputs = [_input(mapped, item) for item in items]
    if run_id is not None:
        check_run_id(run_id)
    named = _named(models or (active.models.named if active is not None else {}))

    async def run_all() -> list[Any]:
        call = current_call.get()
        if run_id is not None:
            name = run_id
        elif active is None or call is None:
            name = uuid.uuid4().hex
        else:  # the map is named after the run around it and the call there, so that the resumed run finds it again
            name = f"{active.run}.{uuid.uuid5(uuid.NAMESPACE_OID, call.id).hex[:12]}"
        return await _run_all(Batch(target, name, url, at_once, named), mapped, inputs)

    if active is None:
        results = await run_all()
    else:  # the map is part of a run, which journals it whole
        arguments = canonical_json({"function": target.name, "inputs": [json.loads(text) for text in inputs]})
        results = json.loads(await perform(active, "flow.map", "step", "", arguments, run_all))
    return [mapped.decode_result(json.dumps(result)) for result in results]


def _named(models: Mapping[str, ModelName]) -> dict[str, str]:
    for step, model in models.items():
        if not isinstance(model, str):
            raise UserError(
                f"the model of {step} is an object of this process, and a worker cannot open it; "
                "give it by name, as in student:DIR"
            )
    return {step: str(model) for step, model in models.items()}


def _file_of(module: Any) -> Path | None:
    """Where a module came from; None for one that was typed or piped in."""
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


@dataclass(frozen=True)
class Target:
    """A function by name, as a worker finds it. No code travels, only where the code is."""

    module: str
    file: str | None  # path of the file that the module was loaded from
    name: str
    is_flow: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Target":
        """Raises UserError for a function that no module has under its name.

        That is a lambda, a function in a function, or one that was typed at a prompt.
        """
        module = sys.modules.get(function.__module__)
        name = function.__qualname__
        file = getattr(module, "__file__", None)
        if getattr(module, name, None) is not function or (function.__module__ == "__main__" and file is None):
            raise UserError(
                f"a worker cannot find {name} by name; define it at the top of a module or script, under that name"
            )
        path = None if file is None else str(Path(file).resolve())
        return cls(function.__module__, path, name, isinstance(function, Flow))

    def load(self) -> Flow[Any, Any]:
        """The function as a flow.

        A script is loaded by its file, a module by its name, or by its file where the name leads nowhere.
        """
        module, file = sys.modules.get(self.module), None if self.file is None else Path(self.file)
        # A worker process has a `__main__` of its own.
        if module is None or (file is not None and _file_of(module) != file):
            module = load_module(self.module, file)
        function = getattr(module, self.name)
        if isinstance(function, Flow):
            return function
        declared = function.__dict__.get("stillhouse_step")
        return Flow(function, declared.name if declared is not None else self.name)


@dataclass(frozen=True)
class Batch:
    """A map under way: its runs are `NAME.0`, `NAME.1`, ..."""

    target: Target
    name: str
    store: str = field(repr=False)  # the store's URL may hold a password
    at_once: int
    models: Mapping[str, str]

    @property
    def app(self) -> str | None:
        """The name APP:FLOW that `stillhouse run` takes, where the function is a flow."""
        return f"{self.target.file or self.target.module}:{self.target.name}" if self.target.is_flow else None

    @property
    def pattern(self) -> str:
        return rf"^{re.escape(self.name)}\.[0-9]+$"


def _input(mapped: Flow[Any, Any], item: Any) -> str:
    """The canonical input of an item's run: the text that is the same again when a worker has read it back."""
    arguments, what = mapped.bound((item,), {}).arguments, f"the input of the flow {mapped.name}"
    text = encode(arguments, what, canonical=True)
    return encode(_arguments(mapped, text), what, canonical=True)


def _arguments(mapped: Flow[Any, Any], text: str) -> dict[str, Any]:
    """A run's input as the flow's arguments, of the types that the annotations say."""
    adapters = _adapters(mapped.function)
    return {
        name: adapters[name].validate_python(value) if name in adapters else value
        for name, value in json.loads(text).items()
    }


@functools.cache
def _adapters(function: Callable[..., Any]) -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in get_type_hints(function).items()}


async def _run_all(batch: Batch, mapped: Flow[Any, Any], inputs: Sequence[str]) -> list[Any]:
    ray = _ray()
    runs = {f"{batch.name}.{index}": text for index, text in enumerate(inputs)}
    async with shared(("journal", batch.store), lambda: PostgresJournal(batch.store)) as journal:
        journal.enqueue(mapped.name, runs, {"app": batch.app, "models": dict(batch.models)})
        trouble = await _workers(ray, batch, len(runs)) if runs else None
        rows = journal.outcomes(batch.pattern)
    unfinished = {run: row for run, row in rows.items() if run in runs and row.status != "done"}
    if any(row.status in ("queued", "running") for row in unfinished.values()):
        raise trouble or StepError(
            f"{len(unfinished)} runs of the map {batch.name} are not finished; call it again with run_id={batch.name!r}"
        )
    if unfinished:
        first, row = min(unfinished.items())
        why = f"{first} with {row.error}"
        if row.status == "waiting":
            why = f"{first} waits for a person: `stillhouse answer {first} ANSWER`"
        elif row.status == "cancelled":
            why = f"{first}, which was cancelled"
        kept = f"mend it and call the map again with run_id={batch.name!r}: finished runs are not run again"
        raise StepError(f"{len(unfinished)} of {len(runs)} runs are not done, first {why}; {kept}")
    return [json.loads(str(rows[run].result)) for run in runs]


async def _workers(ray: Any, batch: Batch, n_runs: int) -> Exception | None:
    """Start the workers and wait until all have ended.

    Gives the first trouble that one of them had; the others may have done its work all the same.
    """
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(include_dashboard=False, log_to_driver=False)
    n_workers = max(1, min(int(ray.cluster_resources().get("CPU", 1)), batch.at_once, n_runs))
    shares = [len(range(number, batch.at_once, n_workers)) for number in range(n_workers)]
    worker = ray.remote(num_cpus=1, max_retries=RESTARTS)(_work)
    started = [worker.remote(batch, share) for share in shares]
    try:
        ended = await asyncio.gather(*started, return_exceptions=True)
    except asyncio.CancelledError:
        for reference in started:
            ray.cancel(reference)
        raise
    troubles = [getattr(error, "cause", None) or error for error in ended if isinstance(error, Exception)]
    for error in troubles:
        if isinstance(error, (UserError, StorageError)):
            return error
    if not troubles:
        return None
    ended_early = f"Ray's workers ended early ({error_line(troubles[0])})"
    return StepError(f"{ended_early}; call the map again with run_id={batch.name!r}")


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            f"cluster=\"ray\" needs {error.name or 'ray'}; install it with `pip install 'stillhouse[scale]'`"
        ) from None
    return ray


# On a worker


def _work(batch: Batch, at_once: int) -> None:
    try:
        asyncio.run(drain(batch, at_once))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def drain(batch: Batch, at_once: int) -> None:
    """Take the batch's runs, up to `at_once` of them at a time, until each of them has ended, here or elsewhere."""
    mapped = batch.target.load()
    async with (
        shared(("journal", batch.store), lambda: PostgresJournal(batch.store)) as journal,
        asyncio.TaskGroup() as group,
    ):
        here: set[asyncio.Task[None]] = set()
        while True:
            while len(here) < at_once and (row := journal.claim(batch.pattern)) is not None:
                here.add(group.create_task(_run_one(batch, mapped, journal, row)))
            if here:
                _, here = await asyncio.wait(here, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            elif journal.statuses(batch.pattern).keys() & {"queued", "running"}:
                # The runs left are with another worker; should that one die, they come here.
                await asyncio.sleep(POLL_S)
            else:
                return


async def _run_one(batch: Batch, mapped: Flow[Any, Any], journal: PostgresJournal, row: RunRow) -> None:
    """Run one of them. How it ends is written to the journal, where the map reads it."""
    try:
        arguments = _arguments(mapped, row.input)
        await mapped.execute(row.run, arguments, store=batch.store, models=batch.models, app=batch.app)
    except (Parked, Cancelled, RunBusyError):
        pass  # it waits, was cancelled, or another worker took it because this one was silent for too long
    except StorageError:
        raise  # without the journal this worker can do nothing more
    except Exception as error:
        current = journal.run(row.run)
        # The run failed before the engine could note the failure.
        if current is not None and current.status == "running":
            with journal.own(row.run):
                journal.end(row.run, "failed", error=error_line(error))
