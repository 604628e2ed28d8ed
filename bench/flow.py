"""Microseconds a journaled step costs, against plain asyncio and against peers, all in one run; and the engine's other promises.

Shapes: 10 steps, a fan-out of 100, a loop of 1,000. Each is a new run and pays all that a run costs (its owner's lock, its beginning and its end). In each
turn every system, ours too, runs in a process of its own. Each shape has a warm figure and a cold one (peers/times.py says how). Durable peers are timed with
their own defaults, which for some mean a disk flush per step, and again with the durability of our own journal: SQLite in WAL mode with synchronous NORMAL.

Peers run in environments of their own in the folder `PEERS` (default: a cache beside the results that git does not keep); one that cannot be installed is
reported as absent. All take turns, so that a busy machine is as busy for one as for the other.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from stillhouse import flow, step
from stillhouse.flow.engine import Flow
from stillhouse.store.sqlite_journal import SqliteJournal

TURNS = 3
HERE = Path(__file__).parent
PEERS = {
    "langgraph": ("langgraph==1.2.22", "langgraph-checkpoint-sqlite"),
    "dbos": ("dbos==3.4.0",),
    "burr": ("apache-burr==0.43.0",),
    "pydantic_graph": ("pydantic-graph==2.68.0",),
}
LIKE_OURS = "WAL + NORMAL"
DURABLE = ("langgraph", "dbos", "burr")
Figures = dict[str, dict[str, float]]  # "warm" and "cold", each by shape: microseconds a step


@step
async def add(n: int) -> int:
    return n + 1


@step
async def sleep_50_ms(n: int) -> int:
    await asyncio.sleep(0.05)
    return n


@step
async def large(n: int) -> str:
    return "x" * 8_000_000


def as_flow(body: Callable[[], Awaitable[object]], name: str) -> Flow[[], None]:
    async def whole() -> None:
        await body()

    made: Flow[[], None] = flow(whole, name=name)
    return made


async def seconds(started: Awaitable[object]) -> float:
    began = time.perf_counter()
    await started
    return time.perf_counter() - began


def environment(name: str, folder: Path, packages: Sequence[str]) -> tuple[Path, str | None]:
    """The Python of a peer's own environment, which is made where it is not there; and why it cannot be made, or None."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        made = subprocess.run(
            [python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True, check=False
        )
        if made.returncode:
            return python, made.stderr.strip().splitlines()[-1]
    return python, None


class System:
    """One of the systems that are compared: a program, the Python that runs it, and what its turns measured."""

    def __init__(self, name: str, python: str | Path, *settings: str, absent: str | None = None) -> None:
        self.name, self.absent = ", ".join((name, *settings)), absent
        self._command = [str(python), str(HERE / "peers" / f"{name}_peer.py"), *settings]
        self._turns: list[dict[str, Any]] = []
        self._failures: list[str] = []

    def turn(self, folder: Path) -> None:
        if self.absent is not None:
            return
        ran = subprocess.run(self._command, capture_output=True, text=True, check=False, cwd=folder)
        try:
            self._turns.append(json.loads(ran.stdout[ran.stdout.index('{"version') :]))
        except ValueError:
            lines = ran.stderr.strip().splitlines() or ["no output"]
            self._failures.append(next((line for line in reversed(lines) if "Error" in line), lines[-1]))

    def figures(self) -> Figures:
        """The medians of its turns; empty where it had none."""
        if not self._turns:
            return {}
        return {
            state: {
                name: round(statistics.median(turn[state][name] for turn in self._turns), 1)
                for name in self._turns[0][state]
            }
            for state in ("warm", "cold")
        }

    def told(self) -> dict[str, Any]:
        if self.absent is not None:
            return {"absent": self.absent}
        failed = {"turns that failed": self._failures} if self._failures else {}
        return (
            {"version": self._turns[0]["version"] if self._turns else None, "turns": len(self._turns)}
            | self.figures()
            | failed
        )


def peers(folder: Path) -> list[System]:
    found = []
    for name, packages in PEERS.items():
        python, problem = environment(name, folder, packages)
        found += [
            System(name, python, *settings, absent=problem)
            for settings in ([()] if name not in DURABLE else [(), (LIKE_OURS,)])
        ]
    return found


