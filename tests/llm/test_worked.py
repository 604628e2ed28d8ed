"""What stands in a prompt as a worked answer: JSON where JSON is asked for, never Python's spelling, and no label that the
task does not have. The tables were written before the code."""

import json
from dataclasses import replace

import pytest

from stillhouse.data.dataset import load_examples
from stillhouse.errors import TaskFileError
from stillhouse.llm.prompted import build_messages
from stillhouse.llm.worked import worked_examples
from stillhouse.records import Example
from stillhouse.settings import TeacherSettings
from stillhouse.task import Task

ORDER = {"type": "object", "properties": {"job": {"type": ["string", "null"]}}, "required": ["job"]}
JSON = Task("t", "Read it.", "json")
CHOICE = Task("t", "Is it so?", "choice", ("true", "false", "1", "2.0"))
ASKED = Example("1", "now this")


def shown(tmp_path, task, row):
    """The worked answer as it is sent."""
    (tmp_path / "worked.jsonl").write_text(json.dumps(row) + "\n")
    settings = task.teacher.model_copy(update={"examples": "worked.jsonl"})
    task = replace(task, folder=tmp_path, teacher=settings)
    return build_messages(task, ASKED, worked_examples(task), rationales=settings.rationales)[2]["content"]


@pytest.mark.parametrize(
    ("task", "label", "sent"),
    [
        (JSON, {"job": None, "b": True}, '{"b": true, "job": null}'),
        (JSON, '{"job": null, "b": true}', '{"b": true, "job": null}'),
        (JSON, True, "true"),
        (JSON, False, "false"),
        (JSON, 0, "0"),
        (JSON, 2.0, "2"),
        (JSON, [None], "[null]"),
        (JSON, '"Porto"', '"Porto"'),
        (JSON, {"é": "ü"}, '{"é": "ü"}'),
        (replace(JSON, schema=ORDER), {"job": None}, '{"job": null}'),
        (replace(JSON, schema={"type": "string"}), "Porto", '"Porto"'),
        (CHOICE, True, "true"),
        (CHOICE, "true", "true"),
        (CHOICE, 1, "1"),
        (CHOICE, 2.0, "2.0"),
        (Task("t", "i", "text"), {"job": None}, '{"job": null}'),
        (Task("t", "i", "text"), True, "true"),
        (Task("t", "i", "choice"), False, "false"),
    ],
)
def test_a_label_is_sent_as_json(task, label, sent, tmp_path):
    assert shown(tmp_path, task, {"input": "x", "label": label}) == sent
    reasoned = replace(task, teacher=TeacherSettings(rationales=True))
    row = {"input": "x", "label": label, "rationale": "Because."}
    assert shown(tmp_path, reasoned, row) == f"Because. So the answer is {sent}."
    structured = replace(task, teacher=TeacherSettings(rationales=True, structured=True))
    answer = json.loads(shown(tmp_path, structured, row))["answer"]
    assert answer == (json.loads(sent) if task.output == "json" else sent)


def test_numbers_that_no_float_holds_are_sent_with_all_their_digits(tmp_path):
    spelled = '{"n": 9007199254740993.0, "x": 12345678901234567890.25, "y": [0.1, 1e-05]}'
    sent = '{"n": 9007199254740993, "x": 12345678901234567890.25, "y": [0.1, 1e-05]}'
    (tmp_path / "worked.jsonl").write_text(f'{{"input": {spelled}, "label": {spelled}, "rationale": "So."}}\n')
    for teacher, answer in (
        (TeacherSettings(examples="worked.jsonl"), sent),
        (TeacherSettings(examples="worked.jsonl", rationales=True), f"So. So the answer is {sent}."),
        (
            TeacherSettings(examples="worked.jsonl", rationales=True, structured=True),
            f'{{"rationale": "So.", "answer": {sent}}}',
        ),
    ):
        task = replace(JSON, folder=tmp_path, teacher=teacher)
        messages = build_messages(task, ASKED, worked_examples(task), rationales=teacher.rationales)
        assert messages[2]["content"] == answer
        assert messages[1]["content"] == "n: 9007199254740993\nx: 12345678901234567890.25\ny: [0.1, 1e-05]"
    (tmp_path / "rows.jsonl").write_text(f'{{"id": "1", "input": {{"a": {spelled}}}}}\n')
    (row,) = load_examples(tmp_path / "rows.jsonl").examples
    assert row.text == f"a: {sent}"


