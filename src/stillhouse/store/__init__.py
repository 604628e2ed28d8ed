"""The store: every paid completion, committed before anything moves on.

One table serves as cache, as the means to resume, as the meter of costs and as the audit.
"""

from pathlib import Path

from stillhouse.store.address import is_postgres, sqlite_address
from stillhouse.store.completions import Store, StoredCompletion
from stillhouse.store.sqlite_completions import SqliteStore

__all__ = ["SqliteStore", "Store", "StoredCompletion", "open_store"]


def open_store(url: str | Path) -> Store:
    """Open (or make) the store at a file path, a `sqlite:///PATH` or a `postgresql://...` address.

    `sqlite:///PATH?synchronous=full` syncs the file at every commit. Raises UserError for another form, StorageError
    where the disk or the database refuses, MissingExtraError where PostgreSQL's driver is absent.
    """
    if is_postgres(url):
        from stillhouse.store.postgres_completions import PostgresStore

        return PostgresStore(str(url))
    path, full = sqlite_address(url)
    return SqliteStore(path, full=full)
