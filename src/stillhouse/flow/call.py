"""The run under execution, and the one path by which everything in it is journaled.

That is every step, model call, decision, turn of an agent, and tool. How a call finds the answer that it was given in
an earlier sitting is in `resume`. A call that was under way when the process died may run a second time, with the same
`idempotency_key()`.
"""

import asyncio
import contextlib
import hashlib
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json

from stillhouse.addresses import without_secrets
from stillhouse.errors import StillhouseError, StorageError, UserError
from stillhouse.flow import failures
from stillhouse.flow.branches import Branch, branch_here, enter_body, leave_body
from stillhouse.flow.edits import plain
from stillhouse.flow.loop_turns import Turns
from stillhouse.flow.parking import Cancelling, Parked, Parking
from stillhouse.flow.resume import Before, Earlier, Pending, Replay, RunReport
from stillhouse.flow.sent import PAID_KINDS, Asking, sent_once
from stillhouse.flow.unanswered import GivenUp, Unanswered
from stillhouse.steady_clock import steady_time
from stillhouse.stopping import GRACE_S, stopping
from stillhouse.store.journal import Journal, StepKey, StepRow, facts_json, key_id

if TYPE_CHECKING:
    from stillhouse.flow.limits import Limits
    from stillhouse.flow.models import Models
    from stillhouse.flow.spans import Tracing


