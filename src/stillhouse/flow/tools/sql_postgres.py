"""A PostgreSQL database, read in a READ ONLY transaction under the server's own clock.

It holds whatever query reaches it, vetted or not. The query is sent by the extended protocol, which takes one statement
alone. There it stands as a subquery of a cursor, where the grammar takes a SELECT and nothing else. The outer query
cuts the cells on the server, so no large value crosses the wire, and no more rows are fetched than were asked for.
Before it is planned, all that it would call is looked up in the server's catalogue (`sql_postgres_resolved`).
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stillhouse.addresses import UNREADABLE, unreadable_postgres
from stillhouse.errors import MissingExtraError, UserError
from stillhouse.flow.tools.sql_postgres_resolved import check_parsing, check_resolved
from stillhouse.flow.tools.sql_reader import MAX_CELL_CHARS, QueryRows
from stillhouse.flow.tools.sql_vetting import SqlDialect
from stillhouse.flow.tools.tool import ToolError, first_line

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 5
# Roles that reach the server's files or programs. A superuser is a member of each of them.
_POWERFUL = ("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program")
_TABLES = """
    SELECT CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE quote_ident(n.nspname) || '.' END
             || quote_ident(c.relname) AS name,
           string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
             AS columns,
           c.relkind IN ('v', 'm') AS is_view,
           (SELECT string_agg(pg_get_constraintdef(k.oid), ', ' ORDER BY k.contype DESC, k.conname)
              FROM pg_constraint k
             WHERE k.conrelid = c.oid AND k.contype IN ('p', 'f')) AS keys
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'v', 'm', 'p') AND NOT c.relispartition
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
     GROUP BY c.oid, n.nspname ORDER BY 1"""


class PostgresReader:
    """One PostgreSQL database, by its URL."""

    dialect: SqlDialect = "postgres"

    def __init__(self, url: str) -> None:
        if unreadable_postgres(url):
            raise UserError(UNREADABLE)
        self._url = url  # the URL may hold a password, so it is never shown
        try:
            parts = urlsplit(url)
            self.shown = f"postgresql://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        except ValueError:
            raise UserError(
                "the database's URL is not valid; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            ) from None

    def describe(self) -> list[str]:
        try:
            import psycopg
        except ImportError:
            raise MissingExtraError(
                "PostgreSQL is read with psycopg, which is not installed; pip install 'stillhouse[tools]'"
            ) from None
        try:
            with self._connect(10.0) as connection:
                powers = connection.execute(
                    "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND pg_has_role(rolname, 'member')",
                    [list(_POWERFUL)],
                ).fetchall()
                if powers:
                    raise UserError(
                        f"{self.shown}: the user {connection.info.user} may do more than read tables "
                        f"(it is a superuser, or in {powers[0][0]}); connect as one that may not, as made by "
                        "CREATE ROLE reader LOGIN PASSWORD '...' IN ROLE pg_read_all_data"
                    )
                rows = connection.execute(_TABLES).fetchall()
        except psycopg.Error as error:
            # psycopg's reason for refusing a URL quotes the URL, which may hold a password.
            reason = "" if isinstance(error, psycopg.ProgrammingError) else f" ({first_line(error)})"
            raise UserError(
                f"{self.shown}: PostgreSQL cannot be read{reason}; check that it runs there, and the URL"
            ) from None
        return [
            f"{name} ({columns}){', a view' if is_view else ''}{f', {keys}' if keys else ''}"
            for name, columns, is_view, keys in rows
        ]

    def read(self, query: str, max_rows: int, timeout_s: float) -> QueryRows:
        import psycopg

        inner = f"({query}\n) AS q"  # on a line of its own, the closing parenthesis stands in no comment
        try:
            with self._connect(timeout_s) as connection:
                check_parsing(connection)
                columns = _columns(connection, f"SELECT * FROM {inner}")
                names = [f"c{number}" for number in range(len(columns))]
                cells = ", ".join(f"left({name}::text, {MAX_CELL_CHARS + 1})" for name in names)
                answer = f"SELECT {cells} FROM {inner} ({', '.join(names)})"
                check_resolved(connection, answer)
                # prepare=True makes psycopg use the extended protocol
                connection.execute(f"DECLARE answer NO SCROLL CURSOR FOR {answer}", prepare=True)
                rows = connection.execute(f"FETCH FORWARD {max_rows + 1} FROM answer").fetchall()
        except psycopg.errors.QueryCanceled:
            remedy = "ask for less, or add a LIMIT"
            raise ToolError(f"the query took longer than {timeout_s:g} s and was stopped; {remedy}") from None
        except psycopg.Error as error:
            hint = f"; {error.diag.message_hint.rstrip('.')}" if error.diag.message_hint else ""
            reason = error.diag.message_primary or first_line(error)
            raise ToolError(f"PostgreSQL refused the query ({reason}{hint})") from None
        except UnicodeDecodeError:
            raise ToolError("PostgreSQL gave text that is not UTF-8; leave that column out") from None
        return QueryRows(columns, rows[:max_rows], len(rows) > max_rows)

    def _connect(self, timeout_s: float) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection whose transactions are READ ONLY and whose statements end after `timeout_s`."""
        import psycopg

        connection = psycopg.connect(
            self._url, connect_timeout=CONNECT_TIMEOUT_S, client_encoding="utf8", application_name="stillhouse"
        )
        try:
            connection.read_only = True
            limit = f"{timeout_s * 1000:.0f}"  # milliseconds
            settings = {
                "statement_timeout": limit,
                "lock_timeout": limit,
                "idle_in_transaction_session_timeout": limit,
                "standard_conforming_strings": "on",
            }
            connection.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items()))
        except BaseException:
            connection.close()
            raise
        return connection


def _columns(connection: "psycopg.Connection[tuple[object, ...]]", statement: str) -> list[str]:
    """The names of a statement's columns, by the extended protocol, which takes one alone. Nothing of it is run."""
    import psycopg
    from psycopg.pq import ExecStatus

    wire = connection.pgconn
    answer = wire.prepare(b"", statement.encode())
    if answer.status == ExecStatus.COMMAND_OK:
        answer = wire.describe_prepared(b"")
    if answer.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(answer)
    return [(answer.fname(number) or b"").decode() for number in range(answer.nfields)]
