"""From a task to messages, and from replies to labels: strict, recovered, or refused with a reason; never guessed."""

import gzip
import json
from collections import Counter
from dataclasses import replace

import pytest

from stillhouse.errors import TaskFileError
from stillhouse.evaluation.arithmetic import value_of
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.parsing import parse_reply
from stillhouse.llm.prompted import PromptedPredictor, build_messages, input_of
from stillhouse.llm.request import Completion
from stillhouse.records import Example, Usage
from stillhouse.settings import TeacherSettings
from stillhouse.store import open_store
from stillhouse.task import Task

MOOD = Task(name="mood", instruction="Is it good?", output="choice", labels=("good", "bad", "not good"))
QUIZ = Task(name="quiz", instruction="Choose.", output="choice")
FREE = Task(name="free", instruction="Write.", output="text")
DATA = Task(name="data", instruction="Extract.", output="json")
CASED = Task(name="cased", instruction="Which?", output="choice", labels=("US", "us", "?"))
TWICE = replace(CASED, labels=("river", "river", "sea"))  # as some rows of CommonsenseQA name a choice
ROW = Example("1", "what a day")
PICK = Example("2", "where?", choices=("the bank", "a library", "bank account"))


def test_the_last_message_is_the_input_alone_and_can_be_read_back():
    messages = build_messages(MOOD, ROW, [Example("s", "fine", label="good")])
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[-1]["content"] == "what a day"
    assert "good, bad, not good" in messages[0]["content"]
    assert input_of(build_messages(QUIZ, PICK)[-1]["content"]) == "where?"


REPLIES = [
    (MOOD, ROW, "good", "good", "strict"),
    (MOOD, ROW, "good.", "good", "strict"),
    (MOOD, ROW, "  Good ", "good", "lenient"),
    (MOOD, ROW, '"bad"', "bad", "lenient"),
    (MOOD, ROW, "Answer: bad", "bad", "lenient"),
    (MOOD, ROW, "I think it is not good at all", "not good", "lenient"),
    (MOOD, ROW, "good or bad", None, None),
    (MOOD, ROW, "no idea", None, None),
    (QUIZ, PICK, "a library", "a library", "strict"),
    (QUIZ, PICK, "(b)", "a library", "lenient"),
    (QUIZ, PICK, "(c) bank account", "bank account", "lenient"),
    (FREE, ROW, " some words \n", "some words", "strict"),
    (FREE, ROW, "  ", None, None),
    (DATA, ROW, '{"b": 1, "a": [2]}', '{"a": [2], "b": 1}', "strict"),
    (DATA, ROW, 'Here:\n```json\n{"a": 1}\n```', '{"a": 1}', "lenient"),
    (DATA, ROW, 'Here:\n~~~json\n{"a": 1}\n~~~\nDone.', '{"a": 1}', "lenient"),
    (DATA, ROW, '```JSON\n{"a": 1}\n```', '{"a": 1}', "lenient"),
    (DATA, ROW, '```json\n{"a": "```x```"}\n```', '{"a": "```x```"}', "lenient"),
    (DATA, ROW, '```sh\nls\n```\n```json\n{"a": 1}\n```', '{"a": 1}', "lenient"),
    (DATA, ROW, '```\n{"a": 1}\n```\nor\n```\n{"a": 1.0}\n```', '{"a": 1}', "lenient"),
    (DATA, ROW, '```\n{"a": 1}\n```\nor\n```\n{"a": 2}\n```', None, None),
    (DATA, ROW, '{"a": NaN}', None, None),
    (DATA, ROW, "{'a': 1}", None, None),
    (DATA, ROW, '`{"a": 1}`', '{"a": 1}', "lenient"),
    (DATA, ROW, '**{"a": 1}**', '{"a": 1}', "lenient"),
    (DATA, ROW, '`{"a": 1}` or `{"a": 2}`', None, None),
    (DATA, ROW, '\u200e{"a": 1}\u200f', '{"a": 1}', "strict"),
    (DATA, ROW, '{"a": 1} // said', None, None),
    (DATA, ROW, '{"a": 1,}', None, None),
    (DATA, ROW, '{"a": 1,5}', None, None),
    (DATA, ROW, '{"a": 1e-999}', None, None),
    (FREE, ROW, "\u2067שלום\u2069\u200f", "שלום", "strict"),
    (FREE, ROW, "\u200b", None, None),
    (DATA, ROW, '{"a": 1e999}', '{"a": 1' + "0" * 999 + "}", "strict"),
    (DATA, ROW, '{"a": 1e5000}', None, None),
    (DATA, ROW, '"half \\ud800"', None, None),
    (DATA, ROW, "[" * 100_000, None, None),
    (TWICE, ROW, "River", "river", "lenient"),
    (CASED, ROW, "us", "us", "strict"),
    (CASED, ROW, "Us", None, None),
    (CASED, ROW, "the US", None, None),
    (CASED, ROW, "none", None, None),
]