class StepError(StillhouseError):
    """A step failed for good; the run can be resumed once its cause is mended."""


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
    under_way: dict["RunningCall", Branch] = field(default_factory=dict)  # the calls whose bodies are running
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # set when one of them ends, where somebody waits
    n_waiting: int = 0  # how many wait for calls to end
    ended: bool = False
    versions: dict[str, int] = field(default_factory=dict)  # of each `flow.version`, the one that this run takes
    frames: dict[StepKey, StepRow] | None = None  # flows in the flow, of earlier sittings; None: not read yet
    parked: Parking | None = None  # set when the run waits for a person: no further call begins then
    module: str = ""  # where the flow is, and so, perhaps, the classes of its exceptions
    began: float = field(default_factory=time.monotonic)
    loop: asyncio.AbstractEventLoop | None = None
    turns: Turns = field(default_factory=Turns)  # of that loop
    is_worth_another: bool = False  # it ended by failures of earlier sittings alone: asked anew, they may be none
    asking: "dict[RunningCall, Asking]" = field(default_factory=dict)  # those of `under_way` that ask a model
    left: set[asyncio.Task[Any]] = field(default_factory=set)  # requests that were sent, and that nobody waits for now

    def __post_init__(self) -> None:
        def write(row: StepRow) -> None:
            self.journal.write(self.run, row)

        def ask_anew(keys: list[StepKey]) -> None:
            self.journal.ask_anew(self.run, keys)

        self.unanswered = Unanswered(write=write, ask_anew=ask_anew)
        self.replay.live.failed_with = self.unanswered.came_out

    @property
    def report(self) -> RunReport:
        return self.replay.report

    def pending(self, name: str, arguments: str) -> Pending:
        """The call that is made here: in this branch, in the body of the call that is running.

        Raises CancelledError in a run that has ended.
        """
        self.check_not_ended()
        return self.replay.pending(name, arguments, branch_here())

    async def look_up(self, name: str, version: str, arguments: str, kind: str = "step") -> str | Pending:
        """The journaled answer to this call as JSON, or the call as one that has to run.

        Either way it counts against the limits around it. Raises the journaled failure, where the flow lived with it;
        CancelledError in a run that has ended; LimitExceeded for a new call that is one too many; and for a new call
        what parked the run, where it waits for a person.
        """
        self.check_not_ended()
        branch = branch_here()
        if branch.call is not None:  # not `current_call`: tasks may share a context
            version = f"{version}@{branch.call.makes}"
        call = self.replay.pending(name, arguments, branch, version)
        branch.calls += 1
        self.unanswered.n_begun += 1
        answer = self.replay.answer_to(call)
        if answer is None or answer.given_up:
            return await self._look_further(call, answer, arguments, kind)
        self._count_again(call, answer)
        self.unanswered.n_ended += 1
        assert answer.output is not None
        if answer.end is not None and not self.replay.order.at_once(answer.end, branch):
            await self.in_turn(answer.end, branch)
        return answer.output

    async def in_turn(self, end: int, branch: Branch) -> None:
        """Wait until the journaled answer with this number is next.

        Raises CancelledError where the run ends first: what follows belongs to the next sitting, which may be on.
        """
        await self.replay.order.answer(end, branch)
        self.check_not_ended()

    async def note_end(self, row: StepRow, branch: Branch) -> None:
        """Journal how a call ended, and wait until it may be told to the flow, as it is on resume."""
        order, end = self.replay.order, row.ended_nth
        assert end is not None
        if end < 0:
            await self.journal.write_later(self.run, row)
            return
        order.expect(end)
        try:
            await self.journal.write_later(self.run, row)
            if not order.new_at_once(end, branch):
                await order.new_answer(end, branch)
        finally:
            order.given_up(end)

    async def _look_further(self, call: Pending, answer: Earlier | None, arguments: str, kind: str) -> str | Pending:
        """As `look_up`, for a call that the journal has no answer to, or that was given up."""
        earlier = answer or self.replay.failure_of(call)
        if earlier is not None and earlier.given_up:
            self._count_again(call, earlier)
            with self.replay.order.coming(earlier.end):
                await self._until_given_up(json.loads(earlier.facts or "{}")["given_up"])
            self.check_not_ended()
            if earlier.output is not None:  # the flow does not give it up this time
                return earlier.output
        elif earlier is not None and earlier.end is not None and kind != "agent":  # an agent comes to its end again
            self._count_again(call, earlier)
            self.report.replayed[call.key[0]] += 1
            await self.in_turn(earlier.end, call.branch)
            facts = json.loads(earlier.facts or "{}")
            error = failures.again(facts.get("raised", {"classes": [], "text": earlier.error}), [self.module])
            self.unanswered.n_ended += 1
            self.unanswered.failed(error, call.key, call.branch, replayed=True)
            raise error
        if not self.replay.order.over:
            try:
                await self.replay.order.before_a_new_call()
            except asyncio.CancelledError:
                self._give_up(call, arguments, kind)
                raise
        self.check_open()
        if self.replay.live.any_closed and call.branch.is_closed():
            raise asyncio.CancelledError("another item of the map failed")
        try:
            for limit in active_limits.get():
                limit.step(call.key[0])
        except StillhouseError as error:
            await self._refuse(call, error, arguments, kind)
            raise
        self.unanswered.begins()
        return call

    def _count_again(self, call: Pending, earlier: Earlier) -> None:
        """Count a journaled call, and those in its body, against the limits around it."""
        if not (limits := active_limits.get()):
            return
        for facts in (earlier.facts, *self.replay.used_inside(call.key)):
            for limit in limits:
                limit.steps += 1
                limit.replayed(facts)

    async def _until_given_up(self, given_up: Mapping[str, Any]) -> None:
        """Wait until the flow gives this call up, as it did before.

        It comes to that by itself: a branch fails again, a time is over again. A limit of ours ends at once. In a flow
        that gives it up no more, this returns after as long as the sitting had taken by then.
        """
        limits, nth = active_limits.get(), given_up.get("limit")
        if nth is not None and nth < len(limits):
            limits[nth].expire()
        await asyncio.sleep(given_up["after_s"] + 1)

    def turn(self) -> int:
        """The number of this turn of the loop; -1: how a call ended is waited for, or this is the loop of a thread."""
        loop = asyncio.get_running_loop()
        return self.turns.now(loop) if loop is self.loop and self.journal.writes_at_once else -1

    def _give_up(self, call: Pending, arguments: str, kind: str) -> None:
        """Note that a call was cancelled before it began."""
        given_up, end = given_up_now(self), self.replay.next_end()
        error = "CancelledError: the flow gave this call up before it began"

        def row(_: str | None, is_outcome: bool) -> StepRow:
            facts = {"given_up": given_up} if is_outcome else {}
            return _not_begun(call, arguments, kind, error, facts, end if is_outcome else None)

        self.unanswered.gave_up(call.key, call.branch, row, lambda: False)

    async def _refuse(self, call: Pending, error: Exception, arguments: str, kind: str) -> None:
        """Journal a call that a limit did not let begin: on resume it is the same one."""
        facts, end = {"refused": True, "raised": failures.kept(error)}, self.replay.next_end()
        row = _not_begun(call, arguments, kind, error_line(error), facts, end)
        try:
            await self.note_end(row, call.branch)
        except asyncio.CancelledError:
            self._give_up(call, arguments, kind)
            raise
        self.unanswered.failed(error, call.key, call.branch, replayed=False)

    def earlier_frame(self, key: StepKey) -> StepRow | None:
        """The row of a flow in the flow that an earlier sitting began."""
        if self.frames is None:
            earlier = self.replay.finished or self.replay.failed
            self.frames = self.journal.frames(self.run) if earlier else {}
        return self.frames.get(key)

    def check_not_ended(self) -> None:
        """Raises CancelledError in a run that has ended: a branch that it left behind goes no further."""
        if self.ended:
            raise asyncio.CancelledError(f"the run {self.run} has ended")

    def check_open(self) -> None:
        """Raises where no new call may begin."""
        self.check_not_ended()
        self.heed_cancelling()
        if self.parked is not None:
            raise self.parked.again()

    def heed_cancelling(self) -> None:
        """Park the run where somebody cancelled it, perhaps from another process."""
        if not self.is_cancelled and self.journal.is_cancelled(self.run):
            self.park(Cancelling(self.run), whole=True)

    @property
    def is_cancelled(self) -> bool:
        return isinstance(self.parked, Cancelling)

    def park(self, parked: Parking, *, whole: bool = False) -> None:
        """Let no new call begin, and journal nothing of the calls in whose bodies the question was asked.

        `whole`: it is asked from outside of them all. Being cancelled goes before an open question.
        """
        if self.parked is None or isinstance(parked, Cancelling):
            self.parked = parked
        self.replay.live.stopped = True
        call = None if whole else current_call.get()
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
        self.send_no_more()
        await self.until_idle()
        if self.left and not stopping.asked:
            await asyncio.wait(self.left, timeout=GRACE_S)
        for task in self.left:
            task.cancel()
        if self.left:
            await asyncio.wait(self.left)
            await asyncio.sleep(0)  # what they tell when they are done is told

    def send_no_more(self, branch: Branch | None = None) -> None:
        """Let no request be sent that was not sent yet, or none in this branch and in those inside it."""
        for call, asking in list(self.asking.items()):
            if branch is None or self.under_way[call].is_inside(branch):
                asking.stop()

    async def until_idle(self, branch: Branch | None = None) -> None:
        """Wait until no call is under way, or none in this branch and in those inside it."""
        self.n_waiting += 1
        try:
            while any(branch is None or around.is_inside(branch) for around in self.under_way.values()):
                self.idle.clear()
                await self.idle.wait()
        finally:
            self.n_waiting -= 1

    def close(self, error: BaseException | None) -> None:
        """Journal which failures the run ended by, and which it lived with. None: it stopped and did not fail."""
        ended = self.unanswered.ended_by(error)
        failed = [call for call in ended if not isinstance(call, GivenUp)]
        self.report.ran.update(call.key[0] for call in ended if isinstance(call, GivenUp) and call.output is not None)
        self.is_worth_another = bool(failed) and all(call.replayed for call in failed)


