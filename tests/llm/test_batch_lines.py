"""Lines of a batch's results that are not as the protocol has them: each is its own request's failure."""

import json

import pytest

from stillhouse.llm import batch_anthropic, batch_openai
from stillhouse.llm.batch_http import BatchHttp, _line, item_of

HASH = "a" * 64
ODD = [None, True, 5, 10**400, -1, 1.5, "text", "\ud800", [], ["x"], {}, {"code": ["x"]}, {"message": {"a": 1}}, [[1]]]
OPENAI = {
    "custom_id": HASH,
    "response": {
        "status_code": 200,
        "body": {
            "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1},
        },
    },
    "error": None,
}
OPENAI_FAILED = {"custom_id": HASH, "response": None, "error": {"code": "batch_expired", "message": "late"}}
OPENAI_REFUSED = {
    "custom_id": HASH,
    "response": {"status_code": 400, "body": {"error": {"message": "no", "code": "x", "param": "temperature"}}},
    "error": None,
}
ANTHROPIC = {
    "custom_id": HASH,
    "result": {
        "type": "succeeded",
        "message": {
            "content": [{"type": "text", "text": "yes"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 1},
        },
    },
}
ANTHROPIC_FAILED = {
    "custom_id": HASH,
    "result": {"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "no"}}},
}
LINES = [
    (batch_openai._item, OPENAI),
    (batch_openai._item, OPENAI_FAILED),
    (batch_openai._item, OPENAI_REFUSED),
    (batch_anthropic._item, ANTHROPIC),
    (batch_anthropic._item, ANTHROPIC_FAILED),
]


def variants(value, path=()):
    """Every copy of the value in which one part is of another type, or missing."""
    if path:
        yield from ((path, odd) for odd in ODD)
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        if name != "custom_id":
            yield from variants(part, (*path, name))


def changed(value, path, odd):
    copy = json.loads(json.dumps(value))
    part = copy
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = odd
    return copy


@pytest.mark.parametrize(("read", "line"), LINES, ids=["answer", "expired", "refused", "message", "failed message"])
def test_whatever_a_line_holds_it_is_one_requests_answer_or_failure(read, line):
    assert item_of(read, line).hash == HASH
    n = 0
    for path, odd in variants(line):
        item = item_of(read, changed(line, path, odd))
        n += 1
        if item is None:  # only where the protocol's own answer is gone: the request is sent again
            assert path == ("result",)
            continue
        completion = item.completion
        assert item.hash == HASH and (completion.text is None or completion.error is None or completion.finish_reason)
        for count in (completion.usage.input_tokens, completion.usage.output_tokens) if completion.usage else ():
            assert count is None or 0 <= count < 2**53
    assert n >= len(ODD)


def test_an_error_that_is_a_text_and_a_code_that_is_a_list_are_failures_with_their_words():
    said = item_of(batch_openai._item, {"custom_id": HASH, "error": "boom"}).completion.error
    assert said == "refused in a batch (no code: boom)"
    odd = item_of(batch_openai._item, {"custom_id": HASH, "error": {"code": ["x"], "message": "boom"}})
    assert odd.completion.error == "refused in a batch (['x']: boom)" and not odd.again
    text = item_of(batch_anthropic._item, {"custom_id": HASH, "result": {"type": "errored", "error": "boom"}})
    assert "boom" in text.completion.error and not text.again


@pytest.mark.parametrize(
    "raw",
    [
        b'{"custom_id": "%b", "response": {"body": ' % HASH.encode() + b"[" * 5_000 + b"]" * 5_000 + b"}}",
        b'{"custom_id": "%b", "response": {"status_code": 20' % HASH.encode(),
    ],
    ids=["nested deep", "cut"],
)
@pytest.mark.parametrize("read", [batch_openai._item, batch_anthropic._item], ids=["openai", "anthropic"])
def test_a_line_that_cannot_be_read_is_a_failure_and_is_not_bought_again(read, raw):
    item = item_of(read, _line(raw))
    assert item.hash == HASH and "the line cannot be read" in item.completion.error and not item.again


def test_a_line_that_names_no_request_is_passed_over():
    assert _line(b"[" * 5_000) is None and _line(b"5") is None
    assert item_of(batch_openai._item, {"custom_id": 5}) is None


@pytest.mark.parametrize("odd", [*ODD, [{"request_counts": ["x"], "metadata": "x", "created_at": "late"}]])
async def test_pages_and_states_of_other_types_are_borne(monkeypatch, odd):
    async def get(self, path):
        return {"data": odd, "request_counts": odd, "status": odd, "processing_status": odd, "errors": odd}

    monkeypatch.setattr(BatchHttp, "get", get)
    http = BatchHttp("http://127.0.0.1:1", {}, None)
    for api in (batch_openai.OpenAIBatches(http, "m"), batch_anthropic.AnthropicBatches(http, "m")):
        assert await api.find("mark", 3, 0.0) is None
        assert (await api.status("b")).ended is False


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, OverflowError, AttributeError])
def test_whatever_reading_a_line_raises_is_that_lines_failure(error):
    def read(line):
        if "response" in line:
            raise error("odd")
        return batch_openai._item(line)

    item = item_of(read, OPENAI)
    assert item.hash == HASH and f"the line cannot be read: {error.__name__}" in item.completion.error


