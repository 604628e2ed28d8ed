"""What a query calls, by what PostgreSQL itself makes of it: its parsed statement against the catalogue.

The server tells what it has resolved the statement to (`sql_postgres_trees`), before anything is planned or run. What
is in there and not known here is refused. What may run beside it is looked for in the catalogue
(`sql_postgres_reached`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stillhouse.flow.tools.sql_postgres_reached import VOLATILE_AND_HARMLESS, Reach
from stillhouse.flow.tools.sql_postgres_trees import FIRST_OF_USERS, MAX_TREE_CHARS, Resolved, resolved, told_trees
from stillhouse.flow.tools.sql_vetting import HARMLESS
from stillhouse.flow.tools.tool import ToolError

if TYPE_CHECKING:
    import psycopg

# Functions that syntax stands for, in servers that do not tell so (before PostgreSQL 14).
_OF_SYNTAX = frozenset({"like_escape", "similar_escape", "similar_to_escape", "overlaps", "is_normalized", "normalize"})
_CALLED = """
    SELECT p.oid, p.proname, p.oid >= %(first)s::oid, p.provolatile = 'v', p.prosecdef,
           l.lanname IN ('internal', 'c', 'sql') AND n.nspname = 'pg_catalog'
      FROM pg_catalog.pg_proc p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE p.oid = ANY(%(functions)s::oid[])
        OR p.oid IN (SELECT oprcode FROM pg_catalog.pg_operator WHERE oid = ANY(%(operators)s::oid[]))"""
# A type with all that it is made of, and what may run when a value of it is written, read or compared.
_MADE_OF = """
    WITH RECURSIVE made(oid) AS (
        SELECT t FROM unnest(%(types)s::oid[]) AS t
        UNION
        SELECT part.oid FROM made
          JOIN pg_catalog.pg_type t ON t.oid = made.oid
          CROSS JOIN LATERAL (
            SELECT t.typelem UNION ALL SELECT t.typbasetype
            UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
                       WHERE t.typrelid <> 0::oid AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
                       WHERE r.rngtypid = t.oid
          ) AS part(oid)
         WHERE part.oid >= %(first)s::oid)
    SELECT pg_catalog.format_type(t.oid, NULL)
      FROM made JOIN pg_catalog.pg_type t ON t.oid = made.oid
     WHERE t.oid >= %(first)s::oid AND (
           (t.typtype NOT IN ('e', 'c', 'd', 'r')
              AND NOT (t.typtype = 'b' AND t.typelem <> 0::oid AND t.typlen = -1
                       AND t.typinput = 'pg_catalog.array_in'::regproc))
        OR EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource = t.oid AND c.castfunc >= %(first)s::oid
                     AND c.casttarget IN ('pg_catalog.json'::regtype, 'pg_catalog.jsonb'::regtype))
        OR EXISTS (SELECT FROM pg_catalog.pg_opclass o WHERE o.opcintype = t.oid AND o.oid >= %(first)s::oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
                     AND (r.rngcanonical::oid >= %(first)s::oid OR r.rngsubdiff::oid >= %(first)s::oid))
        OR EXISTS (SELECT FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_depend d
                     ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = k.oid
                    AND d.refclassid = 'pg_catalog.pg_proc'::regclass
                    WHERE k.contypid = t.oid AND d.refobjid >= %(first)s::oid))
     LIMIT 1"""
_READ = """
    WITH RECURSIVE read(oid) AS (
        SELECT t FROM unnest(%(relations)s::oid[]) AS t
        UNION
        SELECT i.inhrelid FROM read JOIN pg_catalog.pg_inherits i ON i.inhparent = read.oid)
    SELECT c.relname, c.relkind = 'f'
      FROM read JOIN pg_catalog.pg_class c ON c.oid = read.oid
     WHERE c.relkind = 'f' OR c.oid < %(first)s::oid
     LIMIT 1"""
# The expressions of the tables that are read, of those below them, and of those whose partitions they are: conditions
# and columns of indexes, constraints, statistics, partition keys, and columns that are computed when they are read.
_EXPRESSIONS = """
    WITH RECURSIVE below(oid) AS (
        SELECT t FROM unnest(%(relations)s::oid[]) AS t
        UNION
        SELECT i.inhrelid FROM below JOIN pg_catalog.pg_inherits i ON i.inhparent = below.oid),
    read(oid) AS (
        SELECT oid FROM below
        UNION
        SELECT i.inhparent FROM read
          JOIN pg_catalog.pg_class c ON c.oid = read.oid AND c.relispartition
          JOIN pg_catalog.pg_inherits i ON i.inhrelid = read.oid)
    SELECT read.oid::regclass::text, own.tree
      FROM read CROSS JOIN LATERAL (
        SELECT unnest(ARRAY[i.indexprs::text, i.indpred::text]) FROM pg_catalog.pg_index i WHERE i.indrelid = read.oid
        UNION ALL SELECT k.conbin::text FROM pg_catalog.pg_constraint k WHERE k.conrelid = read.oid
        UNION ALL SELECT to_jsonb(x) ->> 'stxexprs' FROM pg_catalog.pg_statistic_ext x WHERE x.stxrelid = read.oid
        UNION ALL SELECT p.partexprs::text FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = read.oid
        UNION ALL SELECT d.adbin::text FROM pg_catalog.pg_attrdef d
            JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = 'v'
           WHERE d.adrelid = read.oid) AS own(tree)
     WHERE own.tree IS NOT NULL
     ORDER BY 1"""
_CHECKS = """
    SELECT pg_catalog.format_type(k.contypid, NULL), k.conbin::text
      FROM pg_catalog.pg_constraint k
     WHERE k.contypid >= %(first)s::oid AND k.conbin IS NOT NULL
     ORDER BY 1"""


def check_parsing(connection: "psycopg.Connection[Any]") -> None:
    """Raise ToolError where parsing a statement may run what somebody made. To be asked before any is parsed.

    A text in quotes becomes a value while the statement is parsed. A domain's check then runs before the statement is
    known, where the value is of a row or an array that holds the domain.
    """
    reach = Reach(connection)
    for name, tree in connection.execute(_CHECKS, {"first": FIRST_OF_USERS}).fetchall():
        if called := _objection(reach.of_check, tree):
            raise ToolError(
                f"no query can be vetted in this database, because its domain {name} is checked by {called}; have the "
                "check written without functions, or as one SELECT in SQL, or this role's EXECUTE on the function taken"
            )


def _objection(of: Callable[[str], str], tree: str) -> str:
    try:
        return of(tree)
    except ToolError:
        return "something that is not known to be harmless"


def check_resolved(connection: "psycopg.Connection[Any]", statement: str) -> None:
    """Raise ToolError unless all that the statement would call is built in, without effect, and nobody else's.

    Nothing of the statement is run. The connection must be in a transaction, and `check_parsing` must have passed.
    """
    trees = told_trees(connection, statement)
    if trees is None or sum(map(len, trees)) > MAX_TREE_CHARS:
        reason = "does not tell what the query would call" if trees is None else "tells too much of what it would call"
        raise ToolError(f"the query cannot be vetted, since the server {reason}; ask for something simpler")
    written, rewritten = (resolved(tree) for tree in trees)
    _check_relations(connection, written, rewritten)
    _check_functions(connection, written, rewritten)
    types = [number for number in written.types | rewritten.types if number >= FIRST_OF_USERS]
    bad = connection.execute(_MADE_OF, {"types": types, "first": FIRST_OF_USERS}).fetchone()
    if bad is not None:
        raise ToolError(
            f"the query uses the type {bad[0]}, whose values may call functions that are not built in; "
            "leave that column or cast out"
        )


def _check_relations(connection: "psycopg.Connection[Any]", written: Resolved, rewritten: Resolved) -> None:
    relations = list(written.relations | rewritten.relations)
    bad = connection.execute(_READ, {"relations": relations, "first": FIRST_OF_USERS}).fetchone()
    if bad is not None:
        kind = "is on another server" if bad[1] else "is the database's own"
        raise ToolError(f"the table {bad[0]} {kind} and is not read; the tables are in the tool's description")
    reach = Reach(connection)
    for table, tree in connection.execute(_EXPRESSIONS, {"relations": relations}).fetchall():
        if called := _objection(reach.of_constants, tree):
            raise ToolError(
                f"an index, a constraint, a statistic or the partition key of the table {table} calls {called}; "
                "to plan a query on it may run that, so do without that table"
            )


def _check_functions(connection: "psycopg.Connection[Any]", written: Resolved, rewritten: Resolved) -> None:
    functions, operators = written.functions | rewritten.functions, written.operators | rewritten.operators
    numbers = {"functions": list(functions), "operators": list(operators), "first": FIRST_OF_USERS}
    known = set()
    for number, name, of_users, volatile, definer, is_plain in connection.execute(_CALLED, numbers):
        known.add(number)
        reason = ""
        if of_users or not is_plain:
            reason = "is not built into PostgreSQL"
        elif definer:
            reason = "runs with its owner's rights"
        elif volatile and name not in VOLATILE_AND_HARMLESS:
            reason = "may change something"
        elif number in written.written and name not in HARMLESS["postgres"] | _OF_SYNTAX:
            reason = "is not one that a query may call here"
        if reason:
            raise ToolError(f"the query calls the function {name}, which {reason}; do without it")
    if any(number >= FIRST_OF_USERS for number in operators):
        raise ToolError("the query uses an operator that is not built into PostgreSQL; do without it")
    if functions - known:
        raise ToolError("the query calls a function that the catalogue does not hold; do without it")
