"""The run under execution, and the one path by which everything in it is journaled: steps, model calls, decisions, turns of agents, tools.

A call is keyed by its name, the hash of its canonical arguments (and of the call in whose body it stands), and its number among equal calls; never by call
order. A finished call never runs again; the one in flight when the process dies may, with the same `idempotency_key()`.
"""

import asyncio
import hashlib
import inspect
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_json

from stillhouse.errors import StillhouseError, UserError
from stillhouse.store.journal import FinishedStep, Journal, StepKey, StepRow, key_id

if TYPE_CHECKING:
    from stillhouse.flow.limits import Limits
    from stillhouse.flow.models import Models
    from stillhouse.flow.spans import Tracing


class StepError(StillhouseError):
    """A step failed for good; the run can be resumed once its cause is mended."""


@dataclass
class RunReport:
    """What a sitting did: calls that ran, answers taken from the journal, steps that ran again because their code or model changed."""

    ran: Counter[str] = field(default_factory=Counter)
    replayed: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(
        default_factory=Counter
    )  # code edited, or another model named, since the answer was journaled
    unused: Counter[str] = field(
        default_factory=Counter
    )  # journaled answers that nothing asked for: arguments drifted, or the flow was edited


@dataclass
class Active:
    """The run that is being executed, shared by all its tasks."""

    run: str
    flow: str
    journal: Journal
    finished: dict[StepKey, FinishedStep]
    models: "Models"
    tracing: "Tracing | None" = None
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    owners: dict[str, Callable[..., Any]] = field(default_factory=dict)  # whose name it is: the step's function
    called: list[Any] = field(default_factory=list)  # coroutines; among them those that nobody awaited yet
    look_again: int = 256
    under_way: int = 0  # calls whose body is running
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    used: set[StepKey] = field(default_factory=set)
    report: RunReport = field(default_factory=RunReport)

    def key(self, name: str, arguments: str, parent: str | None = None) -> StepKey:
        """The key of this call. The parent is hashed in: where a parent is replayed its children are not counted, and equal calls elsewhere must not shift."""
        digest = hashlib.sha256((arguments if parent is None else f"{parent}\n{arguments}").encode()).hexdigest()
        call = (name, digest)
        nth = self.counts.get(call, 0)
        self.counts[call] = nth + 1
        return name, digest, nth

    def asked(self, name: str, version: str, arguments: str) -> "str | Pending":
        """The journaled answer to this call, or the call as it stands before it runs; both count against the limits around it.

        Raises CancelledError in a run that has ended.
        """
        if self.ended:
            raise asyncio.CancelledError(f"the run {self.run} has ended")
        outer = current_call.get()
        parent = None if outer is None else outer.id
        key = self.key(name, arguments, parent)
        limits = active_limits.get()
        for limit in limits:
            limit.step(name)
        found = self.finished.get(key)
        if found is None:
            return Pending(key, parent)
        self.used.add(key)
        finished_version, output, _, facts = found
        if finished_version != version:
            self.report.changed[name] += 1
            return Pending(key, parent)
        self.report.replayed[name] += 1
        for limit in limits:
            limit.replayed(facts)
        return self.journal.text(output)

    def own_name(self, name: str, function: Callable[..., Any]) -> None:
        """Note whose step this is. Raises UserError where another step of the run has the same name: they would read each other's answers."""
        owner = self.owners.setdefault(name, function)
        if owner is not function:
            first, second = (f"{one.__module__}.{one.__qualname__}" for one in (owner, function))
            raise UserError(
                f"two steps are called {name} ({first} and {second}); give one of them another name: @step(name=...)"
            )

    def note(self, running: Any, name: str) -> None:
        """Remember a step's call until it is seen to be awaited."""
        running.__name__ = name
        self.called.append(running)
        if len(self.called) > self.look_again:
            self.called = self._not_begun()
            self.look_again = 2 * len(self.called) + 256

    def _not_begun(self) -> list[Any]:
        """Of the calls those that nobody awaited. Most are over by then, which is told by their frame alone."""
        return [
            one
            for one in self.called
            if one.cr_frame is not None and inspect.getcoroutinestate(one) == inspect.CORO_CREATED
        ]

    def all_awaited(self) -> None:
        """Raises UserError naming a step that was called and never awaited: it did not run."""
        forgotten = self._not_begun()
        for one in forgotten:
            one.close()
        if forgotten:
            names = ", ".join(sorted({one.__name__ for one in forgotten}))
            raise UserError(
                f"the flow {self.flow} calls {names} and does not await it, so it did not run; write `await` before the call"
            )

    async def end(self) -> None:
        """No new calls; those under way are paid for, and are waited for: branches that a failed `gather` left behind stop at their next call."""
        self.ended = True
        while self.under_way:
            self.idle.clear()
            await self.idle.wait()

    def unasked(self) -> Counter[str]:
        """Journaled answers that this sitting did not ask for, but for those inside calls that it did not have to open."""
        replayed = {key_id(key) for key in self.used}
        parents = {key_id(key): parent for key, (_, _, parent, _) in self.finished.items()}

        def inside(parent: str | None) -> bool:
            return parent is not None and (parent in replayed or inside(parents.get(parent)))

        return Counter(
            key[0] for key, (_, _, parent, _) in self.finished.items() if key not in self.used and not inside(parent)
        )


