"""Prices and the budget: published sums to the cent, unknown stays unknown, and the cap is never passed."""

import asyncio
from datetime import UTC, datetime

import pytest

from stillhouse.errors import BudgetError, PriceUnknownError, UserError
from stillhouse.llm.ledger import Ledger, worst_case_input_tokens, worst_case_usd
from stillhouse.llm.prices import Price, call_cost, known_price
from stillhouse.llm.request import Request
from stillhouse.records import Usage

MARCH_2023 = datetime(2023, 3, 15, tzinfo=UTC)


def test_a_million_calls_of_a_thousand_tokens_cost_two_thousand_dollars_in_march_2023():
    usd, snapshot = call_cost("openai:gpt-3.5-turbo", Usage(900, 100), MARCH_2023)
    assert usd * 1_000_000 == pytest.approx(2000, abs=1e-9)
    assert "2023-03-01" in snapshot


@pytest.mark.parametrize(
    ("day", "usd_per_m"), [(datetime(2023, 6, 12, 23, tzinfo=UTC), 2.0), (datetime(2023, 6, 13, tzinfo=UTC), 1.5)]
)
def test_a_dated_price_holds_until_the_day_of_the_next_one(day, usd_per_m):
    assert known_price("gpt-3.5-turbo", day).input_usd_per_m == usd_per_m


def test_five_hundred_dollars_buy_25_million_tokens_of_text_davinci_003():
    price = known_price("text-davinci-003", MARCH_2023)
    assert 500 / (price.input_usd_per_m / 1e6) == pytest.approx(25.0e6)
    assert price.input_usd_per_m == price.output_usd_per_m


def test_todays_models_are_priced_from_the_dated_table_and_cached_input_is_cheaper():
    now = datetime(2026, 11, 1, tzinfo=UTC)
    full, snapshot = call_cost("openai:gpt-4o-mini", Usage(10_000, 100), now)
    cached, _ = call_cost("openai:gpt-4o-mini", Usage(10_000, 100, cached_input_tokens=8_000), now)
    assert 0 < cached < full
    assert "genai-prices" in snapshot


def test_written_cache_and_batches_have_prices_of_their_own_and_the_parts_add_up():
    now, usage = datetime(2026, 11, 1, tzinfo=UTC), Usage(1000, 100, 600, 80, written_input_tokens=200)
    price = known_price("openai:gpt-6-luna", now)
    assert price.cached_usd_per_m < price.input_usd_per_m < price.written_usd_per_m
    by_hand = (
        200 * price.input_usd_per_m
        + 600 * price.cached_usd_per_m
        + 200 * price.written_usd_per_m
        + 100 * price.output_usd_per_m
    ) / 1e6
    usd, _ = call_cost("openai:gpt-6-luna", usage, now)
    assert (price.cost_usd(usage), usd) == pytest.approx((by_hand, by_hand))
    batch = known_price("openai:gpt-6-luna", now, batch=True)
    assert batch.input_usd_per_m == pytest.approx(price.input_usd_per_m / 2) and "batch" in batch.snapshot


def test_a_batch_without_a_price_of_its_own_is_unknown_and_not_the_price_of_a_live_call():
    assert known_price("gpt-3.5-turbo", MARCH_2023, batch=True) is None
    assert known_price("m", price_in=1.0, price_out=1.0, batch=True) is None
    assert (
        known_price("mistral:mistral-large-latest", batch=True) is None
        and known_price("mistral:mistral-large-latest") is not None
    )


def test_a_hosted_finetune_costs_another_sum_than_its_base_with_or_without_its_providers_name():
    now = datetime(2026, 11, 1, tzinfo=UTC)
    base, tuned = known_price("openai:gpt-4o-mini", now), known_price("ft:gpt-4o-mini-2024-07-18:acme::abc", now)
    assert tuned.input_usd_per_m == pytest.approx(2 * base.input_usd_per_m)
    assert tuned.output_usd_per_m == known_price("openai:ft:gpt-4o-mini-2024-07-18:acme::abc", now).output_usd_per_m


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_in": -1.0, "price_out": 1.0},
        {"price_in": 1.0, "price_out": float("nan")},
        {"price_written": float("inf")},
    ],
)
def test_a_price_that_is_none_is_refused(wrong):
    with pytest.raises(UserError, match="is no price; give US\\$ per million tokens"):
        known_price("m", **wrong)


