"""The one way to a paid model.

Look in the store, claim the call, reserve the worst case, call, price, commit. Only then is the answer given. A reply
whose price or counts are unknown is committed like any other: it is paid for.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stillhouse.errors import StorageError
from stillhouse.llm.answer import answer_of
from stillhouse.llm.claimed import ClaimedCalls, until_unclaimed
from stillhouse.llm.dialect import ModelDialect
from stillhouse.llm.ledger import Budget, worst_case_input_tokens
from stillhouse.llm.prices import GivenPrices, Price, call_cost, known_price
from stillhouse.llm.request import Completion, Request, ToolCall, kept_listener, text_listener, told_safely
from stillhouse.llm.usage import as_counted
from stillhouse.records import Example
from stillhouse.stopping import PaidCall
from stillhouse.store import Store, StoredCompletion
from stillhouse.store.claims import batch_of

AT_ONCE = 32  # calls that a model without a limiter may have under way at once
_LOOK_UP_HOLDS_S = 1.0
AskModel = Callable[[Request, Example | None], Awaitable[Completion]]
_IN_A_BATCH = " in a batch"  # the end of a price's name where a batch gave the answer


class MeteredModel:
    """A model behind the store and the ledger.

    `priced_as` names the model whose prices hold, where the model is a stand-in for it.
    """

    def __init__(
        self,
        name: str,
        call: AskModel,
        store: Store,
        ledger: Budget,
        *,
        price_in: float | None = None,
        price_out: float | None = None,
        price_cached: float | None = None,
        price_written: float | None = None,
        priced_as: str | None = None,
        stand_in: bool = False,
        bills: bool = False,
        close: Callable[[], Awaitable[None]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        in_flight: Callable[[], int] = lambda: AT_ONCE,
        dialect: ModelDialect | None = None,
        sends: bool = True,
    ) -> None:
        self.in_flight = in_flight  # tells how many calls are worth having under way now
        self.name, self.stand_in, self.ledger = name, stand_in, ledger
        self.bills = bills  # whether calls cost somebody something: an endpoint's do, a script's do not
        self._sends = sends  # False: it answers from the store alone, so there is no call to claim
        self.dialect = dialect or ModelDialect(name)  # the dialect is shared with whatever else asks this model
        self._call, self._store, self._close, self._now = call, store, close, now
        self._priced_as = priced_as or name
        self._own_prices = GivenPrices(
            price_in=price_in, price_out=price_out, price_cached=price_cached, price_written=price_written
        )
        # Requests that a batch gave no answer to, with the reason. These are not asked again at the full price.
        self.given_up: dict[str, Completion] = {}
        # Number of calls paid for one by one at the full price, and the cost of those whose price is known.
        self.n_live, self.live_usd = 0, 0.0
        self._absent: set[str] = set()  # requests that the store lacked when many were last looked up at once
        self._looked_at = 0.0
        self._under_way: dict[str, asyncio.Future[Completion]] = {}
        self._elsewhere = ClaimedCalls(store)

    @property
    def price_snapshot(self) -> str | None:
        """Which price holds today, in words; None: unknown."""
        price = known_price(self._priced_as, self._now(), **self._own_prices)
        return None if price is None else price.snapshot

    def known(self, hashes: Sequence[str]) -> set[str]:
        """Those of these requests that the store has the answer of."""
        return self._store.known(hashes)

    def look_up(self, hashes: Sequence[str]) -> None:
        """Ask the store for many at once, so that those it lacks need not be looked for one by one.

        That holds for a second: later, other processes may have added them.
        """
        known = self._store.known(hashes)
        self._absent, self._looked_at = {hash_ for hash_ in hashes if hash_ not in known}, time.monotonic()

    def _stored(self, hash_: str) -> StoredCompletion | None:
        if hash_ in self._absent:
            # This request is about to get its answer: the next equal one will find it in the store.
            self._absent.discard(hash_)
            if time.monotonic() - self._looked_at < _LOOK_UP_HOLDS_S:
                return None
        return self._store.get(hash_)

    @property
    def priced_as(self) -> str:
        """Whose prices and context window hold: this model's own, or those of the model for which it stands in."""
        return self._priced_as

    def price_of(self, n_input: int) -> Price | None:
        """The price of a prompt of that many tokens today; None: unknown."""
        return known_price(self._priced_as, self._now(), **self._own_prices, n_input=n_input)

    def has(self, request: Request) -> bool:
        """Whether the store has the answer."""
        return self._store.get(request.hash) is not None

    async def complete(self, request: Request, example: Example | None = None) -> Completion:
        """The reply, from the store if it was ever paid for. Equal requests at the same time share one call."""
        return answer_of(await self._whole(request, example), request)

    async def _whole(self, request: Request, example: Example | None) -> Completion:
        """The reply as it came."""
        if (stored := self._stored(request.hash)) is not None:
            return _heard(_from_stored(stored))
        if (reason := self.given_up.get(request.hash)) is not None:
            return reason
        while (twin := self._under_way.get(request.hash)) is not None:
            try:
                return replace(await asyncio.shield(twin), from_store=True)
            except asyncio.CancelledError:
                here = asyncio.current_task()
                if not twin.cancelled() or (here is not None and here.cancelling()):
                    raise
                # The task that was making the call was cancelled, and this one was not. So the call is now made by this
                # task, or by another one that waited for it.
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._under_way[request.hash] = answer
        try:
            completion = await self._claimed(request, example)
        except BaseException as error:
            answer.set_exception(error) if isinstance(error, Exception) else answer.cancel()
            if not answer.cancelled():
                answer.exception()  # marks it as seen: asyncio warns of an exception that nobody takes
            raise
        finally:
            del self._under_way[request.hash]
        answer.set_result(completion)
        return completion

    async def _claimed(self, request: Request, example: Example | None) -> Completion:
        """The reply, paid for here, or by another command that claimed the call first."""
        try:
            while self._sends and (claimed := await self._store.claim(request.hash)) != "ours":
                if claimed == "theirs":
                    await self._elsewhere.ended(request.hash)
                if (stored := self._store.get(request.hash)) is not None:
                    return _heard(_from_stored(stored))
        except StorageError:
            if kept_listener.get() is None:
                raise
            # Whoever listens takes an answer that cannot be stored, so it may be asked for without a claim as well.
        return await self._pay(request, example)

    async def _pay(self, request: Request, example: Example | None) -> Completion:
        now = self._now()
        paid, stored, reserved, cost_usd, created = False, False, 0.0, None, _second(now)
        try:
            reserved = await self.ledger.reserve(request, self.price_for(request))
            with PaidCall() as call:
                await call.begins()
                with told_safely() as failure:
                    completion = await self._call(request, example)
                paid = completion.was_paid
                if completion.usage is None:
                    completion = replace(completion, created=created)
                else:
                    usage = as_counted(completion.usage)
                    cost_usd, snapshot = call_cost(self._priced_as, usage, now, **self._own_prices)
                    completion = replace(
                        completion, created=created, usage=usage, cost_usd=cost_usd, price_snapshot=snapshot
                    )
                if paid:  # an answer that was not paid for is not stored, so that it is asked again next time
                    self.n_live, self.live_usd = self.n_live + 1, self.live_usd + (cost_usd or 0.0)
                    call.answered()  # the row is committed even if this task is cancelled meanwhile
                    completion = await self._kept(request, completion, created)
                    stored = not completion.is_unstored  # and with that the claim has ended
        finally:
            if self._sends and not stored:
                self._store.release(request.hash)
            await self.ledger.settle(reserved, cost_usd, paid=paid)
        if failure:
            raise failure[0]
        return completion

    async def _kept(self, request: Request, completion: Completion, created: str) -> Completion:
        """The completion, committed; or marked where it could not be, and somebody takes it all the same."""
        told = kept_listener.get()
        try:
            await self._store.put(_to_stored(request, completion, created))
        except StorageError as error:
            if told is None:
                raise
            told(error)
            return replace(completion, is_unstored=True)
        if told is not None:
            told(None)
        return completion

    def price_for(self, request: Request) -> Price | None:
        """The price at which to reserve the worst case; None: it is unknown, or there is no cap that would need one."""
        return None if self.ledger.max_usd is None else self.price_of(worst_case_input_tokens(request))

    async def claim_batch(self, hashes: Sequence[str], path: Path) -> set[str]:
        """Claim calls for a batch that is written down at `path`. Gives those that are ours to send."""
        batch = batch_of(path)
        claimed = await asyncio.gather(*(self._store.claim(hash_, batch=batch) for hash_ in hashes))
        return {hash_ for hash_, outcome in zip(hashes, claimed, strict=True) if outcome == "ours"}

    def release(self, request_hash: str) -> None:
        """Give up a claim of `claim_batch`, where no answer came that would end it."""
        self._store.release(request_hash)

    async def until_unclaimed(self, hashes: Sequence[str], sleep: Callable[[float], Awaitable[object]]) -> None:
        """Wait for calls that others have claimed, until they are answered or free."""
        await until_unclaimed(self._store, hashes, sleep)

    async def store_batched(self, request: Request, completion: Completion, share: float) -> float | None:
        """Commit an answer of a batch at this share of the list price, and give its cost."""
        now, cost_usd = self._now(), None
        if completion.usage is not None:
            usage = as_counted(completion.usage)
            cost_usd, snapshot = call_cost(self._priced_as, usage, now, **self._own_prices)
            cost_usd = None if cost_usd is None else share * cost_usd
            snapshot = snapshot and f"{snapshot}, {share:.0%}{_IN_A_BATCH}"
            completion = replace(completion, usage=usage, cost_usd=cost_usd, price_snapshot=snapshot)
        await self._store.put(_to_stored(request, completion, _second(now)))
        return cost_usd

    async def close(self) -> None:
        if self._close is not None:
            await self._close()


