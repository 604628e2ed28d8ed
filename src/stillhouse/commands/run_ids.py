"""Run ids that can be typed: the beginning of one that no other run of the journal has."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.store.journal import existing_journal

WHOLE = 16  # characters up to which an id is shown whole
LEAST = 8  # characters that the beginning of a longer one has at least


def short_ids(ids: Sequence[str], among: Sequence[str]) -> list[str]:
    """How each id is shown: whole, or the shortest beginning that no other id `among` all has."""
    ordered = sorted({*ids, *among})
    places = {id_: place for place, id_ in enumerate(ordered)}
    return [_short(id_, ordered, places[id_]) for id_ in ids]


def _short(id_: str, ordered: Sequence[str], place: int) -> str:
    if len(id_) <= WHOLE:
        return id_
    neighbours = [ordered[near] for near in (place - 1, place + 1) if 0 <= near < len(ordered)]
    shared = max((_n_shared(id_, other) for other in neighbours), default=0)
    n = max(LEAST, shared + 1)
    return id_ if n >= len(id_) - 2 else id_[:n]


def _n_shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def run_called(typed: str, store: Path | str) -> str:
    """The id that is meant: the one typed, or the only one that begins so.

    Raises UserError where several begin so. What no run is called is given back as it is.
    """
    with contextlib.closing(existing_journal(store)) as journal:
        if journal.run(typed) is not None:
            return typed
        begin_so = [row.run for row, _ in journal.runs() if typed and row.run.startswith(typed)]
    if len(begin_so) > 1:
        first, second = begin_so[:2]
        raise UserError(f"{len(begin_so)} runs begin with {typed} ({first}, {second}); type more of the id")
    return begin_so[0] if begin_so else typed
