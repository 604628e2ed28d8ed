"""`copies` in [data]: what rows of one input are, in the splits, in the leak rule and among the rows that measure."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.copies import ALL_ROWS, ONCE, UNSEEN
from stillhouse.data.dataset import write_examples
from stillhouse.data.row_time import time_of
from stillhouse.data.splits import cut, load_splits
from stillhouse.errors import LeakageError
from stillhouse.records import Example
from stillhouse.task import load_task
from stillhouse.words import normalise

SHARES = {"validation": 0.1, "calibration": 0.15, "test": 0.2}


def rows(n, label="x", start=0):
    return [Example(f"r{i}", f"question number {i}", label) for i in range(start, start + n)]


def task_with(folder, train, copies=None, **files):
    write_examples(folder / "examples.jsonl", train)
    data = "[data]\n" + (f'copies = "{copies}"\n' if copies else "")
    for part, examples in files.items():
        write_examples(folder / f"{part}.jsonl", examples)
        data += f'{part} = "{part}.jsonl"\n'
    (folder / "task.toml").write_text(f'[task]\nname = "t"\ninstruction = "i"\noutput = "text"\n{data}')
    return load_task(folder)


def names(splits, part="test"):
    return [reading.name for reading in splits.readings.get(part, ())]


# One file, cut into parts

FREQUENT = [Example(f"f{i}", "Where is my parcel?", "x") for i in range(320)]


def test_traffic_is_cut_by_row_so_that_an_input_weighs_in_every_part_what_it_weighs(tmp_path):
    shares = Counter()
    for seed in range(20):
        for part, examples in cut([*rows(680), *FREQUENT], SHARES, seed=seed, copies="traffic").parts.items():
            shares[part] += sum(row.text == FREQUENT[0].text for row in examples) / len(examples) / 20
    assert shares == {part: pytest.approx(0.32, abs=0.03) for part in (*SHARES, "train")}
    splits = load_splits(task_with(tmp_path, [*rows(680), *FREQUENT], "traffic"))
    assert names(splits) == [ALL_ROWS, UNSEEN]
    everything, unseen = (set(reading.groups) for reading in splits.readings["test"])
    assert len(everything) == 200 and {row.text for row in splits.test if row.id in everything - unseen} == {
        FREQUENT[0].text
    }
    n_seen = len(everything - unseen)
    assert f"{n_seen} of 200 test rows have an input that is in training" in " ".join(splits.notes)


def test_in_files_rows_of_one_input_are_in_one_part_and_counted_once(tmp_path):
    splits = load_splits(task_with(tmp_path, [*rows(680), *FREQUENT], "files"))
    parts = [splits.train, splits.validation, splits.calibration, splits.test]
    assert sum(any(row.text == FREQUENT[0].text for row in part) for part in parts) == 1
    assert splits.readings == {}


def test_unset_the_test_rows_are_draws_of_traffic_and_inputs_of_a_file(tmp_path):
    splits = load_splits(task_with(tmp_path, [*rows(680), *FREQUENT]))
    drawn = {row.text: 0 for row in splits.test} | Counter(
        row.text for row in splits.test if row.id in splits.readings["test"][0].groups
    )
    assert drawn[FREQUENT[0].text] == 64 and sum(drawn.values()) == 200
    assert names(splits) == [ALL_ROWS, UNSEEN]  # its one input went to training, so counted once is counted new


def test_unset_every_input_is_as_likely_to_be_counted_once_however_often_it_comes():
    """A file in which a rare class was repeated five times: a cut by row alone would hardly ever test it."""
    examples = [Example(f"c{i}", f"common {i}", "common") for i in range(1000)]
    examples += [Example(f"r{i}-{k}", f"rare {i}", "rare") for i in range(500) for k in range(5)]
    found = cut(examples, SHARES, seed=3, copies=None)
    once = [row for row in found.parts["test"] if row.id in found.inputs["test"]]
    inputs = Counter(text.split()[0] for text in {row.text for row in once})
    assert inputs["common"] == pytest.approx(200, abs=2) and inputs["rare"] == pytest.approx(100, abs=5)
    drawn = Counter(row.label for row in found.parts["test"] if row.id in found.draws["test"])
    assert drawn["common"] == pytest.approx(200, abs=2) and drawn["rare"] == pytest.approx(500, abs=5)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9)), min_size=4, max_size=60), st.integers(0, 5))
def test_unset_no_row_that_counts_once_was_trained_on_and_no_group_straddles(pairs, seed):
    examples = [
        Example(f"r{i}", f"text {text}", "x", group=f"g{group}" if group else None)
        for i, (text, group) in enumerate(pairs)
    ]
    found = cut(examples, SHARES, seed=seed, copies=None)
    assert sum(map(len, found.parts.values())) == len(examples)
    trained = {normalise(row.text) for part in ("train", "validation") for row in found.parts[part]}
    for part, ids in found.inputs.items():
        assert all(normalise(row.text) not in trained for row in found.parts[part] if row.id in ids)
    for group in {row.group for row in examples} - {None}:
        assert sum(any(row.group == group for row in part) for part in found.parts.values()) == 1


def test_without_copies_the_three_are_one(tmp_path):
    cuts = [cut(rows(300), SHARES, seed=5, copies=copies).parts for copies in (None, "files")]
    assert cuts[0] == cuts[1]
    splits = load_splits(task_with(tmp_path, rows(300)))
    assert splits.readings == {} and splits.warnings == splits.notes == []


# By time


def timed(examples, **extra):
    return [replace(row, extra={key: value(i) for key, value in extra.items()}) for i, row in enumerate(examples)]


@pytest.mark.parametrize(
    "when",
    [
        {"time": lambda i: f"2026-03-{28 - i // 10:02}T{i % 10:02}:00:00Z"},
        {"created": lambda i: 1.7e9 - i},
        {"provenance": lambda i: {"created": f"2026-03-{28 - i // 10:02}T{i % 10:02}:00:00Z"}},
    ],
    ids=["ISO 8601", "seconds", "harvested"],
)
def test_traffic_is_cut_by_time_where_rows_have_one_and_the_newest_are_tested(when):
    found = cut(timed(rows(200), **when), SHARES, seed=0, copies="traffic").parts
    newest = [max(time_of(row) for row in found[part]) for part in ("train", "validation", "calibration", "test")]
    oldest = [min(time_of(row) for row in found[part]) for part in ("train", "validation", "calibration", "test")]
    assert all(before < after for before, after in zip(newest, oldest[1:], strict=False))
    assert [len(found[part]) for part in ("train", "validation", "calibration", "test")] == [110, 20, 30, 40]


def test_a_group_is_as_old_as_its_newest_row():
    examples = timed([replace(row, group=f"g{i % 40}") for i, row in enumerate(rows(200))], time=lambda i: 1.7e9 + i)
    found = cut(examples, SHARES, seed=0, copies="traffic").parts
    for group in {row.group for row in examples}:
        assert sum(any(row.group == group for row in part) for part in found.values()) == 1


def test_rows_without_a_time_are_split_at_random_and_that_is_said(tmp_path):
    examples = timed(rows(99), time=lambda i: f"2026-03-01T00:{i % 60:02}:00Z") + rows(1, start=99)
    splits = load_splits(task_with(tmp_path, examples, "traffic"))
    assert "not split by time, for 1 of 100 rows name no time: they are split at random" in " ".join(splits.notes)


@pytest.mark.parametrize("value", ["yesterday", 12.5, True, None, "", float("inf"), [1]])
def test_what_is_no_time_is_none(value):
    assert time_of(Example("a", "b", extra={"time": value})) is None


# Files that are given apart

OVERLAP = [Example("t1", "Question number 3!", "x"), *[Example(f"t{i}", f"another {i}", "x") for i in range(2, 30)]]


@pytest.mark.parametrize("copies", ["files", None])
def test_an_official_split_that_overlaps_is_refused_and_the_option_is_named(tmp_path, copies):
    with pytest.raises(LeakageError, match=r"same input as training row 'r3'.*--drop-overlap.*copies = \"traffic\""):
        load_splits(task_with(tmp_path, rows(100), copies, test=OVERLAP))


@pytest.mark.parametrize("copies", ["files", None])
def test_overlapping_rows_are_taken_out_of_training_and_counted(tmp_path, copies):
    more = [Example("u1", "another 7"), Example("u2", "new to all")]
    task = task_with(tmp_path, rows(100), copies, test=OVERLAP, unlabelled=more)
    splits = load_splits(task, drop_overlap=True)
    assert splits.n_overlap == 2 and [row.id for row in splits.unlabelled] == ["u2"]
    kept = [row.id for part in (splits.train, splits.validation, splits.calibration) for row in part]
    assert sorted(kept) == sorted(row.id for row in rows(100) if row.id != "r3")
    assert len(splits.test) == len(OVERLAP)
    assert "2 rows to train on overlap with held-out rows and were left out (--drop-overlap)" in splits.notes


def test_unlabelled_rows_that_overlap_with_rows_cut_off_are_taken_out_too(tmp_path):
    task = task_with(tmp_path, rows(100), unlabelled=[Example(f"u{i}", f"Question number {i}") for i in range(100)])
    splits = load_splits(task, drop_overlap=True)
    assert len(splits.unlabelled) == len(splits.train) and splits.n_overlap == 100 - len(splits.train)


def test_overlap_by_id_and_by_group_is_taken_out_as_well(tmp_path):
    train = [*rows(100), Example("t2", "text of its own", "x"), Example("g", "in a group", "x", group="talk")]
    test = [*OVERLAP[1:], Example("h", "in the same group", "x", group="talk")]
    splits = load_splits(task_with(tmp_path, train, test=test), drop_overlap=True)
    assert splits.n_overlap == 2


def test_traffic_may_repeat_an_input_in_the_test_file_but_not_a_row_or_a_group(tmp_path):
    others = {"validation": rows(10, start=200), "calibration": rows(10, start=300)}
    splits = load_splits(task_with(tmp_path, rows(100), "traffic", test=OVERLAP, **others))
    assert names(splits) == [ALL_ROWS, UNSEEN] and "t1" not in splits.readings["test"][1].groups
    for leak, says in [
        (Example("r5", "a row of its own", "x"), "the id 'r5' is in both"),
        (Example("new", "other", "x", group="talk"), "group 'talk'"),
    ]:
        grouped = [*rows(100), Example("g", "in a group", "x", group="talk")]
        with pytest.raises(LeakageError, match=says):
            load_splits(task_with(tmp_path, grouped, "traffic", test=[*OVERLAP, leak], **others))


def test_ids_made_from_the_input_are_no_overlap_in_traffic(tmp_path):
    task = task_with(tmp_path, rows(100), "traffic", test=OVERLAP)
    for name in ("examples", "test"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join('{"input": "hello", "label": "x"}\n' for _ in range(5)) + path.read_text())
    splits = load_splits(task)
    assert len(splits.readings["test"][1].groups) == len(OVERLAP) - 1 and len(splits.test) == len(OVERLAP) + 5


def test_a_test_file_with_copies_counts_in_every_way(tmp_path):
    test = [Example(f"t{i}", "hello there", "x") for i in range(30)] + [
        Example(f"o{i}", f"another {i}", "x") for i in range(40)
    ]
    splits = load_splits(task_with(tmp_path, rows(100), test=test))
    assert {reading.name: len(reading.groups) for reading in splits.readings["test"]} == {ALL_ROWS: 70, ONCE: 41}
    assert len(splits.test) == 70
    assert len(load_splits(task_with(tmp_path, rows(100), "files", test=test)).test) == 41
    traffic = load_splits(task_with(tmp_path, rows(100), "traffic", test=test))
    assert len(traffic.test) == 70 and traffic.readings == {}


def test_harvested_rows_that_stand_for_several_calls_are_no_traffic_and_that_is_said(tmp_path):
    test = timed(
        [Example(f"o{i}", f"another {i}", "x") for i in range(40)], provenance=lambda i: {"n_calls": 1 + 9 * (i < 2)}
    )
    splits = load_splits(task_with(tmp_path, rows(100), test=test))
    assert "2 of" in splits.warnings[-1] and "stand for 20 calls" in splits.warnings[-1]
