"""The store of paid completions in PostgreSQL."""

from collections.abc import Sequence

from stillhouse.errors import StorageError
from stillhouse.store.completions import (
    COLUMNS,
    TABLES,
    VERSION,
    CompletionReader,
    Store,
    StoredCompletion,
    Written,
    select,
    select_chains,
)
from stillhouse.store.postgres import PostgresConnection, columns, parse, parts
from stillhouse.store.writer import GroupWriter

_MANY = "SELECT unnest(%s::text[])"
_PUT = f"""WITH linked AS (
        INSERT INTO messages SELECT * FROM unnest(%b::text[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING
    )
    INSERT INTO completions ({COLUMNS})
    SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::float8[], %b::text[], %b::float8[], %b::text[], %b::text[])
    ON CONFLICT DO NOTHING"""


class PostgresStore(Store):
    """A store that any number of processes on any machine share. `get` is a round trip; writes share theirs."""

    def __init__(self, url: str) -> None:
        address = parse(url)
        self.url = address.shown
        self._reader, self._db = PostgresConnection(address), PostgresConnection(address)
        self._prepare()
        self._whole = CompletionReader(lambda hashes: self._reader.execute(select_chains(_MANY), (list(hashes),)))
        self._writer = GroupWriter("store-writer", self._commit)

    def _prepare(self) -> None:
        self._reader.create(
            [*TABLES, f"INSERT INTO meta VALUES ('version', '{VERSION}') ON CONFLICT DO NOTHING"], "messages"
        )
        [(version,)] = self._reader.execute("SELECT value FROM meta WHERE name = 'version'")
        if version != str(VERSION):
            raise StorageError(
                f"{self.url}: a store of version {version}, this Stillhouse writes {VERSION}; "
                "use the one that made it, or another database"
            )

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        if len(hashes) == 1:
            return self._whole.completions(self._reader.execute(select("%s"), hashes))
        return self._whole.completions(self._reader.execute(select(_MANY), (list(hashes),)))

    def known(self, hashes: Sequence[str]) -> set[str]:
        statement = f"SELECT request_hash FROM completions WHERE request_hash IN ({_MANY})"
        return {hash_ for (hash_,) in self._reader.execute(statement, (list(hashes),))}

    def count(self) -> int:
        return int(self._reader.execute("SELECT COUNT(*) FROM completions")[0][0])

    def _commit(self, rows: Sequence[Written]) -> Sequence[None]:
        for part in parts(rows, _text_size):
            # All processes write in the order of the hashes, so that no two of them ever wait for one another.
            messages = sorted({message[0]: message for _, chain in part for message in chain}.values())
            completions = sorted((row for row, _ in part), key=lambda row: row[0])
            self._db.execute(_PUT, [*columns(messages, 3), *columns(completions, 10)])
        return [None] * len(rows)

    def _refused(self, error: Exception) -> StorageError:
        return self._db.refused(error)

    def close(self) -> None:
        self._writer.close()
        self._db.close()
        self._reader.close()


def _text_size(written: Written) -> int:
    (_, _, request, response, *_), messages = written
    return len(request) + len(response) + sum(len(text) for _, _, text in messages)
