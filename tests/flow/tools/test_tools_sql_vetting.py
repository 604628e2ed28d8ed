"""The first wall of the `sql` tool on its own: which texts are one query that only reads."""

import pytest

from stillhouse.flow.tools import ToolError
from stillhouse.flow.tools.sql_vetting import vetted

READS = [
    "SELECT 1",
    "(SELECT 1)",
    "SELECT 1 UNION ALL SELECT 2 ORDER BY 1 LIMIT 1",
    "WITH recent AS (SELECT * FROM orders) SELECT count(*) FROM recent",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
    "SELECT country, sum(total) AS s FROM orders GROUP BY country HAVING sum(total) > 10 ORDER BY (s) DESC",
    "SELECT DISTINCT a, coalesce(b, ''), nullif(c, 0), round(d, 2), CASE WHEN (a > 1) THEN (2) ELSE (3) END FROM t",
    "SELECT a FROM t WHERE a IN (1, 2) AND b NOT IN (SELECT b FROM u) AND EXISTS (SELECT 1) AND c BETWEEN (1) AND (2)",
    "SELECT rank() OVER (PARTITION BY a ORDER BY b), sum(c) FILTER (WHERE c > 0) FROM t JOIN u USING (id)",
    "SELECT * FROM a JOIN b ON (a.x = b.x) LEFT JOIN c ON (c.y = b.y)",
    "SELECT CAST(a AS VARCHAR(10)) FROM t WHERE note = 'a; DROP TABLE t -- not a statement'",
    'SELECT "odd name"."a b" FROM "odd name"',
]
ONLY_SQLITE = [
    "SELECT date('now', '-1 day'), strftime('%Y', day), group_concat(a, ','), a ->> '$.x', iif(a, 1, 2), total(b) FROM [odd name]",
    "SELECT value FROM json_each('[1, 2]')",
    "SELECT * FROM docs WHERE docs MATCH 'kettle' ORDER BY bm25(docs)",
]
ONLY_POSTGRES = [
    "SELECT date_trunc('month', day), extract(year FROM day), now() - interval '1 day', a::numeric(10, 2), b @> '{}', c ?| array['x'] FROM t",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total), string_agg(a, ',' ORDER BY a) FROM t GROUP BY ROLLUP (a)",
    "SELECT * FROM generate_series(1, 3) AS g(n), LATERAL (SELECT n + 1) AS m WHERE n = ANY (ARRAY[1, 2])",
    "SELECT substring(a FROM 1 FOR 2), position('a' IN b), E'it\\'s', $$dollars$$ FROM t",
]


@pytest.mark.parametrize(
    ("dialect", "query"),
    [("sqlite", query) for query in READS + ONLY_SQLITE] + [("postgres", query) for query in READS + ONLY_POSTGRES],
)
def test_what_only_reads_passes_as_it_is(dialect, query):
    assert vetted(query, dialect) == query


def test_comments_and_semicolons_at_the_end_are_left_out():
    assert vetted("SELECT 1 -- one\n , /* two */ 2 ; ;", "sqlite") == "SELECT 1 , 2"


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "the query is empty; write one SELECT"),
        (" ; -- nothing", "the query is empty; write one SELECT"),
        ("SELECT 1; DROP TABLE orders", "the query is more than one statement; write one SELECT"),
        ("SELECT 1; SELECT 2", "the query is more than one statement; write one SELECT"),
        ("DROP TABLE orders", "the query begins with DROP; only a SELECT is run"),
        ("INSERT INTO orders VALUES (1)", "the query begins with INSERT; only a SELECT is run"),
        ("UPDATE orders SET total = 0", "the query begins with UPDATE; only a SELECT is run"),
        ("delete from orders", "the query begins with DELETE; only a SELECT is run"),
        ("CREATE TABLE t AS SELECT 1", "the query begins with CREATE; only a SELECT is run"),
        ("EXPLAIN SELECT 1", "the query begins with EXPLAIN; only a SELECT is run"),
        ("VALUES (1)", "the query begins with VALUES; only a SELECT is run"),
        ("BEGIN; SELECT 1", "the query begins with BEGIN; only a SELECT is run"),
        (
            "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
            "the query holds DELETE; only a SELECT that reads is run",
        ),
        (
            "SELECT evil.lower('x')",
            "the function lower of another schema is not one that a query may call here; do without it",
        ),
        ("SELECT unheard_of(1)", "the function unheard_of is not one that a query may call here; do without it"),
        (
            "SELECT \0",
            "the query holds a character that no database takes (a NUL or half of a surrogate pair); leave it out",
        ),
        (
            "SELECT '\ud800'",
            "the query holds a character that no database takes (a NUL or half of a surrogate pair); leave it out",
        ),
        ("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, "the query is nested too deeply; write a simpler one"),
        ("SELECT '" + "x" * 20_000 + "'", "the query has 20,009 characters; at most 20,000 are taken"),
    ],
)
def test_what_does_more_is_refused(dialect, query, sentence):
    with pytest.raises(ToolError) as found:
        vetted(query, dialect)
    assert str(found.value) == sentence


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("PRAGMA table_info(orders)", "the query begins with PRAGMA; only a SELECT is run"),
        ("ATTACH 'other.db' AS other", "the query begins with ATTACH; only a SELECT is run"),
        ("VACUUM INTO 'copy.db'", "the query begins with VACUUM; only a SELECT is run"),
        (
            "SELECT load_extension('evil.so')",
            "the function load_extension is not one that a query may call here; do without it",
        ),
        (
            "SELECT \"load_extension\"('evil.so')",
            "the function load_extension is not one that a query may call here; do without it",
        ),
        (
            "SELECT [load_extension] ('evil.so')",
            "the function load_extension is not one that a query may call here; do without it",
        ),
        (
            "SELECT LOAD_EXTENSION/**/('evil.so')",
            "the function load_extension is not one that a query may call here; do without it",
        ),
        (
            "SELECT\u00a0load_extension\u00a0('evil.so')",
            "the function load_extension is not one that a query may call here; do without it",
        ),
        (
            "SELECT readfile('/etc/passwd')",
            "the function readfile is not one that a query may call here; do without it",
        ),
        ("SELECT writefile('x', 'y')", "the function writefile is not one that a query may call here; do without it"),
        (
            "SELECT randomblob(1000000000)",
            "the function randomblob is not one that a query may call here; do without it",
        ),
        (
            "SELECT * FROM pragma_database_list",
            "the table pragma_database_list is the database's own and is not read; the tables are in the tool's description",
        ),
        (
            "SELECT * FROM 'pragma_table_info'('t')",
            "the table pragma_table_info is the database's own and is not read; the tables are in the tool's description",
        ),
        ("SELECT '", "the query is not understood (Error tokenizing 'SELECT '); write one SELECT for SQLite"),
    ],
)
def test_what_sqlite_could_be_talked_into_is_refused(query, sentence):
    with pytest.raises(ToolError) as found:
        vetted(query, "sqlite")
    assert str(found.value) == sentence


