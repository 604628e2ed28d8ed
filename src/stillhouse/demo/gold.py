"""What the whole app should answer to a question of the demo: the route, and the rows or the page behind the answer."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from stillhouse.demo import shop
from stillhouse.demo.grammar import make_rows, parse
from stillhouse.demo.slots import squash
from stillhouse.demo.tasks import handwritten
from stillhouse.records import Example

PAGES: Mapping[str, str] = {
    "return_window": "returns.md",
    "return_how": "returns.md",
    "refund": "refunds.md",
    "exchange": "exchanges.md",
    "shipping_cost": "shipping.md",
    "delivery_time": "shipping.md",
    "ship_to": "shipping.md",
    "express": "shipping.md",
    "tracking": "tracking.md",
    "change_address": "changes.md",
    "cancel_how": "changes.md",
    "payment": "payment.md",
    "gift_cards": "gifts.md",
    "gift_wrap": "gifts.md",
    "warranty": "warranty.md",
    "damaged": "warranty.md",
    "care": "care.md",
    "discounts": "offers.md",
    "newsletter": "offers.md",
    "account": "account.md",
    "privacy": "account.md",
    "contact": "contact.md",
    "invoice": "contact.md",
    "business": "contact.md",
    "green": "sustainability.md",
}


@dataclass(frozen=True, slots=True)
class Gold:
    """What the right answer rests on: `query` where the database answers, `page` where a help page does."""

    route: str
    query: str | None = None
    page: str | None = None


def gold(question: str) -> Gold | None:
    """What is right for a question of the demo; None for any other text."""
    row = _written().get(squash(question))
    if row is not None:
        return Gold(row.extra["route"], row.extra.get("sql"), row.extra.get("page"))
    meaning = parse(question)
    if meaning is None:
        return None
    return Gold(meaning.intent.label, meaning.query, PAGES.get(meaning.intent.name))


def questions(n: int, seed: int = 0) -> list[str]:
    """`n` questions for the whole app, of all routes by their shares, in wordings that no student was trained on."""
    return [row.text for row in make_rows("route", n, seed + 1, "test")]


def rows_of(query: str) -> list[tuple[Any, ...]]:
    """What the shop's database answers."""
    return _shop().execute(query).fetchall()


def holds(text: str, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether an answer's text names every value of the rows.

    Numbers count to two decimals, with or without commas for thousands; the case of words does not count.
    """
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", text.casefold())
    numbers = {round(float(number), 2) for number in re.findall(r"-?\d+(?:\.\d+)?", plain)}
    return all(_named(cell, plain, numbers) for row in rows for cell in row)


def _named(cell: Any, text: str, numbers: set[float]) -> bool:
    if cell is None:
        return True
    if isinstance(cell, int | float):
        return round(float(cell), 2) in numbers
    return str(cell).casefold() in text


@cache
def _written() -> dict[str, Example]:
    return {squash(row.text): row for row in handwritten("route")}


@cache
def _shop() -> sqlite3.Connection:
    return shop.in_memory()
