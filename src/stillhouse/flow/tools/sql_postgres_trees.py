"""What PostgreSQL makes of a statement or an expression: its parsed tree, and the numbers of what stands in it.

A text does not tell which function runs: `c.purge`, `1::mood` and `upper(c)` may each call one that somebody made. The
server tells: with `debug_print_parse` and `debug_print_rewritten` it sends a statement as it has resolved it, views and
row policies opened, before anything is planned or run; and the catalogue keeps expressions in the same form. Every
function, operator, type and table in there stands by its number. Numbers from 16384 on are what users made.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
# What else stands in the expressions of tables and domains. Only what is constant in a table's expression is worked out
# while a query is planned, and no XML is written then.
_OF_EXPRESSIONS = frozenset({"COERCETODOMAINVALUE", "XMLEXPR"})


@dataclass(slots=True)
class Resolved:
    """The numbers of what a statement uses. `written`: the functions that it calls by name. `n_sources`: its FROM."""

    functions: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    operators: set[int] = field(default_factory=set)
    types: set[int] = field(default_factory=set)
    relations: set[int] = field(default_factory=set)
    n_sources: int = 0


def told_trees(
    connection: "psycopg.Connection[Any]", statement: str, parameter_types: Sequence[int] = ()
) -> tuple[str, str] | None:
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
        prepared = connection.pgconn.prepare(b"", statement.encode(), list(parameter_types) or None)
    finally:
        connection.remove_notice_handler(note)
    if prepared.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(prepared)
    trees = told.get("parse tree:"), told.get("rewritten parse tree:")
    connection.execute(tell.format("debug_print", "off", "notice"))
    return (trees[0], trees[1]) if trees[0] and trees[1] else None


def resolved(tree: str, *, of_expression: bool = False) -> Resolved:
    """The numbers in a tree as PostgreSQL prints it. Raises ToolError at what is not known."""
    nodes = _NODES | _OF_EXPRESSIONS if of_expression else _NODES
    found = Resolved()
    name, starts, function = "", False, 0
    for token in _TOKEN.findall(tree):
        if token in "{}":
            name, starts = "", token == "{"
        elif starts:
            starts = False
            found.n_sources += token in ("RTE", "RANGETBLENTRY")
            if token not in nodes:
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
