"""The run under execution, and the one path by which everything in it is journaled.

That is every step, model call, decision, turn of an agent, and tool. How a call finds the answer that it was given in
an earlier sitting is in `resume`. A call that was under way when the process died may run a second time, with the same
`idempotency_key()`.
"""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json

from stillhouse.addresses import without_secrets
from stillhouse.errors import StillhouseError, UserError
from stillhouse.flow.branches import branch_here, enter_body, leave_body
from stillhouse.flow.resume import Before, Pending, Replay, RunReport
from stillhouse.steady_clock import steady_time
from stillhouse.store.journal import Journal, StepKey, StepRow, facts_json, key_id

if TYPE_CHECKING:
    from stillhouse.flow.limits import Limits
    from stillhouse.flow.models import Models
    from stillhouse.flow.spans import Tracing


class StepError(StillhouseError):
    """A step failed for good; the run can be resumed once its cause is mended."""


class Parked(BaseException):
    """The run waits for a person. Not an Exception: a flow's own `except Exception` must not swallow it."""

    def __init__(self, run: str, question: str) -> None:
        super().__init__(
            f"the run {run} waits for an answer to {question!r}; "
            f"give it with `stillhouse answer {run} ANSWER`, then resume the run"
        )
        self.run, self.question = run, question

    def again(self) -> "Parked":
        """The same, to be raised in another task."""
        return Parked(self.run, self.question)


@dataclass(kw_only=True)
class Active:
    """The run that is being executed, shared by all its tasks."""

    run: str
    flow: str
    journal: Journal
    replay: Replay
    models: "Models"
    tracing: "Tracing | None" = None
    owners: dict[str, Callable[..., Any]] = field(default_factory=dict)  # a step's name -> its function
    called: list[Any] = field(default_factory=list)  # the steps' coroutines that may not have been awaited yet
    look_again: int = 256  # when `called` is this long, the coroutines that began are taken out
    under_way: int = 0  # number of calls whose body is running
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    parked: Parked | None = None  # set when the run waits for a person: no further call begins then

    @property
    def report(self) -> RunReport:
        return self.replay.report

    def pending(self, name: str, arguments: str) -> Pending:
        """The call that is made here: in this branch, in the body of the call that is running."""
        return self.replay.pending(name, arguments, branch_here())

    async def look_up(self, name: str, version: str, arguments: str) -> str | Pending:
        """The journaled answer to this call as JSON, or the call as one that has to run.

        Either way it counts against the limits around it. Raises CancelledError in a run that has ended, and for a new
        call what parked the run, where it waits for a person.
        """
        if self.ended:
            raise asyncio.CancelledError(f"the run {self.run} has ended")
        call = self.pending(name, arguments)
        limits = active_limits.get()
        for limit in limits:
            limit.step(name)
        answer = self.replay.answer_to(call, version)
        order = self.replay.order
        if answer is None:
            if not order.over:
                await order.before_a_new_call()
            self.check_open()
            return call
        output, facts, end = answer
        for limit in limits:
            limit.replayed(facts)
        if end is not None and not order.at_once(end, call.branch):
            await order.answer(end, call.branch)
        return output

    def check_open(self) -> None:
        """Raises where no new call may begin."""
        if self.ended:
            raise asyncio.CancelledError(f"the run {self.run} has ended")
        if self.parked is not None:
            raise self.parked.again()

    def park(self, parked: Parked) -> None:
        """Let no new call begin, and journal nothing of the calls in whose bodies the question was asked."""
        self.parked = self.parked or parked
        self.replay.live.stopped = True
        call = current_call.get()
        while call is not None:
            call.parked = parked
            call = call.outer

    def own_name(self, name: str, function: Callable[..., Any]) -> None:
        """Note whose step this is.

        Raises UserError where another step of the run has the same name: they would read each other's answers.
        """
        owner = self.owners.setdefault(name, function)
        if owner is not function:
            first, second = (f"{step.__module__}.{step.__qualname__}" for step in (owner, function))
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
        """The calls that nobody awaited. Most calls are over by then, and have no frame any more: a quick test."""
        return [
            coroutine
            for coroutine in self.called
            if coroutine.cr_frame is not None and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
        ]

    def all_awaited(self) -> None:
        """Raises UserError naming a step that was called and never awaited: it did not run."""
        forgotten = self._not_begun()
        for coroutine in forgotten:
            coroutine.close()
        if forgotten:
            names = ", ".join(sorted({coroutine.__name__ for coroutine in forgotten}))
            raise UserError(
                f"the flow {self.flow} calls {names} and does not await it, so it did not run; "
                "write `await` before the call"
            )

    async def end(self) -> None:
        """Let no new call begin, and wait for those under way: they are paid for.

        A failed `gather` leaves branches behind. They stop at their next call.
        """
        self.ended = self.replay.live.stopped = True
        while self.under_way:
            self.idle.clear()
            await self.idle.wait()


