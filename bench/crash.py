"""How often does an answer land in the wrong branch, and how often is a finished call paid for again, where a run is killed and resumed?

A run has two concurrent branches of two paid calls each. It is killed with SIGKILL at a random moment and resumed with the branches in the other order. Each
run is a process of its own, forked from this one so that the imports are done once. Each call writes that it was paid to a file and flushes it to disk. The
branches run under `gather`, `TaskGroup` and `as_completed` in turn.
"""

import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from stillhouse import flow, step

N = int(os.environ.get("N", "1000"))
WAYS = ("gather", "TaskGroup", "as_completed")
paid_file = Path()
first_waits = 0.0  # seconds that branch a comes later than branch b


def note_payment(what: str) -> None:
    with paid_file.open("a") as log:
        log.write(f"{what}\n")
        log.flush()
        os.fsync(log.fileno())


@step
async def pay(run: str, branch: str, n: int) -> str:
    note_payment(f"{branch}{n}")
    await asyncio.sleep(0.004)
    return f"{branch}{n}"


async def branch(run: str, name: str) -> list[str]:
    await asyncio.sleep(max(0.0, first_waits if name == "a" else -first_waits))
    return [await pay(run, name, 1), await pay(run, name, 2)]


@flow
async def two_branches(run: str, way: str) -> list[list[str]]:
    if way == "gather":
        return list(await asyncio.gather(branch(run, "a"), branch(run, "b")))
    if way == "TaskGroup":
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(branch(run, name)) for name in "ab"]
        return [task.result() for task in tasks]
    return sorted([await done for done in asyncio.as_completed([branch(run, "a"), branch(run, "b")])])


def sitting(folder: str, run: str, way: str, waits: float) -> None:
    """One process: run, or go on with the run, and write the result."""
    global paid_file, first_waits
    paid_file, first_waits = Path(folder) / f"{run}.paid", waits
    result = asyncio.run(two_branches.run(run, run, way, store=Path(folder) / "journal.db"))
    (Path(folder) / run).write_text(json.dumps(result))


def calls_in(paid: Path) -> list[str]:
    return paid.read_text().splitlines() if paid.exists() else []


def main() -> dict[str, object]:
    """Kill and resume N runs."""
    fork, draw = multiprocessing.get_context("fork"), random.Random(7)
    wrong = killed = 0
    twice: list[int] = []  # of each run, how many of its calls were paid a second time
    with tempfile.TemporaryDirectory() as folder:
        for number in range(N):
            run, way = f"run-{number}", WAYS[number % 3]
            process = fork.Process(target=sitting, args=(folder, run, way, -0.002))
            process.start()
            paid = Path(folder) / f"{run}.paid"
            after = draw.randint(1, 4)
            while process.is_alive() and len(calls_in(paid)) < after:
                time.sleep(0.0003)
            time.sleep(draw.uniform(0.0, 0.004))
            if process.is_alive():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
            process.join()
            resumed = fork.Process(target=sitting, args=(folder, run, way, 0.002))
            resumed.start()
            resumed.join()
            wrong += json.loads((Path(folder) / run).read_text()) != [["a1", "a2"], ["b1", "b2"]]
            twice.append(sum(count - 1 for count in Counter(calls_in(paid)).values()))
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {N}: {killed} killed, {wrong} wrong", end="", file=sys.stderr)
    return {
        "what": "two concurrent branches of two paid calls, SIGKILL at a random moment, resumed with the branches' order turned round",
        "runs": N,
        "killed": killed,
        "an answer in the wrong branch": wrong,
        "runs that paid more calls twice than can be in flight (one a branch)": sum(extra > 2 for extra in twice),
        "calls paid twice": sum(twice),
    }
