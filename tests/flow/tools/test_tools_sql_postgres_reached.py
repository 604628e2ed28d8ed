"""What planning, parsing or a domain's check may run is followed into the functions' bodies, on a real PostgreSQL: a wrapper hides nothing."""

import pytest

from stillhouse.flow.tools import ToolError
from stillhouse.flow.tools.sql_postgres import PostgresReader

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")

# `planned` writes through another connection. Each wrapper calls it, and says of itself that it is immutable.
FUNCTIONS = """
CREATE TABLE hits (what text);
CREATE FUNCTION planned(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER AS $$BEGIN
  PERFORM public.dblink_exec('@ADDRESS@', 'INSERT INTO public.hits VALUES (''planned'')'); RETURN 1; END$$;
CREATE FUNCTION wrapped(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT planned(i)';
CREATE FUNCTION wrapped_twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT wrapped($1) + 1';
CREATE FUNCTION wrapped_atomic(i int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT planned(i); END;
CREATE FUNCTION wrapped_return(i int) RETURNS int LANGUAGE sql IMMUTABLE RETURN planned(i);
CREATE FUNCTION wrapped_default(i int DEFAULT wrapped(1)) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i';
CREATE FUNCTION wrapped_dynamic(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$DECLARE n int; BEGIN EXECUTE 'SELECT pla' || 'nned(1)' INTO n; RETURN n; END$$;
CREATE FUNCTION wrapped_path(i int) RETURNS int LANGUAGE sql IMMUTABLE SET search_path = other AS 'SELECT fine(i)';
CREATE FUNCTION wrapped_from(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT p FROM planned(i) AS p';
CREATE FUNCTION wrapped_many(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT planned(i); SELECT 1';
CREATE FUNCTION wrapped_view(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n FROM loud';
CREATE FUNCTION wrapped_built_in(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 0 * pg_backend_pid() + i';
CREATE FUNCTION wrapped_text(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT length(''x'') + i';
CREATE FUNCTION wrapped_operator(i int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT i ### 1';
CREATE FUNCTION denied(i int, j int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT planned(i) = j';
CREATE FUNCTION equal(i int, j int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT i = j';
CREATE OPERATOR ### (leftarg = int, rightarg = int, function = denied);
CREATE OPERATOR !### (leftarg = int, rightarg = int, function = denied);
CREATE OPERATOR =### (leftarg = int, rightarg = int, function = equal, negator = !###);
CREATE FUNCTION wrapped_negator(i int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT NOT (i =### 1)';
CREATE FUNCTION fine(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i + 1';
CREATE FUNCTION fine_twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT fine(fine(fine_twice.i)) * 2';
CREATE FUNCTION fine_atomic(i int) RETURNS int LANGUAGE sql IMMUTABLE RETURN fine(i);
CREATE FUNCTION fine_name(text, int DEFAULT 3) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT left(lower($1), $2);';
CREATE SCHEMA other;
CREATE FUNCTION other.fine(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT public.planned(i)';
CREATE VIEW loud AS SELECT planned(1) AS n;
"""
WRAPPERS = [
    "wrapped(1)",
    "wrapped_twice(1)",
    "wrapped_atomic(1)",
    "wrapped_return(1)",
    "wrapped_default()",
    "wrapped_dynamic(1)",
    "wrapped_path(1)",
    "wrapped_from(1)",
    "wrapped_many(1)",
    "wrapped_view(1)",
    "wrapped_built_in(1)",
    "wrapped_text(1)",
    "wrapped_operator(1)::int",
    "wrapped_negator(1)::int",
]
PLACES = {
    "an index": "CREATE TABLE t (id int); CREATE INDEX ON t ((id + {0}))",
    "an index's condition": "CREATE TABLE t (id int); CREATE INDEX ON t (id) WHERE {0} = 1",
    "a check": "CREATE TABLE t (id int, CHECK (id > {0}))",
    "a statistic": "CREATE TABLE t (id int, name text); CREATE STATISTICS s ON (id + {0}), name FROM t",
    "a partition key": "CREATE TABLE t (id int) PARTITION BY RANGE ((id + {0}));"
    "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (9)",
    "an heir's check": "CREATE TABLE t (id int); CREATE TABLE heir (CHECK (id > {0})) INHERITS (t)",
}


@pytest.fixture(scope="module")
def admin(postgres_url):
    """A database in which functions write through another connection, as its superuser sees it."""
    with psycopg.connect(postgres_url, autocommit=True) as first:
        first.execute("CREATE ROLE reached_reader LOGIN PASSWORD 'r'")
        first.execute("CREATE DATABASE reached")
    url = postgres_url.replace("/postgres", "/reached")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION dblink; CREATE EXTENSION citext")
        connection.execute("SET check_function_bodies = off")
        connection.execute(FUNCTIONS.replace("@ADDRESS@", url))
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reached_reader")
        yield connection


@pytest.fixture
def made(admin, postgres_url):
    """`made(statements)` makes what the reader then sees, and forgets what making it ran. All of it is gone after the test."""
    url = postgres_url.replace("/postgres", "/reached").replace("admin@", "reached_reader:r@")

    def make(statements):
        admin.execute(statements)
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reached_reader; TRUNCATE hits")
        return url

    yield make
    admin.execute(
        "DROP TABLE IF EXISTS t, heir, row_of CASCADE; DROP DOMAIN IF EXISTS odd, odder CASCADE; DROP VIEW IF EXISTS v"
    )


