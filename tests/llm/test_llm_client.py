"""The client against a real HTTP server in another process that fails in every way an endpoint can."""

import re

import pytest

from stillhouse.errors import TeacherError
from stillhouse.llm.client import ChatClient
from stillhouse.llm.limits import Limiter
from stillhouse.llm.reply import read_completion
from stillhouse.llm.request import Request, text_listener

KEY = "sk-planted-0123456789"


async def ask(endpoint, mode, text="a good day", key=None, **options):
    url, _, model = endpoint.url(mode).partition("#")
    client = ChatClient(url, model, key, Limiter(4), attempts=3, longest_wait_s=0.05, **options)
    try:
        return await client.complete(Request(mode, ({"role": "user", "content": text},), {"max_tokens": 5}))
    finally:
        await client.close()


async def test_an_answer_comes_with_its_usage_and_time(endpoint):
    found = await ask(endpoint, "ok")
    assert (found.text, found.error, found.finish_reason) == ("good", None, "stop")
    assert (found.usage.input_tokens, found.usage.output_tokens) == (20, 2)
    assert found.latency_s > 0


@pytest.mark.parametrize(
    "mode",
    [
        "429-once",
        pytest.param("429-now", marks=pytest.mark.slow),
        pytest.param("429-nan", marks=pytest.mark.slow),
        "500-once",
        "close-once",
        "408-once",
        "409-once",
        "425-once",
        "page-once",
        "empty-once",
        "null-once",
        "{}-once",
        "blank-once",
        "error-502-once",
        "error-type-once",
    ],
)
async def test_what_may_pass_is_tried_again(endpoint, mode):
    assert (await ask(endpoint, mode)).text == "good"
    assert endpoint.calls()["a good day"] == 2


@pytest.mark.parametrize(("mode", "says"), [("401", "the endpoint refuses the key"), ("404", "no such model or path")])
async def test_what_cannot_pass_stops_the_work_in_one_sentence(endpoint, mode, says):
    with pytest.raises(TeacherError, match=says):
        await ask(endpoint, mode, key=KEY)
    assert endpoint.calls()["a good day"] == 1


async def test_an_account_without_quota_is_told_from_a_limit_that_passes(endpoint):
    with pytest.raises(TeacherError, match=r"no quota left .*; add credit"):
        await ask(endpoint, "quota")
    assert endpoint.calls()["a good day"] == 1


async def test_a_reply_that_is_streamed_unasked_is_read_all_the_same(endpoint):
    assert (await ask(endpoint, "stream-unasked")).text == "good"


async def test_a_stream_whose_type_says_nothing_is_read_all_the_same(endpoint):
    assert (await ask(endpoint, "stream-untyped")).text == "good"


@pytest.mark.parametrize("mode", ["page-once", "empty-once", "stream-error-once", "ok"])
async def test_with_a_listener_too_and_a_reply_in_one_body_is_told(endpoint, mode):
    heard: list[str] = []
    token = text_listener.set(heard.append)
    try:
        assert (await ask(endpoint, mode)).text == "good"
    finally:
        text_listener.reset(token)
    assert heard == ["good"]


async def test_log_probabilities_that_are_no_numbers_are_none_and_the_answer_stays(endpoint):
    found = await ask(endpoint, "nan-logprobs")
    assert (found.text, found.error, found.token_logprobs) == ("good", None, None)


async def test_a_key_that_the_endpoint_echoes_is_taken_out(endpoint):
    with pytest.raises(TeacherError) as caught:
        await ask(endpoint, "401", key=KEY)
    assert KEY not in str(caught.value)
    assert "[key]" in str(caught.value)
    assert KEY not in repr(ChatClient("http://127.0.0.1", "m", KEY, Limiter(1)))


@pytest.mark.parametrize("mode", ["401-long", "error-200-long", "html-long", "echo"])
async def test_no_part_of_an_echoed_key_is_left_where_a_message_is_cut(endpoint, mode):
    try:
        found = await ask(endpoint, mode, key=KEY)
        told = f"{found.error} {found.text}"
    except TeacherError as error:
        told = str(error)
    assert KEY[:4] not in told


