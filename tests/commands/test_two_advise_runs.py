"""Two `advise` runs end to end: the first asks for half a doubling of training rows and says from which score to go on; the second, which has them, does as it said.

A row holds one of 1,000 words, and each word has a label of its own: a student knows the words that it has seen, so its curve climbs with every new row, and not
with rows of words that it knows.
"""

import hashlib
import json
import random
import re

import pytest

from stillhouse.commands import advise as advise_command
from stillhouse.commands.advise import advise
from stillhouse.experiment.arms import student_arm

TASK = """
[task]
name = "words"
instruction = "Good or bad?"
output = "choice"
labels = ["good", "bad"]
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
copies = "traffic"
split = [0.0, 0.0, 0.0]
[student]
ladder = ["linear"]
learn_from = "gold"
[gate]
margin = 0.08
classes = "none"
"""
N_WORDS = 1000


LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["".join(random.Random(number).choices(LETTERS, k=9)) for number in range(N_WORDS)]


def label(word):
    return "good" if hashlib.sha256(word.encode()).digest()[0] % 2 else "bad"


def rows(part, words):
    """The prompt's answers stand in the rows; one in twenty is wrong."""
    made = []
    for number, word in enumerate(words):
        said = label(word) if number % 20 else {"good": "bad", "bad": "good"}[label(word)]
        made.append({"id": f"{part}{number}", "input": word, "label": label(word), "teacher_label": said})
    return made


def drawn(seed, n):
    return random.Random(seed).choices(WORDS, k=n)


class Project:
    def __init__(self, folder):
        self.folder = folder
        (folder / "task.toml").write_text(TASK)
        self.write("validation", drawn(2, 60))
        self.write("test", drawn(3, 500))

    def write(self, part, words):
        path = self.folder / f"{part}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(part, words)))

    def advise(self, train, sizes):
        self.write("train", train)
        return advise(self.folder, runs=self.folder / "runs", seeds=3, sizes=sizes, workers=1).result.verdict


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Students are trained in this process: processes of their own take longer to begin than such a student to train."""
    monkeypatch.setattr(advise_command, "sweep", lambda plans, **_: [student_arm(plan) for plan in plans])
    return Project(tmp_path)


FIRST = drawn(1, 1000)


@pytest.mark.slow
def test_the_second_run_goes_on_where_the_half_step_gained_and_stops_where_it_did_not(project):
    asked = project.advise(FIRST, [250, 500, 1000])
    assert asked.kind == "collect more"
    assert asked.buy_next.startswith(
        "414 more training rows, 0.41 times as many as now; then look: go on to 2,000 only if "
    )
    wanted = float(re.search(r"comes to ([\d.]+)% or more", asked.buy_next)[1]) / 100
    assert (asked.half_step.n, asked.half_step.until) == (1000, 2000)

    climbed = project.advise([*FIRST, *drawn(4, 414)], [500, 1000, 1414])
    assert climbed.kind == "collect more"
    assert climbed.buy_next == "586 more training rows, the rest of the doubling from 1,000"
    assert "if the half step's gain comes again" in climbed.sentence

    known = [FIRST[number % 1000] for number in range(414)]
    stopped = project.advise([*FIRST, *known], [500, 1000, 1414])
    assert stopped.kind == "keep prompt"
    assert re.search(r"no rows: from 1,000 to 1,414 training rows linear on gold labels gained [+-]", stopped.buy_next)
    assert 0.78 < wanted < 0.86
