"""Rows whose input a model wrote: they may be learned from, and measure nothing unless the user says so.

A generated row has a `lineage`: how it was made, and the `parents` that were shown for it. It stays with the row when
it is labelled, split, copied or written in Alpaca's form.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from stillhouse.errors import LeakageError
from stillhouse.records import Example

LINEAGE = "lineage"
OF_SEEDS = "seeds"  # the `parents_are` of rows whose parents are seed tasks: their ids name no row of the task


def is_generated(row: Example) -> bool:
    return isinstance(row.extra.get(LINEAGE), Mapping)


def parted(rows: Iterable[Example]) -> tuple[list[Example], list[Example]]:
    """(the real rows, the generated ones)."""
    real: list[Example] = []
    made: list[Example] = []
    for row in rows:
        (made if is_generated(row) else real).append(row)
    return real, made


def n_generated(rows: Iterable[Example]) -> int:
    return sum(map(is_generated, rows))


def parents_of(row: Example) -> tuple[str, ...]:
    """The ids of the task's rows that were shown when this one was made."""
    lineage: Any = row.extra.get(LINEAGE)
    if not isinstance(lineage, Mapping) or lineage.get("parents_are") == OF_SEEDS:
        return ()
    parents = lineage.get("parents")
    return tuple(map(str, parents)) if isinstance(parents, list | tuple) else ()


def without_children(rows: Sequence[Example], held_out: Collection[str]) -> list[Example]:
    """The rows of which no parent is held out, by the ids of the held-out rows."""
    return [row for row in rows if not any(parent in held_out for parent in parents_of(row))]


def refuse_children(rows: Iterable[Example], held_out: Collection[str], where: str) -> None:
    """Raise LeakageError where a row to train on was made from a held-out one."""
    pairs = [(row.id, parent) for row in rows for parent in parents_of(row) if parent in held_out]
    if pairs:
        (child, parent), n = pairs[0], len({child for child, _ in pairs})
        more = f" (and {n - 1} more)" if n > 1 else ""
        raise LeakageError(
            f"{where}: the generated row {child!r} was made from {parent!r}, which is held out{more}; take such rows "
            "out, or leave them out with --drop-overlap"
        )