FAULTS = [
    ("nested", "reply is not JSON"),
    ("half-character", "reply is not valid Unicode"),
    ("garbage", "endpoint failed: status 200: the body is no JSON"),
    ("html", "endpoint failed: status 200: the body is no JSON: <html>maintenance</html>"),
    ("error-200", "reply is an error with status 200: "),
    ("no-choices", "reply has no choices"),
    ("empty", "empty reply"),
    ("length", "cut off at max_tokens"),
    ("filter", "stopped by the content filter"),
    ("null-choice", "reply has no choices"),
    ("huge", "the reply is longer than 8 MiB"),
    ("stream-garbage", "endpoint failed: connection failed .the stream cannot be read"),
    ("400", r"refused by the endpoint \(400: too long\)"),
    ("500", "endpoint failed: status 500"),
]


@pytest.mark.parametrize(("mode", "says"), FAULTS, ids=[mode for mode, _ in FAULTS])
async def test_a_reply_that_cannot_be_used_is_a_rejection_with_its_reason(endpoint, mode, says):
    found = await ask(endpoint, mode)
    assert re.match(says, found.error)


@pytest.mark.parametrize(
    ("mode", "status"), [("400", 400), ("500", None), ("length", None), ("error-200", None), ("ok", None)]
)
async def test_a_refused_request_carries_the_status_of_its_refusal_and_no_other_does(endpoint, mode, status):
    assert (await ask(endpoint, mode)).status == status


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_an_endpoint_without_the_decisions_api_says_so_once_by_its_status(status):
    asked = []

    async def post(path, body):
        asked.append(path)
        return status, {}, b""

    client = ChatClient("http://127.0.0.1/v1", "m", None, Limiter(1))
    client._post_whole = post
    parameters = {"decision": {"instructions": "Is it urgent?", "choices": ["yes", "no"]}}
    completion = await client.complete(Request("m", ({"role": "user", "content": "x"},), parameters))
    await client.close()
    assert (asked, completion.status, completion.error) == (["decisions"], status, "the endpoint has no decisions API")


async def test_an_endpoint_that_is_down_stops_the_work_after_a_few_rows(endpoint):
    url, _, model = endpoint.url("500").partition("#")
    client = ChatClient(url, model, None, Limiter(1), attempts=1)
    with pytest.raises(TeacherError, match="8 requests in a row failed"):
        for number in range(20):
            await client.complete(Request("500", ({"role": "user", "content": f"row {number}"},)))
    await client.close()


async def test_no_server_at_all_is_a_failed_connection():
    client = ChatClient("http://127.0.0.1:9", "m", None, Limiter(1), attempts=2, longest_wait_s=0.01)
    found = await client.complete(Request("m", ({"role": "user", "content": "x"},)))
    await client.close()
    assert found.error.startswith("endpoint failed: connection failed")


def test_log_probabilities_are_read_and_nonsense_among_them_refused():
    body = b'{"choices":[{"message":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.5}]}}]}'
    assert read_completion(body, 0.1).token_logprobs == (("a", -0.5),)
    assert read_completion(body.replace(b"-0.5", b"3"), 0.1).token_logprobs is None


def test_counts_that_no_call_can_have_are_unknown():
    body = b'{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":%s,"completion_tokens":-1}}' % (
        b"9" * 400
    )
    usage = read_completion(body, 0.1).usage
    assert (usage.input_tokens, usage.output_tokens) == (None, None)


def test_a_reply_that_was_all_reasoning_says_so():
    body = (
        b'{"choices":[{"message":{"content":%s},"finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":9,"completion_tokens":30,"completion_tokens_details":{"reasoning_tokens":%d}}}'
    )
    assert read_completion(body % (b'""', 30), 0.1).error == "all of max_tokens went into reasoning"
    assert (
        read_completion(body % (b'"go"', 28), 0.1).error
        == read_completion(body % (b'""', 0), 0.1).error
        == "cut off at max_tokens"
    )


def test_cached_and_reasoning_tokens_are_parts_of_the_totals():
    usage = b'"usage":{"prompt_tokens":100,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":9},"completion_tokens_details":{"reasoning_tokens":20}}'
    found = read_completion(b'{"choices":[{"message":{"content":"a"}}],' + usage + b"}", 0.1).usage
    assert (found.input_tokens, found.cached_input_tokens, found.output_tokens, found.reasoning_tokens) == (
        100,
        60,
        30,
        20,
    )
    assert found.written_input_tokens == 9
