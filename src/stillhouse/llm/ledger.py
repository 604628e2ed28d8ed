"""The budget of one command: the worst case of a call is reserved before it is sent, so the cap is never exceeded."""

import asyncio
import json
from typing import Protocol

from stillhouse.errors import BudgetError, PriceUnknownError, UserError
from stillhouse.llm.prices import Price
from stillhouse.llm.request import Request, text_of
from stillhouse.numbers import usd_in_sentence

_DEFAULT_MAX_TOKENS = 4096  # reserved for a reply whose request names no max_tokens
_DECISION_TOKENS = 64  # a decision is one of the choices, and not a text
BYTES_A_TOKEN = 3  # English has about four, JSON and most other scripts about three
_NOTHING_USD = 1e-9  # a reserve below this is a sum's rounding, not money: any token costs more


class Budget(Protocol):
    """Whoever is asked before a call is paid for, and told what it cost."""

    @property
    def max_usd(self) -> float | None:
        """The cap; None: there is none, and no price is needed."""
        ...

    async def reserve(self, request: Request, price: Price | None) -> float: ...

    async def settle(self, reserved: float, cost_usd: float | None, *, paid: bool) -> None: ...


class Ledger:
    """What was spent, what is reserved, and the cap. `spent_usd`: None once a call was paid for at an unknown price."""

    def __init__(self, max_usd: float | None = None) -> None:
        if max_usd is not None and not max_usd >= 0:  # refuse NaN, too: no sum would ever exceed such a cap
            raise UserError(f"max_usd = {max_usd}: no cap; give US$, 0 or more, with --max-usd")
        self.max_usd = max_usd
        self.spent_usd: float | None = 0.0
        self._reserved = 0.0
        self._has_settled = False
        # The most that a call has cost, as a multiple of its worst case: some providers bill more than they may.
        self._excess = 1.0
        self._waiting: list[asyncio.Future[None]] = []

    async def reserve(self, request: Request, price: Price | None) -> float:
        """Set the worst case of this call aside and return it.

        Waits while calls under way may turn out cheaper than reserved. Raises BudgetError where none is under way.
        Under a cap the first call goes alone: it shows whether the provider bills more than the worst case.
        """
        while (over := self._over(worst := self._worst(request, price))) is not None or self._first_is_under_way:
            if over is not None and self._reserved < _NOTHING_USD:
                raise over
            settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(settled)
            await settled
        self._reserved += worst  # nothing was awaited since the check, so the cap still has room for this call
        return worst

    def reserve_now(self, request: Request, price: Price | None, share: float) -> float:
        """As `reserve`, for a call at a share of the price; raises BudgetError rather than wait."""
        worst = share * self._worst(request, price)
        if (over := self._over(worst)) is not None:
            raise over
        self._reserved += worst
        return worst

    def release(self, reserved: float) -> None:
        """Give back what was reserved for a call that was not made."""
        self._reserved = max(0.0, self._reserved - reserved)

    def _worst(self, request: Request, price: Price | None) -> float:
        if self.max_usd is None:
            return 0.0
        if price is None:
            raise PriceUnknownError(
                f"no price is known for {request.model}, so max_usd = {self.max_usd:g} cannot be kept; "
                "give --price-in and --price-out"
            )
        return worst_case_usd(request, price)

    @property
    def _first_is_under_way(self) -> bool:
        return self.max_usd is not None and not self._has_settled and self._reserved >= _NOTHING_USD

    def _over(self, worst: float) -> BudgetError | None:
        """Why this much more cannot be reserved now."""
        under_way = self._excess * (self._reserved + worst)
        if self.max_usd is None or (self.spent_usd or 0.0) + under_way <= self.max_usd:
            return None
        return BudgetError(
            f"the next call may cost up to {usd_in_sentence(self._excess * worst)} and would pass the cap of "
            f"{usd_in_sentence(self.max_usd)} ({usd_in_sentence(self.spent_usd or 0)} spent); "
            "raise --max-usd and run this again: what was answered is stored and is not paid for twice"
        )

    async def settle(self, reserved: float, cost_usd: float | None, *, paid: bool) -> None:
        """Replace a reservation by what the call cost. `paid` False: the call was not answered, and cost nothing."""
        self._reserved, self._has_settled = max(0.0, self._reserved - reserved), True
        if reserved and cost_usd is not None:
            self._excess = max(self._excess, cost_usd / reserved)
        if paid and cost_usd is None:  # under a cap, an answer whose tokens are not known counts as its worst case
            self.spent_usd = None if self.max_usd is None else (self.spent_usd or 0.0) + self._excess * reserved
        elif paid and self.spent_usd is not None:
            self.spent_usd += max(0.0, cost_usd or 0.0)  # no call gives money back, whatever was counted for it
        waiting, self._waiting = self._waiting, []
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)


def worst_case_input_tokens(request: Request) -> int:
    """An upper bound on the tokens of a prompt: each is at least one byte, and each message adds a few for its role."""
    n_messages = sum(len(text_of(message).encode()) + 8 for message in request.messages)
    beside = (request.schema, request.parameters.get("tools"), request.parameters.get("decision"))
    return n_messages + sum(len(json.dumps(part)) for part in beside if part is not None)


def likely_tokens(request: Request) -> int:
    """An estimate of a prompt's tokens, of three bytes each, and the longest reply that the request allows."""
    n_output = _DECISION_TOKENS if "decision" in request.parameters else worst_case_output_tokens(request)
    return -(-worst_case_input_tokens(request) // BYTES_A_TOKEN) + n_output


def worst_case_output_tokens(request: Request) -> int:
    return request.max_tokens or _DEFAULT_MAX_TOKENS


def worst_case_usd(request: Request, price: Price) -> float:
    """An upper bound on the cost of one call, at the price of a prompt of that length."""
    n_input = worst_case_input_tokens(request)
    # The provider may write the whole prompt into its cache, which some providers charge more for.
    dearest = max(price.input_usd_per_m, price.written_usd_per_m or 0.0)
    return (n_input * dearest + worst_case_output_tokens(request) * price.output_usd_per_m) / 1e6