class RunningCall:
    """The call whose body is running."""

    __slots__ = (
        "_active",
        "_arguments",
        "_began",
        "_hash",
        "_kind",
        "_makes",
        "_pending",
        "_seconds",
        "_started",
        "_turn",
        "_written",
        "attempt",
        "before",
        "facts",
        "given_up",
        "id",
        "outer",
        "parked",
        "run",
    )

    def __init__(
        self, active: Active, pending: Pending, before: Before, makes: str | None, kind: str, arguments: str
    ) -> None:
        self.run, self.id, self.attempt = active.run, key_id(pending.key), 1
        self._active, self._pending, self.before, self.outer = active, pending, before, current_call.get()
        self._kind, self._arguments, self._makes = kind, arguments, makes
        self._started, self._began, self._turn = steady_time(), time.perf_counter(), active.turn()
        self._seconds: float | None = None  # what it took, once it is over
        self._hash: str | None = None
        self.given_up: GivenUp | None = None  # the flow cancelled it
        self._written: tuple[str | None, str | None, int] | None = None  # what its row says of its end
        self.parked: Parking | None = None  # a question that was asked in the body, and has no answer yet
        self.facts: dict[str, Any] = dict(before.facts)

    @property
    def makes(self) -> str:
        """A hash of what makes what is called in the body: the calls there are of this version too."""
        if self._hash is None:
            version = self._pending.version
            made_by = plain(version) if self._makes is None else f"{self._makes}@{version.partition('@')[2]}"
            self._hash = hashlib.sha256(made_by.encode()).hexdigest()[:16]
        return self._hash

    @property
    def sample_index(self) -> int:
        """A number for this try of this one of several equal calls.

        A model call with another index is another sample, and not the stored reply of an earlier one.
        """
        key = self._pending.key
        number = self._active.replay.sample(key)
        if number != key[2]:
            self.facts["sample"] = number
        return number + 10_000 * (self.before.n_asked + self.attempt - 1)

    def used_model(
        self, model: str, n_input: int | None, n_output: int | None, cost_usd: float | None, request: str | None
    ) -> None:
        """Add one model call to the facts. A sum with an unknown part is unknown.

        A reply that an earlier sitting of this call paid for is in the sums already.
        """
        facts = self.facts
        if request is not None and request in facts.get("requests", ()):
            return
        first = "model" not in facts
        facts["model"] = model
        for name, value in (("input_tokens", n_input), ("output_tokens", n_output), ("cost_usd", cost_usd)):
            before = 0 if first else facts[name]
            facts[name] = None if before is None or value is None else before + value
        if request is not None:
            facts.setdefault("requests", []).append(request)

    def _row(self, output: str | None, error: str | None, end: int | None) -> StepRow:
        pending = self._pending
        return StepRow(
            key=pending.key,
            kind=self._kind,
            parent=pending.parent,
            version=pending.version,
            arguments=self._arguments,
            output=output,
            error=error,
            started=self._started,
            seconds=time.perf_counter() - self._began if self._seconds is None else self._seconds,
            attempts=self.before.attempts + self.attempt,
            facts=self.facts or None,
            place=pending.place,
            ended_nth=end,
            frame=pending.frame,
        )

    async def committed(self, output: str | None, error: str | None) -> None:
        """Journal how the call ended, and wait until it may be told to the flow."""
        active = self._active
        at_once = self._turn == active.turns.n and active.replay.order.all_given
        end = active.replay.next_end(at_once=at_once)
        self._seconds = time.perf_counter() - self._began
        try:
            await active.note_end(self._row(output, error, end), self._pending.branch)
        except asyncio.CancelledError:  # the flow has not seen the answer, and goes on without it
            self.give_up(output, error, end)
            raise
        self._written = output, error, end

    def write_again(self) -> None:
        """Write the row again with what is known now, where it is there."""
        if self._written is not None:
            self._active.journal.write(self.run, self._row(*self._written))

    def give_up(self, output: str | None = None, error: str | None = None, before: int | None = None) -> None:
        """Note that the flow cancelled the call. Where it had come to its end by then, `before` is its number."""
        if self.parked is not None:
            return
        active, given_up, end = self._active, given_up_now(self._active), self._active.replay.next_end()
        if self._seconds is None:
            self._seconds = time.perf_counter() - self._began
        line = error or f"CancelledError: the flow gave this call up after {self._seconds:.3g} s"

        def kept(output: str | None, is_outcome: bool) -> StepRow:
            self.facts.pop("given_up", None)
            if is_outcome:
                self.facts["given_up"] = given_up
                return self._row(output, line if output is None else None, end)
            return self._row(output, line if output is None else None, None if output is None else before)

        key, branch = self._pending.key, self._pending.branch
        self.given_up = active.unanswered.gave_up(key, branch, kept, lambda: "model" in self.facts)
        self.given_up.output = output


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
    active: Active,
    name: str,
    kind: str,
    version: str,
    arguments: str,
    body: Body,
    attempts: Attempts = ONCE,
    makes: str | None = None,
) -> str:
    """The journaled answer to this call as JSON text; where there is none, what `body` returns, committed.

    `arguments` is canonical JSON. `makes`: the version of what is called in the body, where that depends on less.
    """
    answer = await active.look_up(name, version, arguments, kind)
    if isinstance(answer, str):
        return answer
    return await executed(active, answer, kind, arguments, body, attempts, makes)


