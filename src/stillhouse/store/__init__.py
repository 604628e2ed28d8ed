"""The store: every paid completion, committed before anything moves on. It is cache, resume, meter and audit in one table."""

from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.store.schema import Store, StoredCompletion
from stillhouse.store.sqlite import SqliteStore

__all__ = ["SqliteStore", "Store", "StoredCompletion", "open_store"]


def open_store(url: str | Path) -> Store:
    """Open (or make) the store at a file path, `sqlite:///PATH` or `postgresql://...`.

    Raises UserError for another form, StorageError where the disk or the database refuses, MissingExtraError where PostgreSQL's driver is absent.
    """
    text = str(url)
    if text.startswith(("postgresql://", "postgres://")):
        from stillhouse.store.postgres import PostgresStore

        return PostgresStore(text)
    if "://" in text and not text.startswith("sqlite:///"):
        raise UserError(f"the store {text.split('@')[-1]!r} is of an unknown kind; give a file path, sqlite:///PATH or postgresql://HOST/DATABASE")
    return SqliteStore(Path(text.removeprefix("sqlite:///")))
