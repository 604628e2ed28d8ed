"""The demo's shop: three tables in SQLite, generated from a seed, the same rows on every machine.

Not a model of any real shop. Names, prices and dates are drawn independently of one another, except that each product
has its own demand and each customer an own appetite, so "the best seller" and "the best customer" have clear answers.
"""

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate, product
from pathlib import Path

from stillhouse.errors import ExistsError
from stillhouse.runs import storage_errors

TODAY = date(2026, 6, 30)  # the demo's fixed "today": last month is May 2026, and the orders end today
FIRST_DAY = date(2024, 7, 1)
N_ORDERS = 12_000
N_CUSTOMERS = 240

SCHEMA = """\
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, city TEXT NOT NULL, \
country TEXT NOT NULL, joined TEXT NOT NULL);
CREATE TABLE products (product_id INTEGER PRIMARY KEY, product TEXT NOT NULL UNIQUE, category TEXT NOT NULL, \
price REAL NOT NULL, stock INTEGER NOT NULL);
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, \
product_id INTEGER NOT NULL REFERENCES products,
  quantity INTEGER NOT NULL, total REAL NOT NULL, date TEXT NOT NULL, status TEXT NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_product ON orders (product_id);
CREATE INDEX orders_by_date ON orders (date);
"""

CITIES = {
    "Berlin": "Germany",
    "Hamburg": "Germany",
    "Munich": "Germany",
    "Paris": "France",
    "Lyon": "France",
    "Madrid": "Spain",
    "Seville": "Spain",
    "Rome": "Italy",
    "Milan": "Italy",
    "Turin": "Italy",
    "Vienna": "Austria",
    "Graz": "Austria",
    "Lisbon": "Portugal",
    "Porto": "Portugal",
    "Oslo": "Norway",
    "Bergen": "Norway",
    "Dublin": "Ireland",
    "Cork": "Ireland",
    "Warsaw": "Poland",
    "Krakow": "Poland",
}
CATEGORIES = {  # each product's plural is its name with an "s"
    "coffee": ("espresso cup", "coffee grinder", "milk jug", "moka pot", "filter cone"),
    "tea": ("teapot", "tea strainer", "matcha bowl", "tea tin", "tea tray"),
    "kitchen": ("frying pan", "bread knife", "cutting board", "mixing bowl", "oven glove"),
    "garden": ("watering can", "plant pot", "garden hose", "hand rake", "bird feeder"),
    "books": ("cookbook", "travel guide", "crime novel", "road atlas", "comic book"),
    "toys": ("toy train", "puzzle", "board game", "kite", "teddy bear"),
    "lighting": ("desk lamp", "floor lamp", "night light", "candle holder", "lantern"),
    "sports": ("yoga mat", "tennis racket", "football", "skipping rope", "bike helmet"),
}
# How often each status is drawn; `_status` changes these weights with the order's age.
STATUSES = {"pending": 5, "shipped": 7, "delivered": 72, "returned": 9, "cancelled": 7}
_FIRST_NAMES = (
    *("Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo"),
    *("Irene", "Jonas", "Karin", "Lucas", "Maria", "Nora", "Oscar", "Paula"),
)
_LAST_NAMES = (
    *("Almeida", "Bauer", "Costa", "Dubois", "Egger", "Ferrari", "Garcia", "Hansen"),
    *("Keller", "Lindgren", "Moreau", "Novak", "Olsen", "Rossi", "Silva", "Weber"),
)


@dataclass(frozen=True, slots=True)
class Customer:
    """One row of `customers`; `joined` is an ISO date."""

    customer_id: int
    name: str
    city: str
    country: str
    joined: str


@dataclass(frozen=True, slots=True)
class Product:
    """One row of `products`; `price` in euros."""

    product_id: int
    product: str
    category: str
    price: float
    stock: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One row of `orders`; `total` = quantity * the product's price, `date` is an ISO date."""

    order_id: int
    customer_id: int
    product_id: int
    quantity: int
    total: float
    date: str
    status: str


