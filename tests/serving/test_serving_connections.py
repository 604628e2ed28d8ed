"""Connections: how many, how long a head may take, what a malformed one leaves in the log, and that stopping drops none."""

import asyncio
import gzip
import json
import logging
import os
import signal
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from stillhouse.errors import UserError
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.llm.request import Completion
from stillhouse.records import Prediction, Usage
from stillhouse.serving import app, connections
from stillhouse.serving.app import serve
from stillhouse.serving.blind import serve_blind
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.store import open_store


def address(url):
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    return host, int(port)


async def raw(url, data):
    """The status and body of what comes back until the server closes."""
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(data)
    reply = await reader.read()
    writer.close()
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-More: "])
async def test_a_connection_without_a_whole_head_is_closed(start, mood, monkeypatch, sent):
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    async with start({"mood": mood}) as url:
        reader, writer = await asyncio.open_connection(*address(url))
        writer.write(sent)
        # It waits for the server to close: the bound makes a server that never does a failure.
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_a_slow_answer_outlasts_the_time_for_heads(start, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.05)

    class Slow:
        name = "slow"

        async def predict(self, inputs):
            await asyncio.sleep(0.2)
            return [Prediction("done")]

    async with start({"slow": Slow()}) as url, aiohttp.ClientSession() as session:
        body = {"model": "slow", "messages": [{"role": "user", "content": "x"}]}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            assert response.status == 200


async def test_a_body_that_never_ends_is_given_up(start, mood, monkeypatch):
    monkeypatch.setattr(app, "BODY_S", 0.05)
    async with start({"mood": mood}) as url:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        reader, writer = await asyncio.open_connection(*address(url))
        writer.write(head + b"Content-Length: 100\r\n\r\n{")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 20)
        writer.close()


async def test_connections_over_the_most_are_told_so(start, mood, monkeypatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 1)
    async with start({"mood": mood}) as url:
        _, first = await asyncio.open_connection(*address(url))
        await asyncio.sleep(0.05)
        status, body = await raw(url, b"")
        assert status == 503 and "all 1 connections" in body
        first.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sesame\x01\r\n\r\n",
        b"GET /health HTTP/1.1\r\nAuthorization Bearer sesame\r\n\r\n",
        b"sesame\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: sesame\r\nContent-Length: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: " + b"sesame" * 5000 + b"\r\n\r\n",
    ],
)
async def test_a_malformed_head_is_neither_logged_nor_sent_back(start, mood, caplog, sent):
    caplog.set_level(logging.DEBUG)
    async with start({"mood": mood}, key="sesame") as url:
        status, body = await raw(url, sent)
    assert status == 400 and json.loads(body)["error"]["code"] == "malformed_request"
    assert "sesame" not in caplog.text + body and "Traceback" not in caplog.text


@pytest.mark.parametrize("key", [None, "sesame"])
@pytest.mark.parametrize("host", ["127.0.0.1:abc", "127.0.0.1:99999999", "[::1]:x", "[", "a b", "", "@", "%zz"])
async def test_a_host_that_is_none_is_the_callers_mistake(start, mood, caplog, host, key):
    async with start({"mood": mood}, key=key) as url:
        request = (
            f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer sesame\r\nConnection: close\r\n\r\n"
        )
        status, body = await raw(url, request.encode())
    assert status < 500 and "Traceback" not in caplog.text and "Error handling" not in caplog.text
    assert key is not None or json.loads(body)["error"]


@pytest.mark.parametrize("content_type", ["application/json; charset=bogus", "application/json; charset=", "é", ";;"])
async def test_a_charset_that_is_none_is_the_callers_mistake(start, mood, caplog, content_type):
    async with start({"mood": mood}) as url:
        request = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: 2\r\n\r\n{{}}"
        )
        status, _ = await raw(url, request.encode())
    assert 400 <= status < 500 and "Traceback" not in caplog.text


