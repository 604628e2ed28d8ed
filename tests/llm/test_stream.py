"""Streams as providers and proxies write them, each with the one right reading; the table was written before the reader."""

import asyncio
import json

import aiohttp
import pytest

from stillhouse.llm.reply import read_completion
from stillhouse.llm.stream import BrokenStream, StreamError, read_stream
from stillhouse.llm.transport import TooLong

F, G = '{"a": 1}', '{"b": 2}'


def chunk(delta=None, finish=None, **more):
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}


def piece(name=None, arguments=None, **more):
    function = {} if name is None else {"name": name}
    return {**more, "function": function if arguments is None else {**function, "arguments": arguments}}


def calls(*lists, finish="tool_calls"):
    """One chunk per list of pieces, and the end."""
    return [*(chunk({"tool_calls": pieces}) for pieces in lists), chunk({}, finish)]


def lines(chunks, done=True, newline="\n"):
    events = [f"data: {json.dumps(each)}" for each in chunks] + (["data: [DONE]"] if done else [])
    return "".join(event + newline * 2 for event in events).encode()


async def read(raw, heard=None, size=7, max_bytes=10**6):
    async def pieces():
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    return read_completion(await read_stream(pieces(), heard, max_bytes), 0.1)


def told(completion):
    return [(call.name, call.arguments) for call in completion.tool_calls or ()]


