"""What the `sql` tool asks of a database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stillhouse.flow.tools.sql_vetting import SqlDialect

MAX_CELL_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class QueryRows:
    """What a query gave: at most the rows that were asked for, and whether there were more."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: bool


class SqlReader(Protocol):
    """A database that can only be read. Each call has a connection of its own."""

    @property
    def dialect(self) -> SqlDialect: ...

    def describe(self) -> list[str]:
        """The tables and views that can be read, a line each. Raises UserError where the database cannot be read."""
        ...

    def read(self, query: str, max_rows: int, timeout_s: float) -> QueryRows:
        """The rows of one SELECT.

        Raises ToolError where the database refuses the query, or it takes longer than `timeout_s`.
        """
        ...