class Pending(NamedTuple):
    """A call that has to run."""

    key: StepKey
    parent: str | None


class Call:
    """The call whose body is running."""

    __slots__ = ("attempt", "facts", "id", "nth", "run")

    def __init__(self, run: str, key: StepKey) -> None:
        self.run, self.id, self.nth, self.attempt = run, key_id(key), key[2], 1
        self.facts: dict[str, Any] = {}

    @property
    def sample_index(self) -> int:
        """Tells the model calls of equal steps, and of a step's tries, apart: the next one is another sample, and not the stored reply of the last."""
        return self.nth + 10_000 * (self.attempt - 1)

    def used_model(
        self, model: str, n_input: int | None, n_output: int | None, cost_usd: float | None, request: str | None
    ) -> None:
        """Add one model call to the facts. A sum with an unknown part is unknown."""
        facts = self.facts
        first = "model" not in facts
        facts["model"] = model
        for name, value in (("input_tokens", n_input), ("output_tokens", n_output), ("cost_usd", cost_usd)):
            before = 0 if first else facts[name]
            facts[name] = None if before is None or value is None else before + value
        if request is not None:
            facts.setdefault("requests", []).append(request)


active_run: ContextVar[Active | None] = ContextVar("stillhouse_run", default=None)
current_call: ContextVar[Call | None] = ContextVar("stillhouse_call", default=None)
active_limits: ContextVar[tuple["Limits", ...]] = ContextVar("stillhouse_limits", default=())

# Whoever stands in for steps under test: given a call's name, kind, arguments and own body, the body that runs. None: every call's own.
Body = Callable[[], Awaitable[Any]]
stand_in: ContextVar[Callable[[str, str, str, Body], Body] | None] = ContextVar("stillhouse_stand_in", default=None)


