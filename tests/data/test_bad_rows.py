"""One bad row never stops the rest: it is named with its line, and --skip-bad counts it."""

import json

import pytest

from stillhouse.data.dataset import label_set, load_examples
from stillhouse.errors import DatasetError, TaskFileError, UserError
from stillhouse.records import Example
from stillhouse.task import Task, load_task

GOOD = '{"id": "a", "input": "x"}'
BAD = {
    "nested deep": ('{"id": "b", "input": "y", "more": ' + "[" * 300 + "]" * 300 + "}", "nested more than 100 deep"),
    "nested very deep": ("[" * 100_000 + "]" * 100_000, "nested more than 100 deep"),
    "many digits": ('{"id": "b", "input": "y", "n": ' + "9" * 5_000 + "}", "a number of more than 4,300 digits"),
    "a key twice": ('{"id": "b", "input": "y", "input": "z"}', "the key 'input' twice"),
    "NaN": ('{"id": "b", "input": "y", "n": NaN}', "`n` holds NaN or Infinity"),
    "1e999": ('{"id": "b", "input": "y", "n": 1e999}', "`n` holds NaN or Infinity"),
    "half a pair": ('{"id": "b", "input": "\\ud800"}', "half of a surrogate pair"),
    "invisible twins": ('{"id": "b", "input": "y", "choices": ["b\\u200b", "b"]}', "differ in spaces, invisible"),
    "an invisible choice": ('{"id": "b", "input": "y", "choices": ["\\ufeff", "b"]}', "is empty, and no reply"),
    "twin choices": ('{"id": "b", "input": "y", "choices": ["b", "b "]}', "'b' and 'b ' differ in spaces"),
}


@pytest.mark.parametrize("kind", ["rows.jsonl", "rows.json"])
@pytest.mark.parametrize(("row", "says"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named_and_can_be_left_out(tmp_path, kind, row, says):
    path = tmp_path / kind
    rows = [GOOD, row, '{"id": "c", "input": "z"}']
    path.write_text("\n".join(rows) if kind == "rows.jsonl" else f"[{', '.join(rows)}]")
    with pytest.raises(DatasetError, match=rf"{kind}:2: .*{says}"):
        load_examples(path)
    kept = load_examples(path, skip_bad=True)
    assert [row.id for row in kept.examples] == ["a", "c"] and len(kept.skipped) == 1


@pytest.mark.parametrize("kind", ["rows.jsonl", "rows.json"])
def test_bytes_that_are_no_text_spoil_their_row_alone(tmp_path, kind):
    rows = [GOOD.encode(), b'{"id": "b", "input": "\xff"}', '{"id": "c", "input": "é"}'.encode()]
    (tmp_path / kind).write_bytes(b"\n".join(rows) if kind == "rows.jsonl" else b"[" + b", ".join(rows) + b"]")
    with pytest.raises(DatasetError, match=rf"{kind}:2: not valid JSON: not UTF-8"):
        load_examples(tmp_path / kind)
    assert [row.input for row in load_examples(tmp_path / kind, skip_bad=True).examples] == ["x", "é"]


def test_a_date_out_of_range_spoils_its_row_alone(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    far = pa.array([0, 2**62, None], pa.timestamp("us"))
    table = pa.table({"input": ["x", "y", "z"], "at": far, "n": pa.array([1.0, 2.0, float("nan")])})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DatasetError, match=r"rows\.parquet:2: holds a value that cannot be read"):
        load_examples(tmp_path / "rows.parquet")
    kept = load_examples(tmp_path / "rows.parquet", skip_bad=True)
    assert [row.input for row in kept.examples] == ["x", "z"] and kept.examples[1].extra == {}


@pytest.mark.parametrize("kind", ["rows.jsonl", "rows.json"])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, kind):
    text = GOOD if kind == "rows.jsonl" else f"[{GOOD}]"
    (tmp_path / kind).write_text("\ufeff" + text, encoding="utf-8")
    assert load_examples(tmp_path / kind).examples[0].id == "a"


TOML = '[task]\nname = "t"\ninstruction = "Do."\noutput = "{output}"\n{more}\n[data]\ntrain = "a.jsonl"\n'


def written(tmp_path, output="choice", more=""):
    (tmp_path / "task.toml").write_text("\ufeff" + TOML.format(output=output, more=more), encoding="utf-8")
    return tmp_path / "task.toml"


def test_a_task_file_and_a_schema_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "s.json").write_text('\ufeff{"type": "object"}', encoding="utf-8")
    assert load_task(written(tmp_path, "json", 'json_schema = "s.json"')).schema == {"type": "object"}


@pytest.mark.parametrize(
    "labels", [["b", ""], ["b", " "], ["b", "b "], ["a  b", "a b"], ["\u00e9", "e\u0301"], ["b\n", "b"]]
)
def test_labels_that_no_reply_can_tell_apart_are_refused(tmp_path, labels):
    with pytest.raises(TaskFileError, match=r"labels: "):
        load_task(written(tmp_path, more=f"labels = {json.dumps(labels)}"))
    rows = [Example(str(n), "x", label=label) for n, label in enumerate(labels)]
    with pytest.raises(DatasetError, match="the rows' labels: "):
        label_set(rows, Task("t", "Do.", "choice"))


def test_labels_that_differ_in_case_are_two(tmp_path):
    assert load_task(written(tmp_path, more='labels = ["US", "us"]')).labels == ("US", "us")


@pytest.mark.parametrize(
    "content", [None, b"\xff\xfe", b"n = " + b"9" * 5_000, b"a = " + b"[" * 50_000 + b"]" * 50_000]
)
def test_a_task_file_that_cannot_be_read_is_one_sentence(tmp_path, content):
    path = tmp_path / "task.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    for given in (path, tmp_path):
        with pytest.raises(UserError, match=r"task\.toml.*; ") as refused:
            load_task(given)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"\xff", b"[" * 50_000, b"[]", b'{"$ref": "#"}', b'{"a": 1, "a": 2}'])
def test_a_schema_that_cannot_be_used_is_one_sentence(tmp_path, content):
    path = tmp_path / "s.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(TaskFileError, match=r"s\.json.*; mend") as refused:
        load_task(written(tmp_path, "json", 'json_schema = "s.json"'))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('{"a":' * 120 + "1" + "}" * 120, "nested more than 100 deep"),
        ("7" * 5000, "a number of more than 4,300 digits"),
    ],
)
def test_gold_that_spells_json_which_cannot_be_used_is_one_bad_row(tmp_path, stillhouse, label, reason):
    lines = [{"id": "a", "input": "t1", "label": label}, {"id": "b", "input": "t2", "label": '{"a": 1.0}'}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "answers.jsonl").write_text('{"id": "b", "teacher_label": {"a": 1}}\n')
    (tmp_path / "task.toml").write_text('[task]\nname = "t"\ninstruction = "?"\noutput = "json"\n')
    given = (
        "evaluate",
        f"recorded:{tmp_path}/answers.jsonl",
        tmp_path / "rows.jsonl",
        "--task",
        tmp_path / "task.toml",
    )
    refused = stillhouse(*given)
    assert refused.code == 2 and reason in refused.err and "rows.jsonl:1" in refused.err
    done = stillhouse(*given, "--skip-bad", "--json")
    assert done.code == 0 and done.json["score"]["value"] == 1.0
    assert any("1 broken rows were skipped" in warning and reason in warning for warning in done.json["warnings"])
