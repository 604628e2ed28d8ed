"""No generated row may resemble a held-out one.

That is checked when rows are made, and again by every command that trains on them.
"""

from stillhouse.data.generated import is_generated
from stillhouse.data.splits import Splits
from stillhouse.teacher.held_out import HeldOut


def held_out_of(splits: Splits) -> HeldOut:
    """The rows that nothing generated may resemble: validation, calibration, test and the further test files."""
    held_out = HeldOut()
    for part in ("validation", "calibration", "test"):
        held_out.include(part, getattr(splits, part))
    for name, rows in splits.also_test.items():
        held_out.include(name, rows)
    return held_out


def refuse_copies(splits: Splits) -> None:
    """Raise LeakageError where a generated row that may be trained on resembles a held-out row.

    A generated row has a `lineage`. Resemblance is by words, ROUGE-L or MinHash.
    """
    generated = [row for row in (*splits.train, *splits.unlabelled) if is_generated(row)]
    if generated:
        held_out_of(splits).refuse(generated, "training rows")
