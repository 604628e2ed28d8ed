"""What a provider sets apart as thinking is kept, in whatever form it comes. The table was written before the code."""

import pytest

from stillhouse.llm.message_parts import MessageParts, read_parts

HM = [{"type": "text", "text": "hm"}]


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "thinking", "thinking": HM}, {"type": "text", "text": "good"}]},
        {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "good"}]},
        {"content": [{"type": "reasoning", "text": "hm"}, "good"]},
        {"content": [{"type": "reasoning", "summary": "hm"}, "good"]},
        {"content": "good", "reasoning_content": HM},
        {"content": "good", "reasoning_content": ["hm"]},
        {"content": "good", "reasoning_content": {"text": "hm"}},
        {"content": "good", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": "good", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": "good", "reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"content": "good", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}, {"text": "hm"}, None]},
    ],
)
def test_thinking_of_any_form_stands_beside_the_answer(message):
    assert read_parts(message) == MessageParts("good", "hm", None)


@pytest.mark.parametrize("value", [[], [None], {}, 5, True, [[]], [{"type": "reasoning.encrypted", "data": "x"}]])
def test_what_says_nothing_is_no_thinking(value):
    assert read_parts({"content": "good", "reasoning_details": value}).thinking is None
