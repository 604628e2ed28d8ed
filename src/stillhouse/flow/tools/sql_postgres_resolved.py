"""What a query calls, by what PostgreSQL itself makes of it: its parsed statement against the catalogue.

A text does not tell which function runs: `c.purge`, `1::mood` and `upper(c)` may each call one that somebody made. The
server tells: with `debug_print_parse` and `debug_print_rewritten` it sends the statement as it has resolved it, views
and row policies opened, before anything is planned or run. Every function, operator, type and table in there stands by
its number. Numbers from 16384 on are what users made. What is in there and not known here is refused.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stillhouse.flow.tools.sql_vetting import HARMLESS
from stillhouse.flow.tools.tool import ToolError, clean

if TYPE_CHECKING:
    import psycopg

FIRST_OF_USERS = 16_384  # PostgreSQL's FirstNormalObjectId
MAX_TREE_CHARS = 5_000_000
_TOKEN = re.compile(r"[{}()]|(?:\\.|[^\s(){}\\])+", re.DOTALL)
# The parse-tree nodes of a SELECT (PostgreSQL 12 to 18) that are allowed: none of their fields can name a function
# that goes unchecked. XML and JSON_TABLE were not examined, so they are refused.
_SELECTS_NODES = """
    ALIAS AGGREF ARRAY ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASE CASEEXPR CASETESTEXPR CASEWHEN COALESCE
    COALESCEEXPR COERCETODOMAIN COERCEVIAIO COLLATE COLLATEEXPR COMMONTABLEEXPR CONST CONVERTROWTYPEEXPR
    CTECYCLECLAUSE CTESEARCHCLAUSE DISTINCTEXPR FIELDSELECT FROMEXPR FUNCEXPR GROUPINGFUNC GROUPINGSET JOINEXPR
    JSONCONSTRUCTOREXPR JSONFORMAT JSONISPREDICATE JSONRETURNING JSONVALUEEXPR MINMAX MINMAXEXPR NAMEDARGEXPR NULLIFEXPR
    NULLTEST OPEXPR PARAM QUERY RANGETBLENTRY RANGETBLFUNCTION RANGETBLREF RELABELTYPE ROW ROWCOMPARE ROWCOMPAREEXPR
    ROWEXPR RTE RTEPERMISSIONINFO SCALARARRAYOPEXPR SETOPERATIONSTMT SETTODEFAULT SORTGROUPCLAUSE SQLVALUEFUNCTION
    SUBLINK SUBSCRIPTINGREF TABLESAMPLECLAUSE TARGETENTRY VAR WHEN WINDOWCLAUSE WINDOWFUNC
