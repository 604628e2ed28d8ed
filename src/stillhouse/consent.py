"""What a command's calls will cost, and who says whether they may be paid for: one quote and one consent a command."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from stillhouse.errors import BudgetError
from stillhouse.notices import notice
from stillhouse.numbers import usd_in_sentence
from stillhouse.records import Estimate

UNASKED = 20  # so many calls are made without asking
_MUCH_MORE = 1.5  # later calls that cost this multiple of what was told of them are asked about again


@dataclass(frozen=True)
class Shown:
    """What the calls made so far show of those to come. None: nothing."""

    answer_bytes: float | None = None  # the mean length of an answer
    usd_per_call: float | None = None


@dataclass(frozen=True)
class Later:
    """At most `n` calls that follow in the same command. `cost_usd` is by the length of their texts; None: unknown."""

    n: int
    teacher: str
    cost_usd: float | None = None

    def __str__(self) -> str:
        calls = f"{'a call' if self.n == 1 else f'up to {self.n:,} calls'} of {self.teacher}"
        if self.cost_usd is None:
            return f"{calls} at a cost that cannot be told"
        return f"{calls} for about {usd_in_sentence(self.cost_usd, nothing='$0')} by the length of the texts"


@dataclass(frozen=True)
class Bulk:
    """Calls that will follow the first ones, at most `n`. `cost`: what they cost by what was shown; None: unknown."""

    n: int
    teacher: str
    price_snapshot: str | None
    cost: Callable[[Shown], float | None]

    def told(self, shown: Shown) -> Later:
        return Later(self.n, self.teacher, None if self.price_snapshot is None else self.cost(shown))


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
    shown: Shown = Shown()
    later: tuple[Later, ...] = ()  # what the same command pays for after these calls
    at_most: bool = False  # whether `n` is a bound, not a count

    @property
    def n_in_all(self) -> int:
        return self.n + sum(part.n for part in self.later)

    @property
    def total_usd(self) -> float | None:
        """About what the whole command will cost; None: a part of it cannot be told."""
        parts = [None if self.cost_usd is None else self.cost_usd.value, *(part.cost_usd for part in self.later)]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def __str__(self) -> str:
        then = f"; then {' and '.join(map(str, self.later))}" if self.later else ""
        if self.later and self.total_usd is not None:
            then += f"; about {usd_in_sentence(self.total_usd, nothing='$0')} in all"
        return f"{self._of_these}{then}{self._price}"

    @property
    def _price(self) -> str:
        return "" if self.cost_usd is None else f"; price: {self.price_snapshot}"

    @property
    def _of_these(self) -> str:
        cost = self.cost_usd
        if cost is None:
            calls = f"{self.n:,} calls" if self.n else "calls"
            return f"{calls} of {self.teacher} are still to be paid for, at a cost that cannot be told"
        good = "" if self.usable in (None, cost.n) else f", {self.usable} of them with a usable answer"
        span = ""
        if cost.low is not None and cost.high is not None:
            ends = f"{usd_in_sentence(cost.low, nothing='$0')} to {usd_in_sentence(cost.high, nothing='$0')}"
            span = f" ({cost.level:.0%} interval {ends}, {cost.n} rows asked{good})"
        calls = f"{'up to ' if self.at_most else ''}{self.n:,} calls"
        return f"{calls} of {self.teacher} will cost about {usd_in_sentence(cost.value, nothing='$0')}{span}"


class OneConsent:
    """One consent for all that a command pays for: the first quote tells what the later calls will cost as well.

    Later calls are asked about again only where they cost much more than was told. What has no price is said first.
    """

    def __init__(self, consent: "Consent", later: Sequence[Bulk]) -> None:
        self._consent, self._later = consent, list(later)
        self._agreed = False
        self._left_usd: float | None = None  # what was told of the calls that are still to come; None: not known

    @property
    def n_later(self) -> int:
        """How many calls may follow that nobody has agreed to yet."""
        return 0 if self._agreed else sum(bulk.n for bulk in self._later)

    def begins(self, *bulks: Bulk | None) -> None:
        """These calls come next: they bring a quote of their own."""
        self._later = [other for other in self._later if not any(other is bulk for bulk in bulks)]

    def before(self, quote: Quote) -> None:
        if self._agreed:
            return
        self._consent.before(replace(quote, later=tuple(bulk.told(quote.shown) for bulk in self._later)))
        for bulk in self._later:
            self._consent.before(Quote(bulk.n, bulk.teacher, price_snapshot=bulk.price_snapshot))

    def after(self, quote: Quote) -> None:
        if not self._agreed:
            later = tuple(bulk.told(quote.shown) for bulk in self._later)
            self._consent.after(replace(quote, later=later))
            self._agreed, self._left_usd = True, replace(quote, n=0, cost_usd=Estimate(0.0, 0), later=later).total_usd
        elif self._left_usd is None or quote.cost_usd is None:
            notice(str(quote))
        elif quote.cost_usd.value > _MUCH_MORE * self._left_usd:
            self._consent.after(quote)
            self._left_usd = 0.0
        else:
            notice(str(quote))
            self._left_usd -= quote.cost_usd.value

    def ask_alone(self, shown: Shown) -> None:
        """Ask about the later calls where no calls before them were asked about. Raises what the consent raises."""
        if self.n_later <= UNASKED:
            self._later = []  # so few calls are made without asking
            return
        first, *rest = self._later
        cost_usd = first.told(shown).cost_usd
        quote = Quote(
            first.n,
            first.teacher,
            None if cost_usd is None else Estimate(cost_usd, 0),
            price_snapshot=first.price_snapshot,
            shown=shown,
            at_most=True,
        )
        self._later = rest
        self.before(quote)
        self.after(quote)
        self._left_usd = None if self._left_usd is None or cost_usd is None else self._left_usd + cost_usd


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
