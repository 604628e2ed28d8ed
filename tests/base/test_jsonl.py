"""JSONL line by line: numbers, blank lines, gzip, and what is said of a line or a file that cannot be read."""

import gzip

import pytest

from stillhouse.errors import DatasetError
from stillhouse.jsonl import numbered_lines, read_jsonl

LINES = b'{"a": 1}\n\n  \r\n[2]\r\n"\xc3\xa9"'


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_values_come_with_the_numbers_of_their_lines_and_blank_lines_count(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(LINES) if name.endswith(".gz") else LINES)
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (4, [2]), (5, "é")]
    assert list(numbered_lines(path)) == [(1, b'{"a": 1}\n'), (4, b"[2]\r\n"), (5, b'"\xc3\xa9"')]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{}\n\n{"half', r"rows\.jsonl:3: not valid JSON \(Unterminated string.*\); mend the row"),
        (
            b'{}\n"\xff"\n',
            r"rows\.jsonl: cannot be read \('utf-8' codec .*\); give JSONL in UTF-8, or the same gzipped",
        ),
    ],
)
def test_a_line_that_is_no_json_is_named_and_a_damaged_file_too(tmp_path, content, says):
    (tmp_path / "rows.jsonl").write_bytes(content)
    values = read_jsonl(tmp_path / "rows.jsonl")
    assert next(values) == (1, {})
    with pytest.raises(DatasetError, match=says):
        next(values)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: whole[:12] + b"\xff" * 9 + whole[21:]])
def test_a_damaged_gzip_file_is_one_sentence(tmp_path, damage):
    whole = gzip.compress(b"".join(b'{"n": %d}\n' % n for n in range(9)))
    (tmp_path / "rows.jsonl.gz").write_bytes(damage(whole))
    with pytest.raises(DatasetError, match=r"rows\.jsonl\.gz: cannot be read \("):
        list(read_jsonl(tmp_path / "rows.jsonl.gz"))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.jsonl: cannot be read \(.*No such file"):
        list(read_jsonl(tmp_path / "none.jsonl"))
