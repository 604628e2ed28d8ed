"""Steps and flows on plain async functions, with a journal underneath.

Sequence is `await`; parallel is `asyncio.gather`, `TaskGroup` or `flow.map`; branches and loops are Python's. A step
returns what the JSON of its result gives back, on the first run as on every later one.
"""

import asyncio
import functools
import hashlib
import inspect
import json
import uuid as _uuid
import weakref
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, TypeVar, get_type_hints, overload

from pydantic import TypeAdapter, ValidationError

from stillhouse.errors import UserError
from stillhouse.flow.branches import Branch, name_of_step, named, tasks_noted, within
from stillhouse.flow.call import (
    ONCE,
    Active,
    Attempts,
    StepError,
    active_run,
    encode,
    error_line,
    executed,
)
from stillhouse.flow.edits import version_of, version_of_step
from stillhouse.flow.frames import run_frame
from stillhouse.flow.item_tasks import check_item_function, item_awaitable, mapped
from stillhouse.flow.live import alive
from stillhouse.flow.model_step import ModelStep, is_model_step
from stillhouse.flow.models import DEFAULT_STORE, ModelName, Models, name_of
from stillhouse.flow.parking import Cancelled, parked_in
from stillhouse.flow.result_kinds import scalars
from stillhouse.flow.resume import Replay, RunReport
from stillhouse.flow.shared import shared
from stillhouse.flow.spans import run_spanned
from stillhouse.flow.unanswered import is_of_a_call
from stillhouse.store.address import is_postgres
from stillhouse.store.journal import open_journal

# Seconds that an unused SQLite journal stays open for the next run: closing it (a checkpoint) and opening it again
# costs more than a hundred steps.
LINGER_S = 5.0
P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


# Steps


