"""The budget of one command: the worst case of a call is reserved before it is sent, so the cap is never exceeded."""

import asyncio
import json
from typing import Protocol

from stillhouse.errors import BudgetError, PriceUnknownError
from stillhouse.llm.prices import Price
from stillhouse.llm.request import Request, text_of

_DEFAULT_MAX_TOKENS = 4096  # reserved for a reply whose request names no max_tokens


class Budget(Protocol):
    """Who is asked before a call is paid for, and told what it cost."""

    @property
    def max_usd(self) -> float | None:
        """The cap; None: there is none, and no price is needed."""
        ...

    async def reserve(self, request: Request, price: Price | None) -> float: ...

    async def settle(self, reserved: float, cost_usd: float | None, *, paid: bool) -> None: ...


class Ledger:
    """What was spent, what is reserved, and the cap. `spent_usd` is None once a call was paid for at an unknown price."""

    def __init__(self, max_usd: float | None = None) -> None:
        self.max_usd = max_usd
        self.spent_usd: float | None = 0.0
        self._reserved = 0.0
        self._changed = asyncio.Condition()

    async def reserve(self, request: Request, price: Price | None) -> float:
        """Set the worst case of this call aside and return it. Waits while calls in flight may still free enough; raises BudgetError when none can."""
        if self.max_usd is None:
            return 0.0
        if price is None:
            raise PriceUnknownError(f"no price is known for {request.model}, so max_usd = {self.max_usd:g} cannot be kept; give --price-in and --price-out")
        worst = worst_case_usd(request, price)
        async with self._changed:
            while (self.spent_usd or 0.0) + self._reserved + worst > self.max_usd:
                if self._reserved < 1e-9:  # nothing is under way; sums of floats may leave a trace, less than any token costs
                    raise BudgetError(
                        f"the next call may cost up to ${worst:.4f} and would pass the cap of ${self.max_usd:g} (${self.spent_usd or 0:.4f} spent); "
                        "raise --max-usd and run this again: what was answered is stored and is not paid for twice"
                    )
                await self._changed.wait()
            self._reserved += worst
        return worst

    async def settle(self, reserved: float, cost_usd: float | None, *, paid: bool) -> None:
        """Replace a reservation by what the call cost. A call that was not answered was not paid for."""
        async with self._changed:
            self._reserved = max(0.0, self._reserved - reserved)
            if paid and cost_usd is None:  # with a cap, an answer without token counts counts as its worst case
                self.spent_usd = None if self.max_usd is None else (self.spent_usd or 0.0) + reserved
            elif paid and self.spent_usd is not None:
                self.spent_usd += cost_usd or 0.0
            self._changed.notify_all()


def worst_case_input_tokens(request: Request) -> int:
    """An upper bound on the tokens of a prompt: each is at least one byte, and each message adds a few for its role."""
    beside = [part for part in (request.schema, request.parameters.get("tools"), request.parameters.get("decision")) if part is not None]
    return sum(len(text_of(message).encode()) + 8 for message in request.messages) + sum(len(json.dumps(part)) for part in beside)


def worst_case_usd(request: Request, price: Price) -> float:
    """An upper bound on the cost of one call, at the price of a prompt of that length."""
    n_input = worst_case_input_tokens(request)
    dearest = max(price.input_usd_per_m, price.written_usd_per_m or 0.0)  # all of it may go into the provider's cache
    return (n_input * dearest + (request.max_tokens or _DEFAULT_MAX_TOKENS) * price.output_usd_per_m) / 1e6