def idempotency_key() -> str:
    """Inside a step: a text that is the same each time this very call is tried, for services that can tell a repetition by it."""
    call = current_call.get()
    if call is None:
        raise UserError("idempotency_key() is asked for outside a step of a run; call it in the step's body")
    return f"{call.run}/{call.id}"


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a call is tried. `backoff_s` doubles from try to try; `timeout_s` bounds each."""

    retries: int = 0
    timeout_s: float | None = None
    backoff_s: float = 0.1


ONCE = Attempts()


async def perform(
    active: Active, name: str, kind: str, version: str, arguments: str, body: Body, attempts: Attempts = ONCE
) -> str:
    """The journaled answer to this call as JSON text; where there is none, what `body` returns, committed. `arguments` is canonical JSON."""
    asked = active.asked(name, version, arguments)
    return asked if isinstance(asked, str) else await executed(active, asked, kind, version, arguments, body, attempts)


async def executed(
    active: Active, asked: Pending, kind: str, version: str, arguments: str, body: Body, attempts: Attempts = ONCE
) -> str:
    """What `body` returns as JSON text, committed. A failure is journaled too, for whoever reads the trace, and raised; it is tried again on resume."""
    (key, parent), name = asked, asked.key[0]
    if (instead := stand_in.get()) is not None:
        body = instead(name, kind, arguments, body)
    call = Call(active.run, key)
    started, began = time.time(), time.perf_counter()
    token = current_call.set(call)
    active.under_way += 1
    try:
        running = body() if attempts is ONCE else _tried(call, name, body, attempts)
        value = await (running if active.tracing is None else active.tracing.call(name, kind, arguments, call, running))
        output = encode(value, f"the result of the step {name}")
    except Exception as error:
        row = StepRow(
            key=key,
            kind=kind,
            parent=parent,
            version=version,
            arguments=arguments,
            output=None,
            error=said(error),
            started=started,
            seconds=time.perf_counter() - began,
            attempts=call.attempt,
            facts=call.facts or None,
        )
        active.journal.write(active.run, row)
        raise
    else:
        row = StepRow(
            key=key,
            kind=kind,
            parent=parent,
            version=version,
            arguments=arguments,
            output=output,
            error=None,
            started=started,
            seconds=time.perf_counter() - began,
            attempts=call.attempt,
            facts=call.facts or None,
        )
        await active.journal.write_later(active.run, row)
        active.report.ran[name] += 1
        return output
    finally:
        current_call.reset(token)
        active.under_way -= 1
        if active.ended:
            active.idle.set()


async def journaled(name: str, kind: str, arguments: Mapping[str, Any], body: Callable[[], Awaitable[Any]]) -> Any:
    """What `body` gives, journaled inside a run and simply called outside one."""
    active = active_run.get()
    if active is None:
        return await body()
    return json.loads(
        await perform(active, name, kind, "", encode(dict(arguments), f"the arguments of {name}", canonical=True), body)
    )


async def _tried(call: Call, name: str, body: Callable[[], Awaitable[Any]], attempts: Attempts) -> Any:
    while True:
        try:
            return await _in_time(name, body, attempts.timeout_s)
        except UserError:
            raise  # no further try can mend it
        except Exception as error:  # whatever the user's own code raises may pass
            if call.attempt > attempts.retries:
                raise
            call.facts.setdefault("failures", []).append(said(error))
        await asyncio.sleep(attempts.backoff_s * 2 ** (call.attempt - 1))
        call.attempt += 1


async def _in_time(name: str, body: Callable[[], Awaitable[Any]], timeout_s: float | None) -> Any:
    if timeout_s is None:
        return await body()
    try:
        async with asyncio.timeout(timeout_s) as timer:
            return await body()
    except TimeoutError:
        if timer.expired():
            raise StepError(f"the step {name} took longer than {timeout_s:g} s") from None
        raise


def said(error: BaseException) -> str:
    """An exception in one line, as the journal keeps it."""
    return f"{type(error).__name__}: {error}"[:2000]


def encode(value: Any, what: str, *, canonical: bool = False) -> str:
    """JSON text of a value; `canonical` sorts the keys, so that equal arguments have equal texts. Raises UserError naming what cannot be stored."""
    try:
        text = to_json(value, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise UserError(f"{what} cannot be stored ({error}); use JSON types, dataclasses or pydantic models") from None
    return canonical_json(json.loads(text)) if canonical and not _ordered(value) else text


def _ordered(value: Any) -> bool:
    """Whether the JSON of a value is canonical as it comes: an object of scalars whose names are in order already, as most steps' arguments are."""
    if type(value) is not dict:
        return False
    for one in value.values():  # a generator costs twice as much, at every call of a step
        if type(one) not in _SCALARS:
            return False
    return len(value) < 2 or sorted(value) == list(value)


_SCALARS = frozenset({str, int, bool, type(None)})  # not float: its two writers may differ in the last digit's form


def canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def facts_of(text: str | None) -> Mapping[str, Any]:
    """What a journaled call used, from its row."""
    return {} if text is None else json.loads(text)