def times_faster(ours: Figures, others: Sequence[System]) -> Figures:
    """The time of the fastest other system over ours, warm against warm and cold against cold. A shape that no other system has is left out."""
    found: Figures = {}
    for state, by_shape in ours.items():
        found[state] = {}
        for shape, us in by_shape.items():
            theirs = [figures[state][shape] for one in others if shape in (figures := one.figures()).get(state, {})]
            if theirs:
                found[state][shape] = round(min(theirs) / us, 1)
    return found


async def fifty_flows(store: Path) -> float:
    """Seconds that 50 flows of 10 steps of 50 ms take at once; ideal: 0.50."""

    async def ten() -> None:
        for n in range(10):
            await sleep_50_ms(n)

    made = as_flow(ten, "fifty")
    await made.run("warm", store=store)
    return await seconds(asyncio.gather(*(made.run(f"fifty-{n}", store=store) for n in range(50))))


async def resume_ms(store: Path, n: int = 10_000) -> float:
    """Milliseconds from the start of a resumed run of `n` journaled steps to its first new step."""
    reached = 0.0
    fails = True

    @step(name="last")
    async def last() -> None:
        nonlocal reached
        reached = time.perf_counter()
        if fails:
            raise ConnectionError

    async def whole() -> None:
        for number in range(n):
            await add(number)
        await last()

    made: Flow[[], None] = flow(whole, name="long")
    try:
        await made.run("long", store=store)
    except ConnectionError:
        fails = False
    began = time.perf_counter()
    await made.run("long", store=store)
    return 1000 * (reached - began)


def stored_bytes_of_an_8_mb_output() -> int:
    """Bytes of the journal's texts after three steps returned the same 8 MB."""

    async def thrice() -> None:
        for _ in range(3):
            await large(1)

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "journal.db"
        asyncio.run(as_flow(thrice, "large").run("large", store=store))
        journal = SqliteJournal(store)
        (found,) = journal._db.execute("SELECT SUM(LENGTH(text)) FROM texts").fetchone()
        journal.close()
        return int(found)


def import_ms() -> float:
    def once(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return 1000 * (time.perf_counter() - began)

    return statistics.median(once("import stillhouse") - once("pass") for _ in range(9))


def main() -> dict[str, object]:
    """All of it. Microseconds are per step and include what the run around the steps costs."""
    folder = Path(os.environ.get("PEERS", HERE / "results" / ".peers")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ours, plain, others = System("stillhouse", sys.executable), System("asyncio", sys.executable), peers(folder)
    for _ in range(TURNS):
        for one in (ours, plain, *others):
            one.turn(folder)
    durable = [one for one in others if one.name.partition(",")[0] in DURABLE]
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "journal.db"
        at_once = statistics.median(asyncio.run(fifty_flows(store.with_name(f"{turn}.db"))) for turn in range(5))
        resumed = [asyncio.run(resume_ms(store.with_name(f"resume-{turn}.db"))) for turn in range(5)]
    return {
        "what": f"microseconds per step, a new run each, medians of {TURNS} turns; cold: the second run in its process, warm: the median of the further ones",
        "stillhouse": ours.told(),
        "plain asyncio": plain.told(),
        "peers": {one.name: one.told() for one in others},
        "times faster than the fastest durable peer as it comes": times_faster(
            ours.figures(), [one for one in durable if LIKE_OURS not in one.name]
        ),
        f"times faster than the fastest durable peer in {LIKE_OURS}": times_faster(
            ours.figures(), [one for one in durable if LIKE_OURS in one.name]
        ),
        "50 flows of 10 steps of 50 ms at once, seconds (ideal 0.50)": round(at_once, 3),
        "resume to the first new step after 10,000, ms, median of 5": round(statistics.median(resumed), 1),
        "bytes stored of an 8 MB output that three steps return": stored_bytes_of_an_8_mb_output(),
        "import stillhouse, ms over a bare interpreter": round(import_ms(), 1),
        "load average": os.getloadavg()[0],
        "versions": {"python": sys.version.split()[0]},
    }
