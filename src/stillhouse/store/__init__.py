"""The store: every paid completion, committed before anything moves on. It is cache, resume, meter and audit in one table."""

from pathlib import Path

from stillhouse.store.address import is_postgres, sqlite_address
from stillhouse.store.schema import Store, StoredCompletion
from stillhouse.store.sqlite import SqliteStore

__all__ = ["SqliteStore", "Store", "StoredCompletion", "open_store"]


def open_store(url: str | Path) -> Store:
    """Open (or make) the store at a file path, `sqlite:///PATH` (with `?synchronous=full`: synced at every commit) or `postgresql://...`.

    Raises UserError for another form, StorageError where the disk or the database refuses, MissingExtraError where PostgreSQL's driver is absent.
    """
    if is_postgres(url):
        from stillhouse.store.postgres import PostgresStore

        return PostgresStore(str(url))
    path, full = sqlite_address(url)
    return SqliteStore(path, full=full)