def test_what_only_one_parser_takes_for_a_comment_does_not_reach_the_other():
    with pytest.raises(
        ToolError
    ):  # nested comments are comments to PostgreSQL, and to SQLite they end at the first end
        vetted("SELECT 1 /* /* */ , load_extension('x') /* */ */", "sqlite")
    assert vetted("SELECT 1 /* /* */ , pg_sleep(9) */", "postgres") == "SELECT 1"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("COPY orders TO '/tmp/x'", "the query begins with COPY; only a SELECT is run"),
        ("CALL drain()", "the query begins with CALL; only a SELECT is run"),
        ("DO $$BEGIN END$$", "the query begins with DO; only a SELECT is run"),
        ("SET ROLE admin", "the query begins with SET; only a SELECT is run"),
        ("SELECT * INTO copied FROM orders", "the query holds INTO; only a SELECT that reads is run"),
        (
            "SELECT * FROM orders FOR UPDATE",
            "the query holds FOR UPDATE or another lock; only a SELECT that reads is run",
        ),
        (
            "SELECT * FROM orders FOR KEY SHARE",
            "the query holds FOR UPDATE or another lock; only a SELECT that reads is run",
        ),
        ("SELECT pg_sleep(10)", "the function pg_sleep is not one that a query may call here; do without it"),
        ('SELECT "pg_sleep"(10)', "the function pg_sleep is not one that a query may call here; do without it"),
        (
            'SELECT U&"pg\\005fsleep"(10)',
            "the function pg\\005fsleep is not one that a query may call here; do without it",
        ),
        (
            "SELECT pg_catalog.pg_sleep(10)",
            "the function pg_sleep of another schema is not one that a query may call here; do without it",
        ),
        (
            "WITH pg_sleep(x) AS (SELECT 1) SELECT pg_sleep(10)",
            "the function pg_sleep is not one that a query may call here; do without it",
        ),
        (
            "SELECT pg_read_file('/etc/passwd')",
            "the function pg_read_file is not one that a query may call here; do without it",
        ),
        (
            "SELECT lo_import('/etc/passwd')",
            "the function lo_import is not one that a query may call here; do without it",
        ),
        (
            "SELECT * FROM dblink('host=other', 'DROP TABLE t') AS t(x int)",
            "the function dblink is not one that a query may call here; do without it",
        ),
        (
            "SELECT set_config('statement_timeout', '0', false)",
            "the function set_config is not one that a query may call here; do without it",
        ),
        (
            "SELECT nextval('orders_id_seq')",
            "the function nextval is not one that a query may call here; do without it",
        ),
        (
            "SELECT query_to_xml('SELECT pg_sleep(10)', true, true, '')",
            "the function query_to_xml is not one that a query may call here; do without it",
        ),
        ("SELECT repeat('x', 1000000000)", "the function repeat is not one that a query may call here; do without it"),
        ("SELECT \"LOWER\"('x')", "the function LOWER is not one that a query may call here; do without it"),
        (
            "SELECT * FROM pg_shadow",
            "the table pg_shadow is the database's own and is not read; the tables are in the tool's description",
        ),
        (
            "SELECT * FROM pg_catalog.pg_stat_activity",
            "the table pg_stat_activity is the database's own and is not read; the tables are in the tool's description",
        ),
    ],
)
def test_what_postgres_could_be_talked_into_is_refused(query, sentence):
    with pytest.raises(ToolError) as found:
        vetted(query, "postgres")
    assert str(found.value) == sentence