TWO = [("f", F), ("g", G)]
ONE = [("get_weather", F)]
CALLS = {
    # Two calls, each in one piece, told apart by whatever there is.
    "indices": ([[piece("f", F, index=0, id="x")], [piece("g", G, index=1, id="y")]], TWO),
    "index absent": ([[piece("f", F, id="x")], [piece("g", G, id="y")]], TWO),
    "index null": ([[piece("f", F, index=None, id="x")], [piece("g", G, index=None, id="y")]], TWO),
    "index equal": ([[piece("f", F, index=0, id="x")], [piece("g", G, index=0, id="y")]], TWO),
    "index a text": ([[piece("f", F, index="0", id="x")], [piece("g", G, index="1", id="y")]], TWO),
    "index a list": ([[piece("f", F, index=[], id="x")], [piece("g", G, index=[], id="y")]], TWO),
    "one delta with both": ([[piece("f", F, index=0, id="x"), piece("g", G, index=0, id="y")]], TWO),
    "no ids, index null": ([[piece("f", F, index=None)], [piece("g", G, index=None)]], TWO),
    "no ids, index equal": ([[piece("f", F, index=0)], [piece("g", G, index=0)]], TWO),
    "no ids, no indices, one delta": ([[piece("f", F), piece("g", G)]], TWO),
    "ids null": ([[piece("f", F, index=0, id=None)], [piece("g", G, index=1, id=None)]], TWO),
    "ids empty": ([[piece("f", F, index=0, id="")], [piece("g", G, index=0, id="")]], TWO),
    "ids repeated": ([[piece("f", F, index=0, id="x")], [piece("g", G, index=1, id="x")]], TWO),
    "ids and indices repeated": ([[piece("f", F, index=0, id="x")], [piece("g", G, index=0, id="x")]], TWO),
    "ids numbers": ([[piece("f", F, index=0, id=1)], [piece("g", G, index=1, id=2)]], TWO),
    "the same tool twice": ([[piece("f", F)], [piece("f", G)]], [("f", F), ("f", G)]),
    "the same tool twice, one index": (
        [
            [piece("f", "", index=0, id="x")],
            [piece(None, F, index=0)],
            [piece("f", "", index=0, id="y")],
            [piece(None, G, index=0)],
        ],
        [("f", F), ("f", G)],
    ),
    "later index first": ([[piece("g", G, index=1, id="y")], [piece("f", F, index=0, id="x")]], TWO),
    "indices from 1": ([[piece("f", F, index=1, id="x")], [piece("g", G, index=2, id="y")]], TWO),
    "interleaved by index": (
        [
            [piece("f", "", index=0, id="x")],
            [piece("g", "", index=1, id="y")],
            [piece(None, F[:3], index=0)],
            [piece(None, G[:4], index=1)],
            [piece(None, F[3:], index=0)],
            [piece(None, G[4:], index=1)],
        ],
        TWO,
    ),
    "interleaved by id": (
        [
            [piece("f", "", id="x")],
            [piece("g", "", id="y")],
            [piece(None, F[:3], id="x")],
            [piece(None, G[:4], id="y")],
            [piece(None, F[3:], id="x")],
            [piece(None, G[4:], id="y")],
        ],
        TWO,
    ),
    "pieces without index or id follow the last call": (
        [
            [piece("f", "", id="x")],
            [piece(None, F[:3])],
            [piece(None, F[3:])],
            [piece("g", "", id="y")],
            [piece(None, G[:4])],
            [piece(None, G[4:])],
        ],
        TWO,
    ),
    "no ids, arguments in pieces": (
        [[piece("f", "")], [piece(None, F[:3])], [piece(None, F[3:])], [piece("g", "")], [piece(None, G)]],
        TWO,
    ),
    # One call in several pieces.
    "arguments in pieces": (
        [[piece("get_weather", "", index=0, id="x")], *([piece(None, c, index=0)] for c in F)],
        ONE,
    ),
    "name in pieces": (
        [[piece("get_", "", index=0, id="x")], [piece("weather", "", index=0)], [piece(None, F, index=0)]],
        ONE,
    ),
    "name in pieces, no index": ([[piece("get_", id="x")], [piece("weather")], [piece(None, F)]], ONE),
    "name told again": (
        [[piece("get_weather", F[:4], index=0, id="x")], [piece("get_weather", F[4:], index=0, id="x")]],
        ONE,
    ),
    "name told again, no index, no id": ([[piece("get_weather", F[:4])], [piece("get_weather", F[4:])]], ONE),
    "name told again with nothing": (
        [[piece("get_weather", F, index=0, id="x")], [piece("get_weather", "", index=0, id="x")]],
        ONE,
    ),
    "name growing": ([[piece("get_", index=0)], [piece("get_weather", F, index=0)]], ONE),
    "name null later": (
        [[piece("get_weather", "", index=0, id="x")], [{"index": 0, "function": {"name": None, "arguments": F}}]],
        ONE,
    ),
    "another id with every piece": (
        [
            [piece("get_weather", "", index=0, id="p")],
            [piece(None, F[:4], index=0, id="q")],
            [piece(None, F[4:], index=0, id="r")],
        ],
        ONE,
    ),
    "id after the name": ([[piece("get_weather", "")], [{"id": "x", "function": {"arguments": F}}]], ONE),
    "arguments an object": ([[piece("get_weather", {"a": 1}, index=0, id="x")]], ONE),
    "arguments an object, then nothing": (
        [[piece("get_weather", {"a": 1}, index=0, id="x")], [piece(None, None, index=0)], [piece(None, "", index=0)]],
        ONE,
    ),
    "an empty object, then pieces": (
        [[piece("get_weather", {}, index=0, id="x")], [piece(None, F[:3], index=0)], [piece(None, F[3:], index=0)]],
        ONE,
    ),
    "{} and then pieces": (
        [[piece("get_weather", "{}", index=0, id="x")], [piece(None, F[:3], index=0)], [piece(None, F[3:], index=0)]],
        ONE,
    ),
    "all of it told again at the end": (
        [
            [piece("get_weather", F[:3], index=0, id="x")],
            [piece(None, F[3:], index=0)],
            [piece("get_weather", F, index=0, id="x")],
        ],
        ONE,
    ),
    "arguments null": ([[{"index": 0, "id": "x", "function": {"name": "now", "arguments": None}}]], [("now", "{}")]),
    "arguments absent": ([[piece("now", index=0, id="x")]], [("now", "{}")]),
    "arguments empty": ([[piece("now", "", index=0, id="x")]], [("now", "{}")]),
    "arguments a list": ([[piece("f", [1], index=0, id="x")]], [("f", "[1]")]),
    "an object within": (
        [[piece("f", '{"o": ', index=0)], [piece(None, '{"o": 1}}', index=0)]],
        [("f", '{"o": {"o": 1}}')],
    ),
    "nulls among the pieces": ([[None, piece("get_weather", F, index=0, id="x")], [None]], ONE),
    "function null": ([[{"index": 0, "id": "x", "function": None}], [piece("get_weather", F, index=0)]], ONE),
    "an empty piece at the end": ([[piece("get_weather", F, index=0, id="x")], [{"index": 1}]], ONE),
    "two without arguments": ([[piece("f", "{}")], [piece("g", "{}")]], [("f", "{}"), ("g", "{}")]),
    "arguments the text null": ([[piece("now", "null", index=0, id="x")]], [("now", "{}")]),
    "null and then pieces": (
        [[piece("get_weather", "null", index=0, id="x")], [piece(None, F[:3], index=0)], [piece(None, F[3:], index=0)]],
        ONE,
    ),
    "an object encoded twice": ([[piece("get_weather", json.dumps(F), index=0, id="x")]], ONE),
    "an object encoded twice, in pieces": (
        [[piece("get_weather", "", index=0, id="x")], *([piece(None, c, index=0)] for c in json.dumps(F))],
        ONE,
    ),
    "two encoded twice": ([[piece("f", json.dumps(F))], [piece("f", json.dumps(G))]], [("f", F), ("f", G)]),
    "a text that is no object": ([[piece("f", '"a"', index=0, id="x")]], [("f", '"a"')]),
    "all of it told again without the id": (
        [[piece("get_weather", F, index=0, id="x")], [piece("get_weather", F, index=0)]],
        ONE,
    ),
    "name told again before its arguments": (
        [[piece("get_weather", "", index=0, id="x")], [piece("get_weather", "", index=0)], [piece(None, F, index=0)]],
        ONE,
    ),
    "an id of blanks": ([[piece("f", F, id="  "), piece("g", G, id="  ")]], TWO),
    "a name that begins alike, without ids": ([[piece("f")], [piece("fg", F)]], [("f", "{}"), ("fg", F)]),
    "a second call without an id, of a type": (
        [[piece("f", index=0, id="x", type="function")], [piece("g", index=0, type="function")]],
        [("f", "{}"), ("g", "{}")],
    ),
    "two objects": ([[piece("f", {"a": 1}), piece("g", {"b": 2})]], TWO),
    "two objects, one after the other": ([[piece("f", {"a": 1}, index=0)], [piece("g", {"b": 2}, index=0)]], TWO),
}


