"""Every reason to stop: a clean one, or a rejection with its reason. The table was written before the code."""

import json

import pytest

from stillhouse.llm.batch_anthropic import read_message
from stillhouse.llm.reply import read_completion

CLEAN = ["stop", "STOP", "end_turn", "stop_sequence", "eos", "eos_token", "COMPLETE", "", None]
EARLY = [
    ("length", "cut off at max_tokens"),
    ("max_tokens", "cut off at max_tokens"),
    ("MAX_TOKENS", "cut off at max_tokens"),
    ("model_length", "cut off at max_tokens"),
    ("content_filter", "stopped by the content filter"),
    ("safety", "stopped by the content filter"),
    ("SAFETY", "stopped by the content filter"),
    ("RECITATION", "stopped by the content filter"),
    ("PROHIBITED_CONTENT", "stopped by the content filter"),
    ("refusal", "the model refused to answer"),
    ("error", "stopped before its end ('error')"),
    ("ERROR", "stopped before its end ('ERROR')"),
    ("insufficient_system_resource", "stopped before its end ('insufficient_system_resource')"),
    ("pause_turn", "stopped before its end ('pause_turn')"),
    ("OTHER", "stopped before its end ('OTHER')"),
    ("unknown", "stopped before its end ('unknown')"),
    ("banana", "stopped before its end ('banana')"),
    ("tool_calls", "stopped to call a tool, and none was offered"),
    ("function_call", "stopped to call a tool, and none was offered"),
    (7, "stopped before its end ('7')"),
    (["stop"], "stopped before its end ('[\"stop\"]')"),
    ({"reason": "stop"}, "stopped before its end"),
    (True, "stopped before its end ('true')"),
]
USAGE = {"prompt_tokens": 9, "completion_tokens": 2}


def read(message, finish="stop"):
    choice = {"message": message, "finish_reason": finish}
    return read_completion(json.dumps({"choices": [choice], "usage": USAGE}).encode(), 0.1)


@pytest.mark.parametrize("finish", CLEAN)
def test_a_clean_stop(finish):
    assert read({"content": "good"}, finish).error is None
    message = {"content": [{"type": "text", "text": "good"}], "stop_reason": finish}
    assert read_message(message).error is None
    del message["stop_reason"]
    assert read_message(message).error is None


@pytest.mark.parametrize(("finish", "reason"), EARLY)
def test_a_stop_before_the_end_is_a_rejection_with_its_reason(finish, reason):
    assert read({"content": "good"}, finish).error.startswith(reason)
    message = {"content": [{"type": "text", "text": "good"}], "stop_reason": finish}
    assert read_message(message).error.startswith(reason)


def test_a_call_of_a_tool_is_an_end():
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    assert read({"content": None, "tool_calls": [call]}, "tool_calls").error is None
    assert read({"content": None, "tool_calls": [call]}, "length").error == "cut off at max_tokens"


@pytest.mark.parametrize(
    ("message", "text", "error"),
    [
        ({"content": [{"type": "text", "text": "go"}, {"type": "text", "text": "od"}]}, "good", None),
        ({"content": ["go", "od"]}, "good", None),
        ({"content": [{"type": "output_text", "text": "good"}]}, "good", None),
        ({"content": {"type": "text", "text": "good"}}, "good", None),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "good"}]}, "good", None),
        ({"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "good"}]}, "good", None),
        ({"content": [{"type": "refusal", "refusal": "I cannot."}]}, "I cannot.", "the model refused to answer"),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", "the model refused to answer"),
        ({"content": "good", "refusal": "I cannot."}, "good", "the model refused to answer"),
        ({"content": "good", "refusal": None}, "good", None),
        ({"content": "good", "refusal": ""}, "good", None),
        ({"content": None}, None, "empty reply"),
        ({}, None, "empty reply"),
        ({"content": []}, None, "empty reply"),
        ({"content": [None, {"type": "image_url"}]}, None, "empty reply"),
        ({"content": [{"type": "text", "text": None}]}, None, "empty reply"),
        ({"content": 5}, None, "empty reply"),
        ({"content": "  "}, "  ", "empty reply"),
    ],
)
def test_the_text_of_a_message_in_all_its_forms(message, text, error):
    found = read(message)
    assert (found.text or None, found.error) == (text, error)


@pytest.mark.parametrize(
    ("message", "thinking"),
    [
        ({"content": "good", "reasoning_content": "hm"}, "hm"),
        ({"content": "good", "reasoning": "hm"}, "hm"),
        ({"content": "good", "reasoning_content": "hm", "reasoning": "hm"}, "hm"),
        ({"content": "good", "thinking": "hm"}, "hm"),
        ({"content": "good", "reasoning": {"summary": "hm"}}, "hm"),
        ({"content": "good", "reasoning_content": None}, None),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "good"}]}, "hm"),
    ],
)
def test_what_a_provider_sets_apart_is_kept_beside_the_text(message, thinking):
    found = read(message)
    assert (found.text, found.thinking, found.error) == ("good", thinking, None)


@pytest.mark.parametrize(
    ("message", "text", "error"),
    [
        ({"content": None}, None, "empty reply"),
        ({"content": []}, None, "empty reply"),
        ({"content": "good"}, "good", None),
        ({"content": {"type": "text", "text": "good"}}, "good", None),
        ({"content": [], "stop_reason": "refusal"}, None, "the model refused to answer"),
        ({"content": None, "stop_reason": "refusal"}, None, "the model refused to answer"),
        ({"content": [{"type": "refusal", "refusal": "I cannot."}]}, "I cannot.", "the model refused to answer"),
        ({"content": None, "stop_reason": "max_tokens"}, None, "cut off at max_tokens"),
        ({"content": [{"type": "text", "text": "\ud800"}]}, None, "reply is not valid Unicode"),
        ({}, None, "reply is not a message"),
        ({"stop_reason": "end_turn"}, None, "reply is not a message"),
    ],
)
def test_a_message_of_anthropics_in_all_its_forms_keeps_its_usage(message, text, error):
    found = read_message({**message, "usage": {"input_tokens": 9, "output_tokens": 2}})
    assert (found.text, found.error, found.usage.input_tokens) == (text, error, 9)


def test_a_reply_of_reasoning_alone_is_no_answer():
    assert read({"content": None, "reasoning_content": "hm"}).error == "empty reply"


def test_a_message_of_anthropics_with_thinking():
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "good"},
    ]
    found = read_message({"content": blocks, "stop_reason": "end_turn"})
    assert (found.text, found.thinking, found.error) == ("good", "hm", None)
