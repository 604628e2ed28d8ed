import gzip
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from stillhouse.data.dataset import fingerprint, load_examples, write_examples
from stillhouse.data.rows import StreamedRows
from stillhouse.errors import DatasetError
from stillhouse.records import Example
from stillhouse.task import Task

ROWS = [
    {"id": "a", "input": "where is my order", "label": "order", "note": {"kept": [1]}},
    {"id": "b", "input": {"subject": "refund", "body": "please"}, "label": "money", "group": "g"},
]


def jsonl(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def choice_task(*labels):
    return Task(name="t", instruction="i", output="choice", labels=labels)


def test_every_format_gives_the_same_rows_and_fingerprint(tmp_path):
    plain = [{"id": "a", "input": "x", "label": "order"}, {"id": "b", "input": "y", "label": "money"}]
    jsonl(tmp_path / "rows.jsonl", plain)
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes()))
    pyarrow.parquet.write_table(pa.Table.from_pylist(plain), tmp_path / "rows.parquet")
    pyarrow.feather.write_feather(pa.Table.from_pylist(plain), str(tmp_path / "rows.arrow"))
    (tmp_path / "rows.json").write_text(json.dumps(plain))
    loaded = [
        load_examples(tmp_path / name)
        for name in ("rows.jsonl", "rows.jsonl.gz", "rows.parquet", "rows.arrow", "rows.json")
    ]
    assert len({dataset.fingerprint for dataset in loaded}) == 1
    assert loaded[0].examples == [Example("a", "x", "order"), Example("b", "y", "money")]


def test_alpaca_json_becomes_rows(tmp_path):
    (tmp_path / "alpaca.json").write_text(
        json.dumps(
            [
                {"instruction": "Add.", "input": "1 2", "output": "3"},
                {"instruction": "Say hi.", "input": "", "output": "hi"},
            ]
        )
    )
    first, second = load_examples(tmp_path / "alpaca.json").examples
    assert first.input == {"instruction": "Add.", "input": "1 2"} and first.label == "3"
    assert second.input == "Say hi." and second.text == "Say hi."


def test_extra_fields_survive_the_round_trip(tmp_path):
    examples = load_examples(jsonl(tmp_path / "in.jsonl", ROWS)).examples
    write_examples(tmp_path / "out.jsonl", examples)
    again = load_examples(tmp_path / "out.jsonl")
    assert again.examples == examples
    assert again.examples[0].extra == {"note": {"kept": [1]}}
    assert again.fingerprint == fingerprint(examples)


def test_rows_without_id_get_one_from_their_content_that_survives_reordering(tmp_path):
    rows = [{"input": "x"}, {"input": "y"}, {"input": "x"}]
    there = load_examples(jsonl(tmp_path / "a.jsonl", rows)).examples
    back = load_examples(jsonl(tmp_path / "b.jsonl", rows[::-1])).examples
    assert {row.id for row in there} == {row.id for row in back}
    assert len({row.id for row in there}) == 3


def test_labels_that_are_numbers_or_objects_become_their_json(tmp_path):
    rows = [{"id": 1, "input": "x", "label": 3}, {"id": "2", "input": "y", "label": {"b": 1, "a": True}}]
    assert [row.label for row in load_examples(jsonl(tmp_path / "a.jsonl", rows)).examples] == [
        "3",
        '{"a": true, "b": 1}',
    ]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([ROWS[0], '{"id": "b", "inp'], r"rows.jsonl:2: not valid JSON.*--skip-bad"),
        ([{"id": "a", "label": "x"}], r"rows.jsonl:1: `input` is missing"),
        ([{"id": "a", "input": "  "}], r"`input` must be a non-empty text or object of fields, it is empty"),
        ([{"id": "a", "input": 3}], r"it is a number"),
        (['{"id": "a", "input": "half \\ud800 a pair"}'], r"rows.jsonl:1: holds half of a surrogate pair"),
        (['{"id": "a", "input": "x", "note": "\\udfff"}'], r"rows.jsonl:1: holds half of a surrogate pair"),
        (['{"id": "a", "input": {"price": Infinity}}'], r"rows.jsonl:1: `input` holds NaN or Infinity"),
        (['{"id": "a", "input": {"prices": [1, NaN]}}'], r"rows.jsonl:1: `input` holds NaN or Infinity"),
        ([[1, 2]], r"must be a JSON object, this is a list"),
        ([ROWS[0], ROWS[0] | {"input": "other"}], r"rows.jsonl:2: the id 'a' occurs twice \(first on line 1\)"),
        ([{"id": "a", "input": "x", "choices": ["one"]}], r"`choices` must be a list of at least two"),
        (
            [{"id": "a", "input": "x", "choices": ["p", "q"], "label": "r"}],
            r"`label` is 'r', which is not one of the row's `choices`",
        ),
        ([], r"holds no usable row"),
    ],
)
def test_a_broken_row_is_one_sentence_with_file_line_and_remedy(tmp_path, rows, says):
    with pytest.raises(DatasetError, match=says) as caught:
        load_examples(jsonl(tmp_path / "rows.jsonl", rows))
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_a_line_torn_at_the_end_of_the_file_says_so(tmp_path):
    path = jsonl(tmp_path / "rows.jsonl", ROWS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="cut off"):
        load_examples(path)
    assert len(load_examples(path, skip_bad=True).examples) == 1


