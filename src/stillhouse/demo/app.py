"""Talk to your data: the shop's assistant, as a flow.

    stillhouse run app.py:main --input '{"question": "how many orders were delivered in Portugal?"}'

`route` decides what answers a question: the shop's database, its help pages, or small talk. A step without a body is
answered by a model. The model named here is a stand-in, a script that knows the demo's own questions. Name a real one
with `--model openai:NAME`, or a student of yours with `--model route=student:runs/route-distill-1`.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillhouse import flow, step
from stillhouse.flow.tools import ToolError, search, sql

HERE = Path(__file__).parent
REPAIRS = 2  # how often a query that the database refuses is sent back for repair

shop = sql(HERE / "shop.db", name="shop")
pages = search(HERE / "pages", top=3, name="pages")


@dataclass
class AssistantReply:
    """What the customer sees, and which way the question took."""

    route: str
    text: str
    see_also: str | None = None


@step(max_tokens=512)
async def route(question: str) -> Literal["sql", "search", "chat"]:
    """
    You are the first step of a shop's assistant: decide what answers the question.
    sql: it asks for figures, names, prices, stock or the state of an order, which are in the shop's database.
    search: it asks how the shop works (returns, shipping, payment, warranty, accounts, care),
    which is on its help pages.
    chat: it is small talk and asks for nothing of the two.
    """


@step(max_tokens=512)
async def to_sql(question: str) -> str:
    """
    Write one SQLite query that answers the question about a shop. Answer with the query alone.
    Today is 2026-06-30. Dates are text, YYYY-MM-DD. Money is in euros.
    Revenue is the sum of the totals of all orders, whatever their status.
    customers(customer_id, name, city, country, joined)
    products(product_id, product, category, price, stock)
    orders(order_id, customer_id, product_id, quantity, total, date, status)
    status: pending, shipped, delivered, returned, cancelled
    category: coffee, tea, kitchen, garden, books, toys, lighting, sports
    Names of cities and countries are in English; the name of a product is a singular in lower case.
    """


@step
async def mend_sql(question: str, query: str, problem: str) -> str:
    """
    The database refused this SQLite query, and says why. Write one that works and answers the question.
    Answer with the query alone.
    """


@step
async def answer(question: str, found: str) -> str:
    """
    Answer the customer's question from what was found, and from nothing else.
    Name the page that you answer from, where there is one.
    """


@step
async def small_talk(question: str) -> str:
    """You are a shop's friendly assistant. Reply to this small talk in one sentence."""


async def rows_for(question: str) -> str:
    """The rows that answer the question; a query that the database refuses is mended, at most twice."""
    query = await to_sql(question)
    for _ in range(REPAIRS):
        try:
            return await shop(query=query)
        except ToolError as problem:
            query = await mend_sql(question, query, str(problem))
    return await shop(query=query)


@flow(model="scripted:stillhouse.demo.stand_in:app_teacher")
async def main(question: str) -> AssistantReply:
    """The assistant's answer to one question."""
    kind = await route(question)
    if kind == "chat":
        return AssistantReply(kind, await small_talk(question))
    if kind == "search":
        return AssistantReply(kind, await answer(question, await pages(query=question)))
    rows, related = await asyncio.gather(rows_for(question), pages(query=question))
    return AssistantReply(kind, await answer(question, rows), see_also=related.splitlines()[0])
