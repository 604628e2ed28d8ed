"""The money of a result: what was spent once, what a call costs, and when an arm pays for itself.

And from which worth of a right answer on the choice between two arms flips.
"""

from datetime import date
from typing import Annotated

from pydantic import Field

from stillhouse.results.record import Dollars, record


@record
class OneOff:
    """Money spent once. `usd` None: not known. `counted` False: it was spent whatever is decided now."""

    what: str
    usd: Dollars | None
    note: str | None = None
    counted: bool = True


@record
class CostLine:
    """What `calls` calls of an arm cost in all. None: not known.

    The sum is fixed_usd + usd_per_call * calls, and renewal_usd after every `renewal_calls` of them.
    """

    name: str
    fixed_usd: Dollars | None
    usd_per_call: Dollars | None
    note: str | None = None
    renewal_usd: Dollars | None = None
    renewal_calls: Annotated[float, Field(gt=0)] | None = None  # None: the payment never comes back

    @property
    def known(self) -> bool:
        """Whether it is known what calls of this arm cost."""
        return self.fixed_usd is not None and self.usd_per_call is not None

    def total_usd(self, calls: float) -> float:
        """What so many calls cost in all. Raises ValueError where that is not known."""
        if self.fixed_usd is None or self.usd_per_call is None:
            raise ValueError(f"what {self.name} costs is not known")
        renewals = self.renewal_usd * (calls // self.renewal_calls) if self.renewal_usd and self.renewal_calls else 0.0
        return self.fixed_usd + self.usd_per_call * calls + renewals


@record
class BreakEven:
    """From how many calls on `arm` is cheaper than `against`, for good.

    `calls` None: never, or not known; `pays_off` (None: not known) and the sentence say which. `day` None: nobody said
    how many calls there are a day.
    """

    arm: str
    against: str
    calls: Annotated[float, Field(ge=0)] | None
    sentence: str
    day: date | None = None
    pays_off: bool | None = None


@record
class PriceBound:
    """The price that is not known, and from where on it makes the arm pay off, as a sentence.

    `never`: at no price.
    """

    arm: str
    sentence: str
    never: bool = False


@record(kw_only=True)
class NetBenefit:
    """What `arm` brings against another over `calls` calls, in US dollars; see `verdict.money.net_benefit`.

    `days`: the horizon; None: nobody said how many calls there are a day, and what is spent once is left out.
    `saving_low` and `saving_high` are its two-sided interval at `level`. `worth_usd`: what the user says a right answer
    is worth; None: not said, and then there is no net benefit. `net_low` is its one-sided bound at `level`.
    """

    arm: str
    against: str
    calls: Annotated[float, Field(gt=0)]
    days: int | None
    saving_usd: float
    saving_low: float
    saving_high: float
    least_usd: float = 0.0  # a smaller saving is no reason to change an app
    unit: str = "right answer"  # what `worth_usd` is the worth of
    worth_usd: float | None = None
    net_usd: float | None = None
    net_low: float | None = None
    level: float
    n: int

    @property
    def pays_off(self) -> bool:
        """Whether the arm is shown to save enough to be a reason."""
        return self.saving_low > 0 and self.saving_usd > self.least_usd

    @property
    def brings(self) -> bool | None:
        """Whether saving and right answers together are shown to be worth it; None: no worth is known."""
        return None if self.net_low is None else self.net_low > 0


@record
class CallPart:
    """A part of the prompt's calls: its mean tokens per call, and its price per 1,000 calls at `Money.rates`."""

    what: str
    tokens: float
    usd_per_1000: Dollars | None


@record(kw_only=True)
class AnswerWorth:
    """What one more correct answer must be worth for the choice between `arm` and `against` to flip.

    `usd_difference` and `score_difference` are arm minus against, per call, on the same n rows. `flips_at`: that worth
    in US dollars; None: no worth makes the choice flip, as the arm is both cheaper and better, or neither. `low` and
    `high` are its interval at `level`; None: no worth is low, or high, enough to be sure. `shares[i]`: the share of
    bootstrap draws in which the arm is the better buy at `values[i]`; `at_yours`: the share at `yours`, the worth that
    the user named.
    """

    arm: str
    against: str
    usd_difference: float
    score_difference: float
    n: int
    flips_at: Dollars | None
    low: Dollars | None
    high: Dollars | None
    level: float
    values: tuple[Annotated[float, Field(gt=0)], ...]
    shares: tuple[float, ...]
    sentence: str
    yours: Dollars | None = None
    at_yours: float | None = None
    n_draws: Annotated[int, Field(ge=1)] = 1

    def __post_init__(self) -> None:
        if len(self.values) != len(self.shares):
            raise ValueError(f"an acceptability curve of {len(self.values)} values has {len(self.values)} shares")

    def share_at(self, value: float) -> float:
        """The share of draws at any worth: on the line between the `values` around it, level beyond the outer ones."""
        curve = list(zip(self.values, self.shares, strict=True))
        before = max((point for point in curve if point[0] <= value), default=curve[0])
        after = min((point for point in curve if point[0] >= value), default=curve[-1])
        part = 0.0 if after[0] == before[0] else (value - before[0]) / (after[0] - before[0])
        return before[1] + part * (after[1] - before[1])


@record(kw_only=True)
class Money:
    """What was paid once, what each call costs, where the lines cross, and what an answer must be worth."""

    one_off: tuple[OneOff, ...] = ()
    lines: tuple[CostLine, ...] = ()
    break_even: tuple[BreakEven, ...] = ()
    assumptions: tuple[str, ...] = ()
    call_parts: tuple[CallPart, ...] = ()  # parts of the prompt's calls on the test rows
    rates: str | None = None
    n_calls: int = 0  # number of calls that `call_parts` is the mean over
    calls_per_day: Annotated[float, Field(gt=0)] | None = None
    worth: tuple[AnswerWorth, ...] = ()
    net: tuple[NetBenefit, ...] = ()  # arms of which every price is known
    bounds: tuple[PriceBound, ...] = ()  # arms of which a price is missing, their own machine's or the prompt's
    retirement: str | None = None  # that the prompt's model is switched off, and when
    unit: str = "correct answer"  # name of what a score of 1 stands for
