"""A number of very many digits in the envelope of a paid reply: the reply is kept, and what the number says is unknown."""

import pytest

from stillhouse.llm.batch_anthropic import _item as of_anthropic
from stillhouse.llm.batch_http import _line, item_of
from stillhouse.llm.batch_openai import _item as of_openai
from stillhouse.llm.reply import read_completion
from stillhouse.llm.stream import read_stream

LONG = "7" * 5_000
PLACES = {  # what the envelope says beside the answer, and the counts that are known of it
    "created": (f'"created": {LONG}, "usage": {{"prompt_tokens": 20, "completion_tokens": 2}}', (20, 2)),
    "id": (f'"id": {LONG}, "usage": {{"prompt_tokens": 20, "completion_tokens": 2}}', (20, 2)),
    "minus": (f'"x": [-{LONG}], "usage": {{"prompt_tokens": 20, "completion_tokens": 2}}', (20, 2)),
    "prompt": (f'"usage": {{"prompt_tokens": {LONG}, "completion_tokens": 2}}', (None, 2)),
    "total": (f'"usage": {{"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": {LONG}}}', (20, 2)),
    "detail": (
        f'"usage": {{"prompt_tokens": 20, "completion_tokens": 2, "prompt_tokens_details": {{"cached_tokens": {LONG}}}}}',
        (20, 2),
    ),
}


def body(beside, message='{"content": "good"}'):
    return f'{{{beside}, "choices": [{{"index": 0, "message": {message}, "finish_reason": "stop"}}]}}'.encode()


async def streamed(beside):
    async def pieces():
        yield b'data: {"choices": [{"delta": {"content": "good"}, "finish_reason": "stop"}]}\n\n'
        yield f'data: {{{beside}, "choices": []}}\n\ndata: [DONE]\n\n'.encode()

    return read_completion(await read_stream(pieces(), None, 10**6), 0.1)


def in_a_batch(beside, form):
    if form == "openai":
        raw = b'{"custom_id": "h", "response": {"status_code": 200, "body": ' + body(beside) + b"}}"
        item = item_of(of_openai, _line(raw))
    else:
        message = f'{{{beside}, "content": [{{"type": "text", "text": "good"}}], "stop_reason": "end_turn"}}'
        raw = f'{{"custom_id": "h", "result": {{"type": "succeeded", "message": {message}}}}}'.encode()
        item = item_of(of_anthropic, _line(raw))
    return item.completion


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", ["call", "stream", "openai", "anthropic"])
async def test_the_reply_is_kept_and_the_number_is_unknown(way, place):
    beside, (prompt, completion) = PLACES[place]
    if way == "call":
        read = read_completion(body(beside), 0.1)
    else:
        read = await streamed(beside) if way == "stream" else in_a_batch(beside, way)
    assert (read.text, read.error) == ("good", None)
    assert (read.usage.input_tokens, read.usage.output_tokens) == (prompt, completion)
    assert (read.usage.doubt is not None) == (place in ("prompt", "total", "detail"))


def test_a_call_with_such_a_number_keeps_it_unusable_and_never_null():
    call = f'{{"id": "c", "function": {{"name": "pay", "arguments": {{"amount": {LONG}}}}}}}'
    read = read_completion(body('"n": 1', f'{{"content": null, "tool_calls": [{call}]}}'), 0.1)
    assert read.tool_calls[0].arguments == '{"amount": NaN}'  # which is no JSON, so the model is told


@pytest.mark.parametrize("depth", [101, 5_000, 100_000])
def test_a_body_that_is_nested_too_deep_is_kept_and_not_bought_again(depth):
    deep = "[" * depth + "]" * depth
    answer = '"choices": [{"message": {"content": "good"}, "finish_reason": "stop"}]'
    kept = read_completion(f'{{{answer}, "more": {deep}}}'.encode(), 0.1)
    assert kept.text is None and kept.was_paid
    assert kept.error == "reply is not JSON that can be used (lists and objects nested more than 100 deep)"
    refused = read_completion(f'{{"error": {{"details": {deep}}}}}'.encode(), 0.1)
    assert not refused.was_paid and "nested more than 100 deep" in refused.error
