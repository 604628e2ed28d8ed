"""Rows that are read anew at every pass, against `load_examples`, which holds them all."""

import hashlib
import json
import os
import random
import tracemalloc

import pytest

from stillhouse.data import repeats
from stillhouse.data import rows as rows_module
from stillhouse.data.dataset import load_examples
from stillhouse.data.rows import StreamedRows
from stillhouse.errors import DatasetError
from stillhouse.task import Task

TASK = Task("t", "Say.", "text")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_pass_gives_the_rows_of_all_files(tmp_path):
    one = write(
        tmp_path / "one.jsonl", [{"id": "a", "input": "x", "label": "1"}, {"input": "no id"}, {"input": "no id"}]
    )
    two = write(tmp_path / "two.jsonl", [{"id": "b", "input": "y"}])
    rows = StreamedRows([one, two], TASK, scratch=tmp_path)
    whole = load_examples(one).examples + load_examples(two).examples
    assert len(rows) == 4
    assert list(rows) == whole
    assert list(rows) == whole


def test_parquet_streams_as_well(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pa.table({"id": [str(n) for n in range(2500)], "input": ["x"] * 2500}), tmp_path / "r.parquet"
    )
    assert [row.id for row in StreamedRows([tmp_path / "r.parquet"], TASK, scratch=tmp_path)] == [
        str(n) for n in range(2500)
    ]


def test_an_id_that_occurs_twice_is_refused_before_anything_is_read_for_good(tmp_path):
    twice = write(
        tmp_path / "twice.jsonl", [{"id": "a", "input": "x"}, {"id": "b", "input": "x"}, {"id": "a", "input": "y"}]
    )
    with pytest.raises(DatasetError, match=r"twice.jsonl:3: the id 'a' occurs twice \(first on line 1\)"):
        StreamedRows([twice], TASK, scratch=tmp_path)
    one, two = (write(tmp_path / name, [{"id": "a", "input": "x"}]) for name in ("one.jsonl", "two.jsonl"))
    with pytest.raises(DatasetError, match="also in another file"):
        StreamedRows([one, two], TASK, scratch=tmp_path)


def test_broken_rows_are_refused_or_counted_once(tmp_path):
    path = write(tmp_path / "r.jsonl", [{"id": "a", "input": "x"}, {"id": "b"}])
    with pytest.raises(DatasetError, match=r"r.jsonl:2: `input` is missing"):
        StreamedRows([path], TASK, scratch=tmp_path)
    rows = StreamedRows([path], TASK, scratch=tmp_path, skip_bad=True)
    assert (len(rows), [row.id for row in rows], rows.skipped) == (1, ["a"], 1)


def made_of(text):
    return "row-" + hashlib.sha256(json.dumps(text).encode()).hexdigest()[:12]


@pytest.mark.parametrize("kinds", [1, 7, 60, 5000])
def test_equal_inputs_are_numbered_in_their_order_whatever_lies_between(tmp_path, kinds):
    draw = random.Random(kinds)
    inputs = [f"input {draw.randrange(kinds)}" for _ in range(300)]
    rows = [{"input": text} | ({"id": f"own {n}"} if draw.random() < 0.3 else {}) for n, text in enumerate(inputs)]
    wanted, seen = [], []
    for row in rows:
        if "id" not in row:
            seen.append(row["input"])
            n = seen.count(row["input"])
        wanted.append(row.get("id") or made_of(row["input"]) + (f"-{n}" if n > 1 else ""))
    with StreamedRows([write(tmp_path / "r.jsonl", rows)], TASK, scratch=tmp_path) as found:
        assert [row.id for row in found] == wanted
        one, other = iter(found), iter(found)  # two passes at once do not disturb each other
        assert [(next(one).id, next(other).id) for _ in rows] == [(id_, id_) for id_ in wanted]