@pytest.mark.parametrize(
    ("read", "line"),
    [
        (batch_openai._item, {"custom_id": "h", "error": {"message": "\ud800", "code": "\udc00"}}),
        (batch_openai._item, {"custom_id": "h", "error": "\ud800"}),
        (batch_openai._item, {"custom_id": "h", "response": {"status_code": 400, "body": {"error": "\ud800"}}}),
        (batch_anthropic._item, {"custom_id": "h", "result": {"type": "errored", "error": {"message": "\ud800"}}}),
        (batch_anthropic._item, {"custom_id": "h", "result": {"type": "errored", "error": "\ud800"}}),
    ],
)
def test_words_that_no_file_can_hold_are_shown_as_marks(read, line):
    assert item_of(read, line).completion.error.encode()


@pytest.mark.parametrize(
    ("status", "text", "again"),
    [("200", "good", False), (200.0, "good", False), ("500", None, True), (503.0, None, True), ("x", None, False)],
)
def test_a_status_that_is_a_text_is_a_status(status, text, again):
    body = {"choices": [{"message": {"content": "good"}, "finish_reason": "stop"}]}
    item = item_of(batch_openai._item, {"custom_id": "h", "response": {"status_code": status, "body": body}})
    assert (item.completion.text, item.again) == (text, again)


GOOD = {"choices": [{"message": {"content": "good"}, "finish_reason": "stop"}]}
RESPONSES = {  # (the response of a line, its text, whether the request is sent again)
    "nothing came back": ({"status_code": 0, "request_id": "", "body": {}}, None, True),
    "no status and no body": ({"request_id": "r"}, None, True),
    "no body": ({"status_code": 200, "body": None}, None, True),
    "a page": ({"status_code": 200, "body": "<html>502</html>"}, None, True),
    "a number": ({"status_code": 200, "body": 7}, None, True),
    "a body without a status": ({"body": GOOD}, "good", False),
    "a body that is a text": ({"status_code": 200, "body": json.dumps(GOOD)}, "good", False),
    "the completion itself": (GOOD, "good", False),
    "a refusal without a status": ({"body": {"error": {"message": "no"}}}, None, False),
    "an error within the body that passes": ({"status_code": 200, "body": {"error": {"code": 502}}}, None, True),
    "an error within the body": ({"status_code": 200, "body": {"error": {"message": "no", "code": "x"}}}, None, False),
}


@pytest.mark.parametrize("case", RESPONSES)
def test_a_response_in_another_form_is_read_or_sent_again(case):
    response, text, again = RESPONSES[case]
    item = item_of(batch_openai._item, {"custom_id": "h", "response": response, "error": None})
    assert (item.completion.text, item.again) == (text, again)
    assert again or text or item.completion.error


def test_an_overload_in_the_place_of_a_message_is_sent_again():
    def item(kind):
        message = {"type": "error", "error": {"type": kind, "message": "no"}}
        return item_of(batch_anthropic._item, {"custom_id": "h", "result": {"type": "succeeded", "message": message}})

    assert [item(kind).again for kind in ("overloaded_error", "api_error", "invalid_request_error", ["x"])] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("read", [batch_openai._item, batch_anthropic._item], ids=["openai", "anthropic"])
def test_a_line_that_is_whole_and_nested_too_deep_is_kept_and_not_bought_again(read):
    deep = "[" * 5_000 + "]" * 5_000
    item = item_of(read, _line(f'{{"custom_id": "{HASH}", "response": {deep}}}'.encode()))
    assert item.completion.was_paid and not item.again and "nested more than 100 deep" in item.completion.error
    cut = item_of(read, _line(f'{{"custom_id": "{HASH}", "response": {{"body'.encode()))
    assert not cut.completion.was_paid and "the line cannot be read" in cut.completion.error
