"""From a flow's traces to a cascade that serves it, by the commands as they are printed. The fake endpoint stands in for the model."""

import contextlib
import json
import random
import re
import shlex
import subprocess
import sys

import pytest

APP = '''
from typing import Literal

from stillhouse import flow, step


@step
async def mood(text: str) -> Literal["good", "bad"]:
    """Say whether the day was good or bad."""


@flow(model="MODEL")
async def diary(text: str) -> str:
    return "smile" if await mood(text) == "good" else "frown"
'''
PLACES = ["rain", "sun", "train", "office", "garden", "lunch", "music", "traffic", "friends", "paper", "coffee", "walk"]
PRICE = ("--price-in", "0.5", "--price-out", "1")


def days(n):
    """Days that were good or awful, and two in five of which no word tells."""
    draw = random.Random(3)
    for number in range(n):
        words = draw.sample(PLACES, 5)
        words.insert(draw.randrange(6), "so-so" if number % 5 < 2 else draw.choice(["good", "awful"]))
        yield {"text": f"day {number} {' '.join(words)}"}


@contextlib.contextmanager
def serving(command):
    """The printed command in a process, on a free port; the address that it says."""
    arguments = [*shlex.split(command), "--port", "0", "--json"]
    server = subprocess.Popen([sys.executable, "-m", "stillhouse", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(server.stdout.readline())["base_url"]
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.slow
def test_every_printed_command_from_a_flows_traces_to_its_cascade(tmp_path, monkeypatch, stillhouse, endpoint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(APP.replace("MODEL", endpoint.url("moody")))
    (tmp_path / "days.jsonl").write_text("".join(json.dumps(day) + "\n" for day in days(1200)))
    ran = stillhouse("run", "app.py:diary", "--inputs", "days.jsonl", *PRICE, "--yes")
    assert ran.code == 0 and "1,200 done" in ran.out, ran
    harvested = stillhouse("harvest", "diary", "--step", "mood")
    assert harvested.code == 0 and f"answered by {endpoint.url('moody')} (" in harvested.out
    task = tmp_path / "steps/mood/task.toml"
    task.write_text(f'{task.read_text()}\n[student]\nladder = ["linear"]\n')
    distilled = stillhouse("distill", "steps/mood")
    assert distilled.code == 0 and "Verdict: cascade." in distilled.out, distilled
    [command] = re.findall(r"^next: stillhouse (serve .* --cascade)$", distilled.out, re.MULTILINE)
    later = list(days(1250))[1200:]
    (tmp_path / "later.jsonl").write_text("".join(json.dumps(day) + "\n" for day in later))
    asked = endpoint.calls().total()
    with serving(command) as url:
        given = ("--inputs", "later.jsonl", "--out", "out.jsonl", "--model", f"mood={url}#mood", *PRICE, "--yes")
        ran = stillhouse("run", "app.py:diary", *given)
        assert ran.code == 0 and "50 done" in ran.out, ran
    answered = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for day, row in zip(later, answered, strict=True):
        if "so-so" not in day["text"]:
            assert row["result"] == ("smile" if "good" in day["text"] else "frown")
    # The model is asked for the days of which no word tells, 20 of 50, and for few others.
    assert 10 <= endpoint.calls().total() - asked <= 30