class RunningCall:
    """The call whose body is running."""

    __slots__ = ("_key", "_replay", "attempt", "before", "facts", "id", "outer", "parked", "run")

    def __init__(self, run: str, key: StepKey, replay: Replay, before: Before, outer: "RunningCall | None") -> None:
        self.run, self.id, self.attempt = run, key_id(key), 1
        self._key, self._replay, self.before, self.outer = key, replay, before, outer
        self.parked: Parked | None = None  # a question that was asked in the body, and has no answer yet
        self.facts: dict[str, Any] = dict(before.facts)

    @property
    def sample_index(self) -> int:
        """A number for this try of this one of several equal calls.

        A model call with another index is another sample, and not the stored reply of an earlier one.
        """
        number = self._replay.sample(self._key)
        if number != self._key[2]:
            self.facts["sample"] = number
        return number + 10_000 * (self.before.n_asked + self.attempt - 1)

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
current_call: ContextVar[RunningCall | None] = ContextVar("stillhouse_call", default=None)
active_limits: ContextVar[tuple["Limits", ...]] = ContextVar("stillhouse_limits", default=())

# Set under test: a function that takes a call's name, kind, arguments and body, and returns the body that runs
# instead. None: each call runs its own body.
Body = Callable[[], Awaitable[Any]]
stand_in: ContextVar[Callable[[str, str, str, Body], Body] | None] = ContextVar("stillhouse_stand_in", default=None)


def unreadable(message: str) -> StepError:
    """The error for a reply that was paid for and cannot be used: a resume asks for another one."""
    call = current_call.get()
    if call is not None:
        call.facts["discarded"] = call.before.n_asked + call.attempt
    return StepError(message)


def idempotency_key() -> str:
    """Inside a step: a text that is the same whenever this call is tried, so that a service can tell a repetition."""
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
    """The journaled answer to this call as JSON text; where there is none, what `body` returns, committed.

    `arguments` is canonical JSON.
    """
    answer = await active.look_up(name, version, arguments)
    if isinstance(answer, str):
        return answer
    return await executed(active, answer, kind, version, arguments, body, attempts)


