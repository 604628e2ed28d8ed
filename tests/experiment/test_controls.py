"""The controls of a student that learns step by step: reasons shuffled between rows."""

from dataclasses import replace

import pytest

from stillhouse.experiment.controls import shuffled
from stillhouse.records import Example


@pytest.mark.parametrize("seed", range(5))
def test_every_row_with_reasons_gets_those_of_another_and_nothing_else_changes(seed):
    rows = [
        Example(str(i), f"q{i}", label=str(i), teacher_rationale=None if i % 4 == 3 else f"because {i}")
        for i in range(12)
    ]
    moved = shuffled(rows, seed)
    assert sorted(str(row.teacher_rationale) for row in moved) == sorted(str(row.teacher_rationale) for row in rows)
    for before, after in zip(rows, moved, strict=True):
        assert replace(after, teacher_rationale=before.teacher_rationale) == before
        assert (after.teacher_rationale is None) == (before.teacher_rationale is None)
        assert after.teacher_rationale is None or after.teacher_rationale != before.teacher_rationale
    assert shuffled(rows, seed) == moved != shuffled(rows, seed + 1)
