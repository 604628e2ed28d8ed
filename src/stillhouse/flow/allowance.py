"""What the model calls of one command may cost, whatever flow makes them: prices, a cap, and the user's word.

How many calls a flow makes is known when it has made them. So the first calls are the pilot; before the next one the
user is told what all of them will cost, as far as those made and the share of the work done tell it.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from stillhouse.consent import Consent, Quote
from stillhouse.errors import StillhouseError
from stillhouse.flow.call import active_limits, current_call
from stillhouse.flow.limits import LimitExceeded, price_given
from stillhouse.llm.ledger import Ledger, likely_tokens
from stillhouse.llm.prices import Price, known_price
from stillhouse.llm.request import Request
from stillhouse.settings import ModelSettings

# The tokens that are set aside for calls of the running task which are under way, the last one last.
_set_aside: ContextVar[tuple[int, ...]] = ContextVar("stillhouse_set_aside", default=())


class RunBudget:
    """The budget of a run's model calls: each `limits` block around the call must allow it."""

    @property
    def max_usd(self) -> float | None:
        return min((limit.max_dollars for limit in active_limits.get() if limit.max_dollars is not None), default=None)

    async def reserve(self, request: Request, price: Price | None) -> float:
        """Set the call's worst case aside in each limit.

        Waits while calls under way may turn out smaller than that. Raises LimitExceeded where it does not fit.
        """
        around, price = active_limits.get(), price or price_given()
        while True:
            try:
                worst = max((limit.worst_case(request, price) for limit in around), default=0.0)
                break
            except LimitExceeded as error:
                if error.full is None:
                    raise
                await error.full.settled()
        tokens = likely_tokens(request) if around else 0
        _set_aside.set((*_set_aside.get(), tokens))
        for limit in around:
            limit.reserve(worst, tokens)
        return worst

    async def settle(self, reserved: float, cost_usd: float | None, *, paid: bool) -> None:
        *before, tokens = _set_aside.get() or (0,)
        _set_aside.set(tuple(before))
        for limit in active_limits.get():
            limit.reserve(-reserved, -tokens)
            if paid and cost_usd is None and price_given() is None:
                limit.spent(0, reserved)  # what a paid call of unknown cost may have cost at most
        if (
            paid
            and cost_usd is None
            and price_given() is None
            and reserved
            and (call := current_call.get()) is not None
        ):
            call.facts["at_most_usd"] = call.facts.get("at_most_usd", 0.0) + reserved


class Allowance(RunBudget):
    """The budget of all endpoint calls of a command, beside the limits of its flows.

    `n_least`: how many calls there will be at least. `share_done` tells how much of the work is done, from 0 to 1, in
    pieces that are each a `piece_of_work`. Without a `consent` nobody is asked.
    """

    def __init__(
        self,
        settings: ModelSettings,
        consent: Consent | None = None,
        *,
        n_least: int = 0,
        share_done: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.settings, self.ledger = settings, Ledger(settings.max_usd)
        self.refusal: StillhouseError | None = None  # why no more calls are made
        self._consent, self._n_least, self._share_done = consent, n_least, share_done
        # Imported late, because a flow without models does not need the HTTP client.
        from stillhouse.llm.models import given_prices

        given_prices(settings, "")  # prices that are none are refused before anything is paid for
        self._n, self._costs, self._asking = 0, list[float](), asyncio.Lock()
        self._n_of_done = 0  # paid calls of the pieces that are done
        self._may_begin = self._agreed = consent is None

    @property
    def max_usd(self) -> float | None:
        caps = [cap for cap in (super().max_usd, self.ledger.max_usd) if cap is not None]
        return min(caps, default=None)

    async def reserve(self, request: Request, price: Price | None) -> float:
        try:
            await self._agree(request)
            own = await self.ledger.reserve(request, price)
        except StillhouseError as error:
            self.refusal = self.refusal or error
            raise
        try:
            return max(own, await super().reserve(request, price))
        except BaseException:
            self.ledger.release(own)
            raise

    def check(self) -> None:
        """Raise the refusal of a call, which a flow may have caught and lived with."""
        if self.refusal is not None:
            raise self.refusal

    async def settle(self, reserved: float, cost_usd: float | None, *, paid: bool) -> None:
        await super().settle(reserved, cost_usd, paid=paid)
        await self.ledger.settle(reserved, cost_usd, paid=paid)
        if paid and cost_usd is not None:
            self._costs.append(cost_usd)
            if (piece := _piece.get()) is not None:
                piece.n_paid += 1

    def ended(self, piece: "_Piece") -> None:
        """A piece of the work is done."""
        self._n_of_done += piece.n_paid

    async def _agree(self, request: Request) -> None:
        self._n += 1
        # Imported late, because a flow without models does not need the HTTP client.
        from stillhouse.llm.pilot import N_PILOT, total_cost

        if self._agreed or (self._n <= N_PILOT and (self._may_begin or self._n_least <= N_PILOT)):
            return
        async with self._asking:
            self.check()
            assert self._consent is not None
            # Imported late, because a flow without models does not need the HTTP client.
            from stillhouse.llm.models import given_prices

            price = known_price(request.model, datetime.now(UTC), **given_prices(self.settings, request.model))
            n, share = max(self._n, self._n_least), self._share_done()
            quote = Quote(n, request.model, price_snapshot=None if price is None else price.snapshot)
            if not self._may_begin:
                self._consent.before(quote)
                self._may_begin = True
            if self._n > N_PILOT and not self._agreed:
                n = max(n, math.ceil(self._n_of_done / share)) if share else n
                cost = total_cost(self._costs, n) if self._costs and price is not None else None
                self._consent.after(
                    Quote(n, request.model, cost, self.ledger.spent_usd, None if cost is None else quote.price_snapshot)
                )
                self._agreed = True


class _Piece:
    """One piece of a command's work, such as a case of a test."""

    n_paid = 0


_piece: ContextVar[_Piece | None] = ContextVar("piece_of_work", default=None)


@contextmanager
def piece_of_work() -> Iterator[None]:
    """In this block one piece is done: what it paid for tells what the pieces that are left will."""
    piece = _Piece()
    token = _piece.set(piece)
    try:
        yield
    finally:
        _piece.reset(token)
    if (allowance := active_allowance.get()) is not None:
        allowance.ended(piece)


active_allowance: ContextVar[Allowance | None] = ContextVar("stillhouse_allowance", default=None)


@contextmanager
def allowing(allowance: Allowance) -> Iterator[None]:
    """In this block, the models that flows open are asked within this allowance."""
    token = active_allowance.set(allowance)
    try:
        yield
    finally:
        active_allowance.reset(token)