async def executed(
    active: Active,
    pending: Pending,
    kind: str,
    arguments: str,
    body: Body,
    attempts: Attempts = ONCE,
    makes: str | None = None,
) -> str:
    """What `body` returns as JSON text, committed.

    A failure is raised. It is journaled too, as the outcome of this call, or as what the run ended by (`unanswered`).
    """
    key, name = pending.key, pending.key[0]
    if (instead := stand_in.get()) is not None:
        body = instead(name, kind, arguments, body)
    before = active.replay.before(key, pending.version)
    call = RunningCall(active, pending, before, makes, kind, arguments)
    if before.facts:
        for limit in active_limits.get():
            limit.replayed(facts_json(before.facts))
    token = current_call.set(call)
    active.under_way[call] = pending.branch
    try:
        body_token = enter_body(active.replay.live, call.id, pending.branch, call)
        try:
            if kind in PAID_KINDS:
                body = _outlasting(active, call, body)
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
        call.facts["raised"] = failures.kept(error)
        await call.committed(None, error_line(error))
        active.unanswered.n_ended += 1
        active.unanswered.failed(error, key, pending.branch, replayed=False)
        raise
    except asyncio.CancelledError:
        call.give_up()
        raise
    else:
        await call.committed(output, None)
        active.unanswered.n_ended += 1
        active.report.ran[name] += 1
        return output
    finally:
        current_call.reset(token)
        del active.under_way[call]
        active.asking.pop(call, None)
        if active.n_waiting:
            active.idle.set()


