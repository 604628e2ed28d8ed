"""The store of paid completions in one SQLite file, in WAL mode.

One thread writes: it commits whatever has gathered since its last commit, and `put` returns when its row is committed.
Under `synchronous=NORMAL` a commit survives the death of the process (kill -9). Only a power loss may take the last
commits, and with `full=True` not even that.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

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
from stillhouse.store.name_lock import NameLock, is_held
from stillhouse.store.sqlite_file import code, connected, prepare

_PARAMETERS = 500  # most parameters of one statement: SQLite bounds their number
_REMEMBERED = 10_000  # hashes of messages that are known to be stored; with more, forget them and ask the database
# A claim on a call that is answered by now is none. Nobody else writes between this and the commit.
_CLAIM = """INSERT OR IGNORE INTO claims
    SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM completions WHERE request_hash = ?1)"""
_CLAIMS = """SELECT request_hash, claims.owner, batch, seen
    FROM claims LEFT JOIN claimants ON claimants.owner = claims.owner WHERE request_hash IN ({})"""


class SqliteStore(Store):
    """A store file, shared by any number of reading and writing processes."""

    def __init__(self, path: Path, *, full: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock = path, clock
        self._alive: NameLock | None = None  # taken with the first claim; whoever sees it knows that we live
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = connected(path, full=full)
            prepare(self._reader, SCHEMA, path)
            self._db = connected(path, full=full)
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from None
        self._whole = CompletionReader(lambda hashes: self._reader.execute(select_chains(_marks(hashes)), hashes))
        self._stored: set[str] = set()  # used by the writer's thread alone
        super().__init__()

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        completions: list[StoredCompletion] = []
        try:
            for part in _parts(hashes):
                completions += self._whole.completions(self._reader.execute(select(_marks(part)), part).fetchall())
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return completions

    def known(self, hashes: Sequence[str]) -> set[str]:
        known: set[str] = set()
        try:
            for part in _parts(hashes):
                statement = f"SELECT request_hash FROM completions WHERE request_hash IN ({_marks(part)})"
                known.update(hash_ for (hash_,) in self._reader.execute(statement, part))
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return known

    def count(self) -> int:
        return int(self._reader.execute("SELECT COUNT(*) FROM completions").fetchone()[0])

    def _write(self, rows: Sequence[Written], work: ClaimWork) -> Mapping[str, Claimed]:
        if not (rows or work.asked or work.released or work.beat):
            return {}
        messages = {message[0]: message for _, chain in rows for message in chain if message[0] not in self._stored}
        claimed: Mapping[str, Claimed] = {}
        try:
            starts = bool(work.asked) and self._alive is None
            if starts:
                self._alive = NameLock(self.path, self._claims.owner)
            self._db.execute("BEGIN IMMEDIATE")
            if starts:
                self._clear_away()
            if rows:
                self._db.executemany("INSERT OR IGNORE INTO messages VALUES (?,?,?)", messages.values())
                self._db.executemany(
                    f"INSERT OR IGNORE INTO completions ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",
                    [row for row, _ in rows],
                )
                self._db.executemany("DELETE FROM claims WHERE request_hash = ?", [(row[0],) for row, _ in rows])
            owner = self._claims.owner
            if work.released:
                self._db.executemany(
                    "DELETE FROM claims WHERE request_hash = ? AND owner = ?",
                    [(hash_, owner) for hash_ in work.released],
                )
            if work.beat:
                self._db.execute("INSERT OR REPLACE INTO claimants VALUES (?,?)", (owner, self._clock()))
            if work.asked:
                claimed = self._claim(work.asked, owner)
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            # The transaction may be gone already, and then ROLLBACK fails. The first error is the one to report.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise self._refused(error) from None
        if len(self._stored) > _REMEMBERED:
            self._stored.clear()
        # Only messages that others follow are remembered: calls share these, and rarely a last message.
        self._stored.update(parent for _, parent, _ in messages.values() if parent is not None)
        return claimed

    def _claim(self, asked: Mapping[str, str | None], owner: str) -> Mapping[str, Claimed]:
        made = self._db.executemany(_CLAIM, [(hash_, owner, batch) for hash_, batch in asked.items()]).rowcount
        if made == len(asked):
            return dict.fromkeys(asked, "ours")
        claimed: dict[str, Claimed] = dict.fromkeys(asked, "answered")
        for row in self._claims_in(self._db, list(asked)):
            batch = asked[row.request_hash]
            claimed[row.request_hash] = "ours" if row.owner == owner or row.free_for(batch) else "theirs"
            if claimed[row.request_hash] == "ours":
                taken_over = "UPDATE claims SET owner = ?, batch = ? WHERE request_hash = ?"
                self._db.execute(taken_over, (owner, batch, row.request_hash))
        return claimed

    def _claim_rows(self, hashes: Sequence[str]) -> list[ClaimRow]:
        try:
            return self._claims_in(self._reader, hashes)
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def _claims_in(self, connection: sqlite3.Connection, hashes: Sequence[str]) -> list[ClaimRow]:
        values = [row for part in _parts(hashes) for row in connection.execute(_CLAIMS.format(_marks(part)), part)]
        of_owner = {owner: self._state(owner, seen) for owner, seen in {(owner, seen) for _, owner, _, seen in values}}
        return [ClaimRow(hash_, owner, batch, *of_owner[owner]) for hash_, owner, batch, _ in values]

    def _state(self, owner: str, seen: float | None) -> tuple[float | None, bool]:
        """For how many seconds the owner is silent, and whether it is dead. Locks of another machine are not seen."""
        here = host_of(owner) == host_of(self._claims.owner)
        by_clock_s = None if seen is None else self._clock() - seen
        dead = here and not is_held(self.path, owner)
        return self._claims.silence.of(owner, seen, by_clock_s, here=here), dead

    def _clear_away(self) -> None:
        """Drop the claims behind which nothing stands any more, and what is known of owners that are gone."""
        owners = self._db.execute(
            """SELECT owner, batch, seen FROM (SELECT DISTINCT owner, batch FROM claims)
            LEFT JOIN claimants USING (owner) UNION SELECT owner, NULL, seen FROM claimants"""
        ).fetchall()
        for owner, batch, seen in owners:
            row = ClaimRow("", owner, batch, *self._state(owner, seen))
            if row.is_left(self._claims.owner):
                self._db.execute("DELETE FROM claims WHERE owner = ? AND batch IS ?", (owner, batch))
                self._db.execute(
                    "DELETE FROM claimants WHERE owner = ?1 AND owner NOT IN (SELECT owner FROM claims)", (owner,)
                )

    def _refused(self, error: Exception) -> StorageError:
        remedy = "free space or give another place, then run this again: what was committed is kept"
        if code(error) == sqlite3.SQLITE_NOTADB:
            remedy = "give another file"
        elif code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            remedy = "make its folder writable, or give another place with --store: what was committed is kept"
        return StorageError(f"{self.path}: the store cannot be read or written ({error}); {remedy}")

    def close(self) -> None:
        self._writer.close()
        if self._alive is not None:
            # A disk that refuses now must not hide another error. With the lock the claims end anyhow.
            with contextlib.suppress(sqlite3.Error):
                for statement in GIVE_UP:
                    self._db.execute(statement.format("?"), (self._claims.owner,))
            self._alive.release()
            self._alive = None
        self._db.close()
        self._reader.close()


def _parts(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    """The hashes in parts that one statement takes."""
    return (hashes[start : start + _PARAMETERS] for start in range(0, len(hashes), _PARAMETERS))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
