"""The store: every paid completion, committed before anything moves on. It is cache, resume, meter and audit in one table."""

from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.store.schema import StoredCompletion
from stillhouse.store.sqlite import SqliteStore

__all__ = ["SqliteStore", "StoredCompletion", "open_store"]


def open_store(url: str | Path) -> SqliteStore:
    """Open (or make) the store at a file path or `sqlite:///path`. Raises UserError, or StorageError where the disk refuses."""
    text = str(url)
    if "://" in text and not text.startswith("sqlite:///"):
        raise UserError(f"store {text.split('@')[-1]!r} is of an unknown kind; give a file path or sqlite:///PATH")
    return SqliteStore(Path(text.removeprefix("sqlite:///")))
