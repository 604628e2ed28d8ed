"""Which of millions of rows repeat an earlier id or an earlier input, in the memory of a few thousand.

What came before is remembered in an SQLite scratch file. It is no store: the file has no name, nothing in it is ever
committed, and it is gone when it is closed or its process dies.
"""

import sqlite3
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

from stillhouse.errors import StorageError
from stillhouse.runs import storage_errors

_CACHE_KIB = 2048  # KiB of SQLite's pages kept in memory; pages beyond that are written to the file
_AT_ONCE = 2**14  # number of hashes written together; sorted, neighbours go to the same page of the table
# One transaction that is never ended: nothing is written before the cache is full. No journal: nothing is ever undone.
_SETUP = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA cache_size = -{_CACHE_KIB};
    BEGIN EXCLUSIVE;
    CREATE TABLE ids (hash INTEGER PRIMARY KEY, n INTEGER);
    CREATE TABLE inputs (key INTEGER PRIMARY KEY, n INTEGER);
    CREATE TABLE repeats (file INTEGER, place INTEGER, n INTEGER, PRIMARY KEY (file, place)) WITHOUT ROWID;
"""


class Repeats:
    """Ids over all files, and inputs within each file; the files are known by their numbers."""

    def __init__(self, folder: Path) -> None:
        """The scratch file goes to `folder`, or to the nearest folder above that exists. Raises StorageError."""
        self._folder = folder
        self._hashes = array("q")  # hashes that are not in the table yet
        there = next(above for above in (folder, *folder.parents) if above.exists())
        with storage_errors(folder), tempfile.NamedTemporaryFile(dir=there, prefix=".repeats.") as file:
            self._db = sqlite3.connect(file.name, isolation_level=None)
            try:
                self._db.executescript(_SETUP)
            except sqlite3.Error as error:
                raise self._cannot_write(error) from None

    def note_id(self, id_hash: int) -> None:
        """Take the hash (64 bits, signed) of a row's id."""
        self._hashes.append(id_hash)
        if len(self._hashes) == _AT_ONCE:
            self._put_down()

    def repeated_ids(self) -> set[int]:
        """The hashes that were noted more than once."""
        self._put_down()
        return {id_hash for (id_hash,) in self._db.execute("SELECT hash FROM ids WHERE n > 1")}

    def _put_down(self) -> None:
        upsert = "INSERT INTO ids VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1"
        try:
            self._db.executemany(upsert, ((id_hash,) for id_hash in sorted(self._hashes)))
        except sqlite3.Error as error:
            raise self._cannot_write(error) from None
        del self._hashes[:]

    def count(self, file: int, place: int, key: int) -> int:
        """How often an input has come in its file by now, this time counted. `key` stands for the input.

        `place` counts the calls for this file from 0. Where the input came before, the place is kept for `in_file`.
        """
        execute = self._db.execute
        try:
            if place == 0:
                execute("DELETE FROM inputs")  # forget the hashes of the file before
            if execute("INSERT OR IGNORE INTO inputs VALUES (?, 1)", (key,)).rowcount:
                return 1
            execute("UPDATE inputs SET n = n + 1 WHERE key = ?", (key,))
            n: int = execute("SELECT n FROM inputs WHERE key = ?", (key,)).fetchone()[0]
            execute("INSERT INTO repeats VALUES (?, ?, ?)", (file, place, n))
            return n
        except sqlite3.Error as error:
            raise self._cannot_write(error) from None

    def in_file(self, file: int) -> Iterator[tuple[int, int]]:
        """The places of a file at which an input came again, in order, each with its count."""
        return self._db.execute("SELECT place, n FROM repeats WHERE file = ? ORDER BY place", (file,))

    def _cannot_write(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"{self._folder}: cannot write ({error}); "
            "free space or choose another place and run this again: what was stored is kept"
        )

    def close(self) -> None:
        self._db.close()
