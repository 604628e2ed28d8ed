"""Every answer of a server with an unproven model says so, whatever is answered."""

import asyncio
import json
import urllib.request

import aiohttp
import pytest

from moods_run import made_run
from stillhouse import serve
from stillhouse.errors import UserError
from stillhouse.serving import connections

ASK = {"model": "mood", "messages": [{"role": "user", "content": "what a lovely day"}]}
DECIDE = {
    "model": "mood",
    "input": "a warm day",
    "questions": [{"type": "choice", "choices": [{"value": "good"}, {"value": "bad"}, {"value": "mixed"}]}],
}
CALLS = {
    "a chat answer": ("POST", "/v1/chat/completions", ASK, 200),
    "a stream": ("POST", "/v1/chat/completions", ASK | {"stream": True}, 200),
    "decisions": ("POST", "/v1/decisions", DECIDE, 200),
    "an answer that cannot be": ("POST", "/v1/chat/completions", ASK | {"n": 2}, 400),
    "no such model": ("POST", "/v1/chat/completions", ASK | {"model": "nobody"}, 404),
    "no such path": ("GET", "/v1/nothing", None, 404),
    "another method": ("GET", "/v1/decisions", None, 405),
    "the models": ("GET", "/v1/models", None, 200),
    "one model": ("GET", "/v1/models/mood", None, 200),
    "its health": ("GET", "/health", None, 200),
    "its description": ("GET", "/openapi.json", None, 200),
}


async def asked(session, root, what):
    method, path, body, status = CALLS[what]
    async with session.request(method, root + path, json=body) as response:
        assert response.status == status, await response.text()
        return response.headers.get("x-stillhouse-unproven"), await response.read()


@pytest.mark.parametrize("what", CALLS)
async def test_every_answer_carries_the_header(start, mood, what):
    async with (
        start({"mood": mood}, unproven={"mood": "nobody measured it"}) as url,
        aiohttp.ClientSession() as session,
    ):
        header, body = await asked(session, url.removesuffix("/v1"), what)
    assert header == "1"
    if what == "its health":
        assert json.loads(body)["unproven"] == {"mood": "nobody measured it"}


async def test_nothing_of_it_is_said_where_all_is_proven(start, mood):
    async with start({"mood": mood}) as url, aiohttp.ClientSession() as session:
        for what in CALLS:
            header, body = await asked(session, url.removesuffix("/v1"), what)
            assert header is None
            assert what != "its health" or json.loads(body) == {"status": "ok"}


async def test_the_answers_of_a_proven_model_beside_it_go_without(start, mood):
    models = {"mood": mood, "other": mood}
    async with start(models, unproven={"other": "why"}) as url, aiohttp.ClientSession() as session:
        for what in ("a chat answer", "a stream", "decisions"):
            assert (await asked(session, url.removesuffix("/v1"), what))[0] is None
        async with session.post(f"{url}/chat/completions", json=ASK | {"model": "other"}) as response:
            assert response.headers["x-stillhouse-unproven"] == "1"


async def test_what_no_handler_answers_carries_it_too(start, mood, monkeypatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 1)
    async with start({"mood": mood}, unproven={"mood": "why"}) as url:
        port = int(url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        full, other = await asyncio.open_connection("127.0.0.1", port)
        assert b"x-stillhouse-unproven: 1\r\n" in await full.read()  # 503: all connections are taken
        other.close()
        writer.write(b"no http at all\r\n\r\n")
        answered = await reader.read()
        assert answered.startswith(b"HTTP/1.0 400") or answered.startswith(b"HTTP/1.1 400")
        assert b"x-stillhouse-unproven: 1\r\n" in answered
        writer.close()


@pytest.mark.slow
def test_the_library_refuses_serves_and_tells(tmp_path):
    done = made_run(tmp_path, broken=0.125)
    with pytest.raises(UserError, match="--unproven"):
        serve(done.folder, port=0)
    with serve(done.folder, cascade=True, port=0, unproven=True) as server:
        assert server.names == ["mood"] and done.result.cascade.not_served in server.unproven["mood"]
        body = json.dumps(ASK).encode()
        request = urllib.request.Request(
            f"{server.base_url}/chat/completions", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            assert response.headers["x-stillhouse-unproven"] == "1"
