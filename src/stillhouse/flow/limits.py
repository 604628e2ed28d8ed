"""Limits on what a part of a flow may use: steps, tokens, dollars, seconds.

They nest. A limit that is exceeded is named, and the trace up to there is kept.

    async with limits(steps=30, dollars=0.10):
        answer = await helper(question)

Replayed steps, and those in their bodies, count as they did when they ran, so a resumed run has no more to spend than
the first. Seconds are those of this sitting. Before a model is asked, what the call is likely to use at most is set
aside: its prompt, and the longest reply that it allows. So no call passes a limit in tokens or dollars, but by what an
estimate of the prompt is wrong by.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from contextvars import Token
from typing import Any, Self

from stillhouse.errors import PriceUnknownError, StillhouseError, UserError
from stillhouse.flow.call import active_limits, facts_of
from stillhouse.llm.ledger import likely_tokens, worst_case_usd
from stillhouse.llm.prices import Price, check_prices
from stillhouse.llm.request import Request
from stillhouse.numbers import usd_as_given


class LimitExceeded(StillhouseError):
    """A limit of this flow, or of a part of it, is reached. What ran until then is journaled.

    `trace`: the turns of the agent that it ended, if any.
    """

    trace: tuple[Any, ...] = ()
    full: "Limits | None" = None  # the limit that has no room while other calls are under way, and may have it later


def _own_price(price_in: float | None, price_out: float | None) -> Price | None:
    if price_in is None and price_out is None:
        return None
    if price_in is None or price_out is None:
        raise UserError("a price for input or output tokens alone prices no call; give both price_in and price_out")
    check_prices(price_in=price_in, price_out=price_out)
    return Price(
        price_in,
        price_out,
        f"{usd_as_given(price_in)} in, {usd_as_given(price_out)} out per million tokens, given in limits()",
    )


def price_given() -> Price | None:
    """The price that the innermost `limits` block gives for models that no table knows."""
    return next((limit.own_price for limit in reversed(active_limits.get()) if limit.own_price is not None), None)


class Limits:
    """One `limits(...)` block, and what was used in it."""

    def __init__(
        self,
        *,
        name: str = "",
        steps: int | None = None,
        tokens: int | None = None,
        dollars: float | None = None,
        seconds: float | None = None,
        price_in: float | None = None,
        price_out: float | None = None,
    ) -> None:
        """`price_in`, `price_out`: US$ per million tokens of models whose price no table knows, such as your own."""
        self.name, self.max_steps, self.max_tokens = name, steps, tokens
        self.max_dollars, self.max_seconds = dollars, seconds
        self.own_price = _own_price(price_in, price_out)
        self.steps, self.tokens, self.dollars = 0, 0, 0.0
        self.n_doubtful = 0  # calls whose token counts are unknown or do not add up
        self._reserved, self._reserved_tokens = 0.0, 0
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.Timeout | None = None
        self._token: Token[tuple[Limits, ...]] | None = None

    def step(self, name: str) -> None:
        """Count one step, before it runs."""
        if self.max_steps is not None and self.steps >= self.max_steps:
            limit = self._limit(f"{self.max_steps} steps")
            raise LimitExceeded(f"{limit} is reached before {name}; raise it, or give the flow less to do")
        self.steps += 1

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        return self._timer is not None and self._timer.expired()

    def expire(self) -> None:
        """Let its time be over now."""
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time())

    def replayed(self, facts: str | None) -> None:
        """Count what a journaled step used when it ran."""
        if self.max_tokens is not None or self.max_dollars is not None:
            self._count(facts_of(facts))

    def _count(self, used: Mapping[str, Any]) -> None:
        """What a call paid for: not what came out of the store, and also what an answer used that it replaced."""
        tokens = sum(used.get(name) or 0 for name in ("input_tokens", "output_tokens", "at_most_tokens"))
        dollars = (used.get("cost_usd") or 0.0) + (used.get("at_most_usd") or 0.0)
        self.n_doubtful += bool(used.get("usage_doubts") or used.get("at_most_tokens"))
        self.spent(
            max(0, tokens - (used.get("stored_tokens") or 0)), max(0.0, dollars - (used.get("stored_usd") or 0.0))
        )
        if (replaced := used.get("replaced")) is not None:
            self._count(replaced)

    def spent(self, tokens: int, dollars: float) -> None:
        self.tokens += tokens
        self.dollars += dollars

    def worst_case(self, request: Request, price: Price | None) -> float:
        """What a model call may cost at most, US$.

        Raises LimitExceeded where that, or the tokens it is likely to use at most, could pass the limit;
        PriceUnknownError.
        """
        if self.max_tokens is not None:
            likely = likely_tokens(request)
            if self.tokens + self._reserved_tokens + likely > self.max_tokens:
                used = f"{self.tokens} used{self._of_doubt()}, the next call may use up to {likely}"
                raise self._reached(
                    f"{self._limit(f'{self.max_tokens} tokens')} is reached ({used}); "
                    "raise it, allow shorter replies (max_tokens=), or give the flow less to do",
                    may_have_room=self.tokens + likely <= self.max_tokens,
                )
        if self.max_dollars is None:
            return 0.0
        if price is None:
            cannot = (
                f"no price is known for {request.model}, so a limit of {usd_as_given(self.max_dollars)} cannot be kept"
            )
            raise PriceUnknownError(f"{cannot}; give limits(price_in=, price_out=), or limit tokens")
        worst = worst_case_usd(request, price)
        if self.dollars + self._reserved + worst > self.max_dollars:
            spent = f"${self.dollars:.4f} spent{self._of_doubt()}, the next call may cost up to ${worst:.4f}"
            raise self._reached(
                f"{self._limit(usd_as_given(self.max_dollars))} is reached ({spent}); "
                "raise it: what was answered is stored and is not paid for twice",
                may_have_room=self.dollars + worst <= self.max_dollars,
            )
        return worst

    def _reached(self, message: str, *, may_have_room: bool) -> LimitExceeded:
        error = LimitExceeded(message)
        error.full = self if may_have_room else None
        return error

    def reserve(self, dollars: float, tokens: int = 0) -> None:
        """Set this much aside while a call is under way; a negative amount gives it back."""
        self._reserved = max(0.0, self._reserved + dollars)
        self._reserved_tokens = max(0, self._reserved_tokens + tokens)
        if dollars < 0 or tokens < 0:
            waiting, self._waiting = self._waiting, []
            for settled in waiting:
                with contextlib.suppress(RuntimeError):  # its loop is closed
                    settled.get_loop().call_soon_threadsafe(_tell, settled)

    async def settled(self) -> None:
        """Wait until a call that is under way gives back what was set aside for it."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(settled)
        await settled

    def _of_doubt(self) -> str:
        calls = "1 call" if self.n_doubtful == 1 else f"{self.n_doubtful} calls"
        doubted = f"; {calls} with token counts that are unknown or do not add up, at the most that they can mean"
        return doubted if self.n_doubtful else ""

    def _limit(self, amount: str) -> str:
        return f"the limit of {amount}{f' of {self.name}' if self.name else ''}"

    async def __aenter__(self) -> Self:
        self._token = active_limits.set((*active_limits.get(), self))
        if self.max_seconds is not None:
            self._timer = asyncio.timeout(self.max_seconds)
            await self._timer.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        assert self._token is not None
        active_limits.reset(self._token)
        if self._timer is None:
            return
        try:
            await self._timer.__aexit__(kind, error, trace)
        except TimeoutError:
            limit = self._limit(f"{self.max_seconds:g} s")
            raise LimitExceeded(f"{limit} is reached; raise it, or give the flow less to do") from error


def _tell(settled: "asyncio.Future[None]") -> None:
    if not settled.done():
        settled.set_result(None)


limits = Limits
