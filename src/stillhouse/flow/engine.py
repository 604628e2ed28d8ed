"""The engine: steps and flows on plain async functions, with a journal underneath.

Sequence is `await`, parallel is `asyncio.gather`, `TaskGroup` or `flow.map`, branches and loops are Python's. A step call is keyed by the step's name, the
hash of its canonical arguments, and its number among equal calls; never by call order. A finished step never runs again; the one in flight when the process
dies may, with the same `idempotency_key()`. What a step returns is what its JSON gives back, on the first run as on every other.
"""

import asyncio
import functools
import hashlib
import inspect
import json
import random as _random
import time
import uuid as _uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from stillhouse.errors import StillhouseError, UserError
from stillhouse.runs import Lock
from stillhouse.store.journal import Journal, Key, StepRow

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
DEFAULT_STORE = Path("stillhouse.db")


class StepError(StillhouseError):
    """A step failed for good; the run can be resumed once its cause is mended."""


@dataclass
class RunReport:
    """What a sitting did: calls that ran, answers taken from the journal, steps that ran again because their code or arguments changed."""

    ran: Counter[str] = field(default_factory=Counter)
    replayed: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)  # code edited since the answer was journaled
    unused: Counter[str] = field(default_factory=Counter)  # journaled answers that nothing asked for: arguments drifted, or the flow was edited


@dataclass
class _Active:
    """The run that is being executed, shared by all its tasks."""

    run: str
    journal: Journal
    finished: dict[Key, StepRow]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    used: set[Key] = field(default_factory=set)
    report: RunReport = field(default_factory=RunReport)

    def key(self, step: str, arguments: str) -> Key:
        digest = hashlib.sha256(arguments.encode()).hexdigest()
        nth = self.counts[step, digest]
        self.counts[step, digest] += 1
        return step, digest, nth


_active: ContextVar[_Active | None] = ContextVar("stillhouse_run", default=None)
_step_key: ContextVar[str | None] = ContextVar("stillhouse_step", default=None)


def idempotency_key() -> str:
    """Inside a step: a text that is the same each time this very call is tried, for services that can tell a repetition by it."""
    key = _step_key.get()
    if key is None:
        raise UserError("idempotency_key() is asked for outside a step of a run; call it in the step's body")
    return key


# Steps


def step(
    function: Callable[P, Awaitable[T]] | None = None,
    *,
    name: str | None = None,
    retries: int = 0,
    timeout_s: float | None = None,
    backoff_s: float = 0.1,
) -> Any:
    """Make an async function a step: inside a flow its result is journaled; outside it is called as it is.

    `retries` tries again after any exception but cancellation, after `backoff_s`, twice that, and so on; `timeout_s` bounds each try. Arguments and result
    are JSON types, dataclasses or pydantic models; the annotations say what they become again.
    """
    if function is None:
        return functools.partial(step, name=name, retries=retries, timeout_s=timeout_s, backoff_s=backoff_s)
    if not inspect.iscoroutinefunction(function):
        raise UserError(f"the step {getattr(function, '__name__', function)!r} is not an async function; write `async def`")
    declared = _Declared(function, name or function.__name__, retries, timeout_s, backoff_s)

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        active = _active.get()
        if active is None:
            return await function(*args, **kwargs)
        result: T = await declared.run(active, args, kwargs)
        return result

    call.__dict__["stillhouse_step"] = declared
    return call