def test_skip_bad_counts_what_it_left_out(tmp_path):
    dataset = load_examples(jsonl(tmp_path / "rows.jsonl", [ROWS[0], "{", {"id": "c"}]), skip_bad=True)
    assert [row.id for row in dataset.examples] == ["a"]
    assert len(dataset.skipped) == 2 and "rows.jsonl:2" in dataset.skipped[0]


def test_a_label_outside_the_label_set_names_row_and_set(tmp_path):
    with pytest.raises(
        DatasetError,
        match=r"rows.jsonl:2: `label` is 'money', which is not one of the task's `labels` \(order, other\)",
    ):
        load_examples(jsonl(tmp_path / "rows.jsonl", ROWS), task=choice_task("order", "other"))


@pytest.mark.parametrize("name", ["absent.jsonl", "rows.docx"])
def test_missing_and_unknown_files(tmp_path, name):
    (tmp_path / "rows.docx").write_text("x")
    with pytest.raises(DatasetError, match=r"\.jsonl"):
        load_examples(tmp_path / name)


def test_a_truncated_gzip_is_refused(tmp_path):
    jsonl(tmp_path / "rows.jsonl", ROWS * 1)
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes())[:-12])
    with pytest.raises(DatasetError, match="cannot be read to its end"):
        load_examples(tmp_path / "rows.jsonl.gz")


CUTS = {  # a file of nine rows, damaged, and how many rows at least are whole before that
    "rows.jsonl.gz": (lambda raw: gzip.compress(raw)[:-12], 5),
    "rows.ndjson.gz": (lambda raw: gzip.compress(raw)[:-8] + b"\0" * 8, 9),  # a wrong check sum
    "two.jsonl.gz": (lambda raw: gzip.compress(raw) + gzip.compress(raw)[:14], 9),
    "rows.json": (lambda raw: b"[" + b",".join(raw.splitlines())[:-30], 8),
    "more.json": (lambda raw: b"[" + b",".join(raw.splitlines()) + b"] and more", 9),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_file_that_is_cut_off_keeps_its_good_rows_with_skip_bad(tmp_path, name):
    damaged, least = CUTS[name]
    raw = b"".join(json.dumps({"id": f"r{i}", "input": f"text {i * 7919}"}).encode() + b"\n" for i in range(9))
    (tmp_path / name).write_bytes(damaged(raw))
    with pytest.raises(DatasetError, match="--skip-bad to take the rows before that place") as refused:
        load_examples(tmp_path / name)
    assert "\n" not in str(refused.value)
    dataset = load_examples(tmp_path / name, skip_bad=True)
    assert len(dataset.examples) >= least
    assert [row.id for row in dataset.examples] == [f"r{i}" for i in range(len(dataset.examples))]
    assert len(dataset.skipped) == 1 and f"the rows after line {len(dataset.examples)} are lost" in dataset.skipped[0]
    task = choice_task("a", "b")
    with StreamedRows([tmp_path / name], task, scratch=tmp_path, skip_bad=True) as rows:
        assert [row.id for row in rows] == [row.id for row in rows] == [row.id for row in dataset.examples]
        assert (rows.cut, rows.skipped) == (dataset.skipped, 0)


def test_a_file_of_which_nothing_can_be_read_is_refused_with_skip_bad_too(tmp_path):
    (tmp_path / "rows.jsonl.gz").write_bytes(b"no gzip at all")
    with pytest.raises(DatasetError, match=r"rows\.jsonl\.gz: cannot be read to its end") as refused:
        load_examples(tmp_path / "rows.jsonl.gz", skip_bad=True)
    assert "--skip-bad" not in str(refused.value)


def test_real_rows_are_read(real_data):
    dataset = load_examples(real_data / "stepbystep" / "cqa" / "test.jsonl")
    assert len(dataset.examples) == 855 and dataset.examples[0].choices