def test_of_two_values_in_fences_none_is_the_answer():
    reply = parse_reply(DATA, ROW, '```\n{"a": 1}\n```\n```\n{"a": 2}\n```')
    assert reply.error == "ambiguous: the reply holds several JSON values"
    spoken = 'So the answer is\n```\n{"a": 1}\n```\nWait. So the answer is {"a": 2}.'
    assert parse_reply(DATA, ROW, spoken, rationales=True).output == '{"a": 2}'
    fenced = 'So the answer is\n```\n{"a": "so the answer is x"}\n```'
    assert parse_reply(DATA, ROW, fenced, rationales=True).output == '{"a": "so the answer is x"}'


@pytest.mark.parametrize("stop", list(".。．।۔"))
def test_a_full_stop_of_any_script_ends_the_sentence_and_not_the_answer(stop):
    assert parse_reply(FREE, ROW, f"So the answer is 北京{stop}", rationales=True).output == "北京"
    assert parse_reply(DATA, ROW, f'So the answer is {{"a": 1}}{stop}', rationales=True).output == '{"a": 1}'


@pytest.mark.parametrize(
    ("task", "row", "text", "output", "how"), REPLIES, ids=[text[:40] for _, _, text, _, _ in REPLIES]
)
def test_a_reply_is_read(task, row, text, output, how):
    reply = parse_reply(task, row, text)
    assert (reply.output, reply.how) == (output, how)
    assert (reply.error is None) == (output is not None)


def test_a_rationale_stands_before_the_answer():
    reply = parse_reply(MOOD, ROW, "The sun shines. So the answer is good.", rationales=True)
    assert (reply.output, reply.rationale) == ("good", "The sun shines.")
    assert parse_reply(MOOD, ROW, "The sun shines.", rationales=True).error == "no answer after the rationale"


RECOVERED = [
    ("The sun shines, so the answer is good.", "good", "lenient"),
    ("The sun shines. ANSWER: good", "good", "lenient"),
    ("The sun shines. Answer: good", "good", "strict"),
    ("The sun shines. Answer: Good", "good", "lenient"),
    ("The sun shines. So the answer is good. Or so the answer is bad.", None, None),
    ("So the answer is", None, None),
]


@pytest.mark.parametrize(("text", "output", "how"), RECOVERED, ids=[text[-20:] for text, _, _ in RECOVERED])
def test_what_the_tasks_pattern_misses_is_recovered_as_lenient_or_refused(text, output, how):
    reply = parse_reply(
        replace(MOOD, teacher=TeacherSettings(answer_pattern=r"Answer: (\w+)$")), ROW, text, rationales=True
    )
    assert (reply.output, reply.how) == (output, how)
    assert (reply.error is None) == (output is not None)


def test_a_free_answer_is_never_taken_from_another_phrase_than_the_tasks_own():
    task = replace(FREE, teacher=TeacherSettings(answer_pattern=r"The answer is (\(.*\))"))
    assert parse_reply(task, ROW, "Six less. So the answer is 5.", rationales=True).output is None
    assert parse_reply(task, ROW, "Six less. the answer is (6 - 1)", rationales=True).how == "lenient"


def test_two_lettered_choices_are_ambiguous_even_where_one_is_misspelt():
    row = Example("3", "where?", choices=("hospital", "doctor's office", "vets office"))
    assert (
        parse_reply(QUIZ, row, "either (b) doctor's office or (c) vet's office").error
        == "ambiguous: the reply names several labels"
    )


def test_an_answer_pattern_needs_one_group():
    task = replace(MOOD, teacher=TeacherSettings(answer_pattern="a(b)(c)"))
    with pytest.raises(TaskFileError, match="one group"):
        parse_reply(task, ROW, "abc", rationales=True)


def test_a_pattern_whose_group_may_be_absent_finds_no_answer():
    task = replace(FREE, teacher=TeacherSettings(answer_pattern="So( x)?"))
    assert parse_reply(task, ROW, "So it is", rationales=True).error == "empty answer"


@pytest.mark.parametrize(
    ("settings", "says"), [({"answer_pattern": "("}, "not a regular expression"), ({"stop": ("",)}, "empty text")]
)
def test_settings_that_can_read_no_reply_are_refused_before_a_call_is_paid(settings, says):
    model = MeteredModel("m", None, None, Ledger())
    with pytest.raises(TaskFileError, match=says):
        PromptedPredictor(model, replace(MOOD, teacher=TeacherSettings(**settings)), rationales=True)


def test_a_worked_example_without_a_rationale_is_refused_where_reasons_are_asked_for():
    with pytest.raises(TaskFileError, match="no `rationale`"):
        build_messages(MOOD, ROW, [Example("s", "fine", label="good")], rationales=True)


