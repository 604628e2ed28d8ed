"""The runs that this process executes now."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse.flow.call import Active
from stillhouse.store.address import is_postgres, sqlite_address

_live: dict[tuple[str, str], Active] = {}


@contextmanager
def alive(store: Path | str, active: Active) -> Iterator[None]:
    """In this block the run is executed here."""
    place = (_place(store), active.run)
    _live[place] = active
    try:
        yield
    finally:
        del _live[place]


def live_run(store: Path | str, run: str) -> Active | None:
    return _live.get((_place(store), run))


def _place(store: Path | str) -> str:
    return str(store) if is_postgres(store) else str(sqlite_address(store).path.resolve())
