"""The values that a question can name: how they are said, and how the query spells them.

Months, days and "last year" are said with their preposition: it is "in March 2025", but "last month" takes none.
"""

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from stillhouse.demo import shop

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class Slot:
    """`ways` maps each way to say a value to the value's spelling in SQL; `column` is the slot's name in queries."""

    column: str
    ways: Mapping[str, str]

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        by_value: dict[str, list[str]] = {}
        for text, value in self.ways.items():
            by_value.setdefault(value, []).append(text)
        return by_value

    @cached_property
    def _by_squashed(self) -> dict[str, str]:
        return {squash(text): value for text, value in self.ways.items()}

    @cached_property
    def regex(self) -> str:
        """Matches all ways to say a value, squashed; or any number, where the values are (thousands of) numbers."""
        if all(text.isdigit() for text in self._by_squashed):
            return "[1-9][0-9]*"
        return "|".join(sorted(map(re.escape, self._by_squashed), key=len, reverse=True))

    def draw(self, rng: random.Random) -> tuple[str, str]:
        """A value, each as likely as any other, and one way to say it."""
        value = rng.choice(tuple(self._texts))
        return value, rng.choice(self._texts[value])

    def value(self, squashed: str) -> str | None:
        """The value that is said so, or None."""
        return self._by_squashed.get(squashed)


def squash(text: str) -> str:
    """Letters and digits alone, in lower case: what a question says, whatever its spacing, case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _same(values: Iterable[str]) -> dict[str, str]:
    return {value: value for value in values}


def _months() -> dict[str, str]:
    ways: dict[str, str] = {}
    for number in range(24):
        year, month = divmod(shop.FIRST_DAY.year * 12 + shop.FIRST_DAY.month - 1 + number, 12)
        name, value = _MONTHS[month], f"{year}-{month + 1:02}"
        ways |= {
            f"in {name} {year}": value,
            f"during {name} {year}": value,
            f"in {name} of {year}": value,
            f"in {name[:3]} {year}": value,
        }
    return ways | {
        "this month": f"{shop.TODAY:%Y-%m}",
        "last month": f"{shop.TODAY.replace(day=1) - timedelta(1):%Y-%m}",
    }


def _years() -> dict[str, str]:
    ways: dict[str, str] = {}
    for year in range(shop.FIRST_DAY.year, shop.TODAY.year + 1):
        ways |= {f"in {year}": str(year), f"during {year}": str(year), f"in the year {year}": str(year)}
    return ways | {"this year": str(shop.TODAY.year), "last year": str(shop.TODAY.year - 1)}


def _days() -> dict[str, str]:
    ways: dict[str, str] = {}
    day = shop.FIRST_DAY
    while day <= shop.TODAY:
        value = day.isoformat()
        ways |= {
            f"on {day.day} {_MONTHS[day.month - 1]} {day.year}": value,
            f"on {_MONTHS[day.month - 1]} {day.day}, {day.year}": value,
            f"on {value}": value,
        }
        day += timedelta(1)
    return ways | {"today": shop.TODAY.isoformat(), "yesterday": (shop.TODAY - timedelta(1)).isoformat()}


def _since() -> dict[str, str]:
    ways: dict[str, str] = {}
    for days, others in (
        (7, ("week", "seven days")),
        (14, ("two weeks", "fortnight")),
        (30, ("thirty days",)),
        (60, ("sixty days",)),
        (90, ("ninety days",)),
    ):
        value = (shop.TODAY - timedelta(days)).isoformat()
        for span in (f"{days} days", *others):
            ways |= {f"in the last {span}": value, f"in the past {span}": value, f"over the last {span}": value}
    return ways


def _amounts(amounts: Iterable[int]) -> dict[str, str]:
    return {text: str(amount) for amount in amounts for text in (f"{amount}", f"{amount} euros", f"{amount} eur")}


_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}
_PRODUCTS = [product for products in shop.CATEGORIES.values() for product in products]

SLOTS: dict[str, Slot] = {
    "status": Slot("status", _same(shop.STATUSES)),
    "city": Slot("city", _same(shop.CITIES)),
    "country": Slot("country", _same(dict.fromkeys(shop.CITIES.values()))),
    "category": Slot("category", _same(shop.CATEGORIES)),
    "product": Slot("product", _same(_PRODUCTS)),
    "products": Slot("product", {f"{product}s": product for product in _PRODUCTS}),
    "customer": Slot("customer", _same(customer.name for customer in shop.customers())),
    "month": Slot("month", _months()),
    "year": Slot("year", _years()),
    "day": Slot("day", _days()),
    "since": Slot("since", _since()),
    "order": Slot(
        "order", {text: str(number) for number in range(1, shop.N_ORDERS + 1) for text in (f"{number}", f"#{number}")}
    ),
    "money": Slot("money", _amounts((20, 30, 40, 50, 80, 100, 150, 200, 250, 300, 400, 500))),
    "price": Slot("price", _amounts((20, 25, 30, 40, 50, 60, 70, 80, 90, 100))),
    "pieces": Slot("pieces", _same(str(number) for number in (20, 25, 30, 40, 50, 60, 75, 80, 100))),
    "units": Slot(
        "units", {text: str(number) for number, word in _COUNTS.items() if number < 10 for text in (str(number), word)}
    ),
    "k": Slot("k", {text: str(number) for number, word in _COUNTS.items() for text in (str(number), word)}),
}