MARKS = [{}, {"index": None}, {"index": 0}, {"id": None}, {"id": ""}, {"index": None, "id": ""}, {"index": 0, "id": None}]  # fmt: skip
for marks in MARKS:
    for name, first, second in [
        ("two without arguments", ("f", None), ("g", None)),
        ("two with empty arguments", ("f", ""), ("g", "")),
        ("one without arguments, then one with", ("f", None), ("g", G)),
        ("one with null, then one with", ("f", "null"), ("g", G)),
        ("one tool twice without arguments", ("f", None), ("f", None)),
        ("one tool twice with an empty object", ("f", "{}"), ("f", "{}")),
        ("one tool twice with null", ("f", "null"), ("f", "null")),
        ("two equal calls", ("f", F), ("f", F)),
    ]:
        right = [(name, {None: "{}", "": "{}", "null": "{}"}.get(text, text)) for name, text in (first, second)]
        pieces = [piece(*first, **marks), piece(*second, **marks)]
        CALLS[f"{name}, {marks}"] = ([[each] for each in pieces], right)
        CALLS[f"{name}, {marks}, in one delta"] = ([pieces], right)


@pytest.mark.parametrize(("pieces", "right"), CALLS.values(), ids=CALLS)
async def test_calls_of_tools_are_put_together(pieces, right):
    completion = await read(lines(calls(*pieces)))
    assert told(completion) == right
    assert completion.error is None
    ids = [call.id for call in completion.tool_calls]
    assert len(set(ids)) == len(ids)
    assert all(id_.strip() for id_ in ids)
    assert "None" not in ids