@pytest.mark.parametrize(
    ("task", "row", "reason"),
    [
        (JSON, {"input": "x", "label": "Porto"}, "`label` is 'Porto', which is no JSON"),
        (JSON, {"input": "x", "label": "{'job': None}"}, "which is no JSON"),
        (replace(JSON, schema=ORDER), {"input": "x", "label": {"jobs": 1}}, "does not fit the schema"),
        (CHOICE, {"input": "x", "label": "yes"}, "`label` is 'yes', which is not one of the task's `labels`"),
        (CHOICE, {"input": "x", "label": 3}, "`label` is '3', which is not one of"),
        (CHOICE, {"input": "x", "label": "a", "choices": ["a", "a"]}, "at least two different texts"),
        (CHOICE, {"input": "x", "label": "a", "choices": ["a", ""]}, "`choices`: '' is empty"),
        (CHOICE, {"input": "x", "label": "a", "choices": ["a", "a "]}, "differ in spaces"),
        (CHOICE, {"input": "x", "label": None}, "`label` is missing"),
        (CHOICE, {"input": "x"}, "`label` is missing"),
        (Task("t", "i", "text"), {"input": "x", "label": ""}, '`label` is "", and must say something'),
        (Task("t", "i", "text"), {"input": "x", "label": "  "}, "and must say something"),
        (Task("t", "i", "text"), {"input": "x", "label": "\n"}, "and must say something"),
        (CHOICE, {"label": "true"}, "`input` is missing"),
        (CHOICE, {"input": 5, "label": "true"}, "`input` is 5, and must be a text"),
        (CHOICE, {"input": True, "label": "true"}, "`input` is true, and must be a text"),
        (CHOICE, {"input": ["x"], "label": "true"}, "`input` is ."),
        (CHOICE, {"input": "  ", "label": "true"}, "`input` is .* not empty"),
        (CHOICE, {"input": {}, "label": "true"}, "`input` is .* not empty"),
        (CHOICE, {"input": "x", "label": "a", "choices": ["b", "c"]}, "not one of its `choices`"),
        (CHOICE, {"input": "x", "label": "a", "choices": "ab"}, "`choices` is"),
        (CHOICE, {"input": "x", "label": "a", "choices": [1, 2]}, "`choices` is"),
        (CHOICE, {"input": "x", "label": "true", "rationale": 3}, "`rationale` is 3"),
        (CHOICE, ["x", "true"], "it is no JSON object"),
        (CHOICE, 5, "it is no JSON object"),
    ],
)
def test_a_worked_example_that_is_none_is_one_sentence_with_its_line(task, row, reason, tmp_path):
    with pytest.raises(TaskFileError, match=rf"worked\.jsonl:1: .*{reason}.*; mend the row"):
        shown(tmp_path, task, row)


def test_the_labels_of_examples_that_are_given_are_checked_as_well():
    with pytest.raises(TaskFileError, match="worked example '7': its label is 'x', which is no JSON"):
        build_messages(JSON, ASKED, [Example("7", "x", "x")])
    assert build_messages(JSON, ASKED, [Example("7", "x", '{"a":2.0}')])[2]["content"] == '{"a": 2}'


def test_what_is_wrong_with_a_reply_is_told_in_json():
    from stillhouse.llm.parsing import parse_reply

    schema = {"type": "object", "properties": {"job": {"enum": ["a", None]}, "ok": {"type": "string"}}}
    task = replace(JSON, schema=schema)
    error = parse_reply(task, ASKED, '{"ok": {"x": [null, true]}}').error
    assert '{"x": [null, true]}' in error and "None" not in error
    assert "None" not in parse_reply(task, ASKED, '{"job": true}').error


@pytest.mark.parametrize(
    ("output", "reply", "answer"),
    [
        ("text", "It is far. So the answer is Paris.", "Paris"),
        ("text", 'I end with "So the answer is X." So the answer is Lyon. So the answer is Paris.', "Paris"),
        ("text", "So the answer is Lyon. No. so the answer is: Paris", "Paris"),
        ("text", "So the answer is Paris. So the answer is", None),
        ("text", "No answer.", None),
        ("json", 'So the answer is {"a": 1}. Or: So the answer is {"a": 2}.', '{"a": 2}'),
        ("json", 'Because. So the answer is {"a": 2}.', '{"a": 2}'),
        ("json", "Because. So the answer is 5.", "5"),
        ("json", "Because. So the answer is 2.5.", "2.5"),
        ("text", "So the answer is 5. Also the answer issue.", "5. Also the answer issue"),
        ("text", "So the answer isn't 4. It is 5.", None),
        ("text", "So the answer isn’t 4.", None),
        ("text", "**So the answer is 5.**", "5"),
        ("text", "**So the answer is** 5.", "5"),
        ("text", "**So the answer is:** 5.", "5"),
        ("text", "So the answer is **5**.", "**5**"),
        ("text", "So the answer is...", None),
        ("text", "So the answer is …", None),
        ("text", 'So the answer is "So the answer is".', '"So the answer is"'),
        ("text", "So the answer is 5<|im_end|>", "5"),
        ("text", "So the answer is 5.\n<|eot_id|>", "5"),
        ("text", "So the answer is 5.</s>", "5"),
        ("text", "So  the answer\nis 5.", "5"),
        ("json", 'So the answer is {"a": "So the answer is 5"}', '{"a": "So the answer is 5"}'),
        ("json", 'No. So the answer is {"a": "So the answer is 5"}.', '{"a": "So the answer is 5"}'),
        ("json", "So  the\nanswer is 5", "5"),
    ],
)
def test_the_answer_stands_behind_the_last_of_the_phrases(output, reply, answer):
    from stillhouse.llm.parsing import parse_reply

    found = parse_reply(Task("t", "i", output), ASKED, reply, rationales=True)
    assert found.output == answer
    if answer is not None:
        assert reply[found.at :].startswith(answer[:1])


def test_a_file_without_a_worked_example_is_refused(tmp_path):
    (tmp_path / "worked.jsonl").write_text("\n \n")
    task = replace(CHOICE, folder=tmp_path, teacher=TeacherSettings(examples="worked.jsonl"))
    with pytest.raises(TaskFileError, match="holds no worked example; add some, or take `examples` out"):
        worked_examples(task)