class _Declared:
    """A step's function with all that is known of it before it is called."""

    def __init__(self, function: Callable[..., Awaitable[Any]], name: str, retries: int, timeout_s: float | None, backoff_s: float) -> None:
        self.function, self.name, self.retries, self.timeout_s, self.backoff_s = function, name, retries, timeout_s, backoff_s
        self._signature = inspect.signature(function)
        self.version = _version(function)

    @functools.cached_property
    def _returns(self) -> TypeAdapter[Any] | None:
        return _adapter(self.function)

    async def run(self, active: _Active, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = encode(bound.arguments, f"the arguments of the step {self.name}", canonical=True)
        key = active.key(self.name, arguments)
        found = active.finished.get(key)
        if found is not None and found.version == self.version:
            active.used.add(key)
            active.report.replayed[self.name] += 1
            return self.decode(active.journal.text(found.output))
        if found is not None:
            active.used.add(key)
            active.report.changed[self.name] += 1
        started, began = time.time(), time.perf_counter()
        token = _step_key.set(f"{active.run}/{key[0]}/{key[1]}/{key[2]}")
        try:
            value, attempts = await self._try(args, kwargs)
        finally:
            _step_key.reset(token)
        output = encode(value, f"the result of the step {self.name}")
        active.journal.finish(
            active.run,
            key,
            version=self.version,
            arguments=arguments,
            output=output,
            started=started,
            seconds=time.perf_counter() - began,
            attempts=attempts,
        )
        active.report.ran[self.name] += 1
        return self.decode(output)

    async def _try(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, int]:
        for attempt in range(1, self.retries + 2):
            try:
                async with asyncio.timeout(self.timeout_s):
                    return await self.function(*args, **kwargs), attempt
            except TimeoutError as error:
                reason: Exception = StepError(f"the step {self.name} took longer than {self.timeout_s:g} s") if self.timeout_s else error
            except Exception as error:  # whatever the user's own code raises may pass
                reason = error
            if attempt > self.retries:
                raise reason
            await asyncio.sleep(self.backoff_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def decode(self, output: str) -> Any:
        if self._returns is None:
            return json.loads(output)
        try:
            return self._returns.validate_json(output)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise StepError(f"the step {self.name} returned {output[:200]}, which is not what its annotation says ({problem}); mend one of the two") from None


def _adapter(function: Callable[..., Any]) -> TypeAdapter[Any] | None:
    returned = get_type_hints(function).get("return", Any)
    return None if returned is Any else TypeAdapter(returned)


def _version(function: Callable[..., Any]) -> str:
    """A hash of the step's source: an edited step runs again. Where there is no source (a prompt typed in a shell), its compiled code stands in."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = function.__code__.co_code.hex() + repr(function.__code__.co_consts)
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def encode(value: Any, what: str, *, canonical: bool = False) -> str:
    """JSON text of a value; `canonical` sorts the keys, so that equal arguments have equal texts. Raises UserError naming what cannot be stored."""
    try:
        text = to_json(value, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise UserError(f"{what} cannot be stored ({error}); use JSON types, dataclasses or pydantic models") from None
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) if canonical else text


# Values that differ from run to run


def _recorded(what: str, label: str, draw: Callable[[], Any]) -> Any:
    active = _active.get()
    if active is None:
        return draw()
    key = active.key(f"flow.{what}", label)
    found = active.finished.get(key)
    if found is not None:
        active.used.add(key)
        return json.loads(found.output)
    value = draw()
    active.journal.finish(active.run, key, version="", arguments=json.dumps(label), output=json.dumps(value), started=time.time(), seconds=0.0, attempts=1)
    return value


def now(label: str = "") -> datetime:
    """The time, UTC; on resume the time that it was. `label` tells calls in concurrent branches apart."""
    return datetime.fromtimestamp(_recorded("now", label, time.time), UTC)


def random(label: str = "") -> float:
    """A number in [0, 1); on resume the same one."""
    return float(_recorded("random", label, _random.random))


def uuid(label: str = "") -> str:
    """A random UUID; on resume the same one."""
    return str(_recorded("uuid", label, lambda: str(_uuid.uuid4())))


async def bounded_map(function: Callable[[T], Awaitable[U]], items: Iterable[T], *, at_once: int = 32) -> list[U]:
    """Call an async function on every item, at most `at_once` at a time; results in the items' order. The first failure cancels the rest."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: T) -> U:
        async with gate:
            return await function(item)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]


# Flows


def flow(function: Callable[P, Awaitable[T]] | None = None, *, name: str | None = None) -> Any:
    """Make an async function a flow: `await main(n=3)` runs it under a new run id; `main.run(ID, n=3)` under one of your own, which resumes it."""
    if function is None:
        return functools.partial(flow, name=name)
    if not inspect.iscoroutinefunction(function):
        raise UserError(f"the flow {getattr(function, '__name__', function)!r} is not an async function; write `async def`")
    return Flow(function, name or function.__name__)


class Flow(Generic[P, T]):
    """A flow. `report` says what the last sitting ran and what it found in the journal."""

    def __init__(self, function: Callable[P, Awaitable[T]], name: str) -> None:
        self.function, self.name = function, name
        self.report = RunReport()
        functools.update_wrapper(self, function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        if _active.get() is not None:  # a flow inside a flow is plain code: its steps are the outer run's
            return await self.function(*args, **kwargs)
        return await self._run(_uuid.uuid4().hex, DEFAULT_STORE, args, kwargs)

    async def run(self, run_id: str, *args: Any, store: Path = DEFAULT_STORE, **kwargs: Any) -> T:
        """Run under this id, or go on with it; a run that is done gives its result at once.

        Raises RunBusyError while another process has the run, UserError where the id belongs to other input, StorageError.
        """
        if not run_id or not all(character.isalnum() or character in "-_." for character in run_id):
            raise UserError(f"{run_id!r} cannot name a run; use letters, digits, -, _ and .")
        return await self._run(run_id, store, args, kwargs)

    async def _run(self, run_id: str, store: Path, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        given = encode(bound.arguments, f"the input of the flow {self.name}", canonical=True)
        with Lock(store.parent / f".{store.name}.runs" / f"{run_id}.lock", f"the run {run_id}"), Journal(store) as journal:
            row = journal.begin(run_id, self.name, given)
            if row.status == "done" and row.result is not None:
                return self._decode(journal.text(row.result))
            active = _Active(run_id, journal, journal.finished(run_id))
            self.report = active.report
            token = _active.set(active)
            try:
                result = encode(await self.function(*args, **kwargs), f"the result of the flow {self.name}")
            except Exception as error:
                journal.end(run_id, error=f"{type(error).__name__}: {error}")
                raise
            finally:
                _active.reset(token)
                active.report.unused.update(key[0] for key in active.finished.keys() - active.used)
            journal.end(run_id, result=journal._intern(result))
            return self._decode(result)

    @functools.cached_property
    def _returns(self) -> TypeAdapter[Any] | None:
        return _adapter(self.function)

    def _decode(self, result: str) -> T:
        value: T = json.loads(result) if self._returns is None else self._returns.validate_json(result)
        return value
