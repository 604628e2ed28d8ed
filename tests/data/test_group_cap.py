"""Of a group larger than the cap as many rows measure, drawn at random."""

import json
from collections import Counter

import pytest

from stillhouse.data.group_cap import USUAL_CAP, capped, usual_cap
from stillhouse.data.splits import load_splits
from stillhouse.records import Example
from stillhouse.task import load_task


def rows(sizes):
    return [
        Example(f"{group}-{n}", f"text {n} of {group}", "a", group=group)
        for group, size in sizes.items()
        for n in range(size)
    ]


def test_a_larger_group_is_cut_in_its_order_and_said():
    found = capped([*rows({"big": 50, "small": 3}), Example("alone", "text", "a")], 10, seed=0)
    assert Counter(row.group for row in found.rows) == {"big": 10, "small": 3, None: 1}
    assert [row.id for row in found.rows if row.group == "small"] == ["small-0", "small-1", "small-2"]
    numbers = [int(row.id.split("-")[1]) for row in found.rows if row.group == "big"]
    assert numbers == sorted(numbers) and numbers != list(range(10))
    assert (found.n_cut, found.n_dropped) == (1, 40)
    [said] = found.said_of("test")
    assert "1 group has more than 10 test rows" in said and "40 of 54" in said and "group_cap" in said
    assert capped(found.rows, 10, seed=0).said_of("test") == []


def test_every_row_of_a_large_group_is_as_likely_to_be_drawn():
    drawn = Counter(row.id for seed in range(400) for row in capped(rows({"g": 20}), 5, seed).rows)
    assert all(60 < drawn[f"g-{n}"] < 145 for n in range(20))  # 100 expected, 8.7 standard deviation


@pytest.mark.parametrize(
    ("sizes", "cap"),
    [
        ({}, USUAL_CAP),
        ({f"g{n}": 3 for n in range(10)}, USUAL_CAP),  # ten groups say too little
        ({f"g{n}": 3 for n in range(40)}, 3),
        ({f"g{n}": 1 + n for n in range(99)}, 95),  # and the row that stands alone
        ({f"g{n}": 1 for n in range(40)}, 1),
        ({f"g{n}": 2 if n == 0 else 1 for n in range(40)}, 1),
    ],
)
def test_the_usual_cap_leaves_nineteen_of_twenty_training_groups_whole(sizes, cap):
    assert usual_cap([*rows(sizes), Example("alone", "text", "a")]) == cap


def test_the_test_and_calibration_rows_of_a_task_are_capped_and_the_training_rows_are_not(tmp_path):
    lines = [
        {"id": f"{g}-{n}", "input": f"{g} row {n}", "label": "ab"[n % 2], "group": f"g{g}"}
        for g in range(60)
        for n in range(30 if g < 3 else 4)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "t"\ninstruction = "?"\noutput = "choice"\nlabels = ["a", "b"]\n'
        '[data]\ntrain = "rows.jsonl"\ngroup_cap = 2\nsplit = [0.1, 0.3, 0.3]\n'
    )
    splits = load_splits(load_task(tmp_path / "task.toml"))
    assert splits.group_cap == 2
    for part in (splits.test, splits.calibration):
        assert max(Counter(row.group for row in part).values()) == 2
    assert max(Counter(row.group for row in splits.train).values()) > 2
    assert any("set group_cap in [data]" in note for note in splits.notes)
