"""Which rows are calibration rows: those of the calibration split that can be scored.

The cascade's threshold is chosen on them, and nothing else is. How rows come into the split: `data.splits`.
"""

from collections.abc import Sequence

from stillhouse.records import Example, Source


def calibration_rows(split: Sequence[Example], scored_against: Source) -> list[Example]:
    """The calibration rows of the calibration split, in its order. `scored_against`: whose label a row must have."""
    return [row for row in split if row.target(scored_against) is not None]