@pytest.mark.parametrize("seed", range(30))
def test_random_rows_get_the_ids_or_the_refusal_of_rows_held_in_memory(tmp_path, seed):
    draw = random.Random(seed)
    own = [f"own {n}" for n in range(400)]
    if seed % 3 == 0:  # ids of the rows' own that look made
        own += [made_of("input 0"), made_of("input 1") + "-2", made_of("input 2") + "-90"]
    draw.shuffle(own)
    rows = []
    for _ in range(120):
        row = {"input": f"input {draw.randrange(20)}"}
        if draw.random() < 0.5:
            row["id"] = own.pop()
        if draw.random() < 0.1:
            row["choices"] = "none"  # broken, and counted among its equals all the same
        rows.append(row)
    if seed % 3 == 1:
        rows.insert(
            draw.randrange(len(rows)), {"id": draw.choice([row["id"] for row in rows if "id" in row]), "input": "again"}
        )
    path = write(tmp_path / "r.jsonl", rows)
    try:
        wanted = load_examples(path, skip_bad=True).examples
    except DatasetError as refusal:
        with pytest.raises(DatasetError) as refused:
            StreamedRows([path], TASK, scratch=tmp_path, skip_bad=True)
        assert str(refused.value) == str(refusal)
    else:
        with StreamedRows([path], TASK, scratch=tmp_path, skip_bad=True) as found:
            assert (len(found), list(found)) == (len(wanted), wanted)


def test_equal_inputs_in_two_files_are_refused_as_equal_ids_are(tmp_path):
    one, two = (write(tmp_path / name, [{"input": "x"}]) for name in ("one.jsonl", "two.jsonl"))
    with pytest.raises(DatasetError, match=rf"two.jsonl: the id '{made_of('x')}' is also in another file"):
        StreamedRows([one, two], TASK, scratch=tmp_path)


def test_ids_whose_hashes_are_equal_by_chance_are_no_duplicates(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "hash", lambda _: 7, raising=False)
    path = write(tmp_path / "r.jsonl", [{"id": "a", "input": "x"}, {"input": "y"}, {"input": "y"}])
    assert len(list(StreamedRows([path], TASK, scratch=tmp_path))) == 3
    write(path, [{"id": "a", "input": "x"}, {"input": "y"}, {"id": "a", "input": "z"}])
    with pytest.raises(DatasetError, match="'a' occurs twice"):
        StreamedRows([path], TASK, scratch=tmp_path)


def test_a_file_that_changed_after_it_was_checked_is_refused(tmp_path):
    path = write(tmp_path / "r.jsonl", [{"input": "x"}, {"input": "x"}])
    rows, checked = StreamedRows([path], TASK, scratch=tmp_path), path.stat()
    write(path, [{"input": "y"}, {"input": "x"}, {"input": "x"}])
    with pytest.raises(DatasetError, match=r"r.jsonl: changed after it was checked"):
        list(rows)
    write(path, [{"input": n} for n in "xyz"])
    os.utime(path, ns=(checked.st_atime_ns, checked.st_mtime_ns))
    with pytest.raises(DatasetError, match=r"r.jsonl: changed after it was checked"):
        list(rows)


def test_a_file_of_the_same_size_and_time_with_more_rows_without_ids_is_refused(tmp_path):
    path = write(tmp_path / "r.jsonl", [{"input": "x"}, {"id": "own", "input": "x"}])
    rows, checked = StreamedRows([path], TASK, scratch=tmp_path), path.stat()
    write(path, [{"input": "x"}, {"input": "x" * 14}])
    os.utime(path, ns=(checked.st_atime_ns, checked.st_mtime_ns))
    assert path.stat().st_size == checked.st_size
    with pytest.raises(DatasetError, match=r"r.jsonl: changed after it was checked"):
        list(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [{"id": "r{n}", "input": "x"}, {"input": "day {n}"}, {"input": "day {third}"}],
    ids=["ids", "inputs", "equal inputs"],
)
def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch, row):
    monkeypatch.setattr(repeats, "_AT_ONCE", 2**10)

    def peak(n):
        path = write(
            tmp_path / "r.jsonl",
            ({key: text.format(n=i, third=i % (n // 3)) for key, text in row.items()} for i in range(n)),
        )
        tracemalloc.start()
        with StreamedRows([path], TASK, scratch=tmp_path) as rows:
            assert sum(1 for _ in rows) == n
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)  # imports
    few, many = 3_000, 20_000
    assert (peak(many) - peak(few)) / (many - few) < 3  # bytes a row; a set of their hashes alone takes 70
