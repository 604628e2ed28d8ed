"""Rows that are read anew at every pass, against `load_examples`, which holds them all."""

import json

import pytest

from stillhouse.data.dataset import load_examples
from stillhouse.data.rows import Rows
from stillhouse.errors import DatasetError
from stillhouse.task import Task

TASK = Task("t", "Say.", "text")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_pass_gives_the_rows_of_all_files(tmp_path):
    one = write(tmp_path / "one.jsonl", [{"id": "a", "input": "x", "label": "1"}, {"input": "no id"}, {"input": "no id"}])
    two = write(tmp_path / "two.jsonl", [{"id": "b", "input": "y"}])
    rows = Rows([one, two], TASK)
    whole = load_examples(one).examples + load_examples(two).examples
    assert len(rows) == 4
    assert list(rows) == whole
    assert list(rows) == whole


def test_parquet_streams_as_well(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"id": [str(n) for n in range(2500)], "input": ["x"] * 2500}), tmp_path / "r.parquet")
    assert [row.id for row in Rows([tmp_path / "r.parquet"], TASK)] == [str(n) for n in range(2500)]


def test_an_id_that_occurs_twice_is_refused_before_anything_is_read_for_good(tmp_path):
    twice = write(tmp_path / "twice.jsonl", [{"id": "a", "input": "x"}, {"id": "b", "input": "x"}, {"id": "a", "input": "y"}])
    with pytest.raises(DatasetError, match=r"twice.jsonl:3: the id 'a' occurs twice \(first on line 1\)"):
        Rows([twice], TASK)
    one, two = (write(tmp_path / name, [{"id": "a", "input": "x"}]) for name in ("one.jsonl", "two.jsonl"))
    with pytest.raises(DatasetError, match="also in another file"):
        Rows([one, two], TASK)


def test_broken_rows_are_refused_or_counted_once(tmp_path):
    path = write(tmp_path / "r.jsonl", [{"id": "a", "input": "x"}, {"id": "b"}])
    with pytest.raises(DatasetError, match=r"r.jsonl:2: `input` is missing"):
        Rows([path], TASK)
    rows = Rows([path], TASK, skip_bad=True)
    assert (len(rows), [row.id for row in rows], rows.skipped) == (1, ["a"], 1)
