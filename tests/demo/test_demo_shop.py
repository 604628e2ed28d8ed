import sqlite3
from contextlib import closing

import pytest

from stillhouse.demo import shop
from stillhouse.errors import ExistsError, StorageError


@pytest.fixture(scope="module")
def connection():
    with closing(shop.in_memory()) as connection:
        yield connection


def one(connection, query):
    return connection.execute(query).fetchone()


def dump(connection):
    return "\n".join(connection.iterdump())


def test_there_are_at_least_ten_thousand_orders_over_two_years_until_today(connection):
    assert one(connection, "SELECT COUNT(*) >= 10000, MIN(date), MAX(date) FROM orders") == (
        1,
        shop.FIRST_DAY.isoformat(),
        shop.TODAY.isoformat(),
    )


def test_an_orders_total_is_its_quantity_times_the_products_price(connection):
    assert one(
        connection, "SELECT MAX(ABS(total - quantity * price)) < 0.006 FROM orders JOIN products USING (product_id)"
    ) == (1,)


def test_nobody_orders_before_joining_and_every_reference_holds(connection):
    assert one(connection, "SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE date < joined") == (0,)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_every_city_category_and_status_occurs_and_each_status_in_each_month(connection):
    assert dict(connection.execute("SELECT DISTINCT city, country FROM customers")) == shop.CITIES
    assert {category for (category,) in connection.execute("SELECT DISTINCT category FROM products")} == set(
        shop.CATEGORIES
    )
    assert {status for (status,) in connection.execute("SELECT DISTINCT status FROM orders")} == set(shop.STATUSES)
    assert one(connection, "SELECT COUNT(DISTINCT status || substr(date, 1, 7)) FROM orders") == (
        24 * len(shop.STATUSES),
    )


def test_questions_about_the_cheapest_and_the_best_have_one_answer(connection):
    assert one(connection, "SELECT COUNT(DISTINCT price) = COUNT(*) FROM products") == (1,)
    assert one(connection, "SELECT COUNT(DISTINCT joined) = COUNT(*) FROM customers") == (1,)
    sold = [n for (n,) in connection.execute("SELECT SUM(quantity) FROM orders GROUP BY product_id")]
    assert len(set(sold)) == len(sold)


def test_the_same_seed_gives_the_same_shop_and_another_seed_another(connection, tmp_path):
    path = shop.build(tmp_path / "shop.db")
    with closing(sqlite3.connect(path)) as from_file, closing(shop.in_memory(seed=1)) as other:
        assert dump(from_file) == dump(connection)
        assert dump(other) != dump(connection)


def test_a_database_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "shop.db"
    path.write_text("mine")
    with pytest.raises(ExistsError, match="already there"):
        shop.build(path)
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        shop.build(tmp_path / "file" / "shop.db")
