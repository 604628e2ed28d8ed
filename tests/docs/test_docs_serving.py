"""docs/serving.md: its numbers are the code's, and its sentences are what a running server answers."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from stillhouse.serving import app, batching, bounds, connections
from stillhouse.serving.app import serve
from stillhouse.task import Task

PAGE = " ".join((Path(__file__).parents[2] / "docs/serving.md").read_text().split())
LABELS = [{"value": "good"}, {"value": "bad"}]


class Student:
    family, size_bytes, input_fields = "linear", 0, ()

    def __init__(self, name, labels):
        self.name, self.labels = name, labels
        self.task = Task(name=name, instruction="Which?", output="choice", labels=labels)

    async def predict(self, inputs):
        pytest.fail("it was asked")


def said(content, **more):
    return {"messages": [{"role": "user", "content": content}], **more}


def asked(text, *questions):
    of_type = [{"type": "choice", "choices": choices} for choices in questions]
    return {"input": text, "questions": of_type}


REFUSED = [  # model, path, body or its bytes, status
    ("mood", "chat/completions", said("x" * 2**20), 413),
    ("mood", "chat/completions", b"{" + b",".join(b'"p%d":1' % i for i in range(80_000)) + b"}", 413),
    ("mood", "chat/completions", {"messages": said("x")["messages"] * 3000}, 413),
    ("mood", "chat/completions", said("x" * 150_000), 413),
    ("mood", "chat/completions", said("x", choices=[str(i) for i in range(300)]), 413),
    ("pick", "chat/completions", said("x", choices=["a" * 20_000, "b"]), 413),
    ("mood", "decisions", asked("x", *[LABELS] * 401), 413),
    ("pick", "decisions", asked("x" * 90_000, *[[{"value": "a"}, {"value": str(i)}] for i in range(5)] * 80), 413),
    ("pick", "chat/completions", said("x" * 90_000, choices=[str(i) for i in range(20)]), 413),
]


async def test_every_refusal_on_the_page_is_what_the_server_says():
    ready = asyncio.get_running_loop().create_future()
    models = {"mood": Student("mood", ("good", "bad")), "pick": Student("pick", None)}
    server = asyncio.create_task(serve(models, port=0, on_ready=ready.set_result))
    try:
        url = await ready
        async with aiohttp.ClientSession() as session:

            async def sentence(path, status, **request):
                async with session.post(f"{url}/{path}", **request) as response:
                    assert response.status == status
                    return (await response.json())["error"]["message"]

            for model, path, body, status in REFUSED:
                data = {"data": body} if isinstance(body, bytes) else {"json": {"model": model, **body}}
                headers = {"Content-Type": "application/json"}
                assert await sentence(path, status, headers=headers, **data) in PAGE
            assert await sentence("decisions", 415, data="x", headers={"Content-Type": "text/plain"}) in PAGE
            assert await sentence("decisions", 403, json={}, headers={"Host": "example.org"}) in PAGE
            assert await sentence("decisions", 400, json={}, headers={"Host": "127.0.0.1:abc"}) in PAGE
            assert connections.malformed().message in PAGE
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


def test_the_numbers_on_the_page_are_the_codes():
    for number in (
        f"{bounds.MOST_BYTES_OF_STUDENTS:,} bytes",
        f"{bounds.MOST_BYTES:,} where a prompted",
        f"{bounds.MOST_PARTS:,} where a prompted",
        f"{bounds.MOST_CHARACTERS_WAITING:,} characters under way",
        f"holds {app.LARGE_AT_ONCE} bodies of more than {app.LARGE_BODY * 1000 // 1024 // 1000} kB",
        f"{connections.HEAD_S:g} s for its first request's head and {connections.IDLE_S:g} s between",
        f"{app.BODY_S:g} s to arrive",
        f"{connections.MOST_CONNECTIONS} connections",
        f"within {app.DRAIN_S:g} s",
        f"more than {batching.LONG_ROW:,} characters",
        app.INPUT_CUT,
        app.UNSTORED,
        app.KEY_VARIABLE,
    ):
        assert number in PAGE, number
