"""No generated row may resemble a held-out one: checked when rows are made, and again by every command that trains on them."""

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
    """Raise LeakageError where a generated row (one with `lineage`) that may be trained on resembles a held-out row: by words, ROUGE-L or MinHash."""
    generated = [row for row in (*splits.train, *splits.unlabelled) if "lineage" in row.extra]
    if generated:
        held_out_of(splits).refuse(generated, "training rows")