PALM = {
    # set: (pattern, stops, {split: (strict accuracy, with lenient answers) in %, as the data's own README gives them})
    "svamp": (
        r"The answer is\s*(\(.*\))",
        ("Q:",),
        {"train": (72.64, 72.64), "valid": (78.75, 78.75), "test": (73.57, 73.57)},
    ),
    "cqa": (
        r"So the answer is\s*\([a-e]\)\s*(.*?)\s*\.?\s*$",
        ("Q:",),
        # train: the README's 75.39 takes "death" for the choice "death and", and the first of two lettered choices where the second is misspelt
        {"train": (74.31, 75.37), "valid": (73.85, 74.56), "test": (78.13, 79.30)},
    ),
    "anli1": (
        r"So the answer is\s*(entailment|neutral|contradiction)\b",
        ("Q:", "Premise:"),
        {"valid": (66.80, 67.40), "test": (65.60, 66.30)},
    ),
    "esnli": (
        r"Answer:\s*(entailment|neutral|contradiction)\b",
        ("Premise:",),
        {"valid": (73.17, 73.17), "test": (73.19, 73.19)},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PALM)
def test_the_accuracies_of_palm_540b_come_out_of_its_raw_replies(real_data, name):
    """The published parse of four data sets, by our parser and one pattern per task: strict answers alone, and with the lenient ones."""
    pattern, stops, published = PALM[name]
    labels = None if name in ("cqa", "svamp") else ("entailment", "neutral", "contradiction")
    task = Task(
        name,
        "-",
        "text" if name == "svamp" else "choice",
        labels,
        teacher=TeacherSettings(answer_pattern=pattern, stop=stops),
    )
    for split, wanted in published.items():
        rows = _rows(next((real_data / "stepbystep" / name).glob(f"{split}.jsonl*")))
        right: Counter[str | None] = Counter()
        for row in rows:
            example = Example(row["id"], row["input"], choices=tuple(row["choices"]) if row.get("choices") else None)
            reply = parse_reply(task, example, row["teacher_output_raw"], rationales=True)
            right[reply.how] += _right(reply.output, row["label"], numeric=name == "svamp")
            if row["teacher_parse"] == "ambiguous":
                assert reply.output is None, row["teacher_output_raw"]
            if row["teacher_parse"] == "strict":
                assert (reply.output, reply.rationale, reply.how) == (
                    row["teacher_label"],
                    row["teacher_rationale"],
                    "strict",
                )
        strict, lenient = 100 * right["strict"] / len(rows), 100 * right.total() / len(rows)
        assert (strict, lenient) == pytest.approx(wanted, abs=0.006), f"{name} {split}: {right} of {len(rows)}"


def _rows(path):
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


def _right(output, label, *, numeric):
    if numeric:
        return output is not None and value_of(output) is not None and value_of(output) == value_of(label)
    return output == label


async def test_a_reply_from_the_store_is_paid_for_once(tmp_path):
    """What a bar shows while rows are asked: the second time they cost nothing."""

    async def call(request, example):
        return Completion("good", finish_reason="stop", usage=Usage(1000, 10))

    shown = []
    with open_store(tmp_path / "s.db") as store:
        model = MeteredModel("m", call, store, Ledger(None), price_in=1.0, price_out=2.0)
        for _ in range(2):
            await PromptedPredictor(model, MOOD).predict_watched([ROW], shown.append)
    assert [progress.cost_usd for progress in shown] == pytest.approx([0.00102, 0.0])


def test_the_effort_of_a_model_that_reasons_is_sent_where_the_task_sets_it(tmp_path):
    def parameters(**settings):
        with open_store(tmp_path / "s.db") as store:
            model = MeteredModel("m", None, store, Ledger(None))
            return PromptedPredictor(model, MOOD.with_teacher(**settings)).request(ROW).parameters

    assert parameters(reasoning_effort="low") == {"temperature": 0.0, "max_tokens": 512, "reasoning_effort": "low"}
    assert parameters() == {"temperature": 0.0, "max_tokens": 512}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('{"a": ' * 250 + "1" + "}" * 250, "nested more than 100 deep"),
        ('```json\n{"a": 1, "a": 2}\n```', "the key 'a' twice in one object"),
        ('{"a": NaN}', "NaN, which is no number of JSON"),
        ('{"a": ' + "7" * 5000 + "}", "a number of more than 4,300 digits"),
    ],
)
def test_json_that_cannot_be_used_is_rejected_with_its_reason_and_counted_as_one_kind(reply, reason):
    read = parse_reply(Task("t", "?", "json"), Example("1", "x"), reply)
    assert read.output is None and reason in read.error
    assert read.counted_as == "the reply is JSON that cannot be used"
    assert parse_reply(Task("t", "?", "json"), Example("1", "x"), '{"a": ').error == "the reply is not valid JSON"