TEXTS = {
    "plain": lines([chunk({"content": "Good "}), chunk({"content": "day"}, "stop")]),
    "crlf": lines([chunk({"content": "Good "}), chunk({"content": "day"}, "stop")], newline="\r\n"),
    "cr alone": lines([chunk({"content": "Good "}), chunk({"content": "day"}, "stop")], newline="\r"),
    "no blank lines": lines([chunk({"content": "Good "}), chunk({"content": "day"}, "stop")]).replace(b"\n\n", b"\n"),
    "no space": lines([chunk({"content": "Good "}), chunk({"content": "day"}, "stop")]).replace(b"data: ", b"data:"),
    "comments": b": OPENROUTER PROCESSING\n\n:\n" + lines([chunk({"content": "Good day"}, "stop")]),
    "an empty data line": b"data:\n\ndata: \n\n" + lines([chunk({"content": "Good day"}, "stop")]),
    "other fields": b"event: message\nid: 7\nretry: 10\n" + lines([chunk({"content": "Good day"}, "stop")]),
    "byte order mark": b"\xef\xbb\xbf" + lines([chunk({"content": "Good day"}, "stop")]),
    "no done": lines([chunk({"content": "Good day"}, "stop")], done=False),
    "no newline at the end": lines([chunk({"content": "Good day"}, "stop")], done=False).rstrip(),
    "choices null": lines([{"choices": None}, chunk({"content": "Good day"}, "stop")]),
    "a null choice": lines([{"choices": [None]}, chunk({"content": "Good day"}, "stop"), {"choices": [None]}]),
    "no choices": lines([{"id": "x"}, chunk({"content": "Good day"}, "stop")]),
    "choices no list": lines([{"choices": 5}, {"choices": "x"}, chunk({"content": "Good day"}, "stop")]),
    "no object": lines([None, [], 5, "x", chunk({"content": "Good day"}, "stop")]),
    "delta null": lines([{"choices": [{"delta": None}]}, chunk({"content": "Good day"}, "stop")]),
    "delta a text": lines([{"choices": [{"delta": "x"}]}, chunk({"content": "Good day"}, "stop")]),
    "content null": lines([chunk({"role": "assistant", "content": None}), chunk({"content": "Good day"}, "stop")]),
    "content parts": lines([chunk({"content": [{"type": "text", "text": "Good "}]}), chunk({"content": [{"type": "text", "text": "day"}]}, "stop")]),
    "content part by part": lines([chunk({"content": {"type": "text", "text": "Good "}}), chunk({"content": ["day", None]}, "stop")]),
    "name in capitals": lines([chunk({"content": "Good day"}, "stop")]).replace(b"data:", b"Data:"),
    "indented": lines([chunk({"content": "Good "}), chunk({"content": "day"}, "stop")]).replace(b"data:", b" data:"),
    "space before the colon": lines([chunk({"content": "Good day"}, "stop")]).replace(b"data:", b"data :"),
    "index a text": lines([{"choices": [{"index": "0", "delta": {"content": "Good day"}, "finish_reason": "stop"}]}]),
    "index 1 alone": lines([{"choices": [{"index": 1, "delta": {"content": "Good "}}]}, {"choices": [{"index": 1, "delta": {"content": "day"}, "finish_reason": "stop"}]}]),
    "index a text, 1 alone": lines([{"choices": [{"index": "1", "delta": {"content": "Good day"}, "finish_reason": "stop"}]}]),
    "a second choice before the first": lines([{"choices": [{"index": 1, "delta": {"content": "Bad"}, "finish_reason": "length"}]}, chunk({"content": "Good day"}, "stop")]),
    "the lowest of others": lines([{"choices": [{"index": 2, "delta": {"content": "Bad"}}, {"index": 1, "delta": {"content": "Good day"}, "finish_reason": "stop"}]}]),
    "no stream, second choice first": json.dumps({"choices": [{"index": 1, "message": {"content": "Bad"}, "finish_reason": "stop"}, {"index": 0, "message": {"content": "Good day"}, "finish_reason": "stop"}]}).encode(),
    "no stream, index a text": json.dumps({"choices": [{"index": "1", "message": {"content": "Bad"}}, {"index": "0", "message": {"content": "Good day"}, "finish_reason": "stop"}]}).encode(),
    "no stream, index 1 alone": json.dumps({"choices": [{"index": 1, "message": {"content": "Good day"}, "finish_reason": "stop"}]}).encode(),
    "refusal empty": lines([chunk({"content": "Good day", "refusal": ""}), chunk({"refusal": None}, "stop")]),
    "a second choice": lines([chunk({"content": "Good day"}, "stop"), {"choices": [{"index": 1, "delta": {"content": "Bad"}}]}]),
    "calls null": lines([chunk({"content": "Good day", "tool_calls": None}, "stop")]),
    "calls an object": lines([chunk({"content": "Good day", "tool_calls": {}}, "stop")]),
    "after the end": lines([chunk({"content": "Good day"}, "stop")]) + b"data: {\n\n",
    "keep-alive": b"data: ping\n\n" + lines([chunk({"content": "Good day"}, "stop")]),
    "an event over two lines": b'data: {"choices": [{"delta":\ndata: {"content": "Good day"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
    "a message whole": lines([{"choices": [{"message": {"content": "Good day"}, "finish_reason": "stop"}]}]),
    "a message whole at the end": lines([chunk({"content": "Good day"}), {"choices": [{"message": {"content": "Good day"}, "finish_reason": "stop"}]}]),
    "no stream at all": json.dumps({"choices": [{"message": {"content": "Good day"}, "finish_reason": "stop"}]}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("raw", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("size", [1, 10**6])
async def test_text_is_put_together_and_told(raw, size):
    heard: list[str] = []
    completion = await read(raw, heard.append, size)
    assert (completion.text, completion.error, completion.finish_reason) == ("Good day", None, "stop")
    assert "".join(heard) == "Good day"


async def test_the_chunk_with_the_usage_has_no_choices():
    used = {"prompt_tokens": 20, "completion_tokens": 2}
    for last in ({"choices": [], "usage": used}, {"usage": used}, {"choices": None, "usage": used}):
        raw = lines([chunk({"content": "Good day"}, "stop", usage=None), last])
        completion = await read(raw)
        assert (completion.text, completion.usage.input_tokens, completion.usage.output_tokens) == ("Good day", 20, 2)


async def test_half_an_emoji_is_told_when_the_other_half_is_there():
    heard: list[str] = []
    raw = b'data: {"choices": [{"delta": {"content": "Hi \\ud83d"}}]}\n\n'
    raw += b'data: {"choices": [{"delta": {"content": "\\ude00!"}, "finish_reason": "stop"}]}\n\n'
    assert (await read(raw, heard.append)).text == "Hi \U0001f600!"
    assert heard == ["Hi ", "\U0001f600!"]


async def test_a_line_of_a_megabyte_is_read():
    long = json.dumps({"a": "x" * 1_000_000})
    completion = await read(lines(calls([piece("f", long, index=0, id="x")])), size=65_536, max_bytes=8 * 10**6)
    assert told(completion) == [("f", long)]


async def test_a_stream_of_too_many_bytes_is_given_up():
    with pytest.raises(TooLong):
        await read(lines([chunk({"content": "x" * 100})] * 100), max_bytes=1000)


DAMAGED = {
    "cut json": b'data: {"choices": [{"delta": {"content": "goo\n\n',
    "no utf-8": b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n',
    "deep": b"data: " + b"[" * 100_000 + b"\n\n",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
async def test_a_damaged_piece_makes_the_reply_unusable_and_its_usage_counts(damage):
    used = {"prompt_tokens": 20, "completion_tokens": 2}
    raw = (
        lines([chunk({"content": "Good "})], done=False)
        + damage
        + lines([chunk({"content": "day"}, "stop", usage=used)])
    )
    completion = await read(raw, size=1000)
    assert "a piece of the stream cannot be read" in completion.error
    assert completion.usage.output_tokens == 2


FAILED = {
    "nothing": b"",
    "comments alone": b": hello\n\n",
    "garbage": b"data: {\x00\xff\n\n" * 3,
    "a page": b"data: <html>502</html>\n\n",
    "the end alone": b"data: [DONE]\n\n",
    "an early end": lines([chunk({"role": "assistant", "content": ""})], done=False),
}


@pytest.mark.parametrize("raw", FAILED.values(), ids=FAILED)
async def test_a_stream_without_a_word_may_be_sent_again(raw):
    with pytest.raises(aiohttp.ClientPayloadError):
        await read(raw)


async def test_a_stream_that_ends_within_its_text_is_broken():
    with pytest.raises(BrokenStream):
        await read(lines([chunk({"content": "Good "})], done=False))


@pytest.mark.parametrize("code", [502, "502", None, "overloaded", {"a": 1}])
@pytest.mark.parametrize("error", ["down", {"message": "down"}])
async def test_an_error_in_the_stream_is_one_before_text_and_breaks_it_after(code, error):
    said = {**error, "code": code} if isinstance(error, dict) else error
    with pytest.raises(StreamError, match="down") as before:
        await read(lines([{"error": said, "choices": [None]}]))
    assert before.value.body["error"] == said
    with pytest.raises(BrokenStream, match="down"):
        await read(lines([chunk({"content": "Good "}), {"error": said}]))
    with pytest.raises(StreamError, match="down"):
        await read(b"event: error\n" + lines([{"error": said}], done=False))


ERRORS = {
    "a message alone": b'event: error\ndata: {"message": "down"}\n\n',
    "no empty line": b'event: error\ndata: {"message": "down"}\n',
    "in capitals": b'Event: Error\nData: {"message": "down"}\n\n',
    "a text": b"event: error\ndata: down\n\n",
    "a type": b'data: {"type": "error", "message": "down"}\n\n',
    "an object": b'data: {"object": "error", "message": "down", "code": 502}\n\n',
    "in a choice": b'data: {"choices": [{"index": 0, "error": {"message": "down"}, "finish_reason": "error"}]}\n\n',
    "in another choice": b'data: {"choices": [{"index": 1, "error": {"message": "down"}}]}\n\n',
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
async def test_an_error_in_any_form_is_one_before_text_and_breaks_it_after(error):
    with pytest.raises(StreamError, match="down"):
        await read(error + b"data: [DONE]\n\n")
    if b'"index": 1' not in error:
        with pytest.raises(BrokenStream, match="down"):
            await read(lines([chunk({"content": "Good "})], done=False) + error + b"data: [DONE]\n\n")


async def test_an_event_after_an_error_is_read_as_it_is():
    raw = b"event: error\n\n" + lines([chunk({"content": "Good day"}, "stop")])
    assert (await read(raw)).error is None


STOPS = {
    "an object": [{"reason": "error"}],
    "a number": [5],
    "true": [True],
    "a list": [["stop"]],
    "a word of no clean stop": ["banana"],
    "cut off, then a stop": ["length", "stop"],
    "a stop, then cut off": ["stop", "length"],
    "an object, then a stop": [{"reason": "error"}, "stop"],
    "filtered, then nothing": ["content_filter", "", None],
}


@pytest.mark.parametrize("reasons", STOPS.values(), ids=STOPS)
async def test_a_stream_stops_as_a_whole_reply_does(reasons):
    completion = await read(lines([chunk({"content": "spam"}), *(chunk({}, reason) for reason in reasons)]))
    message = {"message": {"content": "spam"}}
    early = next(reason for reason in reasons if reason != "stop")
    whole = read_completion(json.dumps({"choices": [{**message, "finish_reason": early}]}).encode(), 0.1)
    assert (completion.text, completion.error) == ("spam", whole.error)
    assert completion.error is not None


REFUSALS = {
    "a part": [{"content": [{"type": "refusal", "refusal": "I cannot."}]}],
    "parts in pieces": [{"content": [{"type": "refusal", "refusal": piece}]} for piece in ("I ", "cannot.")],
    "pieces": [{"refusal": "I"}, {"refusal": " "}, {"refusal": "cannot."}],
    "an object": [{"refusal": {"why": "I cannot."}}],
    "true": [{"refusal": True}],
}


@pytest.mark.parametrize("deltas", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("before", [[], [chunk({"content": "spam"})]])
async def test_a_refusal_in_a_stream_is_one_in_any_form(deltas, before):
    completion = await read(lines([*before, *map(chunk, deltas), chunk({}, "stop")]))
    assert completion.error == "the model refused to answer"
    assert completion.text == "spam" if before else completion.text.strip()


def test_an_error_in_a_choice_of_a_whole_body_is_no_label_and_its_usage_counts():
    choice = {"message": {"content": "spam"}, "finish_reason": "stop", "error": {"message": "down", "code": 502}}
    completion = read_completion(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9}}).encode(), 0.1)
    assert (completion.text, completion.usage.input_tokens) == (None, 9)
    assert "down" in completion.error


async def test_logprobs_are_those_of_all_pieces():
    def with_logprob(text, value, finish=None):
        logprobs = {"content": [{"token": text, "logprob": value, "top_logprobs": [{"token": text, "logprob": value}]}]}
        return {"choices": [{"delta": {"content": text}, "logprobs": logprobs, "finish_reason": finish}]}

    completion = await read(lines([with_logprob("go", -0.1), with_logprob("od", -0.2, "stop")]))
    assert completion.token_logprobs == (("go", -0.1), ("od", -0.2))


async def test_a_stop_is_a_stop():
    async def stopped():
        yield lines([chunk({"content": "Good "})], done=False)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await read_stream(stopped(), None, 1000)


MESSAGES = {
    "id null": ([{"id": None, "function": {"name": "f", "arguments": F}}], [("f", F)]),
    "id absent": ([{"function": {"name": "f", "arguments": F}}], [("f", F)]),
    "ids repeated": ([{"id": "x", "function": {"name": "f", "arguments": F}}, {"id": "x", "function": {"name": "g", "arguments": G}}], TWO),
    "ids empty": ([{"id": "", "function": {"name": "f", "arguments": F}}, {"id": "", "function": {"name": "g", "arguments": G}}], TWO),
    "a made id is no other's": ([{"id": "call-2", "function": {"name": "f", "arguments": F}}, {"id": "", "function": {"name": "g", "arguments": G}}], TWO),
    "arguments an object": ([{"id": "x", "function": {"name": "f", "arguments": {"a": 1}}}], [("f", F)]),
    "arguments null": ([{"id": "x", "function": {"name": "f", "arguments": None}}], [("f", "{}")]),
    "arguments absent": ([{"id": "x", "function": {"name": "f"}}], [("f", "{}")]),
    "arguments the text null": ([{"id": "x", "function": {"name": "f", "arguments": "null"}}], [("f", "{}")]),
    "arguments encoded twice": ([{"id": "x", "function": {"name": "f", "arguments": json.dumps(F)}}], [("f", F)]),
    "one call as an object": ({"id": "x", "function": {"name": "f", "arguments": F}}, [("f", F)]),
    "nulls": ([None, {"id": "x", "function": {"name": "f", "arguments": F}}], [("f", F)]),
    "no function": ([{"id": "x", "name": "f", "arguments": F}], [("f", F)]),
    "name null": ([{"id": "x", "function": {"name": None, "arguments": F}}], [("", F)]),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "right"), MESSAGES.values(), ids=MESSAGES)
@pytest.mark.parametrize("before", [[], [None]])
def test_calls_in_a_whole_message(raw, right, before):
    message = {"role": "assistant", "content": None, "tool_calls": raw}
    body = {"choices": [*before, {"message": message, "finish_reason": "tool_calls"}]}
    completion = read_completion(json.dumps(body).encode(), 0.1)
    assert (told(completion), completion.error) == (right, None)
    ids = [call.id for call in completion.tool_calls]
    assert all(id_.strip() for id_ in ids)
    assert len(set(ids)) == len(ids)
    assert "None" not in ids


def test_a_call_of_the_old_form():
    message = {"content": None, "function_call": {"name": "f", "arguments": F}}
    body = {"choices": [{"message": message, "finish_reason": "function_call"}]}
    assert told(read_completion(json.dumps(body).encode(), 0.1)) == [("f", F)]


@pytest.mark.parametrize("raw", [5, "f", [5], [[]], {}, [{}], [{"function": 5}]])
def test_what_is_no_call_is_none(raw):
    body = {"choices": [{"message": {"content": "Good day", "tool_calls": raw}, "finish_reason": "stop"}]}
    completion = read_completion(json.dumps(body).encode(), 0.1)
    assert (completion.text, completion.tool_calls, completion.error) == ("Good day", None, None)


@pytest.mark.parametrize(
    "deltas",
    [
        [{"thinking": "hm "}, {"thinking": "so"}],
        [{"reasoning_content": [{"type": "text", "text": "hm "}]}, {"reasoning_content": ["s", {"text": "o"}]}],
        [{"reasoning_content": "hm"}, {"reasoning_content": " "}, {"reasoning_content": "so"}],
        [{"reasoning_details": [{"type": "reasoning.text", "text": piece}]} for piece in ("hm", " ", "so")],
        [{"reasoning": p, "reasoning_details": [{"text": p}]} for p in ("hm ", "so")],
        [{"reasoning_details": {"type": "reasoning.summary", "summary": "hm so"}}],
        [{"thinking": {"content": "hm "}}, {"thinking": [{"thinking": "so"}]}],
        [{"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}, None]}, {"reasoning": "hm so"}],
    ],
)
async def test_thinking_in_pieces_of_any_form_stands_beside_the_answer(deltas):
    heard = []
    raw = lines([*map(chunk, deltas), chunk({"content": "good"}), chunk({}, "stop")])
    done = await read(raw, heard.append)
    assert (done.text, done.thinking, done.error, "".join(heard)) == ("good", "hm so", None, "good")


USAGES = {  # the usage in the pieces of a stream, and what it comes to
    "at the end": ([{}, {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}], (9, 2)),
    "in every piece": (
        [
            {"usage": {"prompt_tokens": 9, "completion_tokens": 1}},
            {"usage": {"prompt_tokens": 9, "completion_tokens": 2}},
        ],
        (9, 2),
    ),
    "in two parts": ([{"usage": {"input_tokens": 9, "output_tokens": 1}}, {"usage": {"output_tokens": 2}}], (9, 2)),
    "nothing at the end": (
        [
            {"usage": {"prompt_tokens": 9, "completion_tokens": 2}},
            {"usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        ],
        (9, 2),
    ),
    "null at the end": ([{"usage": {"prompt_tokens": 9, "completion_tokens": 2}}, {"usage": None}], (9, 2)),
    "Gemini's": (
        [{"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 5}}],
        (9, 7),
    ),
    "Groq's": ([{"x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}}], (9, 2)),
}


@pytest.mark.parametrize("case", USAGES)
async def test_the_usage_of_a_stream_is_put_together(case):
    pieces, wanted = USAGES[case]
    chunks = [chunk({"content": "good"}), *({"choices": [], **piece} for piece in pieces), chunk({}, "stop")]
    usage = (await read(lines(chunks))).usage
    assert (usage.input_tokens, usage.output_tokens) == wanted


async def test_the_usage_of_a_stream_may_stand_in_a_choice():
    last = chunk({}, "stop")
    last["choices"][0]["usage"] = {"prompt_tokens": 9, "completion_tokens": 2}
    usage = (await read(lines([chunk({"content": "good"}), last]))).usage
    assert (usage.input_tokens, usage.output_tokens) == (9, 2)


async def test_a_reply_of_which_no_piece_is_whole_is_paid_for_once():
    raw = lines([chunk({"content": "h?y"}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 2})])
    read_once = await read(raw.replace(b"?", b"\xff"))  # no error that would send the request again
    assert read_once.error == "a piece of the stream cannot be read" and read_once.usage.output_tokens == 2


@pytest.mark.parametrize(
    "piece",
    [
        b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}],}',
        b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]} // end',
        b'data: {"choices": [{"delta": {"content": "a"}}]}{"choices": [{"delta": {"content": "b"}}]}',
    ],
)
@pytest.mark.parametrize("end", [b"[DONE]", b"[done]"])
async def test_a_stream_that_ended_and_of_which_nothing_can_be_read_is_stored_and_not_sent_again(piece, end):
    completion = await read(piece + b"\n\ndata: " + end + b"\n\n")
    assert completion.error == "a piece of the stream cannot be read" and completion.was_paid


async def test_why_a_choice_stopped_is_read_under_either_spelling():
    for reason, error in (("MAX_TOKENS", "cut off at max_tokens"), ("SAFETY", "content filter"), ("STOP", None)):
        last = {"choices": [{"delta": {}, "finishReason": reason}]}
        streamed = await read(lines([chunk({"content": "Good day"}), last]))
        whole = {"choices": [{"message": {"content": "Good day"}, "finishReason": reason}]}
        for completion in (streamed, read_completion(json.dumps(whole).encode(), 0.1)):
            assert completion.error is None if error is None else error in completion.error
