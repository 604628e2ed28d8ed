"""What a call costs, by the price of a token: input, output, cached and written input.

Prices carry a date: for history they are in our own table, for today in `genai-prices` (offline). A price that is not
known is None, never 0. Each call is priced by itself: some providers charge another rate beyond a prompt length, so the
tokens of several calls must never be summed and priced as one.
"""

import functools
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypedDict

from stillhouse.errors import UserError
from stillhouse.llm.usage import as_counted
from stillhouse.numbers import usd_as_given
from stillhouse.records import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. Reasoning tokens are output tokens."""

    input_usd_per_m: float
    output_usd_per_m: float
    snapshot: str  # where the price comes from, and its date
    # Price of input that the provider had in its cache. None: the same as for other input.
    cached_usd_per_m: float | None = None
    # Price of input that goes into the provider's cache; None: the same as for other input.
    written_usd_per_m: float | None = None
    # True where the price is from `genai-prices`, whose rates may depend on the prompt's length.
    from_table: bool = False

    def cost_usd(self, usage: Usage) -> float | None:
        """The cost of one call; None where the provider did not say how many tokens it counted."""
        usage = as_counted(usage)
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        tokens = usage.cached_input_tokens or 0, usage.written_input_tokens or 0
        special = zip(tokens, (self.cached_usd_per_m, self.written_usd_per_m), strict=True)
        surcharges = (n * (rate - self.input_usd_per_m) for n, rate in special if rate is not None)
        tokens_usd = usage.input_tokens * self.input_usd_per_m + usage.output_tokens * self.output_usd_per_m
        unplaced_usd = usage.unplaced_tokens * max(0.0, self.input_usd_per_m - self.output_usd_per_m)
        return (tokens_usd + sum(surcharges) + unplaced_usd) / 1e6


class GivenPrices(TypedDict):
    """A user's own prices, US dollars per million tokens, as `known_price` and `call_cost` take them; None: none."""

    price_in: float | None
    price_out: float | None
    price_cached: float | None
    price_written: float | None


@dataclass(frozen=True, slots=True)
class _Dated:
    model: str
    since: str
    until: str  # the first day on which the price no longer holds
    input_usd_per_m: float
    output_usd_per_m: float


# Prices that today's tables no longer hold, from OpenAI's announcements of the dates named here.
_HISTORY = (
    _Dated("text-davinci-003", "2022-11-28", "2024-01-04", 20.0, 20.0),
    _Dated("gpt-3.5-turbo", "2023-03-01", "2023-06-13", 2.0, 2.0),
    _Dated("gpt-3.5-turbo", "2023-06-13", "2023-11-06", 1.5, 2.0),
)


def known_price(
    model: str,
    when: datetime | None = None,
    *,
    price_in: float | None = None,
    price_out: float | None = None,
    price_cached: float | None = None,
    price_written: float | None = None,
    n_input: int = 1000,
    batch: bool = False,
) -> Price | None:
    """The list price of a model on a day (default: today); None where no table knows it.

    A price that the user gives goes before any table. `model` may carry a provider (`openai:NAME`). Some models cost
    more beyond a prompt length: the rates are those of a prompt of `n_input` tokens. `batch`: the price of calls that
    may wait; None where the table has no such price. Raises UserError for a price that is negative or no number.
    """
    return _price_on(
        model, _midnight(when or datetime.now(UTC)), price_in, price_out, price_cached, price_written, n_input, batch
    )


