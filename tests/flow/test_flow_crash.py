"""Flows killed with SIGKILL and resumed: each step paid once, the one in flight at most twice, and never an answer in the wrong branch."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

APP = """
import asyncio, os, sys
from pathlib import Path
from stillhouse import flow, step

LOG = Path(os.environ["PAID"])


@step
async def pay(branch: str, n: int) -> str:
    with LOG.open("a") as log:
        log.write(f"{branch}{n}\\n")
    await asyncio.sleep(float(os.environ.get("TAKES", "0.02")))
    return f"{branch}{n}"


@flow
async def ten() -> list[str]:
    return [await pay("s", n) for n in range(10)]


async def branch(name: str, after: float) -> list[str]:
    await asyncio.sleep(after)
    return [await pay(name, 1), await pay(name, 2)]


def pauses() -> tuple[float, float]:
    return (0.004, 0.0) if os.environ.get("TURNED") else (0.0, 0.004)


@flow
async def gathered() -> list[list[str]]:
    first, second = pauses()
    return list(await asyncio.gather(branch("a", first), branch("b", second)))


@flow
async def grouped() -> list[list[str]]:
    first, second = pauses()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(branch("a", first)), group.create_task(branch("b", second))]
    return [task.result() for task in tasks]


@flow
async def completed() -> list[list[str]]:
    first, second = pauses()
    return sorted([await done for done in asyncio.as_completed([branch("a", first), branch("b", second)])])


if __name__ == "__main__":
    import json
    print(json.dumps(asyncio.run(globals()[sys.argv[1]].run(sys.argv[2]))))
"""


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app.py").write_text(APP)

    def start(name, run, **environment):
        command = [sys.executable, "app.py", name, run]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PAID": "paid.txt"} | environment,
        )

    def paid():
        path = tmp_path / "paid.txt"
        return path.read_text().splitlines() if path.exists() else []

    start.paid = paid
    return start


@pytest.mark.slow
def test_killed_in_step_five_of_ten_each_is_paid_once_and_the_one_in_flight_twice_at_most(app):
    process = app("ten", "r")
    while len(app.paid()) < 5:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    out, _ = app("ten", "r").communicate()
    assert json.loads(out) == [f"s{n}" for n in range(10)]
    counts = [app.paid().count(f"s{n}") for n in range(10)]
    assert counts[:4] == [1, 1, 1, 1]
    assert counts[4] <= 2
    assert counts[5:] == [1, 1, 1, 1, 1]


@pytest.mark.slow
def test_concurrent_branches_never_get_each_others_answers(app):
    """17 kills for each way to run two branches; on resume the other branch comes first, so that an engine that counts calls would swap them."""
    draw, killed = random.Random(5), 0
    for name in ("gathered", "grouped", "completed"):
        for number in range(17):
            before, run = len(app.paid()), f"{name}-{number}"
            process = app(name, run)
            target = before + draw.randint(1, 4)
            while process.poll() is None and len(app.paid()) < target:
                time.sleep(0.0005)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.wait()
            out, _ = app(name, run, TURNED="1", TAKES="0").communicate()
            assert json.loads(out) == [["a1", "a2"], ["b1", "b2"]], run
    assert killed >= 45
