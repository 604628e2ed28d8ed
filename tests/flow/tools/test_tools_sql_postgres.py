"""The `sql` tool on a real PostgreSQL: its answers, and the server's own wall, which holds whatever query gets past the vetting."""

import pytest

from stillhouse.errors import UserError
from stillhouse.flow.tools import ToolError, sql, sql_postgres
from stillhouse.flow.tools.sql_postgres import PostgresReader

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
pytestmark = pytest.mark.slow  # a server is started


@pytest.fixture(scope="module")
def shop(postgres_url):
    """A database with some tables, as one sees it who may write too: what is refused is refused by the reader, and not for want of privileges."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE owner LOGIN PASSWORD 'p4ss/w:rd'")
        admin.execute("CREATE DATABASE shop OWNER owner")
    url = postgres_url.replace("admin@", "owner@").replace("/postgres", "/shop")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            """CREATE TABLE customers (id int PRIMARY KEY, country text);
            CREATE TABLE orders (id int, line int, customer int REFERENCES customers, total numeric(10, 2), PRIMARY KEY (id, line));
            CREATE VIEW large AS SELECT * FROM orders WHERE total > 40;
            CREATE SCHEMA back; CREATE TABLE back."odd name" ("a b" int);
            CREATE SEQUENCE numbers;
            CREATE FUNCTION drain() RETURNS int LANGUAGE plpgsql AS $$BEGIN DELETE FROM customers; RETURN 1; END$$;
            INSERT INTO customers VALUES (1, 'PT'), (2, NULL);
            INSERT INTO orders VALUES (1, 1, 1, 30), (1, 2, 1, 45.5), (2, 1, 2, 1);"""
        )
    return url


@pytest.fixture
def without_catalogue(monkeypatch):
    """The read-only transaction by itself: nobody asks the catalogue."""
    monkeypatch.setattr(sql_postgres, "check_resolved", lambda connection, statement: None)


async def answer(called, query):
    return await called.call({"query": query})


def refusal(shop, query, timeout_s=5.0):
    with pytest.raises(ToolError) as found:
        PostgresReader(shop).read(query, 10, timeout_s)
    return str(found.value)


def test_the_description_holds_the_schema(shop):
    assert sql(shop).description == (
        "Run one SELECT on a PostgreSQL database that can only be read, and see at most 200 of its rows. The tables:\n"
        'back."odd name" ("a b" integer)\n'
        "customers (id integer, country text), PRIMARY KEY (id)\n"
        "large (id integer, line integer, customer integer, total numeric(10,2)), a view\n"
        "orders (id integer, line integer, customer integer, total numeric(10,2)), PRIMARY KEY (id, line), FOREIGN KEY (customer) REFERENCES customers(id)"
    )


async def test_the_answer_is_a_table_that_says_how_many_rows_it_has(shop):
    called = sql(shop, max_rows=3)
    assert await answer(
        called,
        "SELECT country, sum(total) AS total FROM customers c JOIN orders o ON o.customer = c.id GROUP BY country ORDER BY 2",
    ) == ("country | total\nNULL | 1.00\nPT | 75.50\n(2 rows)")
    assert await answer(
        called, "SELECT id, id, true AS yes, DATE '2026-11-24' AS day, ARRAY[1, 2] AS list FROM large -- all"
    ) == ("id | id | yes | day | list\n1 | 1 | true | 2026-11-24 | {1,2}\n(1 row)")
    assert await answer(called, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n") == (
        "i\n1\n2\n3\n[cut: the first 3 rows; there are more]"
    )
    assert (
        await answer(called, "SELECT string_agg('0123456789', '') AS wide FROM generate_series(1, 1000)")
        == f"wide\n{'0123456789' * 200}... [cut]\n(1 row)"
    )
    assert await answer(called, "SELECT * FROM orders WHERE id > 5") == "id | line | customer | total\n(0 rows)"
    assert await answer(called, "SELECT '100%' AS share, 'a | b' AS pipes") == "share | pipes\n100% | a \\| b\n(1 row)"


async def test_what_postgres_refuses_is_said_in_its_own_words(shop):
    with pytest.raises(ToolError) as found:
        await answer(sql(shop), "SELECT totl FROM orders")
    assert str(found.value) == (
        'PostgreSQL refused the query (column "totl" does not exist; Perhaps you meant to reference the column "orders.total")'
    )


async def test_a_long_query_ends_by_the_servers_clock(shop, without_catalogue):
    bomb = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert refusal(shop, bomb, 0.2) == "the query took longer than 0.2 s and was stopped; ask for less, or add a LIMIT"
    assert (
        refusal(shop, "SELECT 1 FROM (SELECT pg_sleep(60)) AS s", 0.2)
        == "the query took longer than 0.2 s and was stopped; ask for less, or add a LIMIT"
    )


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("INSERT INTO customers VALUES (3, 'ES')", "syntax error"),
        ("DROP TABLE customers", "syntax error"),
        ("COPY customers TO '/tmp/x'", "syntax error"),
        ("COPY customers TO PROGRAM 'id'", "syntax error"),
        ("SET ROLE admin", "syntax error"),
        ("SELECT 1; DROP TABLE customers", "syntax error"),
        ("SELECT 1) AS q; DROP TABLE customers; --", "syntax error"),
        (
            "SELECT 1) AS q; COMMIT; DROP TABLE customers; SELECT * FROM (SELECT 1",
            "cannot insert multiple commands into a prepared statement",
        ),
        ("SELECT * INTO copied FROM customers", "SELECT ... INTO is not allowed here"),
        (
            "WITH gone AS (DELETE FROM customers RETURNING *) SELECT * FROM gone",
            "WITH clause containing a data-modifying statement must be at the top level",
        ),
        ("SELECT * FROM customers FOR UPDATE", "cannot execute SELECT FOR UPDATE in a read-only transaction"),
        ("SELECT drain()", "cannot execute DELETE in a read-only transaction"),
        ("SELECT nextval('numbers')", "cannot execute nextval() in a read-only transaction"),
        (
            "SELECT set_config('transaction_read_only', 'off', true), drain()",
            "transaction read-write mode must be set before any query",
        ),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied for function pg_read_file"),
        ("SELECT lo_import('/etc/passwd')", "permission denied for function lo_import"),
        ("SELECT passwd FROM pg_shadow", "permission denied for view pg_shadow"),
        (
            "SELECT * FROM dblink('host=localhost', 'SELECT 1') AS t(x int)",
            "function dblink(unknown, unknown) does not exist",
        ),
    ],
)
def test_postgres_itself_does_no_more_than_read(shop, without_catalogue, query, reason):
    assert reason in refusal(shop, query)
    with psycopg.connect(shop) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (2,)
        assert connection.execute("SELECT last_value, is_called FROM numbers").fetchone() == (1, False)


def test_a_query_that_breaks_out_of_its_parenthesis_gets_no_more_rows(shop):
    out = "SELECT 'x' FROM generate_series(1, 2)) AS q (c0) UNION ALL SELECT c0 FROM (SELECT n::text AS c0 FROM generate_series(1, 100000) AS g(n)"
    found = PostgresReader(shop).read(out, 3, 5.0)
    assert (found.rows, found.more) == ([("x",), ("x",), ("1",)], True)


def test_one_who_may_do_more_than_read_tables_is_refused(postgres_url, shop):
    at = postgres_url.rpartition("@")[2]
    with pytest.raises(UserError) as found:
        sql(postgres_url)
    assert str(found.value) == (
        f"postgresql://{at}: the user admin may do more than read tables (it is a superuser, or in pg_read_server_files); "
        "connect as one that may not, as made by CREATE ROLE reader LOGIN PASSWORD '...' IN ROLE pg_read_all_data"
    )
    with psycopg.connect(postgres_url.replace("/postgres", "/shop"), autocommit=True) as admin:
        admin.execute("CREATE ROLE reader LOGIN IN ROLE pg_read_all_data")
    assert (
        "customers (id integer"
        in sql(postgres_url.replace("admin@", "reader@").replace("/postgres", "/shop")).description
    )


def test_errors_never_hold_the_password():
    for url, shown in [
        ("postgresql://owner:s3cret@127.0.0.1:1/shop", "postgresql://127.0.0.1:1/shop"),
        ("postgresql://owner:s3cret@127.0.0.1:1/shop?nonsense=s3cret", "postgresql://127.0.0.1:1/shop"),
        ("postgresql://owner:s3cret@127.0.0.1:port/shop", "the database's URL is not valid"),
    ]:
        with pytest.raises(UserError) as found:
            sql(url)
        assert str(found.value).startswith(shown)
        assert "s3cret" not in str(found.value)


async def test_a_server_that_is_gone_is_said(shop):
    called = sql(shop)
    gone = PostgresReader(shop.replace("/shop", "/nowhere"))
    with pytest.raises(ToolError, match=r'PostgreSQL refused the query .*database "nowhere" does not exist'):
        gone.read("SELECT 1", 10, 1.0)
    assert await answer(called, "SELECT 1 AS one") == "one\n1\n(1 row)"