def _heard(completion: Completion) -> Completion:
    """The completion, told in one piece to whoever listens."""
    if completion.text and (heard := text_listener.get()) is not None:
        heard(completion.text)
    return completion


def batch_answered(completion: Completion) -> bool:
    """Whether a batch gave this answer. Its price says so, in the stores of all versions, and nothing else does."""
    return _IN_A_BATCH in (completion.price_snapshot or "")


def _to_stored(request: Request, completion: Completion, created: str) -> StoredCompletion:
    response: dict[str, Any] = {
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "error": completion.error,
    }
    if completion.token_logprobs is not None:
        response["token_logprobs"] = [list(pair) for pair in completion.token_logprobs]
    if completion.top_logprobs is not None:
        response["top_logprobs"] = [dict(place) for place in completion.top_logprobs]
    if completion.tool_calls is not None:
        response["tool_calls"] = [asdict(call) for call in completion.tool_calls]
    if completion.scores is not None:
        response["scores"] = dict(completion.scores)
    if completion.status is not None:
        response["status"] = completion.status
    if completion.thinking is not None:
        response["thinking"] = completion.thinking
    if completion.lacking:
        response["lacking"] = list(completion.lacking)
    return StoredCompletion(
        request_hash=request.hash,
        model=request.model,
        request=request.to_dict(),
        response=response,
        usage=completion.usage,
        cost_usd=completion.cost_usd,
        price_snapshot=completion.price_snapshot,
        latency_s=completion.latency_s,
        created=created,
    )


def _second(now: datetime) -> str:
    """ISO 8601, UTC, to the second."""
    return f"{now.isoformat()[:19]}Z"


def _from_stored(stored: StoredCompletion) -> Completion:
    logprobs, tops, calls = (stored.response.get(name) for name in ("token_logprobs", "top_logprobs", "tool_calls"))
    return Completion(
        stored.response.get("text"),
        error=stored.response.get("error"),
        finish_reason=stored.response.get("finish_reason"),
        usage=stored.usage,
        cost_usd=stored.cost_usd,
        price_snapshot=stored.price_snapshot,
        latency_s=stored.latency_s,
        token_logprobs=None if logprobs is None else tuple((token, value) for token, value in logprobs),
        top_logprobs=None if tops is None else tuple(tops),
        tool_calls=None if calls is None else tuple(ToolCall(**call) for call in calls),
        scores=stored.response.get("scores"),
        status=stored.response.get("status"),
        lacking=tuple(stored.response.get("lacking", ())),
        thinking=stored.response.get("thinking"),
        created=stored.created,
        from_store=True,
    )
