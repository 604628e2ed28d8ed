"""Gold labels of a JSON task that come as texts, in every place that compares, learns or shows a label."""

import asyncio
import json
from dataclasses import replace

import pytest

from stillhouse.commands.evaluate import evaluate
from stillhouse.data.copies import distinct
from stillhouse.data.dataset import load_examples, write_examples
from stillhouse.errors import DatasetError, UserError
from stillhouse.evaluation.harness import evaluate as evaluate_rows
from stillhouse.evaluation.metrics import metric_for
from stillhouse.llm.parsing import ParsedReply
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.llm.self_consistency import vote
from stillhouse.records import Example, Prediction
from stillhouse.session import Session
from stillhouse.student.job import check_rows
from stillhouse.task import Task, load_task

TASK = """
[task]
name = "orders"
instruction = "Read the order."
output = "json"
{more}
[data]
train = "rows.json"
"""
VALUES = [{"n": 2.0, "who": f"Ann  {i}", "job": None, "rush": True} for i in range(20)]


def alpaca(folder, labels):
    rows = [{"instruction": f"order {i}", "input": "", "output": label} for i, label in enumerate(labels)]
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder / "rows.json"


def recorded(folder, values):
    rows = [{"input": f"order {i}", "teacher_label": value} for i, value in enumerate(values)]
    (folder / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "recorded:teacher.jsonl"


SPELLINGS = {
    "objects": lambda value: value,
    "texts": json.dumps,
    "texts in another order, spaced": lambda value: json.dumps(dict(reversed(value.items())), indent=2),
    "texts with 2 for 2.0": lambda value: json.dumps({**value, "n": 2}),
    "texts with escapes": lambda value: json.dumps(value).replace("A", "\\u0041"),
}


@pytest.mark.parametrize("metric", ["accuracy", "exact_match", "macro_f1"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_right_answer_is_right_however_the_gold_is_spelled(metric, spelling, tmp_path):
    (tmp_path / "task.toml").write_text(TASK.format(more=f'metric = "{metric}"'))
    data = alpaca(tmp_path, map(SPELLINGS[spelling], VALUES))
    done = evaluate(recorded(tmp_path, VALUES), data, Session(), task=tmp_path / "task.toml")
    assert (done.summary.score.value, done.summary.score.n) == (1.0, 20)


def test_what_is_not_the_value_is_wrong(tmp_path):
    (tmp_path / "task.toml").write_text(TASK.format(more=""))
    wrong = [{"who": "Ann  1"}, {"who": "Ann 1"}, {"n": "2"}, {"n": 2}, {"n": True}, {"n": 1}, {"j": None}, {}]
    data = alpaca(tmp_path, [json.dumps(value) for value in wrong])
    given = [wrong[position ^ 1] for position in range(len(wrong))]
    done = evaluate(recorded(tmp_path, given), data, Session(), task=tmp_path / "task.toml")
    assert done.summary.score.value == 0.0


async def test_an_answer_of_any_predictor_is_compared_as_a_value():
    class Says:
        name = "says"

        async def predict(self, inputs):
            return [Prediction(text) for text in (' {"b":2.0,"a":"x"}', "{'a': 'x'}", None)]

    gold = '{"a": "x", "b": 2}'
    rows = [Example(str(i), "?", gold) for i in range(3)]
    scored = await evaluate_rows(Says(), rows, metric_for(Task("t", "i", "json", metric="exact_match")))
    assert [row.score for row in scored] == [1.0, 0.0, 0.0]


def test_a_text_that_is_no_json_is_refused_with_its_row_or_left_out(tmp_path):
    (tmp_path / "task.toml").write_text(TASK.format(more=""))
    data = alpaca(tmp_path, ['{"a": 1}', "Porto", '{"a": 2}'])
    task = load_task(tmp_path)
    with pytest.raises(DatasetError, match=r"rows.json:2: `label` is 'Porto', which is no JSON.*--skip-bad"):
        load_examples(data, task=task)
    read = load_examples(data, task=task, skip_bad=True)
    assert [row.label for row in read.examples] == ['{"a": 1}', '{"a": 2}']
    assert len(read.skipped) == 1 and "rows.json:2" in read.skipped[0]
    assert load_examples(data).examples[1].label == "Porto"  # without a task nothing is known of its labels


def test_where_the_schema_asks_for_a_string_a_text_is_its_own_value(tmp_path):
    (tmp_path / "text.schema.json").write_text('{"type": "string"}')
    (tmp_path / "task.toml").write_text(TASK.format(more='json_schema = "text.schema.json"'))
    data = alpaca(tmp_path, ["Porto", '"Porto"', "2.0", "true", "x  y"])
    read = load_examples(data, task=load_task(tmp_path)).examples
    assert [json.loads(row.label) for row in read] == ["Porto", "Porto", "2.0", "true", "x  y"]
    given = ["Porto", "Porto", "2.0", "true", "x y"]
    done = evaluate(recorded(tmp_path, given), data, Session(), task=tmp_path / "task.toml")
    assert [row.score for row in done.rows] == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_rows_that_are_written_and_read_again_hold_the_same_values(tmp_path):
    task = replace(Task("t", "i", "json"), schema={"type": ["string", "object"]})
    rows = [Example(str(i), "x", label) for i, label in enumerate(['"a"', '"\\"a\\""', '{"n": 2}', '"2"'])]
    write_examples(tmp_path / "rows.jsonl", rows)
    assert load_examples(tmp_path / "rows.jsonl", task=task).examples == rows


def test_two_spellings_of_one_value_are_one_copy(tmp_path):
    rows = [{"input": "x", "label": {"a": 1, "b": 2.0}}, {"input": "X!", "label": '{"b": 2, "a": 1}'}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert distinct(load_examples(tmp_path / "rows.jsonl", task=Task("t", "i", "json")).examples).n_dropped == 1


def test_samples_vote_with_values_to_the_letter():
    replies = [ParsedReply(text, how="strict") for text in ('"x  y"', '"x y"', '"x y"')]
    assert vote(replies, exact=True).agreement == pytest.approx(2 / 3)
    assert vote(replies).agreement == 1.0


def test_recorded_labels_are_values_and_one_that_is_none_is_a_rejection(tmp_path):
    recorded(tmp_path, ['{"b": 1, "a": 2.0}', {"b": 1, "a": 2}, "Porto"])
    teacher = RecordedTeacher(tmp_path / "teacher.jsonl", Task("t", "i", "json"))
    said = asyncio.run(teacher.predict([Example(str(i), f"order {i}") for i in range(3)]))
    assert [answer.output for answer in said] == ['{"a": 2, "b": 1}', '{"a": 2, "b": 1}', None]
    assert "'Porto', which is no JSON" in said[2].error


def test_a_student_is_trained_on_values_alone():
    rows = [Example("a", "x", '{"a": 1}'), Example("b", "y", "Porto")]
    with pytest.raises(UserError, match="row b: its gold label is 'Porto', which is no JSON"):
        check_rows(Task("t", "i", "json"), rows, rows[:1], "gold")
