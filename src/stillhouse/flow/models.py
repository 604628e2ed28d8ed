"""The models of one sitting of a run: which one answers a step, and one open client for each.

The clients are shared with the other runs of the process.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self, TypeAlias

from stillhouse.errors import ModelNameError, StillhouseError, UserError
from stillhouse.flow.allowance import RunBudget, active_allowance
from stillhouse.flow.call import active_limits, current_call
from stillhouse.flow.limits import price_given
from stillhouse.flow.shared import shared
from stillhouse.flow.spans import request_spanned
from stillhouse.llm.ledger import worst_case_input_tokens, worst_case_output_tokens
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.llm.request import Completion, Request
from stillhouse.openers import OPENERS
from stillhouse.records import Example, Prediction, Predictor, Usage
from stillhouse.settings import ModelSettings
from stillhouse.store import Store, open_store

ModelName: TypeAlias = str | Predictor
DEFAULT_STORE = Path("stillhouse.db")
EVERY_STEP = "*"
# The model of the innermost flow in the flow that names one.
_of_the_frame: ContextVar[ModelName | None] = ContextVar("stillhouse_model_of_the_frame", default=None)


@contextmanager
def asked_of(model: ModelName | None) -> Iterator[None]:
    """In this block, `model` answers the steps that name none; None: whoever does outside of it."""
    token = _of_the_frame.set(model if model is not None else _of_the_frame.get())
    try:
        yield
    finally:
        _of_the_frame.reset(token)


def name_of(model: ModelName) -> str:
    return model if isinstance(model, str) else model.name


class CassetteMissError(StillhouseError):
    """A run that may only replay asks a model something that the store has no answer to."""


class Chat:
    """A model that takes messages, as a step asks it: metered, stored, under the run's limits."""

    def __init__(self, model: MeteredModel, *, offline: bool = False) -> None:
        self.model, self.name, self.offline = model, model.name, offline
        # What this endpoint turned out not to have: "decisions", "tools", "logprobs", and schemas, each by its hash.
        self.lacks: set[str] = set()

    def without(self, feature: str, request: Request) -> bool:
        """Whether to ask without a feature of this request.

        Yes where the endpoint lacks it. Yes also for a cassette that has no answer to this request: it may have been
        recorded from an endpoint that lacks the feature.
        """
        return feature in self.lacks or (self.offline and not self.model.has(request))

    async def complete(self, request: Request, example: Example | None = None) -> Completion:
        """The reply, noted in the facts of the call whose body asks."""
        completion = await request_spanned(request, self.model.complete(request, example))
        usage = completion.usage
        if not completion.was_paid:
            return completion  # the request was refused, so nothing was used
        if completion.lacking and (call := current_call.get()) is not None:
            call.facts["without"] = list(completion.lacking)
        n_input, n_output = (None, None) if usage is None else (usage.input_tokens, usage.output_tokens)
        at_most = 0  # tokens that the call may have used and nobody counted
        if n_input is None:
            at_most += worst_case_input_tokens(request)
        if n_output is None:
            at_most += worst_case_output_tokens(request)
        doubt = None if usage is None else usage.doubt
        facts: dict[str, Any] = {"from_store": completion.from_store, "at_most_tokens": at_most, "doubt": doubt}
        note_use(self.name, n_input, n_output, completion.cost_usd, request.hash, **facts)
        return completion

    async def close(self) -> None:
        await self.model.close()


def note_use(
    model: str,
    n_input: int | None,
    n_output: int | None,
    cost_usd: float | None,
    request: str | None,
    *,
    from_store: bool = False,
    at_most_tokens: int = 0,
    doubt: str | None = None,
) -> None:
    """Add a model call to the facts of the call that is running, and to the limits around it.

    `at_most_tokens`: what it may have used beside the counts that are known. `doubt`: why its counts do not add up.
    An answer out of the store spends nothing of the limits: it was paid for earlier.
    """
    call, price, at_most_usd = current_call.get(), price_given(), 0.0
    if cost_usd is None and price is not None:
        if n_input is not None and n_output is not None:
            cost_usd = price.cost_usd(Usage(n_input, n_output))
        else:  # what it may have cost at most
            rates = (price.input_usd_per_m, price.output_usd_per_m)
            at_most_usd = ((n_input or 0) * rates[0] + (n_output or 0) * rates[1] + at_most_tokens * max(rates)) / 1e6
    if call is not None:
        is_own = request is not None and request in call.facts.get("requests", ())
        call.used_model(model, n_input, n_output, cost_usd, request)
        if from_store:
            call.facts["from_store"] = call.facts.get("from_store", 0) + 1
        if from_store and not is_own:
            n_tokens = (n_input or 0) + (n_output or 0)
            call.facts["stored_tokens"] = call.facts.get("stored_tokens", 0) + n_tokens
            call.facts["stored_usd"] = call.facts.get("stored_usd", 0.0) + (cost_usd or 0.0)
        if doubt is not None:
            call.facts["usage_doubts"] = [*call.facts.get("usage_doubts", []), doubt]
        if at_most_usd and not from_store:
            call.facts["at_most_usd"] = call.facts.get("at_most_usd", 0.0) + at_most_usd
        if at_most_tokens and not from_store:
            call.facts["at_most_tokens"] = call.facts.get("at_most_tokens", 0) + at_most_tokens
    if not from_store:
        for limit in active_limits.get():
            limit.spent(
                (n_input or 0) + (n_output or 0) + at_most_tokens, at_most_usd if cost_usd is None else cost_usd
            )
            limit.n_doubtful += doubt is not None or bool(at_most_tokens)