"""
_NODES = frozenset(_SELECTS_NODES.split())
_FUNCTIONS = frozenset(
    {
        "funcid",
        "aggfnoid",
        "winfnoid",
        "opfuncid",
        "hashfuncid",
        "negfuncid",
        "tsmhandler",
        "startInRangeFunc",
        "endInRangeFunc",
    }
)
_OPERATORS = frozenset({"opno", "opnos", "eqop", "sortop", "cycle_mark_neop"})
_RELATIONS = frozenset({"relid", "resorigtbl"})
_TYPES = re.compile(r"\w*(?:type|types|typeid|typid|Type|Types|coltypes)")
# Numbers that may be large and name nothing that runs: places in the text, privileges, sizes, collations, typmods.
_PLAIN = re.compile(
    r"location|end_location|list_start|list_end|rexpr_list_start|rexpr_list_end|stmt_location|stmt_len|queryId|constlen"
    r"|constvalue|checkAsUser|userid|requiredPerms|\w*Cols|\w*coll(?:id|ids|ation|ations)?|\w*Coll|colCollations"
    r"|\w*typmod|\w*typmods|colTypmods|resulttypmod|varno|rtindex|winref|tleSortGroupRef|frameOptions|opfamilies"
)
_CALL = "0"  # funcformat of a call as one writes it; the others are casts and syntax
# Functions that syntax stands for, in servers that do not tell so (before PostgreSQL 14).
_OF_SYNTAX = frozenset({"like_escape", "similar_escape", "similar_to_escape", "overlaps", "is_normalized", "normalize"})
_VOLATILE = frozenset({"random", "clock_timestamp"})  # without effect all the same

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
# What belongs to a table and is worked out while a query on it is planned, whatever the query holds: the conditions and
# expressions of its indexes, constraints, statistics and partitions.
_PLANNED = """
    WITH RECURSIVE read(oid) AS (
        SELECT t FROM unnest(%(relations)s::oid[]) AS t
        UNION
        SELECT i.inhrelid FROM read JOIN pg_catalog.pg_inherits i ON i.inhparent = read.oid),
    planned(class, oid, relation) AS (
        SELECT 'pg_catalog.pg_class'::regclass, i.indexrelid, read.oid
          FROM read JOIN pg_catalog.pg_index i ON i.indrelid = read.oid
        UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, k.oid, read.oid
          FROM read JOIN pg_catalog.pg_constraint k ON k.conrelid = read.oid
        UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::regclass, x.oid, read.oid
          FROM read JOIN pg_catalog.pg_statistic_ext x ON x.stxrelid = read.oid
        UNION ALL SELECT 'pg_catalog.pg_class'::regclass, read.oid, read.oid FROM read)
    SELECT planned.relation::regclass, p.proname
      FROM planned
      JOIN pg_catalog.pg_depend d ON d.classid = planned.class AND d.objid = planned.oid
      LEFT JOIN pg_catalog.pg_operator o ON d.refclassid = 'pg_catalog.pg_operator'::regclass AND o.oid = d.refobjid
      JOIN pg_catalog.pg_proc p
        ON p.oid = CASE d.refclassid WHEN 'pg_catalog.pg_proc'::regclass THEN d.refobjid ELSE o.oprcode::oid END
     WHERE p.oid >= %(first)s::oid AND (p.provolatile = 'v' OR p.prosecdef)
     LIMIT 1"""
# A text in quotes becomes a value while the statement is parsed. A domain's check then runs before the statement is
# known, where the value is of a row or an array that holds the domain.
_AT_PARSING = """
    SELECT pg_catalog.format_type(k.contypid, NULL), p.proname
      FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = k.oid
                                 AND d.refclassid = 'pg_catalog.pg_proc'::regclass
      JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
     WHERE k.contypid <> 0::oid AND p.oid >= %(first)s::oid AND (p.provolatile = 'v' OR p.prosecdef)
     LIMIT 1"""


@dataclass(slots=True)
class Resolved:
    """The numbers of what a statement uses. `written`: the functions that it calls by name."""

    functions: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    operators: set[int] = field(default_factory=set)
    types: set[int] = field(default_factory=set)
    relations: set[int] = field(default_factory=set)


def check_parsing(connection: "psycopg.Connection[Any]") -> None:
    """Raise ToolError where parsing a statement may run what somebody made. To be asked before any is parsed."""
    domains = connection.execute(_AT_PARSING, {"first": FIRST_OF_USERS}).fetchone()
    if domains is not None:
        name, function = domains
        raise ToolError(
            f"no query can be vetted in this database, because its domain {name} is checked by "
            f"the function {function}, which is volatile or SECURITY DEFINER; have it declared IMMUTABLE"
        )


def check_resolved(connection: "psycopg.Connection[Any]", statement: str) -> None:
    """Raise ToolError unless all that the statement would call is built in, without effect, and nobody else's.

    Nothing of the statement is run. The connection must be in a transaction, and `check_parsing` must have passed.
    """
    trees = _trees(connection, statement)
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


def _trees(connection: "psycopg.Connection[Any]", statement: str) -> tuple[str, str] | None:
    """The statement as it was parsed, and with its views opened; None where the server does not tell."""
    import psycopg
    from psycopg.pq import ExecStatus

    told: dict[str, str] = {}

    def note(notice: "psycopg.errors.Diagnostic") -> None:
        told[notice.message_primary or ""] = notice.message_detail or ""

    tell = "SET LOCAL {0}_parse = {1}; SET LOCAL {0}_rewritten = {1}; SET LOCAL client_min_messages = {2}"
    connection.add_notice_handler(note)
    try:
        connection.execute(tell.format("debug_print", "on", "log"))
        told.clear()
        prepared = connection.pgconn.prepare(b"", statement.encode())
    finally:
        connection.remove_notice_handler(note)
    if prepared.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(prepared)
    trees = told.get("parse tree:"), told.get("rewritten parse tree:")
    connection.execute(tell.format("debug_print", "off", "notice"))
    return (trees[0], trees[1]) if trees[0] and trees[1] else None


def resolved(tree: str) -> Resolved:
    """The numbers in a tree as PostgreSQL prints it. Raises ToolError at what is not known."""
    found = Resolved()
    name, starts, function = "", False, 0
    for token in _TOKEN.findall(tree):
        if token in "{}":
            name, starts = "", token == "{"
        elif starts:
            starts = False
            if token not in _NODES:
                raise ToolError(f"the query holds {clean(token)[:40]}, which is not known to be harmless; do without")
        elif token[0] == ":":
            name = token[1:]
        elif name == "funcformat":
            if token == _CALL:
                found.written.add(function)
        elif token.isdecimal() and token.isascii():
            _sort(found, name, int(token))
            function = int(token) if name == "funcid" else function
    return found


def _sort(found: Resolved, name: str, number: int) -> None:
    if not number:
        return
    if name in _FUNCTIONS:
        found.functions.add(number)
        if name in ("aggfnoid", "winfnoid"):
            found.written.add(number)
    elif name in _OPERATORS:
        found.operators.add(number)
    elif name in _RELATIONS:
        found.relations.add(number)
    elif _TYPES.fullmatch(name):
        found.types.add(number)
    elif number >= FIRST_OF_USERS and not _PLAIN.fullmatch(name):
        raise ToolError("the query uses something of this database that cannot be vetted; write a simpler one")


def _check_relations(connection: "psycopg.Connection[Any]", written: Resolved, rewritten: Resolved) -> None:
    relations = list(written.relations | rewritten.relations)
    bad = connection.execute(_READ, {"relations": relations, "first": FIRST_OF_USERS}).fetchone()
    if bad is not None:
        kind = "is on another server" if bad[1] else "is the database's own"
        raise ToolError(f"the table {bad[0]} {kind} and is not read; the tables are in the tool's description")
    planned = connection.execute(_PLANNED, {"relations": relations, "first": FIRST_OF_USERS}).fetchone()
    if planned is not None:
        raise ToolError(
            f"to plan a query on the table {planned[0]} calls the function {planned[1]}, which is volatile or "
            "SECURITY DEFINER and stands in an index, a constraint or a statistic of it; do without that table"
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
        elif volatile and name not in _VOLATILE:
            reason = "may change something"
        elif number in written.written and name not in HARMLESS["postgres"] | _OF_SYNTAX:
            reason = "is not one that a query may call here"
        if reason:
            raise ToolError(f"the query calls the function {name}, which {reason}; do without it")
    if any(number >= FIRST_OF_USERS for number in operators):
        raise ToolError("the query uses an operator that is not built into PostgreSQL; do without it")
    if functions - known:
        raise ToolError("the query calls a function that the catalogue does not hold; do without it")
