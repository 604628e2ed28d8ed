"""Students trained once for all serving tests, and a server on a free loopback port."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from stillhouse.records import Example
from stillhouse.serving.app import serve
from stillhouse.student import load_student, train_student
from stillhouse.task import Task

MOOD = Task(name="mood", instruction="Is it good or bad?", output="choice", labels=("good", "bad", "mixed"))
OPPOSITE = Task(name="opposite", instruction="Choose the opposite.", output="choice")
WORDS = {"good": ("lovely", "bright", "warm"), "bad": ("awful", "grim", "cold")}
PAIRS = [("hot", "cold"), ("up", "down"), ("left", "right"), ("big", "small")]


def moods(n, start=0):
    return [
        Example(str(i), f"row {i}: what a {WORDS[('good', 'bad')[i % 2]][i % 3]} day", label=("good", "bad")[i % 2])
        for i in range(start, start + n)
    ]


def opposites(n):
    answers = tuple(opposite for _, opposite in PAIRS)
    return [
        Example(
            str(i),
            f"the opposite of {PAIRS[i % 4][0]}",
            label=PAIRS[i % 4][1],
            choices=answers[i % 3 :] + answers[: i % 3],
        )
        for i in range(n)
    ]


@pytest.fixture(scope="session")
def mood_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("serving") / "mood"
    train_student("linear", MOOD, moods(40), moods(20, start=40), source="gold", seed=0, out=out)
    return out


@pytest.fixture(scope="session")
def mood(mood_folder):
    return load_student(mood_folder)


@pytest.fixture(scope="session")
def opposite(tmp_path_factory):
    out = tmp_path_factory.mktemp("serving") / "opposite"
    train_student("linear", OPPOSITE, opposites(40), opposites(16), source="gold", seed=0, out=out)
    return load_student(out)


@asynccontextmanager
async def served(models, **settings):
    """The base URL of a server that runs in this event loop."""
    ready = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(models, port=0, on_ready=ready.set_result, **settings))
    await asyncio.wait([server, ready], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await server
    try:
        yield ready.result()
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


@pytest.fixture
def start():
    return served