def _outlasting(active: Active, call: RunningCall, body: Body) -> Body:
    """The body, and whatever it has sent goes on where its call is cancelled."""

    def begun(asking: Asking) -> None:
        if asking.task.get_loop() is active.loop:
            active.asking[call] = asking

    def left(task: "asyncio.Task[Any]") -> None:
        if task.get_loop() is not active.loop:
            return  # that of a thread, which ends with its thread
        active.left.add(task)
        task.add_done_callback(came_back)

    def came_back(task: "asyncio.Task[Any]") -> None:
        active.left.discard(task)
        output = None
        if not task.cancelled() and task.exception() is None:
            with contextlib.suppress(UserError):  # it cannot be stored
                output = encode(task.result(), "the result")
        if call.given_up is not None:
            active.unanswered.came_back(call.given_up, output)
        else:
            with contextlib.suppress(StorageError):  # its row may be there, and lacks what this try used
                call.write_again()

    return lambda: sent_once(body, begun, left)


def given_up_now(active: Active) -> dict[str, Any]:
    """What a row keeps of a call's being given up: how long the sitting took by then, and which limit's time is over.

    `limit`: its number among those around the call.
    """
    over = [nth for nth, limit in enumerate(active_limits.get()) if limit.is_over]
    return {"after_s": time.monotonic() - active.began} | ({"limit": over[0]} if over else {})


def _not_begun(
    call: Pending, arguments: str, kind: str, error: str, facts: Mapping[str, Any], end: int | None
) -> StepRow:
    """The row of a call whose body did not begin."""
    return StepRow(
        key=call.key,
        kind=kind,
        parent=call.parent,
        version=call.version,
        arguments=arguments,
        output=None,
        error=error,
        started=steady_time(),
        seconds=0.0,
        attempts=0,
        facts=facts or None,
        place=call.place,
        ended_nth=end,
        frame=call.frame,
    )


async def journaled(
    name: str, kind: str, arguments: Mapping[str, Any], body: Callable[[], Awaitable[Any]], version: str = ""
) -> Any:
    """What `body` gives, journaled inside a run and simply called outside one."""
    active = active_run.get()
    if active is None:
        return await body()
    canonical = encode(dict(arguments), f"the arguments of {name}", canonical=True)
    return json.loads(await perform(active, name, kind, version, canonical, body))


async def _tried(call: RunningCall, name: str, body: Callable[[], Awaitable[Any]], attempts: Attempts) -> Any:
    while True:
        try:
            return await _in_time(name, body, attempts.timeout_s)
        except (UserError, Parked):
            raise  # another try cannot mend this error, nor answer what another run waits for
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
