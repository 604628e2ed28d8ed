"""The `sql` tool on SQLite: its answers, and the second wall on its own, which holds whatever query gets past the first."""

import json
import math
import sqlite3
import subprocess
import sys

import pytest

from stillhouse import sqlite_walls as walls
from stillhouse.errors import UserError
from stillhouse.flow.tools import ToolError, sql, sql_sqlite
from stillhouse.flow.tools.sql import table
from stillhouse.flow.tools.sql_reader import QueryRows
from stillhouse.flow.tools.sql_sqlite import SqliteReader

BOMB = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "the shop #1 100%.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """CREATE TABLE customers (id INTEGER PRIMARY KEY, country TEXT);
        CREATE TABLE orders (id INTEGER, line INTEGER, customer INTEGER REFERENCES customers (id), total REAL, PRIMARY KEY (id, line));
        CREATE TABLE "order notes" ("the note" TEXT, twice INTEGER GENERATED ALWAYS AS (2 * length("the note")));
        CREATE VIEW large AS SELECT * FROM orders WHERE total > 40;
        CREATE VIRTUAL TABLE docs USING fts5 (body);
        INSERT INTO customers VALUES (1, 'PT'), (2, NULL);
        INSERT INTO orders VALUES (1, 1, 1, 30.0), (1, 2, 1, 45.5), (2, 1, 2, 1);
        INSERT INTO "order notes" ("the note") VALUES ('a | b'), (''), ('NULL'), ('two
lines');
        INSERT INTO docs VALUES ('a copper kettle')"""
    )
    connection.close()
    return path


async def answer(called, query):
    return await called.call({"query": query})


async def refusal(called, query):
    with pytest.raises(ToolError) as found:
        await called.call({"query": query})
    return str(found.value)


def test_the_description_holds_the_schema(shop):
    assert sql(shop).description == (
        "Run one SELECT on an SQLite database that can only be read, and see at most 200 of its rows. The tables:\n"
        "customers (id INTEGER, country TEXT), key id\n"
        "docs (body)\n"
        "large (id INTEGER, line INTEGER, customer INTEGER, total REAL), a view\n"
        '"order notes" ("the note" TEXT, twice INTEGER)\n'
        "orders (id INTEGER, line INTEGER, customer INTEGER -> customers.id, total REAL), key id, line"
    )


async def test_the_answer_is_a_table_that_says_how_many_rows_it_has(shop):
    called = sql(shop)
    assert await answer(
        called,
        "SELECT country, sum(total) AS total FROM customers JOIN orders ON customer = customers.id GROUP BY country",
    ) == ("country | total\nNULL | 1.0\nPT | 75.5\n(2 rows)")
    assert (
        await answer(called, 'SELECT "the note" FROM "order notes"')
        == "the note\na \\| b\n''\n'NULL'\ntwo\\nlines\n(4 rows)"
    )
    assert await answer(called, "SELECT * FROM large WHERE id > 5") == "id | line | customer | total\n(0 rows)"
    assert await answer(called, "SELECT x'00ff'") == "x'00ff'\nx'00ff' (2 bytes)\n(1 row)"
    assert await answer(called, "SELECT value FROM json_each('[1, 2]')") == "value\n1\n2\n(2 rows)"
    assert await answer(called, "SELECT body FROM docs WHERE docs MATCH 'kettle'") == "body\na copper kettle\n(1 row)"


async def test_what_is_cut_is_said(shop):
    assert (
        await answer(sql(shop, max_rows=2), "SELECT id FROM orders")
        == "id\n1\n1\n[cut: the first 2 rows; there are more]"
    )
    assert await answer(sql(shop, max_rows=3), "SELECT id FROM orders") == "id\n1\n1\n2\n(3 rows)"
    counted = BOMB.format("i") + " LIMIT 150"
    assert (await answer(sql(shop, max_chars=20), counted)).endswith(
        "\n8\n9\n[cut: the first 9 of 150 rows; the rest is longer than 20 characters]"
    )
    assert await answer(sql(shop), f"SELECT '{'x' * 5000}' AS wide") == f"wide\n{'x' * 2000}... [cut]\n(1 row)"


def test_the_table_never_outgrows_its_limit():
    wide = QueryRows(["c" * 100] * 2_000, [], False)
    assert len(table(wide, 1_000)) <= 1_150


async def test_recursive_bombs_end_by_rows_or_by_time(shop):
    assert (await answer(sql(shop, max_rows=2), BOMB.format("i"))).endswith("[cut: the first 2 rows; there are more]")
    assert (
        await refusal(sql(shop, timeout_s=0.1), BOMB.format("count(*)"))
        == "the query took longer than 0.1 s and was stopped; ask for less, or add a LIMIT"
    )
    crossed = "SELECT count(*) FROM " + ", ".join(f"orders o{n}" for n in range(40))
    assert "took longer than 0.1 s" in await refusal(sql(shop, timeout_s=0.1), crossed)


async def test_what_sqlite_refuses_is_said_in_its_own_words(shop):
    assert await refusal(sql(shop), "SELECT totl FROM orders") == "SQLite refused the query (no such column: totl)"
    assert await refusal(sql(shop), "SELECT * FROM nowhere") == "SQLite refused the query (no such table: nowhere)"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("INSERT INTO customers VALUES (3, 'ES')", "SQLite refused the query (not authorized)"),
        ("DELETE FROM customers", "SQLite refused the query (not authorized)"),
        ("DROP TABLE customers", "SQLite refused the query (not authorized)"),
        ("CREATE TEMP TABLE t AS SELECT 1", "SQLite refused the query (not authorized)"),
        ("PRAGMA query_only = 0", "SQLite refused the query (not authorized)"),
        ("PRAGMA writable_schema = 1", "SQLite refused the query (not authorized)"),
        ("SELECT * FROM pragma_database_list", "SQLite refused the query (not authorized)"),
        ("ATTACH 'other.db' AS other", "SQLite refused the query (not authorized)"),
        ("VACUUM INTO 'copy.db'", "SQLite refused the query (authorization denied)"),
        ("BEGIN IMMEDIATE", "SQLite refused the query (not authorized)"),
        ("SELECT 1; DROP TABLE customers", "SQLite refused the query (You can only execute one statement at a time.)"),
        (
            "SELECT load_extension('evil.so')",
            "SQLite refused the query (not authorized to use function: load_extension)",
        ),
        ("SELECT randomblob(1000000000)", "SQLite refused the query (not authorized to use function: randomblob)"),
        (
            "SELECT fts3_tokenizer('simple')",
            "SQLite refused the query (not authorized to use function: fts3_tokenizer)",
        ),
        ("INSERT INTO docs (docs) VALUES ('delete-all')", "SQLite refused the query (not authorized)"),
        ("SELECT printf('%.*c', 900000000, 'x')", "SQLite refused the query (not authorized to use function: printf)"),
        (
            BOMB.replace("FROM n)", "FROM n LIMIT 150000)").format("length(group_concat('0123456789'))"),
            "SQLite refused the query (string or blob too big)",
        ),
        ("SELECT 1" + " UNION SELECT 1" * 60, "SQLite refused the query (too many terms in compound SELECT)"),
        (
            "SELECT '" + "%a" * 2000 + "' LIKE '" + "%a" * 2000 + "'",
            "SQLite refused the query (LIKE or GLOB pattern too complex)",
        ),
    ],
)
def test_sqlite_itself_does_no_more_than_read(shop, tmp_path, query, sentence):
    before = shop.read_bytes()
    with pytest.raises(ToolError) as found:
        SqliteReader(shop).read(query, 10, 5.0)
    assert str(found.value) == sentence
    assert shop.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [shop.name]


def test_the_file_is_opened_for_reading_alone(shop):
    """The first wall by itself: neither `query_only` nor an authorizer stands on this connection."""
    connection = SqliteReader(shop)._connect()
    with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        connection.execute("DELETE FROM customers")
    connection.close()


def test_the_connection_refuses_to_write_by_itself(shop, monkeypatch):
    """The second wall by itself: the file is open for writing, and nobody asks the authorizer."""
    reader = SqliteReader(shop)
    monkeypatch.setattr(reader, "_connect", lambda: sqlite3.connect(shop))
    with reader._reading(math.inf) as connection:
        connection.set_authorizer(None)
        with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
            connection.execute("DELETE FROM customers")


def test_a_database_in_wal_mode_is_read_while_it_is_written(shop):
    with sqlite3.connect(shop) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM customers")
        assert SqliteReader(shop).read("SELECT count(*) FROM customers", 10, 5.0).rows == [(2,)]
        writer.rollback()
    writer.close()


def test_text_that_is_no_utf_8_is_shown_as_far_as_it_is(shop):
    with sqlite3.connect(shop) as writer:
        writer.execute("INSERT INTO customers VALUES (3, CAST(x'e94f' AS TEXT))")
    writer.close()
    assert SqliteReader(shop).read("SELECT country FROM customers WHERE id = 3", 10, 5.0).rows == [("\ufffdO",)]


async def test_many_tables_are_named_as_far_as_the_description_holds(tmp_path):
    path = tmp_path / "wide.db"
    columns = ", ".join(f"column_{n} INTEGER" for n in range(10))
    connection = sqlite3.connect(path)
    connection.executescript(
        f"BEGIN; {'; '.join(f'CREATE TABLE t{number:03d} ({columns})' for number in range(300))}; COMMIT"
    )
    connection.close()
    *whole, last = sql(path).description.splitlines()[1:]
    assert whole[:2] == [f"t000 ({columns})", f"t001 ({columns})"]
    assert sum(len(line) + 1 for line in whole) <= 8_000
    names = ", ".join(f"t{number:03d}" for number in range(len(whole), 300))
    assert last == f"and {300 - len(whole)} more, without their columns: {names}"


def test_what_is_no_database_is_the_users_mistake(tmp_path):
    (tmp_path / "notes.txt").write_text("no database, but long enough to look like one " * 20)
    for path, sentence in [
        (
            tmp_path / "none.db",
            f"{tmp_path / 'none.db'}: no such database; name an SQLite file, or a postgresql:// URL",
        ),
        (tmp_path, f"{tmp_path}: no such database; name an SQLite file, or a postgresql:// URL"),
        (
            tmp_path / "notes.txt",
            f"{tmp_path / 'notes.txt'}: SQLite cannot read it (file is not a database); name an SQLite database",
        ),
    ]:
        with pytest.raises(UserError) as found:
            sql(path)
        assert str(found.value) == sentence
    with pytest.raises(UserError, match="max_rows = 0"):
        sql(tmp_path / "none.db", max_rows=0)


@pytest.mark.parametrize(
    "table_name", ["sqlite_master", "sqlite_schema", "SQLITE_MASTER", "main.sqlite_master", "sqlite_temp_master", "sqlite_sequence", "sqlite_stat1", '"sqlite_schema"']
)  # fmt: skip
async def test_own_tables_are_read_by_neither_wall(shop, table_name):
    with sqlite3.connect(shop) as writer:
        writer.executescript("CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT); ANALYZE")
    writer.close()
    for query in (
        f"SELECT * FROM {table_name}",
        f"SELECT count(*) FROM {table_name}",
        f"SELECT 1 FROM orders, {table_name}",
    ):
        with pytest.raises(ToolError, match=r"prohibited|not authorized"):
            SqliteReader(shop).read(query, 10, 5.0)
        assert "is the database's own and is not read" in await refusal(sql(shop), query)


WIDE = "hex(" * 16 + "'0123456789abc'" + ")" * 16  # 852 kB


def test_rows_are_read_within_a_budget_of_bytes(shop, monkeypatch):
    """300 rows of 20 columns of 852 kB each: 5 GB, of which each cell's first 2,000 characters stay."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30)"
    found = SqliteReader(shop).read(f"{numbers} SELECT {', '.join([WIDE] * 20)} FROM n", 300, 20.0)
    assert (len(found.rows), found.more) == (30, False)
    assert {len(cell) for row in found.rows for cell in row} == {2_001}
    blobs = BOMB.format(f"CAST({WIDE} AS BLOB)")
    found = SqliteReader(shop).read(blobs, 300, 20.0)
    assert found.more
    assert sum(len(cell) for row in found.rows for cell in row) <= 16_000_000


def test_a_querys_memory_is_bounded(shop):
    wide = f"WITH w(x) AS (SELECT {WIDE}) SELECT {', '.join(['x || 1'] * 600)} FROM w"
    with pytest.raises(ToolError, match="string or blob too big"):
        SqliteReader(shop).read(wide, 10, 20.0)
    script = "import json, resource, sqlite3; from stillhouse import sqlite_walls as w"
    script += "; w.answer = lambda *_: bytearray(2**30) and {}; w.main()"
    request = {"path": str(shop), "query": "", "max_rows": 1, "max_cell_chars": 1, "timeout_s": 5, "functions": []}
    done = subprocess.run([sys.executable, "-c", script], input=json.dumps(request), capture_output=True, text=True)
    assert json.loads(done.stdout) == {"error": "it needs more than 512 MB of memory", "late": False}


def test_temporary_files_are_bounded(shop):
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300)"
    with pytest.raises(ToolError, match="disk"):
        SqliteReader(shop).read(f"{numbers} SELECT {WIDE} || i AS x FROM n ORDER BY x", 10, 30.0)


def test_a_query_of_too_many_columns_is_refused(shop):
    with pytest.raises(ToolError, match="it has 1,001 columns; at most 1,000 are taken"):
        SqliteReader(shop).read(f"SELECT {', '.join(['1'] * 1001)}", 10, 5.0)


def test_one_call_that_goes_on_is_ended(shop, monkeypatch):
    """SQLite's own clock looks between instructions; what hangs in one is ended from outside."""
    stuck = shop.parent / "stuck.py"
    stuck.write_text("while True: pass")
    monkeypatch.setattr(walls, "__file__", str(stuck))
    monkeypatch.setattr(sql_sqlite, "_GRACE_S", 0.2)
    with pytest.raises(ToolError, match=r"took longer than 0\.1 s and was stopped"):
        SqliteReader(shop).read("SELECT 1", 10, 0.1)
