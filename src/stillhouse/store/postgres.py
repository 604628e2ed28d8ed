"""PostgreSQL under the store and the journal, through psycopg 3: one connection that is made again once where it drops; and the completions store on it.

All tables are in a schema named `stillhouse`, so that they may live beside an app's own. One statement is one transaction and one round trip.
"""

import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stillhouse.errors import MissingExtraError, StorageError, UserError
from stillhouse.store.schema import (
    COLUMNS,
    TABLES,
    VERSION,
    Link,
    Reader,
    Row,
    StoredCompletion,
    select,
    select_chains,
    to_row,
)
from stillhouse.store.writer import GroupWriter

if TYPE_CHECKING:
    import psycopg

LEASE_S = 15.0  # a dead owner's runs are free after this; three heartbeats may be missed until then
_CREATING = 0x5354494C  # the advisory lock that whoever makes the tables holds
_STATEMENT_BYTES = 64 << 20  # of text in one statement; PostgreSQL takes 1 GiB
_DEFAULTS = {  # a connection that nobody answers is given up within half a minute
    "connect_timeout": "10",
    "application_name": "stillhouse",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Where a database is. `shown` is what errors and logs may say: never the user, the password or the options."""

    conninfo: str = field(repr=False)
    shown: str
    password: str | None = field(repr=False)
    lease_s: float


def parse(url: str) -> Address:
    """An address from `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?OPTION=VALUE&...]`, libpq's form; what is left out, `PGPASSWORD` and its like give.

    The option `lease_s` is ours: seconds until the runs of an owner that died are free. Raises UserError, MissingExtraError.
    """
    psycopg = _psycopg()
    base, _, query = url.partition("?")
    options = urllib.parse.parse_qsl(query, keep_blank_values=True)
    given = [value for name, value in options if name == "lease_s"]
    rest = urllib.parse.urlencode(
        [option for option in options if option[0] != "lease_s"], quote_via=urllib.parse.quote
    )
    try:
        lease_s = float(given[-1]) if given else LEASE_S
        found = psycopg.conninfo.conninfo_to_dict(f"{base}?{rest}" if rest else base)
    except (psycopg.ProgrammingError, ValueError):  # its reason may quote the password
        raise UserError(
            "the postgresql:// address cannot be read; write postgresql://USER@HOST:PORT/DATABASE, special characters as %XX"
        ) from None
    if not 0 < lease_s < 86_400:
        raise UserError(f"lease_s={lease_s:g} is no lease; give seconds, as in lease_s={LEASE_S:g}")
    hosts, ports = str(found.get("host") or ""), str(found.get("port") or "")
    password = found.get("password")
    shown = f"postgresql://{hosts}{f':{ports}' if ports else ''}/{found.get('dbname') or ''}"
    return Address(
        psycopg.conninfo.make_conninfo("", **(_DEFAULTS | found)),
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


class Database:
    """One connection, for one statement at a time. It is made when first needed, and once more where it drops; whatever else goes wrong is a StorageError."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._psycopg = _psycopg()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._lock = threading.Lock()

    def execute(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, commit it, and give its rows. Where the connection drops it is sent again, so a statement must bear to be run twice."""
        with self._lock:
            for may_have_dropped in (self._connected(), False):
                try:
                    return self._once(statement, values)
                except (self._psycopg.Error, UnicodeEncodeError) as error:
                    if not may_have_dropped or self._connected():
                        raise self.refused(error) from None
        raise AssertionError("unreachable")

    def _connected(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def _once(self, statement: str, values: Sequence[object] | Mapping[str, object]) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = self._psycopg.connect(self.address.conninfo, autocommit=True)
            self._connection.execute("SET search_path TO stillhouse")
        cursor = self._connection.execute(statement, values)
        return [] if cursor.description is None else cursor.fetchall()

    def create(self, tables: Iterable[str], last: str) -> None:
        """Make the tables where the last of them is not there yet. One process makes them, others wait."""
        if self.execute("SELECT to_regclass(%s) IS NOT NULL", (f"stillhouse.{last}",)) == [(True,)]:
            return
        first = f"SELECT pg_advisory_xact_lock({_CREATING})", "CREATE SCHEMA IF NOT EXISTS stillhouse"
        self.execute(";\n".join([*first, *tables]))  # in one message, which is one transaction

    def refused(self, error: Exception) -> StorageError:
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


def parts(items: Sequence[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in their order, in parts that one statement can carry."""
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


_MANY = "SELECT unnest(%s::text[])"
_PUT = f"""WITH linked AS (INSERT INTO messages SELECT * FROM unnest(%b::text[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING)
    INSERT INTO completions ({COLUMNS})
    SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::float8[], %b::text[], %b::float8[], %b::text[], %b::text[])
    ON CONFLICT DO NOTHING"""


class PostgresStore:
    """The paid completions in PostgreSQL, shared by any number of processes. `get` is a round trip; writes share theirs."""

    def __init__(self, url: str) -> None:
        address = parse(url)
        self.url = address.shown
        self._reader, self._db = Database(address), Database(address)
        self._prepare()
        self._whole = Reader(lambda hashes: self._reader.execute(select_chains(_MANY), (list(hashes),)))
        self._writer: GroupWriter[tuple[Row, list[Link]]] = GroupWriter("store-writer", self._commit)

    def _prepare(self) -> None:
        self._reader.create(
            [*TABLES, f"INSERT INTO meta VALUES ('version', '{VERSION}') ON CONFLICT DO NOTHING"], "messages"
        )
        [(found,)] = self._reader.execute("SELECT value FROM meta WHERE name = 'version'")
        if found != str(VERSION):
            raise StorageError(
                f"{self.url}: a store of version {found}, this Stillhouse writes {VERSION}; use the one that made it, or another database"
            )

    def get(self, request_hash: str) -> StoredCompletion | None:
        """The completion of this request, if it was ever paid for."""
        return next(iter(self.get_many([request_hash])), None)

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        """The completions that exist of these requests, in no particular order."""
        if len(hashes) == 1:
            return self._whole.completions(self._reader.execute(select("%s"), hashes))
        return self._whole.completions(self._reader.execute(select(_MANY), (list(hashes),)))

    def known(self, hashes: Sequence[str]) -> set[str]:
        """Those of these requests that have a completion."""
        return {
            one
            for (one,) in self._reader.execute(
                f"SELECT request_hash FROM completions WHERE request_hash IN ({_MANY})", (list(hashes),)
            )
        }

    async def put(self, completion: StoredCompletion) -> None:
        """Commit one completion. An equal request that is already there keeps its first answer."""
        try:
            row = to_row(completion)
        except (ValueError, TypeError) as error:
            raise self._db.refused(error) from None
        await self._writer.put(row)

    def count(self) -> int:
        return int(self._reader.execute("SELECT COUNT(*) FROM completions")[0][0])

    def _commit(self, rows: Sequence[tuple[Row, list[Link]]]) -> Sequence[None]:
        for part in parts(rows, lambda row: len(row[0][2]) + len(row[0][3]) + sum(len(link[2]) for link in row[1])):
            # Everybody writes in the order of the hashes, so that two processes never wait for one another in a circle.
            links = sorted({link[0]: link for _, chained in part for link in chained}.values())
            completions = sorted((row for row, _ in part), key=lambda row: row[0])
            self._db.execute(_PUT, [*columns(links, 3), *columns(completions, 10)])
        return [None] * len(rows)

    def close(self) -> None:
        """Commit what is queued and close the connections."""
        self._writer.close()
        self._db.close()
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def columns(rows: Sequence[Sequence[object]], n: int) -> list[list[object]]:
    """Rows turned into columns, as `unnest` takes them; `n` columns also where there is no row."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(n)]
