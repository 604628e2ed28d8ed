"""Testing a flow, in pytest or from `stillhouse test`.

Cases go in. Out comes what each run answered, which path it took, and which model calls no cassette could answer.

    from stillhouse.flow.testing import Case, run_case

    async def test_a_question_about_orders_is_answered_from_the_database():
        script = {"route": "sql", "to_sql": "SELECT COUNT(*) FROM orders", "answer": "Three."}
        outcome = await run_case(main, Case("orders", {"question": "How many?"}, script=script))
        assert outcome.path == ["route=sql", "to_sql", "run_sql", "answer"]

A script answers for steps by their names, whatever they are: model steps, decisions, agents, tools, steps with a body,
people. A step that it does not name runs as it is. A model that it does not name is not asked, and the case says so.
"""

import inspect
import json
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError

from stillhouse.errors import BudgetError, StillhouseError, StorageError, UserError
from stillhouse.flow.allowance import piece_of_work
from stillhouse.flow.call import Active, Body, StepError, encode, error_line, stand_in
from stillhouse.flow.engine import Flow, bounded_map
from stillhouse.flow.human import answer, open_questions
from stillhouse.flow.models import DEFAULT_STORE, CassetteMissError, ModelName, Models, name_of
from stillhouse.flow.parking import Parked
from stillhouse.flow.paths import ExpectedPath, path_of, path_problems
from stillhouse.flow.resume import Replay
from stillhouse.flow.tools.tool import ToolError
from stillhouse.results.flow_test import Missing
from stillhouse.store.journal import Journal, StepRow, open_journal

__all__ = [
    "UNKNOWN",
    "Case",
    "Missing",
    "NotScripted",
    "Outcome",
    "in_order",
    "path_problems",
    "run_case",
    "run_cases",
    "typed_arguments",
]

UNKNOWN: Any = object()  # returned by a look-up that knows no answer; None is an answer
Known = Callable[[str, str], Any]  # (step, canonical arguments) -> the known answer, or UNKNOWN
ASKS_A_MODEL = ("model", "decide", "agent", "turn")


class Recorded(Protocol):
    """Earlier runs of the flow: they answer what the cassette holds no completion of."""

    def answer(self, step: str, arguments: str) -> Any:
        """What the step once answered to these canonical arguments; UNKNOWN if it never did."""
        ...

    def values(self, flow_input: str) -> Sequence[StepRow]:
        """The clock, randomness and uuids of a run with this canonical input.

        With them, prompts that hold such values are the same again.
        """
        ...


class NotScripted(StillhouseError):
    """A case's script has no answer, or no further one, for a step that was called."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a flow.

    `script`: answers by step (see `answer_to`); None: models are asked, or the cassette is. `path`: see `flow.paths`.
    """

    id: str
    input: Mapping[str, Any]  # the flow's arguments, as JSON has them
    script: Mapping[str, Any] | None = None
    path: ExpectedPath | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one case. `result` is what its JSON gives back, None where the flow failed (`error` says how)."""

    case: Case
    run: str
    result: Any
    error: str | None
    calls: tuple[StepRow, ...]
    missing: tuple[Missing, ...]
    seconds: float

    @property
    def path(self) -> list[str]:
        return path_of(self.calls)

    @property
    def path_problems(self) -> list[str]:
        """How the path differs from the case's; none where it is as expected, or the case expects none."""
        return [] if self.case.path is None else path_problems(self.case.path, self.calls)

    @property
    def cost_usd(self) -> float | None:
        """What its model calls cost, also those that the store answered; None where a part is not known."""
        costs = [call.facts["cost_usd"] for call in self.calls if call.facts and "model" in call.facts]
        return None if any(cost is None for cost in costs) else sum(costs)

    @property
    def latency_s(self) -> float | None:
        """Wall time. None where the store or a script answered in a model's place: that is no model's time."""
        stored = any((call.facts or {}).get("from_store") for call in self.calls)
        return None if stored or self.case.script is not None else self.seconds


@dataclass(frozen=True)
class in_order:
    """In a script: one answer per call, in the order of the calls; one more call fails.

    In a case file it is written `{"in_order": [...]}`.
    """

    answers: Sequence[Any]


