"""Recorded answers and the rows they answer: told apart, counted, and never a silent 0 %."""

import json

import pytest

from stillhouse.errors import DatasetError
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.records import Example
from stillhouse.task import Task

ROWS = [Example("0", "zero", label="b"), Example("1", "one", label="b")]


def recorded(tmp_path, *rows, mark=""):
    path = tmp_path / "answers.jsonl"
    path.write_text(mark + "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return RecordedTeacher(path)


@pytest.mark.parametrize("key", [{"id": "0"}, {"input": "zero"}])
def test_one_row_answered_twice_differently_is_refused_and_alike_is_not(tmp_path, key):
    with pytest.raises(
        DatasetError, match=r"answers\.jsonl:2: .* is answered twice, and differently \(first on line 1\)"
    ):
        recorded(tmp_path, {**key, "teacher_label": "a"}, {**key, "teacher_label": "b"})
    assert recorded(tmp_path, {**key, "teacher_label": "a"}, {**key, "teacher_label": "a"}).check(ROWS) is not None


@pytest.mark.parametrize("id_", [0.0, 1.5, True, [], {}])
def test_an_id_that_no_row_can_have_is_refused(tmp_path, id_):
    with pytest.raises(DatasetError, match=r"answers\.jsonl:1: id = .* is not a text or a whole number"):
        recorded(tmp_path, {"id": id_, "teacher_label": "a"})


def test_how_many_rows_have_an_answer_is_said_and_none_is_refused(tmp_path):
    assert recorded(tmp_path, {"id": 0, "teacher_label": "a"}, {"id": "1", "teacher_label": "a"}).check(ROWS) is None
    assert recorded(tmp_path, {"id": 0, "teacher_label": "a"}).check(ROWS) == "1 of 2 rows have a recorded answer"
    with pytest.raises(DatasetError, match=r"answers none of the 2 rows \(the first has the id '0'\)"):
        recorded(tmp_path, {"id": "0.0", "teacher_label": "a"}).check(ROWS)
    with pytest.raises(DatasetError, match="holds no recorded answer"):
        recorded(tmp_path)


def test_a_byte_order_mark_is_no_part_of_it(tmp_path):
    assert recorded(tmp_path, {"id": 0, "teacher_label": "a"}, mark="\ufeff").check(ROWS[:1]) is None


@pytest.mark.parametrize("answers", ["", '{"id": "0.0", "teacher_label": "b"}\n'])
def test_evaluate_says_so_instead_of_a_score_of_zero(tmp_path, stillhouse, answers):
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"id": r.id, "input": r.input, "label": r.label}) + "\n" for r in ROWS)
    )
    (tmp_path / "answers.jsonl").write_text(answers)
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "t"\ninstruction = "Do."\noutput = "choice"\nlabels = ["a", "b"]\n'
    )
    ran = stillhouse("evaluate", "recorded:answers.jsonl", tmp_path / "rows.jsonl", "--task", tmp_path)
    assert (ran.code, ran.out) == (2, "") and len(ran.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("teacher_rationale", 5, "is not a text"), ("teacher_confidence", 1.5, "is not a share from 0 to 1")],
)
def test_a_field_of_another_kind_is_refused(tmp_path, field, value, reason):
    with pytest.raises(DatasetError, match=f"answers.jsonl:1: {field} = {value} {reason}; mend the row"):
        recorded(tmp_path, {"id": "0", "teacher_label": "a", field: value})


@pytest.mark.parametrize(("one", "other"), [(True, 1), (1, 1.0), (False, 0), ("1", 1)])
def test_answers_that_python_has_equal_are_still_two_answers(tmp_path, one, other):
    with pytest.raises(DatasetError, match="answered twice, and differently"):
        recorded(tmp_path, {"id": "0", "teacher_label": one}, {"id": "0", "teacher_label": other})


def test_a_recorded_label_that_is_none_of_the_labels_is_a_rejection(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "0", "teacher_label": "zzz"}\n{"id": "1", "teacher_label": "a"}\n')
    teacher = RecordedTeacher(path, Task("t", "?", "choice", ("a", "b")))
    answers = [teacher.answer(row)[0] for row in ROWS]
    assert [answer.output for answer in answers] == [None, "a"]
    assert answers[0].error == "the recorded label is none of the labels ('zzz')"


def test_evaluate_without_a_label_to_score_against_is_a_sentence(tmp_path, stillhouse):
    recorded(tmp_path, {"id": "0", "teacher_label": "a"})
    (tmp_path / "rows.jsonl").write_text('{"id": "0", "input": "zero"}\n')
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "t"\ninstruction = "?"\noutput = "choice"\nlabels = ["a", "b"]\n'
    )
    said = stillhouse(
        "evaluate", f"recorded:{tmp_path}/answers.jsonl", tmp_path / "rows.jsonl", "--task", tmp_path / "task.toml"
    )
    assert said.code == 2 and "none of its 1 rows has a label to score against" in said.err