@functools.lru_cache(maxsize=1024)  # every call asks for a price, and most of them for the same one
def _price_on(
    model: str,
    day: datetime,
    price_in: float | None,
    price_out: float | None,
    price_cached: float | None,
    price_written: float | None,
    n_input: int,
    batch: bool,
) -> Price | None:
    check_prices(price_in=price_in, price_out=price_out, price_cached=price_cached, price_written=price_written)
    if price_in is not None and price_out is not None:
        special = (("cached", price_cached), ("written", price_written))
        more = "".join(f", {usd_as_given(rate)} {what}" for what, rate in special if rate is not None)
        snapshot = (
            f"given by the user: {usd_as_given(price_in)} in, {usd_as_given(price_out)} out{more} per million tokens"
        )
        return None if batch else Price(price_in, price_out, snapshot, price_cached, price_written)
    provider, name = _split(model)
    for row in _HISTORY:
        if row.model == name and row.since <= day.date().isoformat() < row.until:
            if batch:
                return None
            return Price(row.input_usd_per_m, row.output_usd_per_m, f"{name}, list price of {row.since}")
    # The table prices whole calls. The rates are read from four calls of `n_input` tokens: with nothing else, with
    # 1,000 tokens of output, with all input cached, and with all input written to the cache.
    others = ((0, 0, 0), (1000, 0, 0), (0, n_input, 0), (0, 0, n_input))
    alone, answered, cached, written = (_table_cost(name, provider, n_input, *other, day, batch) for other in others)
    if alone is None or answered is None:
        return None
    if batch and answered == _table_cost(name, provider, n_input, 1000, 0, 0, day, False):
        return None  # for a batch that has no price of its own, the table answers with the price of a live call
    return Price(
        alone * 1e6 / n_input,
        (answered - alone) * 1000,
        f"{name}{', batch' if batch else ''}, genai-prices {_table_version()}",
        None if cached is None else cached * 1e6 / n_input,
        None if written is None else written * 1e6 / n_input,
        from_table=True,
    )


def check_prices(**prices: float | None) -> None:
    """Raises UserError for one that is negative or no number."""
    for name, price in prices.items():
        if price is not None and not (math.isfinite(price) and price >= 0):
            raise UserError(f"{name} = {price:g} is no price; give US$ per million tokens, 0 or more")


def call_cost(
    model: str,
    usage: Usage,
    when: datetime,
    *,
    price_in: float | None = None,
    price_out: float | None = None,
    price_cached: float | None = None,
    price_written: float | None = None,
) -> tuple[float | None, str | None]:
    """(US dollars, price snapshot) of one call; (None, None) where the price or the token counts are unknown."""
    price = known_price(
        model, when, price_in=price_in, price_out=price_out, price_cached=price_cached, price_written=price_written
    )
    usage = as_counted(usage)
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None, None
    if price.from_table:
        provider, name = _split(model)
        special = usage.cached_input_tokens or 0, usage.written_input_tokens or 0
        readings = {(usage.input_tokens, usage.output_tokens)}
        readings.add((usage.input_tokens + usage.unplaced_tokens, usage.output_tokens - usage.unplaced_tokens))
        costs = [_table_cost(name, provider, *counts, *special, _midnight(when)) for counts in readings]
        return (None, None) if None in costs else (max(cost for cost in costs if cost is not None), price.snapshot)
    return price.cost_usd(usage), price.snapshot


@functools.cache
def _table_version() -> str:
    return version("genai-prices")  # cached, because the version is read from a file


def _midnight(when: datetime) -> datetime:
    """Prices change by the day; one moment per day makes the table's answers cacheable."""
    return when.replace(hour=0, minute=0, second=0, microsecond=0)


def _split(model: str) -> tuple[str | None, str]:
    """(provider, model) of a name. At an address no provider's list price holds, so its provider is "self-hosted"."""
    if "://" in model:
        return "self-hosted", model.rpartition("#")[2]
    provider, colon, name = model.partition(":")
    if provider == "ft":  # ft:BASE:OWNER::ID is OpenAI's name for a finetune, which does not cost what its base costs
        return "openai", model
    return (provider, name) if colon else (None, model)


@functools.lru_cache(maxsize=65536)
def _table_cost(
    name: str,
    provider: str | None,
    n_input: int,
    n_output: int,
    n_cached: int,
    n_written: int,
    when: datetime,
    batch: bool = False,
) -> float | None:
    # Imported late: genai_prices takes half a second to load, and only commands that price anything need it.
    import genai_prices

    if provider == "self-hosted":  # the price of self-hosted weights differs from machine to machine
        return None
    counts = genai_prices.Usage(
        input_tokens=n_input, output_tokens=n_output, cache_read_tokens=n_cached, cache_write_tokens=n_written
    )
    context = {"processing": "batch"} if batch else None
    try:
        calculated = genai_prices.calc_price(
            counts, name, provider_id=provider, genai_request_timestamp=when, price_context=context
        )
    except (LookupError, ValueError, ArithmeticError, TypeError):  # the reply is paid for, whatever the table says
        return None
    return float(calculated.total_price)