async def executed(
    active: Active, pending: Pending, kind: str, version: str, arguments: str, body: Body, attempts: Attempts = ONCE
) -> str:
    """What `body` returns as JSON text, committed.

    A failure is raised. It is journaled too, for whoever reads the trace, and the call runs again when the run is
    resumed.
    """
    key, name = pending.key, pending.key[0]
    if (instead := stand_in.get()) is not None:
        body = instead(name, kind, arguments, body)
    before = active.replay.before(key, version)
    call = RunningCall(active.run, key, active.replay, before, current_call.get())
    if before.facts:
        for limit in active_limits.get():
            limit.replayed(facts_json(before.facts))
    started, began = steady_time(), time.perf_counter()

    def row(output: str | None, error: str | None) -> StepRow:
        return StepRow(
            key=key,
            kind=kind,
            parent=pending.parent,
            version=version,
            arguments=arguments,
            output=output,
            error=error,
            started=started,
            seconds=time.perf_counter() - began,
            attempts=before.attempts + call.attempt,
            facts=call.facts or None,
            place=pending.place,
            ended_nth=active.replay.next_end(),
        )

    token = current_call.set(call)
    active.under_way += 1
    try:
        body_token = enter_body(active.replay.live, call.id, pending.branch)
        try:
            running = body() if attempts is ONCE else _tried(call, name, body, attempts)
            if active.tracing is not None:
                running = active.tracing.call(name, kind, arguments, call, running)
            value = await running
        finally:
            leave_body(body_token)
        if call.parked is not None:
            raise call.parked.again()
        output = encode(value, f"the result of the step {name}")
    except Exception as error:
        if call.parked is not None:
            raise call.parked.again() from None
        active.journal.write(active.run, row(None, error_line(error)))
        error.__dict__["stillhouse_run"] = active.run  # see `is_of_a_call`
        raise
    else:
        await active.journal.write_later(active.run, row(output, None))
        active.report.ran[name] += 1
        return output
    finally:
        current_call.reset(token)
        active.under_way -= 1
        if active.ended:
            active.idle.set()


def is_of_a_call(error: BaseException) -> bool:
    """Whether an exception that came out of a flow is a call's own, or was raised because of one."""
    seen: BaseException | None = error
    while seen is not None:
        if "stillhouse_run" in seen.__dict__:
            return True
        if isinstance(seen, BaseExceptionGroup) and any(map(is_of_a_call, seen.exceptions)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


async def journaled(name: str, kind: str, arguments: Mapping[str, Any], body: Callable[[], Awaitable[Any]]) -> Any:
    """What `body` gives, journaled inside a run and simply called outside one."""
    active = active_run.get()
    if active is None:
        return await body()
    canonical = encode(dict(arguments), f"the arguments of {name}", canonical=True)
    return json.loads(await perform(active, name, kind, "", canonical, body))


async def _tried(call: RunningCall, name: str, body: Callable[[], Awaitable[Any]], attempts: Attempts) -> Any:
    while True:
        try:
            return await _in_time(name, body, attempts.timeout_s)
        except UserError:
            raise  # another try cannot mend this error
        except Exception as error:  # the user's own code may raise anything, and its errors may pass with another try
            if call.attempt > attempts.retries or call.parked is not None:
                raise
            call.facts.setdefault("failures", []).append(error_line(error))
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


def error_line(error: BaseException) -> str:
    """An exception in one line, as the journal keeps it."""
    return without_secrets(f"{type(error).__name__}: {error}"[:4000])[:2000]


def encode(value: Any, what: str, *, canonical: bool = False) -> str:
    """JSON text of a value; `canonical` sorts the keys, so that equal arguments have equal texts.

    Raises UserError naming what cannot be stored.
    """
    try:
        text = to_json(value, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise UserError(f"{what} cannot be stored ({error}); use JSON types, dataclasses or pydantic models") from None
    return canonical_json(json.loads(text)) if canonical and not _ordered(value) else text


def _ordered(value: Any) -> bool:
    """Whether the JSON of a value is canonical as it comes.

    It is for an object of scalars whose names are in order already, as most steps' arguments are.
    """
    if type(value) is not dict:
        return False
    for part in value.values():  # a loop, because `all(...)` costs twice as much, and every call of a step comes here
        if type(part) not in _SCALARS:
            return False
    return len(value) < 2 or sorted(value) == list(value)


# Float is left out: pydantic and `json` may write the last digit of a float differently.
_SCALARS = frozenset({str, int, bool, type(None)})


def canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def facts_of(text: str | None) -> Mapping[str, Any]:
    """What a journaled call used, from its row."""
    return {} if text is None else json.loads(text)