async def run_cases(
    flow: Flow[Any, Any],
    cases: Sequence[Case],
    *,
    models: Mapping[str, ModelName] | None = None,
    store: Path | str = DEFAULT_STORE,
    offline: bool = False,
    journal: Path | None = None,
    prefix: str | None = None,
    known: Known | None = None,
    recorded: Recorded | None = None,
    at_once: int = 8,
    on_done: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Run every case, in the cases' order.

    `store` holds the models' answers; traces go into `journal` (as runs PREFIX-1, ...), or nowhere.

    `offline`: models answer from the store alone, and clock, randomness and uuids are those of the `recorded` run of
    the same input. A call without an answer is noted. It goes on with what it answered in a recorded run, or with what
    `known` gives, so that the calls behind it are seen too. `known` also answers for model steps that a case's script
    does not name.
    A failing flow is an outcome. Raises UserError, StorageError: no case would do better.
    """
    with tempfile.TemporaryDirectory() as folder, closing(open_journal(journal or Path(folder) / "cases.db")) as opened:
        n_done = 0

        async def run_one(numbered: tuple[int, Case]) -> Outcome:
            nonlocal n_done
            number, case = numbered
            sitting = _Sitting(
                flow=flow,
                case=case,
                run=f"{prefix or flow.name}-{number}",
                journal=opened,
                models=models or {},
                store=store,
                offline=offline,
                known=known,
                recorded=recorded,
            )
            with piece_of_work():
                outcome = await sitting.outcome()
            n_done += 1
            if on_done is not None:
                on_done(n_done)
            return outcome

        try:
            return await bounded_map(run_one, enumerate(cases, start=1), at_once=at_once)
        except* StillhouseError as errors:
            raise errors.exceptions[0] from None  # only the first error is raised, as the user mends one at a time


async def run_case(flow: Flow[Any, Any], case: Case, **options: Any) -> Outcome:
    """Run one case, with the options of `run_cases`."""
    return (await run_cases(flow, [case], **options))[0]


@dataclass(kw_only=True)
class _Sitting:
    """One case, being run."""

    flow: Flow[Any, Any]
    case: Case
    run: str
    journal: Journal
    models: Mapping[str, ModelName]
    store: Path | str
    offline: bool
    known: Known | None
    recorded: Recorded | None
    missing: dict[tuple[str, str], Missing] = field(default_factory=dict)
    met: list[CassetteMissError] = field(default_factory=list)
    # How often the script has answered: (step, None) counts all calls of a step, (step, arguments) the equal ones.
    used: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    async def outcome(self) -> Outcome:
        bound = typed_arguments(self.flow.function, self.case.input, f"the case {self.case.id}")
        flow_input = encode(bound.arguments, f"the input of the case {self.case.id}", canonical=True)
        names = {step: name_of(model) for step, model in self.models.items()}
        facts = {"app": None, "models": names, "case": self.case.id}
        self.journal.begin(self.run, self.flow.name, flow_input, facts)
        if self.offline and self.recorded is not None:
            for value in self.recorded.values(flow_input):
                self.journal.write(self.run, value)
        began = time.perf_counter()
        token = stand_in.set(self.instead)
        try:
            error = await self._go(bound)
        finally:
            stand_in.reset(token)
        seconds = time.perf_counter() - began
        row = self.journal.run(self.run)
        result = None
        if error is None and row is not None and row.result is not None:
            result = json.loads(self.journal.text(row.result))
        return Outcome(
            case=self.case,
            run=self.run,
            result=result,
            error=error,
            calls=tuple(self.journal.steps(self.run)),
            missing=tuple(self.missing.values()),
            seconds=seconds,
        )

    async def _go(self, bound: inspect.BoundArguments) -> str | None:
        """Run to the end; a scripted person answers what is asked. Gives how it failed, or None."""
        while True:
            try:
                named, default = self._named(), self.flow.model
                async with Models(named, default=default, store=self.store, offline=self.offline) as models:
                    replay = Replay.of(self.journal, self.run)
                    active = Active(
                        run=self.run, flow=self.flow.name, journal=self.journal, replay=replay, models=models
                    )
                    await self.flow.sitting(active, bound)
                return None
            except (UserError, StorageError, BudgetError):
                raise
            except Parked as parked:
                if "ask_human" not in (self.case.script or {}):
                    return f"it asks a person {parked.question!r}, and the case's script has no answer under ask_human"
                for question in open_questions(self.journal, self.run):
                    scripted = await self._scripted("ask_human", question.arguments)
                    answer(self.journal, self.run, str(scripted), (question.facts or {})["question"])
            except Exception as error:  # the app's own code may raise anything, and that is this case's outcome
                return error_line(error)

    def _named(self) -> Mapping[str, ModelName]:
        """The models by step. With a script none is asked, and a placeholder stands in the journal."""
        if self.case.script is None:
            return self.models
        return {"*": "unscripted", **dict.fromkeys(self.case.script, "scripted")}

    def instead(self, name: str, kind: str, arguments: str, body: Body) -> Body:
        """The body that answers this call: the script's, a known answer, or its own."""
        if self.case.script is not None:
            if name in self.case.script:
                return lambda: self._answered(name, kind, arguments)
            if kind in ASKS_A_MODEL:
                return lambda: self._from_cases(name, kind, arguments)
        return lambda: self._noting_a_miss(name, kind, arguments, body)

    async def _answered(self, name: str, kind: str, arguments: str) -> Any:
        try:
            return _as_output(await self._scripted(name, arguments), kind)
        except StepError as error:
            if kind == "tool":  # a tool fails with a ToolError, and flows catch that
                raise ToolError(str(error)) from None
            raise

    async def _from_cases(self, name: str, kind: str, arguments: str) -> Any:
        expected = self._expected(name, arguments)
        if expected is UNKNOWN:
            raise NotScripted(
                f"{name} asks a model {arguments[:200]}, "
                f"and neither the case's script nor a case of {name} has an answer; add one"
            )
        return _as_output(expected, kind)

    async def _scripted(self, name: str, arguments: str) -> Any:
        assert self.case.script is not None
        number, of_equal = self.used[name, None], self.used[name, arguments]
        self.used.update([(name, None), (name, arguments)])
        return await answer_to(name, arguments, self.case.script[name], number, of_equal)

    async def _noting_a_miss(self, name: str, kind: str, arguments: str, body: Body) -> Any:
        try:
            return await body()
        except CassetteMissError as error:
            # An error of an agent's turn is raised again by the agent, and counts once.
            if not any(error is other for other in self.met):
                self.met.append(error)
                self.missing.setdefault((name, arguments), Missing(self.case.id, name, arguments, str(error)))
            instead = UNKNOWN if self.recorded is None else self.recorded.answer(name, arguments)
            if instead is UNKNOWN:
                instead = self._expected(name, arguments)
            if instead is UNKNOWN:
                raise
            return _as_output(instead, kind)

    def _expected(self, name: str, arguments: str) -> Any:
        return UNKNOWN if self.known is None else self.known(name, arguments)


def _as_output(value: Any, kind: str) -> Any:
    """A decision's output has its probability beside it; a script may leave that out."""
    return {"option": value, "probability": None} if kind == "decide" and not isinstance(value, Mapping) else value


async def answer_to(name: str, arguments: str, scripted: Any, number: int, of_equal: int) -> Any:
    """What a script says to a step's call.

    The call is the `number`-th (0, 1, ...) of all calls of the step, and the `of_equal`-th of those with these
    arguments. A function is called with the step's arguments. `in_order` and `{"in_order": [...]}` give one answer per
    call; `{"by_input": [{"input": ..., "output": ...}]}` gives one per arguments. `{"raises": "text"}` fails the step;
    an exception is raised. Anything else is the answer to every call.
    """
    if isinstance(scripted, in_order):
        scripted = {"in_order": scripted.answers}
    if isinstance(scripted, Mapping) and len(scripted) == 1:
        form, content = next(iter(scripted.items()))
        if form == "in_order":
            if number >= len(content):
                raise NotScripted(
                    f"the script has {len(content)} answers for {name}, "
                    f"and it is called once more, with {arguments[:200]}"
                )
            return await answer_to(name, arguments, content[number], number, of_equal)
        if form == "by_input":
            called_with = json.loads(arguments)
            only = next(iter(called_with.values())) if len(called_with) == 1 else called_with
            for case in content:
                if case["input"] in (called_with, only):
                    return await answer_to(name, arguments, case["output"], of_equal, of_equal)
            raise NotScripted(f"the script has no answer of {name} to {arguments[:200]}")
        if form == "raises":
            raise StepError(str(content))
    if isinstance(scripted, BaseException):
        raise scripted
    if callable(scripted):
        answered = scripted(**json.loads(arguments))
        return await answered if isinstance(answered, Awaitable) else answered
    return scripted


def typed_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], what: str) -> inspect.BoundArguments:
    """JSON arguments as the function's annotations say, defaults filled in.

    Raises UserError naming what does not fit.
    """
    name, misfit = getattr(function, "__name__", function), f"{what}: its input {dict(arguments)!r:.200} does not fit"
    signature = inspect.signature(function)
    try:
        bound = signature.bind(**arguments)
        hints = get_type_hints(function)
        typed = {
            name: TypeAdapter(hints[name]).validate_python(value)
            for name, value in bound.arguments.items()
            if name in hints
        }
        bound.arguments.update(typed)
    except TypeError as error:
        raise UserError(f"{misfit} {name}{signature}: {error}") from None
    except ValidationError as error:
        raise UserError(f"{misfit} {name} ({error.errors()[0]['msg']})") from None
    bound.apply_defaults()
    return bound
