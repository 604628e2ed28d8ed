"""A tool that answers one SELECT on a database that it can only read.

There are two walls. The query is vetted before it reaches the database (`sql_vetting`). And the database itself refuses
on this connection to do more than read, for longer or more than the limits allow (`sql_sqlite`, `sql_postgres`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stillhouse.errors import UserError
from stillhouse.flow.tools.sql_postgres import PostgresReader
from stillhouse.flow.tools.sql_reader import MAX_CELL_CHARS, QueryRows, SqlReader
from stillhouse.flow.tools.sql_sqlite import SqliteReader
from stillhouse.flow.tools.sql_vetting import vetted
from stillhouse.flow.tools.tool import Tool, clean, tool

MAX_SCHEMA_CHARS = 8_000  # most characters of the schema's description, which travels with every request


def sql(
    database: Path | str, *, max_rows: int = 200, timeout_s: float = 10.0, max_chars: int = 20_000, name: str = "sql"
) -> Tool:
    """A tool that runs one SELECT and gives its rows as a table in text.

    The tables that there are now stand in its description.

    `database`: an SQLite file, or `postgresql://...` (extra `tools`), whose user may not be a superuser. Of a longer
    result the first `max_rows` are shown, or as many as `max_chars` hold; of a longer cell the first 2,000 characters.
    Raises UserError where the database cannot be read, MissingExtraError.
    """
    if max_rows < 1 or timeout_s <= 0:
        raise UserError(f"sql was given max_rows = {max_rows} and timeout_s = {timeout_s}; both must be above 0")
    reader = _reader(database)
    vetted("SELECT 1", reader.dialect)  # a missing sqlglot is told here, and not after a model was asked
    schema = _within(reader.describe(), MAX_SCHEMA_CHARS)

    def run(query: Annotated[str, Field(description="one SELECT statement")]) -> str:
        return table(reader.read(vetted(query, reader.dialect), max_rows, timeout_s), max_chars)

    kind = {"sqlite": "an SQLite", "postgres": "a PostgreSQL"}[reader.dialect]
    run.__doc__ = (
        f"Run one SELECT on {kind} database that can only be read, and see at most {max_rows} of its rows. "
        f"The tables:\n{schema}"
    )
    # The reader bounds the query's time and reports it; the tool's own limit, a little longer, is for a database that
    # does not answer. The reader has also cut the table already, between rows.
    return tool(run, name=name, timeout_s=timeout_s + 5, max_chars=max_chars + 200)


def _reader(database: Path | str) -> SqlReader:
    if isinstance(database, str) and database.startswith(("postgresql://", "postgres://")):
        return PostgresReader(database)
    return SqliteReader(Path(database).expanduser())


def _within(lines: Sequence[str], max_chars: int) -> str:
    """As many whole lines as fit; the tables that do not are named, as far as that fits."""
    shown, size = [], 0
    for line in lines:
        size += len(line) + 1
        if size > max_chars:
            break
        shown.append(line)
    left_out = [line.partition(" ")[0] for line in lines[len(shown) :]]
    if left_out:
        names = ", ".join(left_out)
        names = names if len(names) <= max_chars else f"{names[:max_chars]} ..."
        shown.append(f"and {len(left_out)} more, without their columns: {names}")
    return "\n".join(shown) or "none"


# The answer


def table(answer: QueryRows, max_chars: int) -> str:
    """Rows as text: a header, a row a line, and in the end how many rows these are and whether there are more.

    Cells are parted by ` | `. NULL stands for itself; a text that could be taken for it, and an empty one, are in
    quotes. Line breaks are written \\n.
    """
    lines = [" | ".join(_cell(column) for column in answer.columns)]
    size = len(lines[0])
    for row in answer.rows:
        line = " | ".join(_cell(value) for value in row)
        size += len(line) + 1
        if size > max_chars:
            break
        lines.append(line)
    shown = len(lines) - 1
    if shown < len(answer.rows):
        total = f"more than {len(answer.rows):,}" if answer.more else f"{len(answer.rows):,}"
        lines.append(f"[cut: the first {shown:,} of {total} rows; the rest is longer than {max_chars:,} characters]")
    elif answer.more:
        lines.append(f"[cut: the first {shown:,} rows; there are more]")
    else:
        lines.append(f"({shown:,} row{'' if shown == 1 else 's'})")
    return "\n".join(lines)[: max_chars + 150]


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value[:20].hex()}{'...' if len(value) > 20 else ''}' ({len(value):,} bytes)"
    text = str(value)
    cut = "... [cut]" if len(text) > MAX_CELL_CHARS else ""
    text = (
        clean(text[:MAX_CELL_CHARS])
        .replace("\\", "\\\\")
        .replace("\r\n", "\\n")
        .replace("\n", "\\n")
        .replace("\r", "\\n")
        .replace("|", "\\|")
    )
    return f"'{text}'" if text in ("", "NULL") else text + cut