def hits(admin):
    return admin.execute("SELECT count(*) FROM hits").fetchone()[0]


def refusal(url, query):
    with pytest.raises(ToolError) as found:
        PostgresReader(url).read(query, 10, 5.0)
    return str(found.value)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("call", WRAPPERS)
def test_no_wrapper_hides_what_planning_would_run(made, admin, place, call):
    url = made(PLACES[place].format(call))
    assert "calls the function wrapped" in refusal(url, "SELECT id FROM t WHERE id = 1")
    assert hits(admin) == 0


def test_a_wrapper_in_an_index_is_named_with_what_it_calls(made, admin):
    url = made(PLACES["an index"].format("wrapped_twice(1)"))
    assert refusal(url, "SELECT id FROM t") == (
        "an index, a constraint, a statistic or the partition key of the table t calls the function wrapped_twice, which "
        "calls the function wrapped, which calls the function planned, which is volatile or SECURITY DEFINER; to plan a "
        "query on it may run that, so do without that table"
    )
    assert hits(admin) == 0


@pytest.mark.slow
@pytest.mark.parametrize("reads", ["SELECT id FROM t_1", "SELECT * FROM v", "SELECT 1 WHERE EXISTS (SELECT FROM t_1)"])
def test_a_partition_a_view_and_a_subquery_reach_it_too(made, admin, reads):
    url = made(PLACES["a partition key"].format("wrapped(1)") + "; CREATE VIEW v AS SELECT * FROM t")
    assert "calls the function wrapped" in refusal(url, reads)
    assert hits(admin) == 0


CHECKS = ["wrapped(1) = VALUE", "VALUE ### 1", "NOT (VALUE =### 1)", "pg_backend_pid() > VALUE", "VALUE::odder > 0"]
VALUES = ["SELECT coalesce(r, '(1)') FROM row_of r", "SELECT 5::odd", "SELECT '{1}'::odd[]"]


@pytest.mark.parametrize(
    ("check", "query"),
    [
        pytest.param(check, query, marks=[pytest.mark.slow] if check != CHECKS[2] or query != VALUES[2] else [])
        for check in CHECKS
        for query in VALUES
    ],
)
def test_no_wrapper_hides_what_a_domains_check_would_run(made, admin, check, query):
    made("CREATE DOMAIN odder AS int CHECK (wrapped(VALUE) > 0)" if "odder" in check else "CREATE DOMAIN odder AS int")
    url = made(f"CREATE DOMAIN odd AS int CHECK ({check}); CREATE TABLE row_of (id odd)")
    assert "no query can be vetted in this database, because its domain odd" in refusal(url, query)
    assert hits(admin) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE t (id int); CREATE VIEW v AS SELECT id, wrapped(1) FROM t",
        "CREATE TABLE t (id int); CREATE VIEW v AS SELECT id FROM t ORDER BY wrapped_atomic(1)",
        "CREATE TABLE v (id int); ALTER TABLE v ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON v USING (wrapped(1) = 1)",
        "CREATE TABLE v (id int); ALTER TABLE v ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON v USING (1 ### 1)",
    ],
)
def test_nor_what_a_view_or_a_policy_would_run(made, admin, statements):
    try:
        url = made(statements)
        assert "which is not built into PostgreSQL" in refusal(url, "SELECT id FROM v")
        assert hits(admin) == 0
    finally:
        admin.execute("DROP TABLE v" if "TABLE v" in statements else "DROP VIEW v")


@pytest.mark.slow
def test_a_column_that_was_computed_when_it_was_written_is_read_and_runs_nothing(made, admin):
    url = made(
        "CREATE TABLE t (id int, n int GENERATED ALWAYS AS (wrapped(id)) STORED, m int DEFAULT wrapped(2));"
        "INSERT INTO t VALUES (1)"
    )
    assert PostgresReader(url).read("SELECT * FROM t WHERE n = 1", 10, 5.0).rows == [("1", "1", "1")]
    assert hits(admin) == 0


@pytest.mark.parametrize(
    "call", ["fine(1)", "fine(id)", "fine_twice(id)", "fine_atomic(2)", "length(fine_name(id::text))"]
)
def test_functions_that_can_be_seen_through_are_no_reason(made, admin, call):
    url = made(
        f"CREATE TABLE t (id int, name citext, CHECK ({call} > 0), CHECK (name <> 'x'));"
        f"CREATE INDEX ON t (({call})); CREATE INDEX ON t (lower(name)); INSERT INTO t VALUES (1, 'Ann');"
        f"CREATE DOMAIN odd AS int CHECK ({call.replace('id', 'VALUE')} > 0 AND VALUE < 9);"
    )
    assert PostgresReader(url).read("SELECT id FROM t WHERE id = 1", 10, 5.0).rows == [("1",)]
    assert hits(admin) == 0


def test_what_the_role_may_not_execute_cannot_run_and_is_no_reason(made, admin):
    url = made("CREATE TABLE t (id int, CHECK (id > wrapped_dynamic(1))); INSERT INTO t VALUES (2)")
    assert "calls the function wrapped_dynamic, which is in plpgsql" in refusal(url, "SELECT id FROM t")
    admin.execute("REVOKE EXECUTE ON FUNCTION wrapped_dynamic FROM PUBLIC")
    try:
        assert PostgresReader(url).read("SELECT id FROM t", 10, 5.0).rows == [("2",)]
        assert hits(admin) == 0
    finally:
        admin.execute("GRANT EXECUTE ON FUNCTION wrapped_dynamic TO PUBLIC")
