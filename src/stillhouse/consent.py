"""What a bulk of calls will cost, and who says whether it may be paid for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stillhouse.errors import BudgetError
from stillhouse.numbers import usd_in_sentence
from stillhouse.records import Estimate


@dataclass(frozen=True)
class Quote:
    """`n` calls (0: it is not known how many) are still to be paid for.

    `cost_usd` is of all of them; None where it cannot be told.

    `paid_usd` is the part of it that the pilot has paid already.
    """

    n: int
    teacher: str
    cost_usd: Estimate | None = None
    paid_usd: float | None = None
    price_snapshot: str | None = None
    usable: int | None = None  # number of the pilot's answers that can be used; None: no pilot of rows was asked
    from_store: int = 0  # number of the pilot's answers that another command paid for meanwhile

    def __str__(self) -> str:
        cost = self.cost_usd
        if cost is None:
            calls = f"{self.n:,} calls" if self.n else "calls"
            return f"{calls} of {self.teacher} are still to be paid for, at a cost that cannot be told"
        good = "" if self.usable in (None, cost.n) else f", {self.usable} of them with a usable answer"
        span = ""
        if cost.low is not None and cost.high is not None:
            ends = f"{usd_in_sentence(cost.low, nothing='$0')} to {usd_in_sentence(cost.high, nothing='$0')}"
            span = f" ({cost.level:.0%} interval {ends}, {cost.n} rows asked{good})"
        will_cost = (
            f"{self.n:,} calls of {self.teacher} will cost about {usd_in_sentence(cost.value, nothing='$0')}{span}"
        )
        return f"{will_cost}; price: {self.price_snapshot}"


@dataclass(frozen=True)
class LaterToo:
    """Consent to a bulk of calls that others will follow: what cannot be agreed to then is said before this one."""

    consent: "Consent"
    later: tuple[Quote, ...]

    def before(self, quote: Quote) -> None:
        self.consent.before(quote)
        for other in self.later:
            self.consent.before(other)

    def after(self, quote: Quote) -> None:
        self.consent.after(quote)


class Consent(Protocol):
    """Who says whether a bulk of calls may be paid for. Both methods raise UserError for no."""

    def before(self, quote: Quote) -> None:
        """Before the pilot: all that is known is how many calls there will be, and whether their price is known."""
        ...

    def after(self, quote: Quote) -> None:
        """After the pilot, with the estimate."""
        ...


class AskedFirst:
    """Consent by one callable: it is given the estimate and says whether to go on.

    Where no price is known it is asked before the pilot as well, with a quote whose `cost_usd` is None.
    """

    def __init__(self, agrees: Callable[[Quote], bool]) -> None:
        self._agrees = agrees

    def before(self, quote: Quote) -> None:
        if quote.price_snapshot is None:
            self.after(quote)

    def after(self, quote: Quote) -> None:
        if not self._agrees(quote):
            raise BudgetError(f"not agreed to: {quote}; what was answered so far is stored")
