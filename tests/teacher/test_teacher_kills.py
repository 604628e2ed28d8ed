"""`stillhouse label` killed with SIGKILL twenty times, wherever it happens to be: every row ends labelled once, and no finished call is ever paid twice.

A process that has all of it imported forks one that runs the command, so that twenty of them take seconds.
"""

import json
import random
import subprocess
import sys
from collections import Counter

import pytest

from mood_task import MOOD

TASK = (
    MOOD
    + """
[teacher]
model = "{model}"
concurrency = {in_flight}
"""
)
N, KILLS, IN_FLIGHT = 500, 20, 4
FORKER = """
import json, os, signal, sys, time
import aiohttp, httptools, scipy.stats
from stillhouse.cli import main
import stillhouse.cli.consent, stillhouse.commands.label, stillhouse.commands.step_task

folder, counted, targets = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])

def calls():
    try:
        with open(counted, "rb") as file:
            return file.read().count(b"\\n")
    except FileNotFoundError:
        return 0

killed = []
for target in [*targets, None]:
    before, child = calls(), os.fork()
    if child == 0:
        sys.argv = ["stillhouse", "label", folder, "--unpriced"]
        sys.stdout = sys.stderr = open(os.devnull, "w")
        code = 0
        try:
            main()
        except SystemExit as error:
            code = error.code or 0
        os._exit(code)
    ended = 0, 0
    while ended[0] == 0 and (target is None or calls() < before + target):
        time.sleep(0.0005)
        ended = os.waitpid(child, os.WNOHANG)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    killed.append(os.WIFSIGNALED(ended[1]))
print(json.dumps({"killed": killed, "last": ended[1]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_twenty_kills_lose_nothing_and_repeat_no_more_than_what_was_in_flight(endpoint, tmp_path, seed):
    (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url("slow"), in_flight=IN_FLIGHT))
    rows = [{"id": f"r{i}", "input": f"day {i} was {('good', 'awful')[i % 2]}"} for i in range(N)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    draw = random.Random(seed)
    targets = [draw.randint(1, 24) for _ in range(KILLS)]
    command = [sys.executable, "-c", FORKER, str(tmp_path), str(endpoint.folder / "calls"), json.dumps(targets)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (found["killed"], found["last"]) == ([True] * KILLS + [False], 0)
    calls = endpoint.calls()
    labelled = [json.loads(line) for line in (tmp_path / "teacher.jsonl").read_text().splitlines()]
    assert [row["id"] for row in labelled] == [row["id"] for row in rows]  # all of them, once, in their order
    assert all(row["teacher_label"] == ("good" if "good" in row["input"] else "bad") for row in labelled)
    assert len(calls) == N
    assert calls.total() - N <= KILLS * IN_FLIGHT
    assert Counter(calls.values()).keys() <= set(range(1, KILLS + 2))
    assert not list(tmp_path.glob(".teacher.jsonl.*[!k]"))  # no torn file is left but the lock
