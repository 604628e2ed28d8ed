"""The one way to a paid model: look in the store, reserve the worst case, call, price, commit; then, and only then, answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from stillhouse.llm.ledger import Budget, worst_case_input_tokens
from stillhouse.llm.prices import Price, call_cost, known_price
from stillhouse.llm.request import Completion, Request, ToolCall, text_listener
from stillhouse.records import Example
from stillhouse.store import Store, StoredCompletion

Call = Callable[[Request, Example | None], Awaitable[Completion]]


class MeteredModel:
    """A model behind the store and the ledger. `priced_as` names the model whose prices hold (for a stand-in); default: its own."""

    def __init__(
        self,
        name: str,
        call: Call,
        store: Store,
        ledger: Budget,
        *,
        price_in: float | None = None,
        price_out: float | None = None,
        price_cached: float | None = None,
        price_written: float | None = None,
        priced_as: str | None = None,
        stand_in: bool = False,
        close: Callable[[], Awaitable[None]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name, self.stand_in, self.ledger = name, stand_in, ledger
        self._call, self._store, self._close, self._now = call, store, close, now
        self._priced_as = priced_as or name
        self._given: dict[str, Any] = {"price_in": price_in, "price_out": price_out, "price_cached": price_cached, "price_written": price_written}
        self._under_way: dict[str, asyncio.Future[Completion]] = {}

    @property
    def price(self) -> Price | None:
        """Which price holds today for a prompt of usual length; None: unknown."""
        return known_price(self._priced_as, self._now(), **self._given)

    def has(self, request: Request) -> bool:
        """Whether the store has the answer."""
        return self._store.get(request.hash) is not None

    async def complete(self, request: Request, example: Example | None = None) -> Completion:
        """The reply, from the store if it was ever paid for. Equal requests at the same time share one call."""
        if (stored := self._store.get(request.hash)) is not None:
            completion = _from_stored(stored)
            if completion.text and (heard := text_listener.get()) is not None:
                heard(completion.text)
            return completion
        if (twin := self._under_way.get(request.hash)) is not None:
            return replace(await asyncio.shield(twin), from_store=True)
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._under_way[request.hash] = answer
        try:
            completion = await self._pay(request, example)
        except BaseException as error:
            answer.set_exception(error) if isinstance(error, Exception) else answer.cancel()
            if not answer.cancelled():
                answer.exception()  # seen here: an unawaited twin must not warn
            raise
        finally:
            del self._under_way[request.hash]
        answer.set_result(completion)
        return completion

    async def _pay(self, request: Request, example: Example | None) -> Completion:
        now = self._now()
        price = None if self.ledger.max_usd is None else known_price(self._priced_as, now, **self._given, n_input=worst_case_input_tokens(request))
        reserved = await self.ledger.reserve(request, price)
        paid, cost_usd = False, None
        try:
            completion = await self._call(request, example)
            paid = completion.finish_reason is not None or completion.usage is not None or completion.text is not None or completion.tool_calls is not None
            if completion.usage is not None:
                cost_usd, snapshot = call_cost(self._priced_as, completion.usage, now, **self._given)
                completion = replace(completion, cost_usd=cost_usd, price_snapshot=snapshot)
            if paid:  # what was not answered is asked again next time
                await asyncio.shield(self._store.put(_to_stored(request, completion, now)))
        finally:
            await self.ledger.settle(reserved, cost_usd, paid=paid)
        return completion

    async def close(self) -> None:
        if self._close is not None:
            await self._close()


def _to_stored(request: Request, completion: Completion, now: datetime) -> StoredCompletion:
    response: dict[str, Any] = {"text": completion.text, "finish_reason": completion.finish_reason, "error": completion.error}
    if completion.token_logprobs is not None:
        response["token_logprobs"] = [list(pair) for pair in completion.token_logprobs]
    if completion.tool_calls is not None:
        response["tool_calls"] = [asdict(call) for call in completion.tool_calls]
    if completion.scores is not None:
        response["scores"] = dict(completion.scores)
    paid = (completion.usage, completion.cost_usd, completion.price_snapshot, completion.latency_s)
    return StoredCompletion(request.hash, request.model, request.to_dict(), response, *paid, now.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _from_stored(stored: StoredCompletion) -> Completion:
    logprobs, calls = stored.response.get("token_logprobs"), stored.response.get("tool_calls")
    return Completion(
        stored.response.get("text"),
        error=stored.response.get("error"),
        finish_reason=stored.response.get("finish_reason"),
        usage=stored.usage,
        cost_usd=stored.cost_usd,
        price_snapshot=stored.price_snapshot,
        latency_s=stored.latency_s,
        token_logprobs=None if logprobs is None else tuple((token, value) for token, value in logprobs),
        tool_calls=None if calls is None else tuple(ToolCall(**call) for call in calls),
        scores=stored.response.get("scores"),
        from_store=True,
    )
