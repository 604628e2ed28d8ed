"""Versions of a database's tables: an earlier one is brought up to date where it is opened, a later one is refused.

The store and the journal have a version each, as they may share one database. Both are rows of its table `meta`. A
change of version is one transaction, which one process makes while others wait. What a change does to the rows is
nothing: what was paid for and journaled stays as it was written, and is read in the form that it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stillhouse.errors import StorageError

META = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"


@dataclass(frozen=True)
class Schema:
    """The tables of a store or of a journal."""

    kind: str  # "store" or "journal", as messages name it
    name: str  # the name of its row in the table `meta`
    oldest: str  # a table that every version has; where there is it and no row in `meta`, it is of version 1
    tables: Sequence[str]  # SQL that makes those of the newest version
    changes: Sequence[Sequence[str]]  # SQL: the first entry makes version 2 of version 1, and so on

    @property
    def version(self) -> int:
        """The newest one, which this Stillhouse writes."""
        return len(self.changes) + 1


class Connection(Protocol):
    """What is needed of a database, to look at its version and to change it."""

    def has(self, table: str) -> bool: ...

    def rows(self, statement: str) -> Sequence[Sequence[Any]]: ...


def is_current(schema: Schema, db: Connection, where: object) -> bool:
    """Whether the tables are there in the newest version. Raises StorageError where they are of a later one."""
    return _version(schema, db, where) == schema.version


def bring_up(schema: Schema, db: Connection, where: object) -> None:
    """Make the tables, or change them to the newest version; inside a transaction that shuts others out."""
    version = _version(schema, db, where)
    if version == schema.version:  # whoever had the database before us did it
        return
    statements = (
        schema.tables if version is None else [part for change in schema.changes[version - 1 :] for part in change]
    )
    for statement in (META, *statements, f"DELETE FROM meta WHERE name = '{schema.name}'"):
        db.rows(statement)
    db.rows(f"INSERT INTO meta VALUES ('{schema.name}', '{schema.version}')")


def _version(schema: Schema, db: Connection, where: object) -> int | None:
    """None: there are no tables yet."""
    written = db.rows(f"SELECT value FROM meta WHERE name = '{schema.name}'") if db.has("meta") else ()
    if not written:
        return 1 if db.has(schema.oldest) else None
    version = str(written[0][0])
    if not version.isdecimal() or not 1 <= int(version) <= schema.version:
        raise StorageError(
            f"{where}: a {schema.kind} of version {version}, this Stillhouse writes {schema.version}; "
            "use the newer one that made it, or another place"
        )
    return int(version)