def test_an_unknown_price_is_none_and_never_nothing():
    assert known_price("openai:no-such-model-of-2031") is None
    assert call_cost("http://127.0.0.1/v1#gpt-4o-mini", Usage(10, 10), MARCH_2023) == (
        None,
        None,
    )  # own hardware: another price on every machine
    assert call_cost("openai:gpt-3.5-turbo", Usage(None, 10), MARCH_2023) == (None, None)


def test_a_price_that_the_user_gives_goes_before_any_table():
    usd, snapshot = call_cost(
        "http://127.0.0.1/v1#own", Usage(1_000_000, 1_000_000), MARCH_2023, price_in=1.5, price_out=2.5
    )
    assert usd == pytest.approx(4.0)
    assert "given by the user" in snapshot


def request(text="x" * 92, max_tokens=50):
    return Request("m", ({"role": "user", "content": text},), {"max_tokens": max_tokens})


PRICE = Price(10_000.0, 10_000.0, "a test's")  # a cent a token


def test_the_worst_case_is_a_bound():
    assert worst_case_usd(request(), PRICE) == pytest.approx((100 + 50) * 0.01)


def test_the_worst_case_is_that_the_whole_prompt_is_written_to_the_cache():
    written = Price(10_000.0, 10_000.0, "a test's", written_usd_per_m=12_500.0)
    assert worst_case_usd(request(), written) == pytest.approx((100 * 1.25 + 50) * 0.01)


def test_the_worst_case_of_a_long_prompt_is_at_the_price_of_a_long_prompt():
    """Gemini 2.5 Pro costs twice as much for prompts beyond 200,000 tokens; a cap that reserved the short rate would be passed."""
    now, name, long = datetime(2026, 11, 1, tzinfo=UTC), "google:gemini-2.5-pro", request("x" * 300_000, 1000)
    price = known_price(name, now, n_input=worst_case_input_tokens(long))
    actual, _ = call_cost(name, Usage(300_000, 1000), now)
    assert worst_case_usd(long, known_price(name, now)) < actual <= worst_case_usd(long, price)


def test_a_schema_is_part_of_the_worst_case():
    plain = request()
    schema = Request("m", plain.messages, plain.parameters, schema={"type": "object"})
    assert worst_case_input_tokens(schema) == worst_case_input_tokens(plain) + len('{"type": "object"}')


def test_a_token_is_a_byte_at_least():
    assert worst_case_input_tokens(request("é" * 92)) == 2 * 92 + 8  # two bytes each in UTF-8, and what a message adds


async def test_with_a_cap_an_answer_of_unknown_cost_counts_as_its_worst_case():
    ledger = Ledger(2.0)
    await ledger.settle(await ledger.reserve(request(), PRICE), None, paid=True)
    assert ledger.spent_usd == pytest.approx(1.5)


async def test_the_cap_is_kept_and_the_refusal_says_what_was_spent():
    ledger = Ledger(2.0)
    reserved = await ledger.reserve(request(), PRICE)
    await ledger.settle(reserved, 0.7, paid=True)
    with pytest.raises(BudgetError, match=r"\$0\.7 spent"):
        await ledger.reserve(request(), PRICE)


async def test_a_call_waits_for_what_is_reserved_to_be_settled():
    ledger = Ledger(2.0)
    first = await ledger.reserve(request(), PRICE)
    second = asyncio.create_task(ledger.reserve(request(), PRICE))
    await asyncio.sleep(0)
    assert not second.done()
    await ledger.settle(first, 0.2, paid=True)
    assert await second == pytest.approx(1.5)


async def test_a_cap_without_a_price_is_refused_and_no_cap_needs_none():
    with pytest.raises(PriceUnknownError, match="--price-in"):
        await Ledger(1.0).reserve(request(), None)
    assert await Ledger(None).reserve(request(), None) == 0.0


async def test_an_answer_of_unknown_cost_makes_the_total_unknown():
    ledger = Ledger(None)
    await ledger.settle(0.0, 0.5, paid=True)
    await ledger.settle(0.0, None, paid=True)
    assert ledger.spent_usd is None


async def test_calls_under_way_count_with_their_worst_case():
    ledger = Ledger(4.0)
    await ledger.settle(await ledger.reserve(request(), PRICE), 0.0, paid=True)
    first, second = [await ledger.reserve(request(), PRICE) for _ in range(2)]
    third = asyncio.create_task(ledger.reserve(request(), PRICE))
    await asyncio.sleep(0)
    assert not third.done()
    await ledger.settle(first, 0.5, paid=True)
    assert await third == second == 1.5
