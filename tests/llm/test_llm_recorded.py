"""Recorded answers as a teacher: looked up by id, then by input; a file that is not what it should be is named with its line."""

import gzip
import json

import pytest

from stillhouse.errors import DatasetError, ModelNameError, TaskFileError
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.records import Example, Usage
from stillhouse.settings import TeacherSettings
from stillhouse.task import Task


def recorded(path, *rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        with gzip.open(path, "wt") as file:
            file.write(lines)
    else:
        path.write_text(lines)
    return RecordedTeacher(path)


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
async def test_an_answer_is_found_by_id_then_by_input(tmp_path, name):
    teacher = recorded(
        tmp_path / name,
        {
            "id": "a",
            "teacher_label": "by id",
            "usage": {"input_tokens": 3, "output_tokens": 1},
            "cost_usd": 0.5,
            "latency_s": 2,
        },
        {"input": {"b": 1, "a": 2}, "teacher_label": {"z": 1, "y": [2]}, "teacher_rationale": "because"},
        {"id": "c", "teacher_label": None},
    )
    asked = [Example("a", "-"), Example("x", {"a": 2, "b": 1}), Example("c", "-"), Example("d", "-")]
    by_id, by_input, null, absent = await teacher.predict(asked)
    assert (by_id.output, by_id.usage, by_id.cost_usd, by_id.latency_s) == ("by id", Usage(3, 1), 0.5, 2)
    assert (by_input.output, by_input.rationale) == ('{"y": [2], "z": 1}', "because")
    assert (null.output, null.error) == (None, "recorded without an answer")
    assert (absent.output, absent.error) == (None, "no recorded answer")


BAD = [
    (b'{"id": "a"', r":1: not valid JSON"),
    (b'{"id": "a", "teacher_label": "x"}\n{"id": "b"}', ":2: a recorded answer needs `teacher_label`"),
    (b'{"teacher_label": "x"}', "`id` or `input`"),
    (b"[1]", "a recorded answer needs"),
    (
        b'{"id": "a", "teacher_label": "x", "usage": {"prompt_tokens": 1}}',
        ":1: usage = .* is not an object of input_tokens",
    ),
    (b'{"id": "a", "teacher_label": "x", "usage": 3}', ":1: usage = 3 is not an object"),
    (b'{"id": "a", "teacher_label": "x", "cost_usd": "a lot"}', ":1: cost_usd = 'a lot' is not a number"),
    (b'{"id": "a", "teacher_label": "\xff"}', "cannot be read"),
]


@pytest.mark.parametrize(("content", "says"), BAD, ids=[says for _, says in BAD])
def test_a_file_that_is_no_record_is_one_sentence(tmp_path, content, says):
    (tmp_path / "answers.jsonl").write_bytes(content)
    with pytest.raises(DatasetError, match=says):
        RecordedTeacher(tmp_path / "answers.jsonl")


@pytest.mark.parametrize(
    "damage", [lambda raw: b"not gzip", lambda raw: raw[:-12], lambda raw: raw[:20] + b"\x00\x00\x00" + raw[23:]]
)
def test_a_damaged_archive_is_one_sentence(tmp_path, damage):
    raw = gzip.compress(b"".join(b'{"id": "%d", "teacher_label": "x"}\n' % number for number in range(500)))
    (tmp_path / "answers.jsonl.gz").write_bytes(damage(raw))
    with pytest.raises(DatasetError, match=r"cannot be read|not valid JSON"):
        RecordedTeacher(tmp_path / "answers.jsonl.gz")


def test_no_such_file_says_what_to_give(tmp_path):
    with pytest.raises(ModelNameError, match="no such file"):
        RecordedTeacher(tmp_path / "absent.jsonl")


def test_a_reply_as_it_came_is_read_by_the_tasks_own_rule_and_again_when_the_rule_is_mended(tmp_path):
    path = tmp_path / "raw.jsonl"
    path.write_text(json.dumps({"id": "a", "teacher_output": "It shines. The day was good.\nQ: and the next?"}) + "\n")
    task = Task(
        "mood",
        "-",
        "choice",
        ("good", "bad"),
        teacher=TeacherSettings(rationales=True, answer_pattern=r"The day was (\w+)", stop=("Q:",)),
    )
    answer, reply, _ = RecordedTeacher(path, task).answer(Example("a", "-"))
    assert (answer.output, answer.rationale, reply.how) == ("good", "It shines.", "strict")
    stricter = task.with_teacher(answer_pattern=r"THE DAY WAS (\w+)$")
    assert RecordedTeacher(path, stricter).answer(Example("a", "-"))[0].error == "no answer after the rationale"
    with pytest.raises(TaskFileError, match="not a regular expression"):
        RecordedTeacher(path, task.with_teacher(answer_pattern="("))
    with pytest.raises(DatasetError, match="no task here"):
        RecordedTeacher(path)
