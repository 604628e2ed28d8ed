"""What a query calls is what PostgreSQL says: whatever notation hides a function that a user made, it is refused before it runs."""

import pytest

from stillhouse.flow.tools import ToolError, sql
from stillhouse.flow.tools.sql_postgres import PostgresReader
from stillhouse.flow.tools.sql_postgres_trees import resolved

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")

TRAPS = """
CREATE TABLE cust (id int PRIMARY KEY, name text, born date);
CREATE TABLE hits (at timestamptz, what text);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE plain AS ENUM ('a', 'b');
CREATE TABLE felt (id int, how mood);
CREATE TABLE liked (id int, kind plain, tags text[]);
CREATE FUNCTION ring() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN
  PERFORM dblink_exec('dbname=traps', 'INSERT INTO hits VALUES (now(), ''rung'')'); RETURN 1; END$$;
CREATE FUNCTION purge(c cust) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT ring()';
CREATE FUNCTION upper(c cust) RETURNS text LANGUAGE sql AS 'SELECT ring()::text';
CREATE FUNCTION mood_of(i int) RETURNS mood LANGUAGE sql AS 'SELECT ring(); SELECT ''ok''::mood';
CREATE CAST (int AS mood) WITH FUNCTION mood_of(int);
CREATE FUNCTION json_of(m mood) RETURNS json LANGUAGE sql AS 'SELECT ring(); SELECT ''1''::json';
CREATE CAST (mood AS json) WITH FUNCTION json_of(mood);
CREATE FUNCTION text_of(c cust) RETURNS text LANGUAGE sql AS 'SELECT ring()::text';
CREATE CAST (cust AS text) WITH FUNCTION text_of(cust);
CREATE FUNCTION same(a cust, b int) RETURNS bool LANGUAGE sql AS 'SELECT ring() = 1';
CREATE OPERATOR = (leftarg = cust, rightarg = int, function = same);
CREATE FUNCTION ringing(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT ring()';
CREATE AGGREGATE sum(cust) (sfunc = int_of, stype = int, initcond = '0');
CREATE FUNCTION lower(i int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT i::text';
CREATE FUNCTION fine(i int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE DOMAIN odd AS int CHECK (fine(VALUE));
CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0);
CREATE VIEW loud AS SELECT id, ring() AS n FROM cust;
CREATE VIEW quiet AS SELECT id, format('%s!', name) AS name FROM cust WHERE id > 0;
CREATE VIEW asleep AS SELECT id, pg_sleep(0)::text AS slept FROM cust;
CREATE VIEW over AS SELECT * FROM loud;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM cust;
CREATE TABLE ruled (id int, owner text);
ALTER TABLE ruled ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON ruled USING (ring() = 1);
CREATE TABLE mine (id int, owner text);
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON mine USING (owner = current_setting('application_name'));
CREATE SERVER far FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE away (id int) SERVER far;
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE part_away PARTITION OF parts FOR VALUES FROM (0) TO (9) SERVER far;
CREATE FUNCTION calm(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i + 1';
CREATE TABLE calmly (id int, CHECK (calm(id) > 0));
CREATE INDEX ON calmly (calm(id));
INSERT INTO cust VALUES (1, 'Ann', '1990-05-01'), (2, 'Bob', NULL);
INSERT INTO felt VALUES (1, 'ok');
INSERT INTO liked VALUES (1, 'a', '{x,y}');
INSERT INTO mine VALUES (1, 'stillhouse'), (2, 'other');
GRANT SELECT ON ALL TABLES IN SCHEMA public TO traps_reader;
"""


# A function that says it is immutable is called while a query is planned, wherever its arguments are known by then.
PLANNED = """
CREATE FUNCTION planned(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER AS $$BEGIN
  PERFORM dblink_exec('@ADDRESS@', 'INSERT INTO hits VALUES (now(), ''planned'')'); RETURN 1; END$$;
CREATE FUNCTION planned(i int, j int) RETURNS bool LANGUAGE sql IMMUTABLE SECURITY DEFINER AS 'SELECT planned(i) = j';
CREATE OPERATOR ### (leftarg = int, rightarg = int, function = planned);
CREATE TABLE in_index (id int);
CREATE INDEX ON in_index (id) WHERE planned(1) = 1;
CREATE TABLE in_index_too (id int);
CREATE INDEX ON in_index_too ((id + planned(1)));
CREATE TABLE by_operator (id int);
CREATE INDEX ON by_operator (id) WHERE 1 ### 1;
CREATE TABLE heirs (id int);
CREATE TABLE in_check (CHECK (id > planned(1))) INHERITS (heirs);
CREATE TABLE in_statistics (id int, name text);
CREATE STATISTICS stats ON (id + planned(1)), name FROM in_statistics;
CREATE VIEW over_index AS SELECT id FROM in_index;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO traps_reader;
TRUNCATE hits;
"""


