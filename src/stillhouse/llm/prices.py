"""What a call costs: dated prices, ours for history and `genai-prices` (offline) for today. A price that is not known is None, never 0.

A call is priced as one call: some providers charge another rate beyond a prompt length, so summed tokens must never be priced as one request.
"""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from stillhouse.records import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. `cached` None: cached input costs what other input costs."""

    input_usd_per_m: float
    output_usd_per_m: float
    snapshot: str  # where the price is from and of which date
    cached_usd_per_m: float | None = None

    def cost_usd(self, usage: Usage) -> float | None:
        """The cost of one call; None where the provider did not say how many tokens it counted. Reasoning tokens are output tokens."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        cached = (usage.cached_input_tokens or 0) if self.cached_usd_per_m is not None else 0
        fresh = usage.input_tokens - cached
        return (fresh * self.input_usd_per_m + cached * (self.cached_usd_per_m or 0.0) + usage.output_tokens * self.output_usd_per_m) / 1e6


@dataclass(frozen=True, slots=True)
class _Dated:
    model: str
    since: str
    until: str  # exclusive
    input_usd_per_m: float
    output_usd_per_m: float


# Prices that today's tables no longer hold, from OpenAI's announcements of those dates.
_HISTORY = (
    _Dated("text-davinci-003", "2022-11-28", "2024-01-04", 20.0, 20.0),
    _Dated("gpt-3.5-turbo", "2023-03-01", "2023-06-13", 2.0, 2.0),
    _Dated("gpt-3.5-turbo", "2023-06-13", "2023-11-06", 1.5, 2.0),
)


def known_price(
    model: str, when: datetime | None = None, *, price_in: float | None = None, price_out: float | None = None, n_input: int = 1000
) -> Price | None:
    """The list price of a model on a day (default: now); None where no table knows it. A price that the user gives goes before any table.

    `model` may carry a provider (`openai:NAME`). Some models cost more beyond a prompt length: the rates are those of a prompt of `n_input` tokens.
    """
    if price_in is not None and price_out is not None:
        return Price(price_in, price_out, f"given by the user: ${price_in:g} in, ${price_out:g} out per million tokens")
    when = _midnight(when or datetime.now(UTC))
    day, (provider, name) = when.date().isoformat(), _split(model)
    for row in _HISTORY:
        if row.model == name and row.since <= day < row.until:
            return Price(row.input_usd_per_m, row.output_usd_per_m, f"{name}, list price of {row.since}")
    fresh, whole, cached = (_table_cost(name, provider, n_input, *rest, when) for rest in ((0, 0), (1000, 0), (0, n_input)))
    if fresh is None or whole is None:
        return None
    per_m = 1e6 / n_input
    return Price(fresh * per_m, (whole - fresh) * 1000, f"{name}, genai-prices {_table_version()}", None if cached is None else cached * per_m)


def call_cost(model: str, usage: Usage, when: datetime, *, price_in: float | None = None, price_out: float | None = None) -> tuple[float | None, str | None]:
    """(US dollars, price snapshot) of one call; (None, None) where the price or the token counts are unknown."""
    price = known_price(model, when, price_in=price_in, price_out=price_out)
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None, None
    if "genai-prices" in price.snapshot:
        provider, name = _split(model)
        return _table_cost(name, provider, usage.input_tokens, usage.output_tokens, usage.cached_input_tokens or 0, _midnight(when)), price.snapshot
    return price.cost_usd(usage), price.snapshot


@functools.cache
def _table_version() -> str:
    return version("genai-prices")  # it reads a file: not once per call that is priced


def _midnight(when: datetime) -> datetime:
    """Prices change by the day; one moment per day makes the table's answers cacheable."""
    return when.replace(hour=0, minute=0, second=0, microsecond=0)


def _split(model: str) -> tuple[str | None, str]:
    """("openai", NAME) of `openai:NAME`; an endpoint's URL tells the model's name but no provider whose list price would hold."""
    if "://" in model:
        return "self-hosted", model.rpartition("#")[2]
    provider, colon, name = model.partition(":")
    return (provider, name) if colon else (None, model)


@functools.lru_cache(maxsize=65536)
def _table_cost(name: str, provider: str | None, n_input: int, n_output: int, n_cached: int, when: datetime) -> float | None:
    import genai_prices  # half a second to load: only who prices pays for it

    if provider == "self-hosted":  # the same weights cost another sum on every machine
        return None
    counts = genai_prices.Usage(input_tokens=n_input, output_tokens=n_output, cache_read_tokens=n_cached)
    try:
        return float(genai_prices.calc_price(counts, name, provider_id=provider, genai_request_timestamp=when).total_price)
    except LookupError:
        return None
