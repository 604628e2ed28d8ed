"""PostgreSQL under the store and the journal, through psycopg 3: one connection, made again once where it drops.

All tables are in a schema named `stillhouse`, so that they may live beside an app's own. One statement is one
transaction and one round trip.
"""

import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from stillhouse.addresses import UNREADABLE, unreadable_postgres
from stillhouse.errors import MissingExtraError, StorageError, UserError
from stillhouse.store.schema import Schema, bring_up, is_current

if TYPE_CHECKING:
    import psycopg

LEASE_S = 15.0  # seconds after which a dead owner's runs are free; three heartbeats may be missed until then
_TABLES_LOCK = 0x5354494C  # number of the advisory lock that is held while the tables are made
_STATEMENT_BYTES = 64 << 20  # most bytes of text in one statement; PostgreSQL takes 1 GiB
_DEFAULTS = {  # with these settings a connection that nobody answers is given up within half a minute
    "connect_timeout": "10",
    "application_name": "stillhouse",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
T = TypeVar("T")
Statement = tuple[str, Sequence[object]]  # SQL and its values


@dataclass(frozen=True)
class PostgresAddress:
    """Where a database is. `shown` is what errors and logs may say: never the user, the password or the options."""

    conninfo: str = field(repr=False)
    shown: str
    password: str | None = field(repr=False)
    lease_s: float


def parse(url: str) -> PostgresAddress:
    """An address from libpq's form, `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?OPTION=VALUE&...]`.

    What it leaves out comes from the environment (`PGPASSWORD` and its like). The option `lease_s` is ours: seconds
    until the runs of an owner that died are free. Raises UserError, MissingExtraError.
    """
    psycopg = _psycopg()
    if unreadable_postgres(url):
        raise UserError(UNREADABLE)
    base, _, query = url.partition("?")
    options = urllib.parse.parse_qsl(query, keep_blank_values=True)
    leases = [value for name, value in options if name == "lease_s"]
    rest = urllib.parse.urlencode(
        [option for option in options if option[0] != "lease_s"], quote_via=urllib.parse.quote
    )
    try:
        lease_s = float(leases[-1]) if leases else LEASE_S
        conninfo = psycopg.conninfo.conninfo_to_dict(f"{base}?{rest}" if rest else base)
    except (psycopg.ProgrammingError, ValueError):  # the error's own text may quote the password
        raise UserError(UNREADABLE) from None
    if not 0 < lease_s < 86_400:
        raise UserError(f"lease_s={lease_s:g} is no lease; give seconds, as in lease_s={LEASE_S:g}")
    hosts, ports = str(conninfo.get("host") or ""), str(conninfo.get("port") or "")
    password = conninfo.get("password")
    shown = f"postgresql://{hosts}{f':{ports}' if ports else ''}/{conninfo.get('dbname') or ''}"
    return PostgresAddress(
        psycopg.conninfo.make_conninfo("", **(_DEFAULTS | conninfo)),
        shown,
        None if password is None else str(password),
        lease_s,
    )


def _psycopg() -> Any:
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError as error:
        raise MissingExtraError(
            f"PostgreSQL needs {error.name or 'psycopg'}; install it with `pip install 'stillhouse[scale]'`"
        ) from None
    return psycopg


class PostgresConnection:
    """One connection, for one statement at a time.

    It is made when it is first needed, and once more where it drops. Whatever else goes wrong is a StorageError.
    """

    def __init__(self, address: PostgresAddress, session: Statement | None = None) -> None:
        """`session`: a statement that each connection begins with."""
        self.address, self._session = address, session
        self._psycopg = _psycopg()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._lock = threading.Lock()

    def execute(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, commit it, and give its rows.

        Where the connection drops the statement is sent again, so it must do no harm when it is run twice.
        """
        return self._tried(lambda connection: _rows(connection.execute(statement, values)))

    def _tried(self, work: "Callable[[psycopg.Connection[tuple[Any, ...]]], T]") -> T:
        with self._lock:
            for may_have_dropped in (self._connected(), False):
                try:
                    return work(self._opened())
                except (self._psycopg.Error, UnicodeEncodeError) as error:
                    if not may_have_dropped or self._connected():
                        raise self.refused(error) from None
        raise AssertionError("unreachable")

    def _connected(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def _opened(self) -> "psycopg.Connection[tuple[Any, ...]]":
        if self._connection is None or self._connection.closed:
            self._connection = self._psycopg.connect(self.address.conninfo, autocommit=True)
            self._connection.execute("SET search_path TO stillhouse")
            if self._session is not None:
                self._connection.execute(*self._session)
        return self._connection

    def alone(self, lock: int, work: "Callable[[Callable[[str, Sequence[object]], list[tuple[Any, ...]]]], T]") -> T:
        """Run the work in one transaction that holds the advisory lock of this number; `work` gets what runs SQL.

        Where the connection drops it is run again, so it must do no harm when it is run twice.
        """

        def locked(connection: "psycopg.Connection[tuple[Any, ...]]") -> T:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
                return work(lambda statement, values: _rows(connection.execute(statement, values)))

        return self._tried(locked)

    def prepare(self, schema: Schema) -> None:
        """Make the tables, or bring them up to date. One process does it, others wait.

        Raises StorageError where they are of a later version.
        """
        if is_current(schema, _Tables(self.execute), self.address.shown):
            return

        def changed(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
            def rows(statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
                return _rows(connection.execute(statement, values))

            with connection.transaction():
                rows(f"SELECT pg_advisory_xact_lock({_TABLES_LOCK})")
                rows("CREATE SCHEMA IF NOT EXISTS stillhouse")
                bring_up(schema, _Tables(rows), self.address.shown)

        self._tried(changed)

    def refused(self, error: Exception) -> StorageError:
        """What to tell the user of an error of the database, without the password."""
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if self.address.password:
            reason = reason.replace(self.address.password, "***")
        remedy = "mend that and run this again: what was committed is kept"
        return StorageError(f"{self.address.shown}: the database cannot be read or written ({reason}); {remedy}")

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _rows(cursor: "psycopg.Cursor[tuple[Any, ...]]") -> list[tuple[Any, ...]]:
    return [] if cursor.description is None else cursor.fetchall()


class _Tables:
    """What `schema` needs of a database."""

    def __init__(self, execute: Callable[[str, Sequence[object]], list[tuple[Any, ...]]]) -> None:
        self._execute = execute

    def has(self, table: str) -> bool:
        return self._execute("SELECT to_regclass(%s) IS NOT NULL", (f"stillhouse.{table}",)) == [(True,)]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._execute(statement, ())


def parts(items: Sequence[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in their order, in parts that one statement can carry; `size` gives an item's bytes of text."""
    part: list[T] = []
    room = _STATEMENT_BYTES
    for item in items:
        needed = size(item)
        if part and needed > room:
            yield part
            part, room = [], _STATEMENT_BYTES
        part.append(item)
        room -= needed
    if part:
        yield part


def columns(rows: Sequence[Sequence[object]], n: int) -> list[list[object]]:
    """Rows turned into `n` columns, as `unnest` takes them. No rows give `n` empty columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(n)]