@overload
def step(function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...


@overload
def step(
    *,
    name: str | None = None,
    model: ModelName | None = None,
    retries: int = 0,
    timeout_s: float | None = None,
    backoff_s: float = 0.1,
    max_tokens: int = 1024,
    temperature: float = 0.0,
    pure: bool = False,
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]: ...


def step(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    model: ModelName | None = None,
    retries: int = 0,
    timeout_s: float | None = None,
    backoff_s: float = 0.1,
    max_tokens: int = 1024,
    temperature: float = 0.0,
    pure: bool = False,
) -> Any:
    """Make an async function a step: inside a flow its result is journaled; outside it is called as it is.

    A function whose body is nothing but its docstring is a **model step**. The docstring is the instruction. The
    annotations say what goes in and what must come out (`Literal`, an Enum or bool = one of these, `str` = text, any
    other type = JSON). `model` names who is asked (openai:NAME, http://host/v1#NAME, student:DIR, cascade:DIR,
    recorded:FILE, scripted:module:object); a run may name another.

    `retries` tries again after any exception but cancellation and the user's own mistakes: after `backoff_s`, then
    after twice that, and so on. `timeout_s` bounds each try. Arguments and result are JSON types, dataclasses or
    pydantic models; the annotations say what they become again. A finished step whose body was edited is not run again
    on resume unless the user names it: it may have effects. `pure`: it has none, and an edit runs it again.
    """
    if function is None:
        return functools.partial(
            step,
            name=name,
            model=model,
            retries=retries,
            timeout_s=timeout_s,
            backoff_s=backoff_s,
            max_tokens=max_tokens,
            temperature=temperature,
            pure=pure,
        )
    if not inspect.iscoroutinefunction(function):
        raise UserError(
            f"the step {getattr(function, '__name__', function)!r} is not an async function; write `async def`"
        )
    attempts = ONCE if not retries and timeout_s is None else Attempts(retries, timeout_s, backoff_s)
    declared = _Declared(function, name or function.__name__, attempts, pure=pure)
    if is_model_step(function, declared.name, model):
        model_step = ModelStep(function, declared.name, model, max_tokens=max_tokens, temperature=temperature)
        return _wrapped(function, declared, model_step)
    return _wrapped(function, declared, None)


def _wrapped(
    function: Callable[..., Awaitable[Any]], declared: "_Declared", model_step: ModelStep | None
) -> Callable[..., Awaitable[Any]]:
    async def outside(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if model_step is None:
            return await function(*args, **kwargs)
        async with Models() as models:
            return await model_step.ask(models, declared.bind(args, kwargs))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        active = active_run.get()
        if active is None:
            return outside(args, kwargs)
        active.own_name(declared.name, function)
        if model_step is None:
            running = declared.run(active, args, kwargs)
        else:
            running = model_step.run(active, declared.bind(args, kwargs), declared.attempts)
        active.note(running, declared.name)
        return named(running, name_of_step(declared.name))  # type: ignore[no-any-return]

    call.__dict__["stillhouse_step"] = declared
    if model_step is not None:
        call.__dict__["task"] = model_step.task
        call.__dict__["answer_schema"] = lambda: model_step.answer.schema  # None: the answer is no JSON
        call.__dict__["choices"] = lambda: model_step.answer.choices  # None: the answer is no choice
    return call


class _Declared:
    """A step's function with all that is known of it before it is called."""

    def __init__(
        self, function: Callable[..., Awaitable[Any]], name: str, attempts: Attempts, *, pure: bool = False
    ) -> None:
        self.function, self.name, self.attempts = function, name, attempts
        self._arguments = f"the arguments of the step {name}"  # what an error calls the arguments
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        simple = all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
        self._names = tuple(parameter.name for parameter in parameters) if simple else None
        self.version = version_of_step(function, pure=pure)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        # Most calls are bound here, without the 20 microseconds that `Signature.bind` takes.
        if not kwargs and self._names is not None and len(args) == len(self._names):
            return dict(zip(self._names, args))  # noqa: B905  # both are of equal length; `strict` would cost half as much again
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    async def run(self, active: Active, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        arguments = encode(self.bind(args, kwargs), self._arguments, canonical=True)
        answer = await active.look_up(self.name, self.version, arguments)
        if not isinstance(answer, str):
            body = functools.partial(self.function, *args, **kwargs)
            answer = await executed(active, answer, "step", arguments, body, self.attempts)
            return self.decode(answer)
        try:
            return self.decode(answer)
        except StepError as error:
            if not active.report.kept[self.name]:
                raise
            raise StepError(f"{error}, or run the edited step again with --rerun {self.name}") from None

    @functools.cached_property
    def _decoded(self) -> Callable[[str], Any]:
        adapter = _adapter(self.function)
        if adapter is None:
            return json.loads
        is_named = scalars(adapter)
        decode = adapter.validator.validate_json  # the adapter's own method takes half as long again
        return decode if is_named is None else functools.partial(self._of_kind, decode, is_named)

    def _of_kind(self, decode: Callable[[str], Any], is_named: Callable[[Any], bool], output: str) -> Any:
        if not is_named(json.loads(output)):
            raise StepError(
                f"the step {self.name} returned {output[:200]}, which is not what its annotation says "
                f"({self.function.__annotations__.get('return')}); mend one of the two"
            )
        return decode(output)

    def decode(self, output: str) -> Any:
        try:
            return self._decoded(output)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise StepError(
                f"the step {self.name} returned {output[:200]}, which is not what its annotation says ({problem}); "
                "mend one of the two"
            ) from None


def _adapter(function: Callable[..., Any]) -> TypeAdapter[Any] | None:
    returned = get_type_hints(function, include_extras=True).get("return", Any)
    return None if returned is Any else TypeAdapter(returned)


@overload
async def bounded_map(
    function: Callable[[T], Awaitable[U]],
    items: Iterable[T],
    *,
    at_once: int = 32,
    return_exceptions: Literal[False] = False,
    cluster: Literal["ray"] | None = None,
    store: Path | str | None = None,
    run_id: str | None = None,
    models: Mapping[str, ModelName] | None = None,
) -> list[U]: ...


@overload
async def bounded_map(
    function: Callable[[T], Awaitable[U]],
    items: Iterable[T],
    *,
    at_once: int = 32,
    return_exceptions: Literal[True],
) -> list[U | Exception]: ...


async def bounded_map(
    function: Callable[[T], Awaitable[Any]],
    items: Iterable[T],
    *,
    at_once: int = 32,
    return_exceptions: bool = False,
    cluster: Literal["ray"] | None = None,
    store: Path | str | None = None,
    run_id: str | None = None,
    models: Mapping[str, ModelName] | None = None,
) -> list[Any]:
    """Call an async function on every item, at most `at_once` at a time; results in the items' order.

    Raises the exception of the item that failed first, as it is. After it no further call begins; those under way are
    waited for, 8 s at most. With `return_exceptions` an item's exception stands in the place of its result, and the
    others go on.

    `cluster="ray"`: every item is a run of its own, `RUN_ID.0`, `RUN_ID.1` and so on, on the workers of a Ray cluster.
    A map that was stopped goes on under the same `run_id`. `store` is then a PostgreSQL (default: that of the run
    around it), `models` is as for a run, and a failed item leaves the others alone.
    """
    if at_once < 1:
        raise UserError(f"at_once={at_once} lets nothing run; give 1 or more")
    check_item_function(function)
    if cluster is not None:
        if return_exceptions:
            raise UserError('return_exceptions= is not for cluster="ray": a failed item leaves the others alone there')
        from stillhouse.flow.cluster import spread

        return await spread(function, items, at_once=at_once, store=store, run_id=run_id, models=models)
    if store is not None or run_id is not None or models is not None:
        only = 'store=, run_id= and models= are for cluster="ray"'
        raise UserError(f"{only}; without it the items are part of the run around them")
    declared = getattr(function, "stillhouse_step", None)
    branch = getattr(function, "__qualname__", "item") if declared is None else name_of_step(declared.name)

    async def awaited(item: T) -> Any:
        return await item_awaitable(function, item)

    async def caught(item: T) -> Any:
        running = item_awaitable(function, item)
        try:
            return await running
        except Exception as error:
            return error

    try:
        tasks = await mapped(caught if return_exceptions else awaited, items, at_once=at_once, branch=branch)
    except BaseExceptionGroup as failed:
        first = _first_of(failed)
    else:
        return [task.result() for task in tasks]
    raise first  # not where the group is caught: the group would stand behind the exception that it holds


def _first_of(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception of the item that failed first, but before it what parks the run."""
    first = parked_in(failed) or failed.exceptions[0]
    if isinstance(first, Exception) and len(failed.exceptions) > 1:
        first.add_note(f"{len(failed.exceptions)} items of the map failed; this one did so first")
    return first


# Flows


def check_run_id(run_id: str) -> None:
    """Raises UserError for what cannot name a run, nor its files."""
    if not run_id or not all(character.isalnum() or character in "-_." for character in run_id):
        raise UserError(f"{run_id!r} cannot name a run; use letters, digits, -, _ and .")


@overload
def flow(function: Callable[P, Awaitable[T]], /) -> "Flow[P, T]": ...


@overload
def flow(
    *, name: str | None = None, model: ModelName | None = None
) -> "Callable[[Callable[P, Awaitable[T]]], Flow[P, T]]": ...


def flow(function: Callable[..., Any] | None = None, *, name: str | None = None, model: ModelName | None = None) -> Any:
    """Make an async function a flow.

    `await main(n=3)` runs it under a new run id; `main.run(ID, n=3)` under one of your own, which resumes it.

    `model` answers the model steps that name none.
    """
    if function is None:
        return functools.partial(flow, name=name, model=model)
    if not inspect.iscoroutinefunction(function):
        raise UserError(
            f"the flow {getattr(function, '__name__', function)!r} is not an async function; write `async def`"
        )
    return Flow(function, name or function.__name__, model)


# The flows of this process.
_flows: "weakref.WeakSet[Flow[Any, Any]]" = weakref.WeakSet()


def flows_called(name: str, codes: Sequence[str]) -> "list[Flow[Any, Any]]":
    """The flows of this process that have this name; of several those whose code ran last, as a run's `codes` tell."""
    named = [flow for flow in _flows if flow.name == name]
    return named if len(named) < 2 else [flow for flow in named if flow._code in codes[-1:]] or named


class Flow(Generic[P, T]):
    """A flow. `report` says what the last sitting ran, and what it took from the journal."""

    def __init__(self, function: Callable[P, Awaitable[T]], name: str, model: ModelName | None = None) -> None:
        self.function, self.name, self.model = function, name, model
        self.report = RunReport()
        functools.update_wrapper(self, function)
        _flows.add(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        active = active_run.get()
        if active is not None:  # its steps belong to the outer run, in a branch of their own
            arguments = self.bound(args, kwargs).arguments
            return await run_frame(active, self.name, self.model, arguments, lambda: self.function(*args, **kwargs))
        return await self._execute(_uuid.uuid4().hex, self.bound(args, kwargs))

    @overload
    async def run(self, run_id: str, /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    async def run(
        self,
        run_id: str,
        /,
        *args: Any,
        store: Path | str,
        models: Mapping[str, ModelName] | None = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def run(self, run_id: str, /, *args: Any, models: Mapping[str, ModelName] | None, **kwargs: Any) -> T: ...

    async def run(self, run_id: str, /, *args: Any, **kwargs: Any) -> T:
        """Run under this id, or go on with it: `execute` with the flow's arguments as one writes them.

        `store` and `models` are those of `execute`, unless the flow has parameters of these names: then they are the
        flow's, and `execute` takes both kinds.
        """
        ours = {name: kwargs.pop(name) for name in ("store", "models") if name in kwargs and name not in self._takes}
        return await self._execute(run_id, self.bound(args, kwargs), **ours)

    @functools.cached_property
    def _takes(self) -> Collection[str]:
        return inspect.signature(self.function).parameters

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    async def execute(
        self,
        run_id: str,
        arguments: Mapping[str, Any],
        *,
        store: Path | str = DEFAULT_STORE,
        models: Mapping[str, ModelName] | None = None,
        offline: bool = False,
        app: str | None = None,
        rerun: Collection[str] = (),
    ) -> T:
        """Run with these arguments under this id, or go on with it; a run that is done gives its result at once.

        `models` names another model for a step, by the step's name, or with the key "*" for all of them. `offline`
        answers model calls from the store alone (a cassette). `app` is kept with the run, so that it can be resumed by
        its id alone. `rerun`: edited steps that run again though they finished, with all in their bodies.
        Raises RunBusyError while another process has the run, UserError where the id belongs to other input,
        StorageError, and Parked where it now waits for a person.
        """
        bound = self.bound((), arguments)
        return await self._execute(run_id, bound, store=store, models=models, offline=offline, app=app, rerun=rerun)

    async def go_on(
        self,
        run_id: str,
        bound: inspect.BoundArguments,
        input_: str,
        *,
        store: Path | str = DEFAULT_STORE,
        models: Mapping[str, ModelName] | None = None,
        rerun: Collection[str] = (),
    ) -> T:
        """As `execute`, with arguments that were made of the input in the run's row."""
        return await self._execute(run_id, bound, store=store, models=models, rerun=rerun, input_=input_)

    async def _execute(
        self,
        run_id: str,
        bound: inspect.BoundArguments,
        *,
        store: Path | str = DEFAULT_STORE,
        models: Mapping[str, ModelName] | None = None,
        offline: bool = False,
        app: str | None = None,
        rerun: Collection[str] = (),
        input_: str | None = None,
    ) -> T:
        check_run_id(run_id)
        named = models or {}
        canonical = input_ or encode(bound.arguments, f"the input of the flow {self.name}", canonical=True)
        facts: dict[str, Any] = {"app": app, "models": {step: name_of(model) for step, model in named.items()}}
        facts["code"] = [self._code]
        linger_s = 0.0 if is_postgres(store) else LINGER_S
        async with shared(("journal", str(store)), lambda: open_journal(store), linger_s=linger_s) as journal:
            with journal.own(run_id):
                row = journal.begin(run_id, self.name, canonical, facts)
                if row.status == "cancelled":
                    if row.ended is None:  # who had it died, or has it no more
                        journal.end(run_id, "cancelled")
                    raise Cancelled(run_id)
                if row.status == "done" and row.result is not None:
                    if rerun:
                        raise UserError(f"the run {run_id} is done; give another id to run it anew")
                    self.report = RunReport(was_done=True)
                    return self.decode_result(journal.text(row.result))
                async with Models(named, default=self.model, store=store, offline=offline) as opened:
                    edited = any(code != self._code for code in row.facts.get("code", ()))
                    earlier: RunReport | None = None
                    while True:
                        replay = Replay.of(journal, run_id, anew=row.status == "failed", edited=edited, rerun=rerun)
                        active = Active(
                            run=run_id,
                            flow=self.name,
                            journal=journal,
                            replay=replay,
                            models=opened,
                            module=self.function.__module__,
                        )
                        try:
                            with alive(store, active):
                                return await run_spanned(active, self.sitting(active, bound))
                        except Exception:
                            if not active.is_worth_another:
                                raise
                        finally:
                            if earlier is not None:
                                active.report.add(earlier)
                        # It ended by journaled failures alone, so it is not known whether they still are failures.
                        earlier = active.report
                        journal.begin(run_id, self.name, canonical, facts)

    async def sitting(self, active: Active, bound: inspect.BoundArguments) -> T:
        """Run the flow's function from the top, once, and journal how that ended."""
        self.report = active.report
        token = active_run.set(active)
        try:
            with tasks_noted():
                value = await self._played(active, bound)
            active.check_open()  # a flow that caught what parked it is not done
            result = encode(value, f"the result of the flow {self.name}")
            returned = self.decode_result(result)
            active.all_awaited()
        except BaseException as error:
            await active.end()
            active.replay.live.let_go(done=False)
            parked = parked_in(error)
            if parked is None and isinstance(error, Exception) and not is_of_a_call(error):
                parked = active.parked  # the error may come from what a caught Parked left undone
            if parked is not None or isinstance(error, Exception):
                active.heed_cancelling()
                parked = active.parked if active.is_cancelled else parked
            has_failed = isinstance(error, Exception) and parked is None
            active.close(error if has_failed else None)
            if parked is not None:
                active.journal.end(active.run, parked.status)
                raise parked.outside() from None
            if has_failed:
                active.journal.end(active.run, "failed", error=error_line(error))
            raise
        finally:
            active_run.reset(token)
            active.report.unused.update(active.replay.unused())
        await active.end()
        active.replay.live.let_go(done=True)
        active.unanswered.done()
        active.journal.end(active.run, "done", result=result)
        return returned

    async def _played(self, active: Active, bound: inspect.BoundArguments) -> T:
        """What the function returns, in a task of its own: who cancels that is the flow, and not somebody outside."""

        left: BaseException | None = None

        async def played() -> T | None:
            nonlocal left
            try:
                with within(Branch(active.replay.live)):
                    return await self.function(*bound.args, **bound.kwargs)
            except (KeyboardInterrupt, SystemExit) as error:
                left = error  # out of a task these would end the loop, and nothing could be journaled any more
                return None

        active.loop = asyncio.get_running_loop()
        task = asyncio.Task(played())  # not `create_task`: it is no branch, and no task of the app's
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                active.unanswered.stopped = True
                task.cancel()
        if left is not None:
            raise left
        return task.result()  # type: ignore[return-value]  # None stands for `left` alone

    @functools.cached_property
    def _code(self) -> str:
        """A hash of the flow and of the file that it stands in: where it differs, branches may be others."""
        file = Path(self.function.__code__.co_filename)
        text = file.read_bytes() if file.is_file() else b""
        return hashlib.sha256(version_of(self.function).encode() + text).hexdigest()[:16]

    @functools.cached_property
    def _returns(self) -> TypeAdapter[Any] | None:
        return _adapter(self.function)

    def decode_result(self, result: str) -> T:
        try:
            value: T = json.loads(result) if self._returns is None else self._returns.validate_json(result)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise UserError(
                f"the flow {self.name} returned {result[:200]}, which is not what its annotation says ({problem}); "
                "mend one of the two"
            ) from None
        return value