class Models(AbstractAsyncContextManager["Models"]):
    """The models of a run by step: the run's own choice, else the step's `model=`, else the innermost flow's.

    `offline`: models that take messages answer from the store alone.
    """

    def __init__(
        self,
        named: Mapping[str, ModelName] | None = None,
        *,
        default: ModelName | None = None,
        store: Path | str = DEFAULT_STORE,
        offline: bool = False,
    ) -> None:
        self.named, self.default, self.store, self.offline = dict(named or {}), default, store, offline
        self._stack = AsyncExitStack()
        self._opened: dict[str, Any] = {}

    def of(self, step: str, declared: ModelName | None) -> ModelName:
        """The model that answers this step. Raises UserError where none is named."""
        for model in (self.named.get(step), self.named.get(EVERY_STEP), declared, _of_the_frame.get(), self.default):
            if model is not None:
                return model
        raise UserError(f"the step {step} names no model; give it model=, or the run --model {step}=NAME")

    async def open(self, model: ModelName) -> Chat | Predictor:
        """The model behind a name, opened once. Raises ModelNameError, KeyMissingError, ArtifactError."""
        if not isinstance(model, str):
            return model
        if model not in self._opened:
            try:
                self._opened[model] = await self._stack.enter_async_context(self._opening(model))
            except UserError as error:
                if type(error) is not UserError:
                    raise
                raise ModelNameError(str(error)) from None  # a run whose verdict refuses its student, as one
        opened: Chat | Predictor = self._opened[model]
        return opened

    @asynccontextmanager
    async def _opening(self, name: str) -> AsyncIterator[Chat | Predictor]:
        kind = name.partition(":")[0]
        if (opener := OPENERS.get(kind)) is not None:
            async with opener(name, store=self.store) as predictor:
                yield predictor
        elif kind == "recorded":
            yield _recorded(name)
        else:
            async with (
                shared(("store", str(self.store)), lambda: open_store(self.store)) as store,
                shared(
                    ("model", str(self.store), name, self.offline, active_allowance.get()),
                    lambda: self._chat(name, store),
                ) as chat,
            ):
                yield chat

    def _chat(self, name: str, store: Store) -> Chat:
        if self.offline:
            return Chat(MeteredModel(name, _no_answer, store, RunBudget(), sends=False), offline=True)
        # Imported late, because a flow without models does not need the HTTP client.
        from stillhouse.llm.models import KEYED, open_model

        allowance = active_allowance.get()
        if allowance is None or not name.startswith(KEYED):
            return Chat(open_model(name, ModelSettings(), store, RunBudget()))
        return Chat(open_model(name, allowance.settings, store, allowance))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._stack.aclose()


def _recorded(name: str) -> RecordedTeacher:
    return RecordedTeacher(Path(name.removeprefix("recorded:")).expanduser())


async def _no_answer(request: Request, _: Example | None) -> Completion:
    prompt = str(request.messages[-1].get("content"))[:120] if request.messages else ""
    raise CassetteMissError(
        f"no stored answer of {request.model} to {prompt!r}: the prompt changed since it was recorded; "
        "run it once with the model"
    )


def used_by(prediction: Prediction, model: str) -> None:
    """Note a predictor's answer as `note_use` does a model's."""
    usage = prediction.usage
    note_use(
        model,
        None if usage is None else usage.input_tokens,
        None if usage is None else usage.output_tokens,
        prediction.cost_usd,
        None,
    )