@pytest.mark.parametrize("key", [None, "sesame"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/decisions", "/elsewhere", "/health"])
@pytest.mark.parametrize("packing", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip", "nonsense"])
async def test_a_packed_body_is_refused_and_never_unpacked(start, mood, caplog, monkeypatch, packing, path, key):
    def unpack(*_, **__):
        pytest.fail("a body was unpacked")

    monkeypatch.setattr("aiohttp.http_parser.DeflateBuffer", unpack)
    for body in (gzip.compress(b"a" * 10**6), b"not packed at all"):
        async with start({"mood": mood}, key=key) as url:
            request = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"Content-Encoding: {packing}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            status, reply = await raw(url, request.encode() + body)  # which reads until the server closes
        assert status == 415 and "without that header" in json.loads(reply)["error"]["message"]
    assert "Traceback" not in caplog.text and "Unhandled" not in caplog.text


async def test_a_body_that_is_said_to_be_as_it_is_is_read(start, mood):
    async with start({"mood": mood}) as url, aiohttp.ClientSession(headers={"Content-Encoding": "Identity"}) as session:
        body = {"model": "mood", "messages": [{"role": "user", "content": "what a lovely day"}]}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            assert response.status == 200


async def test_no_connection_reads_more_at_a_time_than_others_can_wait_for(start, mood, monkeypatch):
    """A body in chunks of one byte: 256 kB of them, asyncio's own size of a read, are half a second of work."""
    sizes, received = [], connections._Connection.data_received

    def data_received(self, data):
        sizes.append(len(data))
        received(self, data)

    monkeypatch.setattr(connections._Connection, "data_received", data_received)
    async with start({"mood": mood}) as url:
        chunks = b"".join(b"1\r\n%c\r\n" % sign for sign in json.dumps({"model": "x" * 50_000}).encode())
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await raw(url, head + chunks + b"0\r\n\r\n"))[0] == 400
    assert max(sizes) <= connections.READ_BYTES and sum(sizes) > 250_000


async def test_a_client_that_goes_away_before_its_answer_is_no_failure_of_the_server(start, mood, caplog, monkeypatch):
    """It may be amid `100 Continue`, where no handler of ours sees it: without a key one could fill the log so."""
    caplog.set_level(logging.INFO)
    asked = asyncio.Event()

    async def gone(self, request):
        asked.set()
        raise ConnectionResetError("Connection lost")

    monkeypatch.setattr(web.Application, "_handle", gone)
    async with start({"mood": mood}) as url:
        _, writer = await asyncio.open_connection(*address(url))
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n\r\n")
        await asyncio.wait_for(asked.wait(), 20)
        writer.close()
    assert "went away before it had its answer" in caplog.text
    assert "Traceback" not in caplog.text and "Error handling" not in caplog.text


@pytest.mark.parametrize("key", [" sesame", "sesame\n", "sesame\t", "ses\x01ame", "ses\name"])
async def test_a_key_that_no_header_carries_is_refused_at_the_start(mood, key):
    with pytest.raises(UserError, match="set it again") as caught:
        await serve({"mood": mood}, port=0, key=key, on_ready=lambda url: pytest.fail(f"it serves at {url}"))
    assert "sesame" not in str(caught.value)


async def test_requests_on_kept_connections_are_answered_while_the_server_stops(mood):
    ready = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve({"mood": mood}, port=0, on_ready=ready.set_result))
    url = await ready
    body = {"model": "mood", "messages": [{"role": "user", "content": "what a lovely day"}]}
    async with aiohttp.ClientSession() as session:

        async def ask():
            async with session.post(f"{url}/chat/completions", json=body) as response:
                assert response.status == 200
                await response.read()
                return response.headers.get("Connection")

        assert await asyncio.gather(*(ask() for _ in range(20))) == [None] * 20
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(ConnectionError):
            while True:  # until it no longer listens: it stops
                _, writer = await asyncio.open_connection(*address(url))
                writer.close()
        assert await asyncio.gather(*(ask() for _ in range(20))) == ["close"] * 20
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask()
    await server


@pytest.mark.slow
async def test_a_hung_teacher_is_waited_for_once(mood, monkeypatch, caplog, tmp_path):
    """The requests and the audits share one time limit, and whoever asked is not left without the server's end."""
    monkeypatch.setattr(app, "DRAIN_S", 1.2 + app.CLOSING_S)
    asked, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    waited = []

    class Hung:
        name = "hung"

        async def predict(self, inputs):
            asked.set()
            await asyncio.Event().wait()

    cascade = CascadePredictor(mood, Hung(), 0.0, name="c", audit=tmp_path / "a.jsonl", audit_share=1.0)
    drain = cascade.drain

    async def drained(within_s=None):
        waited.append(within_s)
        return await drain(within_s)

    monkeypatch.setattr(cascade, "drain", drained)
    server = asyncio.create_task(serve({"c": cascade, "hung": Hung()}, port=0, on_ready=ready.set_result))
    url = await ready
    async with aiohttp.ClientSession() as session:

        async def ask(model):
            body = {"model": model, "messages": [{"role": "user", "content": "what a lovely day"}]}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                return response.status

        assert await ask("c") == 200  # and its audit hangs
        hung = asyncio.ensure_future(ask("hung"))
        await asked.wait()
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        await server
        await asyncio.gather(hung, return_exceptions=True)
    assert len(waited) == 1 and waited[0] <= 1.2
    assert "1 audits were still waiting" in caplog.text
    assert await drain(0.0) == 0  # nothing is left for `open_cascade` to wait for


@pytest.mark.parametrize("n_answered", [0, 1])
async def test_who_waits_for_a_hung_teacher_is_told_and_the_calls_that_were_left_are_counted(
    mood, monkeypatch, caplog, tmp_path, n_answered
):
    """Three clients wait for paid calls when the server is stopped; one that has gone left its call behind."""
    monkeypatch.setattr(app, "DRAIN_S", app.CLOSING_S + connections._CLOSING_S + 0.3)
    answers = [asyncio.Event() for _ in range(4)]
    asked, all_asked = [], asyncio.Event()

    async def call(request, example):
        asked.append(request)
        if len(asked) == 4:
            all_asked.set()
        await answers[len(asked) - 1].wait()
        return Completion("good", usage=Usage(5, 1))

    ready = asyncio.get_running_loop().create_future()
    with open_store(tmp_path / "store.db") as store:
        model = MeteredModel("m", call, store, Ledger(None), price_in=1.0, price_out=1.0)
        cascade = CascadePredictor(mood, PromptedPredictor(model, mood.task), 1.1, name="c")
        server = asyncio.create_task(serve({"c": cascade}, port=0, on_ready=ready.set_result))
        url = await ready
        async with aiohttp.ClientSession() as session:

            async def ask(text):
                body = {"model": "c", "messages": [{"role": "user", "content": text}]}
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    return response.status, await response.json()

            waiting = [asyncio.ensure_future(ask(f"day {number}")) for number in range(4)]
            await asyncio.wait_for(all_asked.wait(), 20)
            waiting.pop().cancel()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            for answer in answers[:n_answered]:
                answer.set()
            replies = await asyncio.gather(*waiting)
        await server
    assert sorted(status for status, _ in replies) == [200] * n_answered + [503] * (3 - n_answered)
    assert all(reply["error"]["code"] == "stopping" for status, reply in replies if status == 503)
    counted = f"4 calls were in flight, {n_answered} came back, {4 - n_answered} were left and may be paid for again"
    assert caplog.text.count(counted) == 1


async def test_the_compare_page_takes_neither_a_host_nor_a_charset_for_a_fault_of_its_own(caplog):
    @dataclass
    class Shown:
        item: int = 1

    class Session:
        chosen = ()

        def shown(self):
            return Shown()

        def choose(self, item, choice):
            self.chosen = (item, choice)
            return True

    ready, session = asyncio.get_running_loop().create_future(), Session()
    page = asyncio.create_task(serve_blind(session, lambda nonce: "page", on_ready=ready.set_result))
    where = await ready
    path = where.partition("/v1")[0].split("/", 3)[3]
    port = where.split(":")[2].split("/")[0]
    url = f"http://127.0.0.1:{port}/v1"
    get = f"GET /{path} HTTP/1.1\r\nConnection: close\r\nHost: "
    assert (await raw(url, f"{get}127.0.0.1:abc\r\n\r\n".encode()))[0] == 400
    assert (await raw(url, f"{get}127.0.0.1:{port}\r\n\r\n".encode()))[0] == 200
    body = '{"item": 1, "choice": "tie"}'
    post = (
        f"POST /{path}choice HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json; charset=bogus\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    assert (await raw(url, post.encode()))[0] == 200 and session.chosen == (1, "tie")
    assert "Traceback" not in caplog.text
    os.kill(os.getpid(), signal.SIGTERM)
    await page
