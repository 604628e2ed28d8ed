"""Where a store or journal is, as a user writes it.

Three forms: a file path, `sqlite:///PATH` (or `sqlite:///PATH?synchronous=full`), and `postgresql://...`.
"""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from stillhouse.addresses import holds_secrets, without_secrets
from stillhouse.errors import UserError

POSTGRES = ("postgresql://", "postgres://")
# What a file's name would hold where an address is misspelt: `postgres:/`, `postgresql//`, libpq's `host=...`.
_NO_PATH = re.compile(
    r"\s*(?:[a-z][a-z0-9+.-]+:[/\\]|(?:post?gr?e?s?|sqlite|http)\w*[:;]?//|(?:host|hostaddr|dbname|user|service)\s*=)",
    re.IGNORECASE,
)


class SqliteAddress(NamedTuple):
    """A SQLite file. `full`: every commit is synced to the disk. It survives a power loss, and costs an fsync each."""

    path: Path
    full: bool = False


def is_postgres(url: str | Path) -> bool:
    return str(url).startswith(POSTGRES)


def file_of(url: str | Path) -> Path | None:
    """The file of a store; None: it is in a PostgreSQL database."""
    return None if is_postgres(url) else sqlite_address(url).path


def sqlite_address(url: str | Path) -> SqliteAddress:
    """The file behind a path or a `sqlite:///` address.

    Raises UserError for another kind of address, and for another setting than `synchronous`.
    """
    text = str(url)
    if "://" not in text and not _NO_PATH.match(text) and not holds_secrets(text):
        return SqliteAddress(Path(text))
    if not text.startswith("sqlite:///"):
        place = without_secrets(text)
        raise UserError(
            f"the store {place!r} is of an unknown kind; give a file path, sqlite:///PATH or postgresql://HOST/DATABASE"
        )
    path, _, settings = text.removeprefix("sqlite:///").partition("?")
    full = False
    for name, value in parse_qsl(settings, keep_blank_values=True):
        if name != "synchronous" or value not in ("normal", "full"):
            raise UserError(
                f"{text}: the setting {name}={value} is unknown; "
                "the one there is is synchronous=full (or normal, the default)"
            )
        full = value == "full"
    return SqliteAddress(Path(path), full)
