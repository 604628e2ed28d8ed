"""Limits at their edges: n steps are n steps, a limit that is reached lets nothing begin, and what is under way counts."""

import pytest

from stillhouse import flow, step
from stillhouse.errors import PriceUnknownError, UserError
from stillhouse.flow import LimitExceeded, limits
from stillhouse.flow.models import RunBudget
from stillhouse.llm.prices import Price
from stillhouse.llm.request import Request
from stillhouse.store.journal import open_journal

PRICE = Price(10_000.0, 10_000.0, "a test's")  # a cent a token
CALL = Request(
    "m", ({"role": "user", "content": "x" * 12},), {"max_tokens": 20}
)  # 12 bytes and 8 for the message: 40 cents


def test_a_limit_of_steps_lets_as_many_run():
    within = limits(steps=2)
    within.step("first")
    within.step("second")
    with pytest.raises(LimitExceeded, match="2 steps is reached before third"):
        within.step("third")
    assert within.steps == 2


def test_a_limit_of_tokens_that_is_reached_lets_no_call_begin():
    within = limits(tokens=40)
    within.spent(13, 0.0)
    assert within.worst_case(CALL, None) == 0.0  # 20 bytes of prompt are 7 tokens, and the reply has 20 at most
    within.spent(1, 0.0)
    with pytest.raises(LimitExceeded, match=r"40 tokens is reached \(14 used, the next call may use up to 27\)"):
        within.worst_case(CALL, None)


def test_a_limit_of_tokens_counts_what_is_under_way():
    within = limits(tokens=60)
    within.reserve(within.worst_case(CALL, None), 27)
    within.reserve(within.worst_case(CALL, None), 27)
    with pytest.raises(LimitExceeded, match="0 used") as full:
        within.worst_case(CALL, None)
    assert full.value.full is within  # there may be room when one of the two has come back
    within.reserve(0.0, -27)
    within.spent(40, 0.0)
    with pytest.raises(LimitExceeded) as full:
        within.worst_case(CALL, None)
    assert full.value.full is None


def test_a_limit_of_dollars_counts_what_is_under_way():
    within = limits(dollars=0.70)
    within.reserve(within.worst_case(CALL, PRICE))
    with pytest.raises(LimitExceeded, match="the next call may cost up to"):
        within.worst_case(CALL, PRICE)
    within.reserve(-0.40)  # it came back, and cost 30 cents
    within.spent(30, 0.30)
    assert within.worst_case(CALL, PRICE) == pytest.approx(0.40)  # 30 + 40 cents are the limit itself
    within.spent(1, 0.01)
    with pytest.raises(LimitExceeded):
        within.worst_case(CALL, PRICE)


def test_what_a_replayed_step_used_counts_again():
    within = limits(tokens=10, dollars=1.0)
    within.replayed('{"input_tokens": 6, "output_tokens": 3, "cost_usd": 0.25}')
    assert (within.tokens, within.dollars) == (9, 0.25)


async def test_a_paid_call_of_unknown_cost_counts_as_its_worst_case():
    async with limits(dollars=1.0) as within:
        budget = RunBudget()
        reserved = await budget.reserve(CALL, PRICE)
        await budget.settle(reserved, None, paid=True)
        assert within.dollars == pytest.approx(0.40)
        await budget.settle(await budget.reserve(CALL, PRICE), None, paid=False)
        assert within.dollars == pytest.approx(0.40)
        await budget.settle(await budget.reserve(CALL, PRICE), 0.05, paid=True)  # whoever asked counts what it cost
        assert within.dollars == pytest.approx(0.40)
    within.replayed('{"input_tokens": 1, "output_tokens": 1, "cost_usd": null, "at_most_usd": 0.25}')
    assert within.dollars == pytest.approx(0.65)


async def test_a_price_of_ones_own_keeps_a_limit_where_no_table_knows_the_model(tmp_path, monkeypatch, endpoint):
    monkeypatch.chdir(tmp_path)

    @step
    async def reply(question: str) -> str:
        """Answer."""

    @flow
    async def main(dollars: float, price: bool) -> str:
        own = {"price_in": 1000.0, "price_out": 2000.0} if price else {}
        async with limits(dollars=dollars, **own) as within:
            answers = [await reply(f"a good day {dollars} {n}") for n in range(3)]
            spent.append((within.dollars, within.tokens))
        return answers[-1]

    spent: list = []
    models = {"reply": endpoint.url("reasoning")}
    with pytest.raises(PriceUnknownError, match=r"no price is known for .*; give limits\(price_in=, price_out=\)"):
        await main.run("none", 10.0, False, models=models)
    assert await main.run("own", 10.0, True, models=models) == "good"
    rows = [row.facts for row in open_journal("stillhouse.db").steps("own")]
    assert all(row["cost_usd"] == row["input_tokens"] / 1000 + row["output_tokens"] / 500 for row in rows)
    assert spent[0][0] == pytest.approx(sum(row["cost_usd"] for row in rows)) and "at_most_usd" not in rows[0]
    with pytest.raises(LimitExceeded, match=r"the limit of \$2\.1 is reached"):
        await main.run("low", 2.1, True, models=models)


def test_half_a_price_is_none():
    with pytest.raises(UserError, match="give both price_in and price_out"):
        limits(dollars=1, price_in=1.0)
    with pytest.raises(UserError, match="price_out = -1 is no price"):
        limits(dollars=1, price_in=1.0, price_out=-1.0)
