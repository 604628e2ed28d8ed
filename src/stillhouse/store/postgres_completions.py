"""The store of paid completions in PostgreSQL."""

import contextlib
from collections.abc import Mapping, Sequence

from stillhouse.errors import StorageError
from stillhouse.store.claims import GIVE_UP, Claimed, ClaimRow, ClaimWork, host_of
from stillhouse.store.completions import (
    COLUMNS,
    SCHEMA,
    CompletionReader,
    Store,
    StoredCompletion,
    Written,
    select,
    select_chains,
)
from stillhouse.store.postgres import PostgresConnection, columns, parse, parts

_MANY = "SELECT unnest(%s::text[])"
# Everybody locks claims in the order of the hashes, so that no two processes ever wait for one another.
_IN_ORDER = "SELECT request_hash FROM claims WHERE {} ORDER BY request_hash FOR UPDATE"
_ANSWERED = f"DELETE FROM claims WHERE request_hash IN ({_IN_ORDER.format('request_hash = ANY(%b::text[])')})"
_RELEASE = f"""DELETE FROM claims WHERE request_hash IN
    ({_IN_ORDER.format("request_hash = ANY(%s::text[]) AND owner = %s")})"""
_PUT = f"""WITH linked AS (
        INSERT INTO messages SELECT * FROM unnest(%b::text[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING
    ), answered AS ({_ANSWERED})
    INSERT INTO completions ({COLUMNS})
    SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::float8[], %b::text[], %b::float8[], %b::text[], %b::text[])
    ON CONFLICT DO NOTHING"""
_NOW = "extract(epoch FROM clock_timestamp())::float8"
_BEAT = f"INSERT INTO claimants VALUES (%s, {_NOW}) ON CONFLICT (owner) DO UPDATE SET seen = excluded.seen"
_CLAIM = """INSERT INTO claims SELECT hash, %s, batch FROM unnest(%s::text[], %s::text[]) AS asked(hash, batch)
    ON CONFLICT DO NOTHING"""
# A session that ends drops its lock. It is shared, so that a new connection of the same owner need not wait until the
# server has noticed that the last one is gone.
_LIVE = "SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))"
_LOCKED = """EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND datname = current_database() AND objsubid = 1
        AND (classid::bigint << 32) | objid::bigint = hashtextextended(claims.owner, 0))"""
# A server that starts again has no locks of those that lived before. Until such an owner is heard of, which takes one
# heartbeat, its lock says nothing, and its silence alone counts.
_DEAD = f"""claims.owner <> %(owner)s AND NOT {_LOCKED}
        AND seen >= extract(epoch FROM pg_postmaster_start_time())::float8"""
_STATE = f"seen, {_NOW} - seen, {_LOCKED}, {_DEAD}"  # of an owner
_CLAIMS = f"""SELECT request_hash, claims.owner, batch, {_STATE},
        EXISTS (SELECT FROM completions WHERE completions.request_hash = claims.request_hash)
    FROM claims LEFT JOIN claimants ON claimants.owner = claims.owner WHERE request_hash = ANY(%(hashes)s)"""
_OWNERS = f"""SELECT owner, batch, {_STATE} FROM (
        SELECT owner, batch FROM claims UNION SELECT owner, NULL FROM claimants
    ) AS claims LEFT JOIN claimants USING (owner)"""
_CLEAR = f"""DELETE FROM claims WHERE request_hash IN
    ({_IN_ORDER.format("owner = %s AND batch IS NOT DISTINCT FROM %s")})"""
_FORGET = "DELETE FROM claimants WHERE owner = %s AND owner NOT IN (SELECT owner FROM claims)"
_TAKE_OVER = "UPDATE claims SET owner = %s, batch = %s WHERE request_hash = %s AND owner = %s RETURNING request_hash"


