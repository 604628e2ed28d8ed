"""What may run though no query names it: what the expressions of tables and domains call, followed into the bodies.

To plan a query, the constant parts of each index, CHECK, statistic and partition key of its tables are worked out; and
a domain is checked wherever a text or a number becomes its value, also while a statement is parsed. A function that is
declared IMMUTABLE is called then, and the declaration is its owner's word: the body may call anything.

So a function that somebody made is followed into its body, where the body can be seen through: in SQL, one SELECT
without FROM, over built-in types alone. What an extension brings in C is taken as it is declared, for it takes a
superuser to make it. What the connection's role may not execute cannot run. Anything else is refused.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stillhouse.flow.tools.sql_postgres_trees import FIRST_OF_USERS, Resolved, resolved, told_trees
from stillhouse.flow.tools.sql_vetting import HARMLESS
from stillhouse.flow.tools.tool import ToolError

if TYPE_CHECKING:
    import psycopg

MAX_FUNCTIONS = 200  # bodies that are looked through for one query
VOLATILE_AND_HARMLESS = frozenset({"random", "clock_timestamp"})
_UNTOLD = "so that what it calls cannot be told"
# A text in quotes may become a domain's value while the body is parsed, and then the domain's check runs.
_HAS_QUOTES = re.compile(r"'|\$(?!\d)")
_FUNCTION = """
    SELECT p.oid, p.proname, p.provolatile, p.prosecdef, l.lanname, p.prosrc, to_jsonb(p) ->> 'prosqlbody',
           p.proargdefaults::text, p.proargtypes::oid[], p.proargnames,
           pg_catalog.has_function_privilege(p.oid, 'EXECUTE'),
           EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'),
           p.prokind <> 'f' OR p.proretset OR p.proargmodes IS NOT NULL OR p.proconfig IS NOT NULL
             OR p.prosupport::oid <> 0::oid
             OR EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = ANY(p.prorettype || p.proargtypes::oid[])
                         AND (t.oid >= %(first)s::oid OR t.typtype <> 'b'))
             OR EXISTS (SELECT FROM pg_catalog.pg_cast c
                         WHERE c.casttarget = p.prorettype AND c.castfunc >= %(first)s::oid)
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE p.oid = ANY(%(functions)s::oid[])
     ORDER BY p.oid"""
# An operator may be turned round, or into its negation, while a query is planned.
_OF_OPERATORS = """
    SELECT f.oprcode::oid
      FROM pg_catalog.pg_operator o
      JOIN pg_catalog.pg_operator f ON f.oid IN (o.oid, o.oprcom, o.oprnegate)
     WHERE o.oid = ANY(%(operators)s::oid[])"""


@dataclass(frozen=True, slots=True)
class _Function:
    """A function as the catalogue has it. `is_odd`: of another kind than those that are looked through."""

    number: int
    name: str
    volatility: str
    is_definer: bool
    language: str
    source: str
    parsed_body: str | None  # of `BEGIN ATOMIC` and `RETURN`
    defaults: str | None
    argument_types: list[int]
    argument_names: list[str] | None
    may_be_called: bool
    of_extension: bool
    is_odd: bool

    @property
    def is_built_in(self) -> bool:
        return self.number < FIRST_OF_USERS


class Reach:
    """What is called from expressions, by the catalogue of one connection, which must be in a transaction."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection
        self._reasons: dict[int, str] = {}  # function -> why it may not run; "": it may
        self._n_looked_through = 0

    def of_constants(self, tree: str) -> str:
        """What the constant parts of an expression call that may not run, in words; "": nothing.

        Functions that are built in are without effect there: planning runs those alone that are IMMUTABLE.
        """
        found = resolved(tree, of_expression=True)
        return self._first_bad(self._called(_of_users(found.functions), _of_users(found.operators)))

    def of_check(self, tree: str) -> str:
        """The same, where the whole of the expression runs."""
        return self._of_all(resolved(tree, of_expression=True))

    def _of_all(self, found: Resolved) -> str:
        functions, has_users_types = self._called(found.functions, found.operators), bool(_of_users(found.types))
        for function in functions:
            if function.is_built_in and not _is_harmless(function, found.written, has_users_types):
                return f"the function {function.name}, which is not one that may run here"
        return self._first_bad(f for f in functions if not f.is_built_in)

    def _called(self, functions: set[int], operators: set[int]) -> list[_Function]:
        if operators:
            rows = self._connection.execute(_OF_OPERATORS, {"operators": list(operators)})
            functions = functions | {number for (number,) in rows if number}
        if not functions:
            return []
        rows = self._connection.execute(_FUNCTION, {"functions": list(functions), "first": FIRST_OF_USERS})
        called = [_Function(*row) for row in rows]
        if len(called) < len(functions):
            raise ToolError("a function is called that the catalogue does not hold; do without it")
        return called

    def _first_bad(self, functions: Iterable[_Function]) -> str:
        for function in functions:
            if reason := self._reason(function):
                return f"the function {function.name}, which {reason}"
        return ""

    def _reason(self, function: _Function) -> str:
        """Why a function that somebody made may not run; "": it may."""
        if function.number not in self._reasons:
            self._reasons[function.number] = ""  # while it is looked through, where it calls itself
            self._reasons[function.number] = self._looked_through(function)
        return self._reasons[function.number]

    def _looked_through(self, function: _Function) -> str:
        if not function.may_be_called:
            return ""
        if function.volatility == "v" or function.is_definer:
            return "is volatile or SECURITY DEFINER"
        if function.language == "c" and function.of_extension:
            return ""
        if function.language != "sql":
            return f"is in {function.language}, {_UNTOLD}"
        self._n_looked_through += 1
        body = None if function.is_odd or self._n_looked_through > MAX_FUNCTIONS else self._body(function)
        if body is None:
            return f"is more than one SELECT without FROM over built-in types, {_UNTOLD}"
        for found in body:
            if inner := self._of_all(found):
                return f"calls {inner}"
        return ""

    def _body(self, function: _Function) -> list[Resolved] | None:
        """What the body and the defaults of the arguments use; None where that cannot be told."""
        try:
            body = function.parsed_body and resolved(function.parsed_body)
            parts = [body or self._parsed_source(function)]
            parts += [resolved(function.defaults)] if function.defaults else []
        except ToolError:  # something that is not known
            return None
        if any(found.relations or _of_users(found.types) for found in parts):
            return None
        return parts

    def _parsed_source(self, function: _Function) -> Resolved:
        """The body of a function as the server reads it here and now, which is what a call would do.

        Raises ToolError where it is not one SELECT without FROM. The arguments stand in an outer FROM, so their names
        mean what they mean in the function; in a FROM of the body's own they might not.
        """
        source = function.source.strip().removesuffix(";")
        if _HAS_QUOTES.search(source):
            raise ToolError("a text in quotes")
        names = [*(function.argument_names or ()), *[""] * len(function.argument_types)]
        given = [f"${n} AS {_quoted(name or f'${n}')}" for n, name in zip(range(1, 101), names, strict=False)]
        outer = given[: len(function.argument_types)]
        statement = f"SELECT ({source}\n)"
        if outer:
            statement += f" FROM (SELECT {', '.join(outer)}) AS {_quoted(function.name)}"
        import psycopg

        try:
            trees = told_trees(self._connection, statement, function.argument_types)
        except psycopg.Error:
            raise ToolError("a body that is not one SELECT") from None
        if trees is None:
            raise ToolError("a server that does not tell")
        found = resolved(trees[0])
        if found.n_sources > (1 if outer else 0):
            raise ToolError("a FROM")
        return found


def _is_harmless(function: _Function, written: Collection[int], has_users_types: bool) -> bool:
    """Whether a built-in function may run wherever it is called."""
    if function.volatility == "i":
        return True
    if function.name in VOLATILE_AND_HARMLESS:
        return True
    if function.volatility == "v" or function.is_definer:
        return False
    # A cast or an operator that depends on settings. A call by name is of the list; but `to_json` and its like call a
    # cast that somebody made for his type.
    return function.number not in written or (function.name in HARMLESS["postgres"] and not has_users_types)


def _of_users(numbers: Iterable[int]) -> set[int]:
    return {number for number in numbers if number >= FIRST_OF_USERS}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
