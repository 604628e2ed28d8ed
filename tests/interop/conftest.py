"""A student for all tests of this folder. They need the extra `pydantic-ai`, and skip where it is not installed."""

import pytest

from stillhouse.records import Example
from stillhouse.student import train_student
from stillhouse.task import Task

MOOD = Task(name="mood", instruction="Is it good or bad?", output="choice", labels=("good", "bad"))
WORDS = {"good": ("lovely", "bright", "warm"), "bad": ("awful", "grim", "cold")}


def moods(n, start=0):
    return [
        Example(str(i), f"row {i}: what a {WORDS[('good', 'bad')[i % 2]][i % 3]} day", label=("good", "bad")[i % 2])
        for i in range(start, start + n)
    ]


@pytest.fixture(scope="session")
def mood_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("interop") / "mood"
    train_student("linear", MOOD, moods(40), moods(20, start=40), source="gold", seed=0, out=out)
    return out