class PostgresStore(Store):
    """A store that any number of processes on any machine share. `get` is a round trip; writes share theirs."""

    def __init__(self, url: str) -> None:
        address = parse(url)
        self.url = address.shown
        self._reader = PostgresConnection(address)
        self._reader.prepare(SCHEMA)
        self._whole = CompletionReader(lambda hashes: self._reader.execute(select_chains(_MANY), (list(hashes),)))
        super().__init__()
        self._db = PostgresConnection(address, session=(_LIVE, (self._claims.owner,)))  # the writer's

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        if len(hashes) == 1:
            return self._whole.completions(self._reader.execute(select("%s"), hashes))
        return self._whole.completions(self._reader.execute(select(_MANY), (list(hashes),)))

    def known(self, hashes: Sequence[str]) -> set[str]:
        statement = f"SELECT request_hash FROM completions WHERE request_hash IN ({_MANY})"
        return {hash_ for (hash_,) in self._reader.execute(statement, (list(hashes),))}

    def count(self) -> int:
        return int(self._reader.execute("SELECT COUNT(*) FROM completions")[0][0])

    def _write(self, rows: Sequence[Written], work: ClaimWork) -> Mapping[str, Claimed]:
        for part in parts(rows, _text_size):
            messages = sorted({message[0]: message for _, chain in part for message in chain}.values())
            completions = sorted((row for row, _ in part), key=lambda row: row[0])
            answered = [row[0] for row in completions]
            self._db.execute(_PUT, [*columns(messages, 3), answered, *columns(completions, 10)])
        owner = self._claims.owner
        if work.asked and not self._claims.any_made:
            self._clear_away()
        if work.released:
            self._db.execute(_RELEASE, (work.released, owner))
        if work.beat:
            self._db.execute(_BEAT, (owner,))
        return self._claim(work.asked, owner) if work.asked else {}

    def _claim(self, asked: Mapping[str, str | None], owner: str) -> Mapping[str, Claimed]:
        hashes = sorted(asked)
        self._db.execute(_CLAIM, (owner, hashes, [asked[hash_] for hash_ in hashes]))
        claimed: dict[str, Claimed] = {}
        for row, answered in self._claims_in(self._db, hashes):
            batch = asked[row.request_hash]
            ours = row.owner == owner
            if not ours and row.free_for(batch):
                ours = bool(self._db.execute(_TAKE_OVER, (owner, batch, row.request_hash, row.owner)))
            # Before our claim was made another process may have stored the completion and given up its own claim. So
            # completions are looked for once more, now that nobody else can claim these calls.
            claimed[row.request_hash] = "answered" if answered else "ours" if ours else "theirs"
        if spare := [hash_ for hash_, outcome in claimed.items() if outcome == "answered"]:
            self._db.execute(_RELEASE, (spare, owner))
        return claimed

    def _claim_rows(self, hashes: Sequence[str]) -> list[ClaimRow]:
        return [row for row, _ in self._claims_in(self._reader, hashes)]

    def _claims_in(self, db: PostgresConnection, hashes: Sequence[str]) -> list[tuple[ClaimRow, bool]]:
        """The claims on these calls, and whether each call is answered."""
        rows = db.execute(_CLAIMS, {"owner": self._claims.owner, "hashes": list(hashes)})
        return [
            (ClaimRow(hash_, owner, batch, *self._state(owner, *state)), answered)
            for hash_, owner, batch, *state, answered in rows
        ]

    def _state(
        self, owner: str, seen: float | None, by_clock_s: float | None, locked: bool, dead: bool | None
    ) -> tuple[float | None, bool]:
        """For how many seconds the owner is silent, and whether it is dead.

        A lock that another machine holds may be left: its server may not know yet that the machine is gone.
        """
        here = locked and host_of(owner) == host_of(self._claims.owner)
        return self._claims.silence.of(owner, seen, by_clock_s, here=here), bool(dead)

    def _clear_away(self) -> None:
        """Drop the claims behind which nothing stands any more, and what is known of owners that are gone."""
        for owner, batch, *state in self._db.execute(_OWNERS, {"owner": self._claims.owner}):
            row = ClaimRow("", owner, batch, *self._state(owner, *state))
            if row.is_left(self._claims.owner):
                self._db.execute(_CLEAR, (owner, batch))
                self._db.execute(_FORGET, (owner,))

    def _refused(self, error: Exception) -> StorageError:
        return self._db.refused(error)

    def close(self) -> None:
        self._writer.close()
        if self._claims.any_made:
            # A database that refuses now must not hide another error. With the connection the claims end anyhow.
            with contextlib.suppress(StorageError):
                for statement in GIVE_UP:
                    self._db.execute(statement.format("%s"), (self._claims.owner,))
        self._db.close()
        self._reader.close()


def _text_size(written: Written) -> int:
    (_, _, request, response, *_), messages = written
    return len(request) + len(response) + sum(len(text) for _, _, text in messages)
