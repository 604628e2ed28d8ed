"""What goes through the gateway is what a direct call would have been, whatever happens beside it."""

import asyncio
import contextlib
import gzip
import json
import re

import anthropic
import openai
import pytest

from gateway.upstream import FakeProvider, chat, plain
from stillhouse.errors import UserError
from stillhouse.gateway.calls import MOST_KEPT
from stillhouse.gateway.server import Gateway, check_exposed
from stillhouse.gateway.upstreams import Upstreams, upstream

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Kept:
    """A recorder that keeps calls in a list."""

    n_lost, trouble = 0, None

    def __init__(self):
        self.calls, self.said = [], []

    def put(self, call):
        self.calls.append(call)

    def say(self, said):
        self.said.append(said)


@contextlib.asynccontextmanager
async def gateway_to(provider, recorder=None, key=None):
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    made = Gateway([provider.url + "/v1"], recorder or Kept(), key=key)
    serving = asyncio.create_task(made.serve("127.0.0.1", 0, stop, ready.set_result))
    made.url = await ready
    try:
        yield made
    finally:
        stop.set()
        await serving


@pytest.fixture
async def provider():
    async with FakeProvider().running() as running:
        yield running


async def raw(url, sent, until=None):
    """The bytes that come back, until the connection ends or `until` is in them."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    came = b""
    while piece := await reader.read(65536):
        came += piece
        if until is not None and until in came:
            break
    writer.close()
    return came


def post(body, *headers, path="/v1/chat/completions", host="127.0.0.1"):
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def without_ours(answer):
    return re.sub(rb"\r\nx-stillhouse-[^\r]*", b"", answer)


# Bytes


@pytest.mark.parametrize(
    "answer",
    [
        chat("good"),
        plain("429 Too Many Requests", b'{"error": {"message": "slow"}}', "retry-AFTER: 7", "x-a: 1", "x-a: 2"),
        plain("404 Not Found", b"", "content-type: text/plain"),
        plain("307 Temporary Redirect", b"gone", "Location: http://elsewhere.example/"),
        plain("200 OK", gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip"),
        b"HTTP/1.1 200 Fine by me\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00a;x=y\r\n0123456789\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + plain("200 OK", b"late"),
        b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n",
        plain("200 OK", b"x" * (3 * MOST_KEPT) + b"the end"),
    ],
    ids=["chat", "429", "404", "redirect", "gzip", "chunked", "100", "204", "3 MB"],
)
async def test_an_answer_is_passed_on_byte_for_byte(provider, answer):
    async def send(asked, writer):
        for start in range(0, len(answer), 70_000):
            writer.write(answer[start : start + 70_000])
            await writer.drain()

    provider.answer = send
    sent = post(b'{"model": "m"}', "Connection: close")
    direct = await raw(provider.url, post(b'{"model": "m"}'), until=answer[-20:])
    async with gateway_to(provider) as made:
        came = await raw(made.url, sent)
    assert without_ours(came) == direct == answer
    assert b"\r\nx-stillhouse-source: upstream\r\nx-stillhouse-call: " in came


async def test_a_call_is_passed_on_but_for_host_path_and_headers_of_the_connection(provider):
    async with gateway_to(provider) as made:
        headers = [
            "Authorization: Bearer sk-1",
            "x-B: 1",
            "X-Stillhouse-Step: mood",
            "Connection: close, x-hop",
            "x-hop: 1",
        ]
        await raw(made.url, post(b"\x00\xff{", *headers, path="/v1/anything?api-version=1&a=b"))
    (asked,) = provider.asked
    assert asked.line == "POST /v1/anything?api-version=1&a=b HTTP/1.1"
    host = provider.url.removeprefix("http://")
    assert asked.headers == [("Host", host), ("Authorization", "Bearer sk-1"), ("x-B", "1"), ("Content-Length", "3")]
    assert asked.raw_body == b"\x00\xff{"


async def test_each_piece_of_a_stream_is_passed_on_before_the_next_is_made(provider):
    went_on = asyncio.Event()

    async def send(asked, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await went_on.wait()
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")

    provider.answer = send
    async with gateway_to(provider) as made:
        host, port = made.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(post(b"{}"))
        await reader.readuntil(b"first")
        went_on.set()
        assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"4\r\nlast\r\n0\r\n\r\n")
        writer.close()


async def test_a_long_body_in_chunks_comes_whole(provider):
    pieces = [b"%d" % (n % 10) * 70_000 for n in range(40)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with gateway_to(provider) as made:
        assert (await raw(made.url, head + chunks)).startswith(b"HTTP/1.1 200")
    assert provider.asked[0].raw_body == b"".join(pieces)


async def test_calls_sent_ahead_are_answered_in_their_order_over_one_connection(provider):
    async def send(asked, writer):
        writer.write(plain("200 OK", b"<" + asked.raw_body + b">"))

    provider.answer = send
    async with gateway_to(provider) as made:
        sent = b"".join(post(b"%d" % n) for n in range(40)) + post(b"end", "Connection: close")
        came = await raw(made.url, sent)
    bodies = [part.partition(b"\r\n\r\n")[2].rstrip(b"\n") for part in came.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"<%d>" % n for n in range(40)] + [b"<end>"]
    assert provider.n_connections == 1


# Upstreams that fail, clients that go


async def test_an_upstream_that_is_down_is_a_502_that_says_so():
    provider = FakeProvider()
    async with provider.running():
        pass
    recorder = Kept()
    async with gateway_to(provider, recorder) as made:
        came = await raw(made.url, post(b"{}"))
    assert came.startswith(b"HTTP/1.1 502 ") and b"x-stillhouse-source: gateway" in came
    assert "cannot be reached" in json.loads(came.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert recorder.calls[0].status is None and "cannot be reached" in recorder.calls[0].broke


async def test_an_answer_that_breaks_off_on_a_kept_connection_is_not_asked_for_again(provider):
    async def send(asked, writer):
        if len(provider.asked) == 1:
            writer.write(plain("200 OK", b"whole"))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    provider.answer = send
    async with gateway_to(provider) as made:
        with contextlib.suppress(ConnectionError):
            assert (await raw(made.url, post(b"1") + post(b"2"))).endswith(b"half")
    assert [asked.raw_body for asked in provider.asked] == [b"1", b"2"] and provider.n_connections == 1


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"])
async def test_an_answer_that_breaks_off_breaks_off_for_the_client(provider, begun):
    async def send(asked, writer):
        writer.write(begun)
        await writer.drain()
        writer.close()

    provider.answer = send
    recorder = Kept()
    async with gateway_to(provider, recorder) as made:
        with contextlib.suppress(ConnectionError):
            came = await raw(made.url, post(b"{}"))
            assert came.startswith(b"HTTP/1.1 502 ") if not begun else came.endswith(b"half")
    assert "closed the connection" in recorder.calls[0].broke
    assert len(provider.asked) == 1  # it is not asked twice: it may have cost something


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_unseen(provider):
    writers = []

    async def send(asked, writer):
        writers.append(writer)
        writer.write(chat("good"))

    provider.answer = send
    async with gateway_to(provider) as made:
        client = openai.AsyncOpenAI(base_url=made.url + "/v1", api_key="k", max_retries=0)
        for n in range(3):
            said = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": str(n)}])
            assert said.choices[0].message.content == "good"
            writers[-1].transport.abort()
    assert len(provider.asked) == 3


async def test_a_client_that_goes_away_ends_its_call_upstream(provider):
    gone = asyncio.Event()

    async def send(asked, writer):
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if not writer.sent else b"1\r\nx\r\n"
                )
                writer.sent = True
                await writer.drain()
                await asyncio.sleep(0.005)
        gone.set()

    async def first(asked, writer):
        writer.sent = False
        await send(asked, writer)

    provider.answer = first
    recorder = Kept()
    async with gateway_to(provider, recorder) as made:
        await raw(made.url, post(b"{}"), until=b"x\r\n")
        await asyncio.wait_for(gone.wait(), 10)
    assert recorder.calls[0].broke == "the client went away"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (post(b"{}", "Connection: close", host="evil.example"), 403),
        (post(b"{}", "Connection: close", "Origin: https://evil.example"), 403),
    ],
    ids=["no HTTP", "a long head", "another host", "a page of another site"],
)
async def test_what_may_not_or_cannot_be_forwarded_is_refused(provider, sent, status):
    async with gateway_to(provider) as made:
        assert (await raw(made.url, sent)).startswith(b"HTTP/1.1 %d " % status)
    assert provider.asked == []


async def test_with_a_key_only_who_has_it_is_served(provider):
    async with gateway_to(provider, key="secret") as made:
        assert (await raw(made.url, post(b"{}", "Connection: close"))).startswith(b"HTTP/1.1 401 ")
        sent = post(b"{}", "x-stillhouse-key: secret", "Connection: close", host="gateway.example")
        assert (await raw(made.url, sent)).startswith(b"HTTP/1.1 200 ")
    assert "secret" not in str(provider.asked[0].headers)


@pytest.mark.parametrize(
    "given", ["opnai", "ftp://a", "http://user:pw@a/v1", "http://a/v1?key=1", "http://[::1", "http://a:99999"]
)
def test_an_upstream_that_is_none_is_one_sentence(given):
    with pytest.raises(UserError, match="the upstream"):
        upstream(given)


def test_calls_go_to_the_upstream_of_their_protocol(monkeypatch):
    both = Upstreams(["openai", "anthropic"])
    assert both.of("/v1/chat/completions", anthropic=False).host == "api.openai.com"
    assert both.of("/v1/messages", anthropic=False).host == "api.anthropic.com"
    assert both.of("/v1/models", anthropic=True).host == "api.anthropic.com"
    only = Upstreams(["http://127.0.0.1:9/api/v1"])
    assert only.of("/v1/messages", anthropic=True).root == "/api"


def test_an_address_that_others_reach_wants_a_key():
    with pytest.raises(UserError, match="no key is set"):
        check_exposed("0.0.0.0", None)
    check_exposed("0.0.0.0", "long")
    with pytest.raises(UserError, match="no header carries"):
        check_exposed("127.0.0.1", " ")


# It never makes the app worse


class Broken:
    """A recorder that fails at everything."""

    @property
    def n_lost(self):
        raise RuntimeError("lost")

    @property
    def trouble(self):
        raise RuntimeError("trouble")

    def put(self, call):
        raise RuntimeError("put")


async def test_feedback_is_taken_and_goes_nowhere_else(provider):
    recorder = Kept()
    async with gateway_to(provider, recorder) as made:
        sent = [post(body, path="/v1/feedback") for body in (b'{"call": "a", "right": true}', b"{}", b"x" * 70_000)]
        came = await raw(made.url, b"".join(sent) + post(b"{}", "Connection: close"))
    assert [part[:3] for part in came.split(b"HTTP/1.1 ")[1:]] == [b"202", b"400", b"400", b"200"]
    assert [said[1] for said in recorder.said] == ["a"] and len(provider.asked) == 1


async def test_a_broken_recorder_changes_nothing_of_an_answer(provider):
    async with gateway_to(provider, Broken()) as made:
        async with asyncio.timeout(20):
            came = await raw(made.url, post(b"good", "Connection: close"))
        assert without_ours(came) == chat("good")
        ready = await raw(made.url, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert ready.startswith(b"HTTP/1.1 503 ") and b"RuntimeError" in ready
        metrics = await raw(made.url, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"stillhouse_unrecorded_calls_total 1\n" in metrics


# Clients that nobody here wrote


async def test_the_openai_client_works_as_with_the_provider(provider):
    async def stream(asked, writer):
        if not asked.body.get("stream"):
            writer.write(chat("good"))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in ("go", "od"):
            chunk = {"choices": [{"index": 0, "delta": {"content": piece}}], "object": "chat.completion.chunk"}
            event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    provider.answer = stream
    async with gateway_to(provider) as made:
        client = openai.AsyncOpenAI(base_url=made.url + "/v1", api_key="sk-secret", max_retries=0)
        ask = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        assert (await client.chat.completions.create(**ask)).choices[0].message.content == "good"
        pieces = [c.choices[0].delta.content async for c in await client.chat.completions.create(**ask, stream=True)]
        assert "".join(pieces) == "good"
        answers = await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(50)))
        assert {answer.choices[0].message.content for answer in answers} == {"good"}
        blocking = openai.OpenAI(base_url=made.url + "/v1", api_key="sk-secret", max_retries=0)
        said = await asyncio.to_thread(blocking.chat.completions.create, **ask)
        assert said.choices[0].message.content == "good"
    assert {value for asked in provider.asked for name, value in asked.headers if name.lower() == "authorization"} == {
        "Bearer sk-secret"
    }


async def test_the_anthropic_client_works_as_with_the_provider(provider):
    async def answer(asked, writer):
        body = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [{"type": "text", "text": "good"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        }
        writer.write(plain("200 OK", json.dumps(body).encode(), "Content-Type: application/json"))

    provider.answer = answer
    async with gateway_to(provider) as made:
        client = anthropic.AsyncAnthropic(base_url=made.url, api_key="sk-ant", max_retries=0)
        said = await client.messages.create(model="claude", max_tokens=5, messages=[{"role": "user", "content": "x"}])
    assert said.content[0].text == "good" and provider.asked[0].line == "POST /v1/messages HTTP/1.1"