@pytest.fixture(scope="module")
def traps(postgres_url):
    """A database full of functions that write through another connection, as one sees it who may only read."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE traps_reader LOGIN PASSWORD 'r'")
        admin.execute("CREATE DATABASE traps")
    url = postgres_url.replace("/postgres", "/traps")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION dblink; CREATE FOREIGN DATA WRAPPER nothing")
        before, after = TRAPS.split("CREATE AGGREGATE", 1)
        admin.execute(before)
        admin.execute("CREATE FUNCTION int_of(i int, c cust) RETURNS int LANGUAGE sql AS 'SELECT ring()'")
        admin.execute("CREATE AGGREGATE" + after)
        admin.execute(PLANNED.replace("@ADDRESS@", url))
    return url.replace("admin@", "traps_reader:r@")


def hits(traps):
    with psycopg.connect(traps) as reader:
        return reader.execute("SELECT count(*) FROM hits").fetchone()[0]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT c.purge FROM cust c", "calls the function purge, which is not built into PostgreSQL"),
        ("SELECT (c).purge FROM cust AS c", "calls the function purge, which is not built into PostgreSQL"),
        ("SELECT id FROM cust c ORDER BY c.purge", "calls the function purge, which is not built into PostgreSQL"),
        ("SELECT 1::mood", "calls the function mood_of, which is not built into PostgreSQL"),
        ("SELECT CAST(id AS mood) FROM cust", "calls the function mood_of, which is not built into PostgreSQL"),
        ("SELECT upper(c) FROM cust c", "calls the function upper, which is not built into PostgreSQL"),
        ("SELECT lower(id) FROM cust", "calls the function lower, which is not built into PostgreSQL"),
        ("SELECT sum(c) FROM cust c", "calls the function sum, which is not built into PostgreSQL"),
        ("SELECT c FROM cust c", "calls the function text_of, which is not built into PostgreSQL"),
        ("SELECT id FROM cust c WHERE c = 1", "calls the function same, which is not built into PostgreSQL"),
        ("SELECT to_json(how) FROM felt", "uses the type mood, whose values may call functions"),
        ("SELECT to_json(f) FROM felt f", "uses the type mood, whose values may call functions"),
        ("SELECT json_agg(f) FROM felt f", "uses the type mood, whose values may call functions"),
        ("SELECT id::odd FROM cust", "uses the type odd, whose values may call functions"),
        ("SELECT * FROM loud", "calls the function ring, which is not built into PostgreSQL"),
        ("SELECT id FROM over", "calls the function ring, which is not built into PostgreSQL"),
        ("SELECT * FROM asleep", "calls the function pg_sleep, which may change something"),
        ("SELECT * FROM ruled", "calls the function ring, which is not built into PostgreSQL"),
        ("SELECT ('port'::text).current_setting", "calls the function current_setting, which is not one that a query"),
        ("SELECT * FROM away", "the table away is on another server and is not read"),
        ("SELECT * FROM parts", "the table part_away is on another server and is not read"),
        ("SELECT * FROM information_schema.tables", "is the database's own and is not read"),
    ],
)
async def test_what_is_not_built_in_is_refused_in_every_notation(traps, query, sentence):
    called = sql(traps)
    with pytest.raises(ToolError) as found:
        await called.call({"query": query})
    assert sentence in str(found.value)
    assert hits(traps) == 0


@pytest.mark.parametrize(
    "table", ["in_index", "in_index_too", "by_operator", "heirs", "in_check", "in_statistics", "over_index"]
)
async def test_what_planning_would_call_is_refused_though_the_query_holds_nothing_of_it(traps, table):
    called = sql(traps)
    with pytest.raises(ToolError, match="calls the function planned, which is volatile or SECURITY DEFINER"):
        await called.call({"query": f"SELECT id FROM {table} WHERE id = 1"})
    assert hits(traps) == 0


async def test_an_index_on_a_harmless_function_is_no_reason(traps):
    assert "(0 rows)" in await sql(traps).call({"query": "SELECT id FROM calmly WHERE id = 1"})


@pytest.mark.parametrize(
    "query",
    [
        "SELECT purge(c) FROM cust c",
        "SELECT ring()",
        "SELECT dblink_exec('dbname=traps', 'DELETE FROM hits')",
        "SELECT * FROM dblink('dbname=traps', 'SELECT 1') AS t(x int)",
        "SELECT pg_sleep(0)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT query_to_xml('SELECT ring()', true, true, '')",
        "SELECT xmlelement(name a)",
    ],
)
def test_the_catalogue_is_a_wall_of_its_own(traps, query):
    with pytest.raises(ToolError, match=r"which is not built into|which may change|not one that a query may|not known"):
        PostgresReader(traps).read(query, 10, 5.0)
    assert hits(traps) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "SELECT name, count(*), avg(id), max(born), string_agg(name, ',' ORDER BY id) FROM cust GROUP BY name HAVING count(*) > 0",
        "SELECT id, row_number() OVER (PARTITION BY name ORDER BY born DESC NULLS LAST), lag(id, 1) OVER w FROM cust WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        "SELECT date_trunc('month', born), extract(year FROM born), age(born), born + interval '1 day', now() - interval '2 h', current_date FROM cust",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT sum(i) FROM n JOIN cust c ON c.id = n.i",
        "SELECT lower(name), upper(name), coalesce(name, 'x'), length(name), name || '!', substring(name FROM 1 FOR 2), trim(name), nullif(name, '') FROM cust",
        "SELECT id::text, '5'::int, CAST(id AS numeric(10, 2)), '2024-01-01'::date, born::timestamptz, id::float8 FROM cust",
        "SELECT CASE WHEN id IN (1, 2) THEN 'a' ELSE 'b' END, id BETWEEN 1 AND 3, name LIKE 'A%', name ILIKE '%b', name ~ '^A' FROM cust",
        "SELECT c.name FROM cust c LEFT JOIN liked f USING (id) WHERE EXISTS (SELECT 1 FROM liked WHERE liked.id = c.id) OR c.id = ANY (SELECT id FROM liked) OR (c.id, c.name) IN (SELECT 1, 'Ann')",
        "SELECT id FROM cust UNION SELECT id FROM felt INTERSECT SELECT 1 EXCEPT SELECT 9 ORDER BY 1 LIMIT 5 OFFSET 0",
        "SELECT name, sum(id) FROM cust GROUP BY GROUPING SETS ((name), ()) ORDER BY grouping(name)",
        "SELECT DISTINCT ON (name) name, greatest(id, 2), least(id, 2), round(id / 3.0, 2), random() FROM cust",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id), count(*) FILTER (WHERE id > 1), stddev(id) FROM cust",
        "SELECT t, array_length(tags, 1), tags[1], 'x' = ANY(tags), kind, kind = 'a', kind::text FROM liked, unnest(tags) AS t",
        "SELECT to_json(c) ->> 'id', json_build_object('a', id), to_jsonb(c) @> '{}' FROM (SELECT id, name FROM cust) AS c",
        "SELECT g::date FROM generate_series('2024-01-01'::timestamp, '2024-01-03', '1 day') AS g",
        "SELECT * FROM quiet JOIN kept USING (id)",
        "SELECT now() AT TIME ZONE 'UTC', born IS NULL, name IS DISTINCT FROM 'x', NOT (id > 1), -id, id % 2 FROM cust",
        "SELECT (4)::even, to_char(born, 'YYYY'), to_date('2024', 'YYYY'), position('a' IN name), overlay(name PLACING 'x' FROM 1) FROM cust",
        "SELECT x.n, l.* FROM (VALUES (1, 'a'), (2, 'b')) AS x(n, t), LATERAL (SELECT id FROM cust WHERE id = x.n) AS l",
        "SELECT name SIMILAR TO 'A%', name COLLATE \"C\" FROM cust",
    ],
)
async def test_what_analysts_ask_is_answered(traps, query):
    assert " row" in await sql(traps).call({"query": query})


async def test_row_policies_hold_and_may_look_at_settings(traps):
    assert await sql(traps).call({"query": "SELECT id FROM mine"}) == "id\n1\n(1 row)"


def test_a_domain_that_is_checked_while_a_query_is_parsed_stops_all(traps, postgres_url):
    """`coalesce(t, '(1)')` makes the row, and so runs the check, before anybody knows what the statement calls."""
    with psycopg.connect(postgres_url.replace("/postgres", "/traps")) as admin:
        admin.execute("CREATE FUNCTION loud(i int) RETURNS bool LANGUAGE sql AS 'SELECT ring() = 1'")
        admin.execute("CREATE DOMAIN trap AS int CHECK (loud(VALUE)); CREATE TABLE trapped (id trap)")
        admin.execute("GRANT SELECT ON trapped TO traps_reader")
        admin.commit()
        try:
            with pytest.raises(ToolError, match="its domain trap is checked by the function loud, which is volatile"):
                PostgresReader(traps).read("SELECT coalesce(t, '(1)') FROM trapped t", 10, 5.0)
            assert hits(traps) == 0
        finally:
            admin.execute("DROP TABLE trapped; DROP DOMAIN trap; DROP FUNCTION loud(int)")


def test_a_tree_with_what_is_not_known_is_refused():
    assert resolved("{QUERY :rtable ({RTE :relid 20000}) :x {FUNCEXPR :funcid 870 :funcformat 0}}").written == {870}
    for tree in ("{QUERY :a {NEWEXPR :b 1}}", "{QUERY :newfield 16384}", "({QUERY :a 1} 16385)"):
        with pytest.raises(ToolError):
            resolved(tree)
    fake = r"{ALIAS :aliasname :location :colnames (\"a\ :funcid\ 5\")} :funcid 17000"
    assert resolved(fake).functions == {17000}
