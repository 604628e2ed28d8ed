"""What a chat template puts behind a turn is no part of an answer, for whoever reads the reply."""

import pytest

from stillhouse.llm.answer import answer_of
from stillhouse.llm.end_marks import without_end_marks
from stillhouse.llm.parsing import parse_reply
from stillhouse.llm.request import Completion, Request
from stillhouse.records import Example
from stillhouse.task import Task

CASES = [
    ("good", "good"),
    ("good<|im_end|>", "good"),
    ("good\n<|im_end|>\n", "good\n"),
    ("good<|eot_id|><|end_of_text|>", "good"),
    ("good</s>", "good"),
    ("good<end_of_turn>\n<eos>", "good"),
    ("good<｜end▁of▁sentence｜>", "good"),
    ("good<|im_end|>\n<|im_start|>user\nand bad?", "good"),
    ("good</s><s> [INST] and bad? [/INST] bad", "good"),
    ("good<|eot_id|><|start_header_id|>user<|end_header_id|>bad", "good"),
    ("<s>struck</s>", "<s>struck</s>"),
    ("<|im_end|> ends it", "<|im_end|> ends it"),
    ('{"mark": "<|im_end|>"}', '{"mark": "<|im_end|>"}'),
    ("<|im_end|>", ""),
    ("a < b", "a < b"),
]


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_marks_at_the_end_of_a_turn_are_set_apart(text, answer):
    assert without_end_marks(text) == answer
    request = Request("m", ({"role": "user", "content": "x"},), {})
    read = answer_of(Completion(text, finish_reason="stop"), request)
    assert read.text == answer and (read.error is None) == bool(answer)


@pytest.mark.parametrize(
    ("output", "labels", "text", "answer"),
    [
        ("text", None, "Porto", "Porto"),
        ("choice", ("spam", "ham"), "spam", "spam"),
        ("json", None, '{"a": 1}', '{"a": 1}'),
    ],
)
def test_every_kind_of_answer_is_read_without_them(output, labels, text, answer):
    for mark in ("<|im_end|>", "</s>", "\n<|eot_id|>"):
        reply = parse_reply(Task("t", "i", output, labels), Example("1", "x"), text + mark)
        assert (reply.output, reply.how) == (answer, "lenient")
