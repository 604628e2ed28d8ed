"""Which rows are calibration rows: those of the calibration split that can be scored, one of each group.

The cascade's threshold is chosen on them, and nothing else is. Its bound holds for rows that each stand alone, so of
rows that belong together (a group) only the first counts. How rows come into the split: `data.splits`.
"""

from collections.abc import Sequence

from stillhouse.records import Example, Source


def calibration_rows(split: Sequence[Example], scored_against: Source) -> list[Example]:
    """The calibration rows of the calibration split, in its order. `scored_against`: whose label a row must have."""
    groups: set[str] = set()
    rows = []
    for row in split:
        if row.target(scored_against) is None or row.group in groups:
            continue
        if row.group is not None:
            groups.add(row.group)
        rows.append(row)
    return rows