def build(path: str | Path, seed: int = 0) -> Path:
    """Write the shop to a new SQLite file and return its path. Raises ExistsError where the file is already there."""
    path = Path(path)
    if path.exists():
        raise ExistsError(f"{path}: the database is already there; remove it or choose another name")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)  # remove the file that a killed build left
        try:
            with closing(sqlite3.connect(temporary)) as connection:
                _fill(connection, seed)
        except sqlite3.OperationalError as error:
            temporary.unlink(missing_ok=True)
            raise OSError(str(error)) from error
        temporary.replace(path)
    return path


def in_memory(seed: int = 0) -> sqlite3.Connection:
    """The same shop without a file; the caller closes it. May be used from any thread."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    _fill(connection, seed)
    return connection


def _fill(connection: sqlite3.Connection, seed: int) -> None:
    people, goods = customers(seed), products(seed)
    connection.executescript(SCHEMA)
    with connection:
        for table, rows in (("customers", people), ("products", goods), ("orders", orders(people, goods, seed))):
            values = [tuple(getattr(row, name) for name in row.__slots__) for row in rows]
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values[0]))})", values)


def customers(seed: int = 0) -> list[Customer]:
    """240 people with different names, oldest customer first."""
    rng = random.Random(f"customers {seed}")
    names = rng.sample([f"{first} {last}" for first, last in product(_FIRST_NAMES, _LAST_NAMES)], N_CUSTOMERS)
    days = sorted(rng.sample(range((date(2026, 6, 1) - date(2022, 1, 1)).days), N_CUSTOMERS))
    cities = [rng.choice(tuple(CITIES)) for _ in names]
    return [
        Customer(number, name, city, CITIES[city], (date(2022, 1, 1) + timedelta(day)).isoformat())
        for number, (name, city, day) in enumerate(zip(names, cities, days, strict=True), start=1)
    ]


def products(seed: int = 0) -> list[Product]:
    """40 products, five in each category, no two at the same price."""
    rng = random.Random(f"products {seed}")
    names = [(name, category) for category, names in CATEGORIES.items() for name in names]
    prices = rng.sample([euros + cents for euros in range(4, 120) for cents in (0.5, 0.9, 0.95)], len(names))
    return [
        Product(number, name, category, price, rng.randrange(5, 200))
        for number, ((name, category), price) in enumerate(zip(names, prices, strict=True), start=1)
    ]


def orders(people: list[Customer], goods: list[Product], seed: int = 0) -> list[Order]:
    """12,000 orders of one product each, in order of date.

    A customer orders from the day on which they joined, but not before FIRST_DAY, until TODAY.
    """
    rng = random.Random(f"orders {seed}")
    demand = list(accumulate(rng.uniform(0.3, 1.7) for _ in goods))
    appetite = list(accumulate(rng.uniform(0.3, 1.7) for _ in people))
    drawn = []
    for customer in rng.choices(people, cum_weights=appetite, k=N_ORDERS):
        start = max(FIRST_DAY, date.fromisoformat(customer.joined))
        drawn.append((start + timedelta(rng.randrange((TODAY - start).days + 1)), customer))
    drawn.sort(key=lambda pair: (pair[0], pair[1].customer_id))
    rows = []
    for number, (day, customer) in enumerate(drawn, start=1):
        good = rng.choices(goods, cum_weights=demand)[0]
        quantity = rng.choices((1, 2, 3, 4, 5, 6, 8, 10), weights=(40, 22, 12, 8, 6, 5, 4, 3))[0]
        rows.append(
            Order(
                order_id=number,
                customer_id=customer.customer_id,
                product_id=good.product_id,
                quantity=quantity,
                total=round(quantity * good.price, 2),
                date=day.isoformat(),
                status=_status(rng, day),
            )
        )
    return rows


def _status(rng: random.Random, day: date) -> str:
    """Many orders of the last weeks are still pending or on their way.

    A few old ones got stuck there, so every status has orders in every month.
    """
    often = 4 if (TODAY - day).days < 60 else 0.5
    weights = {**STATUSES, **{status: often * STATUSES[status] for status in ("pending", "shipped")}}
    return rng.choices(tuple(weights), tuple(weights.values()))[0]
