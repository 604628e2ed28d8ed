"""The most rows that a group may have among the rows that measure.

A bound on the mean over rows in groups holds only where groups have a largest size that was known before the test rows
were seen (`evaluation.bounded`). Of a larger group as many rows are drawn at random, and the promise is made for that.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stillhouse.records import Example

MANY_GROUPS = 20  # with fewer groups among the rows that do not measure, their sizes say too little
USUAL_CAP = 20  # rows, where there are so few groups
_SHARE_WHOLE = 0.95  # the share of groups that the cap leaves whole


@dataclass(frozen=True)
class Capped:
    """Rows with at most `cap` of a group. `n_cut` groups had more; `n_dropped` of their rows were left out."""

    rows: list[Example]
    cap: int
    n_cut: int
    n_dropped: int

    def said_of(self, part: str) -> list[str]:
        """A sentence where a group was cut."""
        if not self.n_cut:
            return []
        total = len(self.rows) + self.n_dropped
        groups = "1 group has" if self.n_cut == 1 else f"{self.n_cut} groups have"
        rows = f"{self.cap} {part} row{'s' if self.cap > 1 else ''}"
        drawn = f"as many were drawn at random of each, {self.n_dropped:,} of {total:,} {part} rows left out"
        return [f"{groups} more than {rows}: {drawn}; set group_cap in [data] for another number"]


def usual_cap(others: Iterable[Example]) -> int:
    """The cap where the task names none, from rows that measure nothing: at most 5 % of their groups are larger.

    A row without a group is one of its own. So where hardly any rows belong together, one row of each group measures,
    and rows stand alone.
    """
    sizes = sorted(Counter(("row", row.id) if row.group is None else ("group", row.group) for row in others).values())
    return USUAL_CAP if len(sizes) < MANY_GROUPS else sizes[int(_SHARE_WHOLE * len(sizes))]


def capped(rows: Sequence[Example], cap: int, seed: int) -> Capped:
    """At most `cap` rows of each group, in the order of `rows`; which ones depends on the seed and their ids alone."""
    members: dict[str, list[Example]] = {}
    for row in rows:
        if row.group is not None:
            members.setdefault(row.group, []).append(row)
    cut = {group: part for group, part in members.items() if len(part) > cap}
    dropped: set[str] = set()
    for part in cut.values():
        drawn = sorted(part, key=lambda row: hashlib.sha256(f"{seed}\0{row.id}".encode()).digest())
        dropped |= {row.id for row in drawn[cap:]}
    kept = [row for row in rows if row.id not in dropped]
    return Capped(kept, cap, len(cut), len(rows) - len(kept))
