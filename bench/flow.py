"""Microseconds a journaled step costs, against plain asyncio and against peers, all in one run; and the engine's other promises.

Shapes: 10 steps, a fan-out of 100, a loop of 1,000, each a new run with everything a run costs (its owner's lock, begin, end). Peers run in environments of
their own in the folder `PEERS` (default: a cache beside the results that git does not keep); one that cannot be installed is reported as absent.
All take turns, so that a busy machine is as busy for one as for the other.
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

TURNS = 5
HERE = Path(__file__).parent
PEERS = {
    "langgraph": ("langgraph==1.2.22", "langgraph-checkpoint-sqlite"),
    "dbos": ("dbos==3.4.0",),
    "burr": ("apache-burr==0.43.0",),
    "pydantic_graph": ("pydantic-graph==2.68.0",),
}
DURABLE = ("langgraph", "dbos", "burr")
Shapes = dict[str, tuple[int, Callable[[], Awaitable[object]]]]


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


async def bare(n: int) -> int:
    return n + 1


def shapes(call: Callable[[int], Awaitable[int]]) -> Shapes:
    async def ten() -> None:
        for n in range(10):
            await call(n)

    async def fan_out() -> None:
        await asyncio.gather(*(call(n) for n in range(100)))

    async def loop() -> None:
        for n in range(1000):
            await call(n)

    return {"10 steps": (10, ten), "fan-out 100": (100, fan_out), "loop 1,000": (1000, loop)}


def as_flow(body: Callable[[], Awaitable[object]], name: str) -> Flow[[], None]:
    async def whole() -> None:
        await body()

    made: Flow[[], None] = flow(whole, name=name)
    return made


async def seconds(started: Awaitable[object]) -> float:
    began = time.perf_counter()
    await started
    return time.perf_counter() - began


def ours() -> dict[str, float]:
    """One turn on SQLite, WAL with synchronous NORMAL; as with the peers the second time counts: the first one opens the journal."""

    async def turn(store: Path) -> dict[str, float]:
        found: dict[str, float] = {}
        flows = {name: (count, as_flow(body, name)) for name, (count, body) in shapes(add).items()}
        for name, (count, made) in [*flows.items()] * 2:
            found[name] = 1e6 * await seconds(made.run(f"run-{count}-{name in found}", store=store)) / count
        return found

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(turn(Path(folder) / "journal.db"))


def plain() -> dict[str, float]:
    return {name: 1e6 * asyncio.run(seconds(body())) / count for name, (count, body) in shapes(bare).items()}


def environment(name: str, folder: Path, packages: Sequence[str]) -> tuple[Path, str | None]:
    """The Python of an environment of a peer's own, made where it is not there; and why it cannot be made, or None."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        made = subprocess.run([python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True, check=False)
        if made.returncode:
            return python, made.stderr.strip().splitlines()[-1]
    return python, None


def peer(name: str, folder: Path) -> dict[str, Any]:
    """One turn of a peer: its version and its microseconds; or why it is absent."""
    python, problem = environment(name, folder, PEERS[name])
    if problem:
        return {"absent": problem}
    ran = subprocess.run([python, str(HERE / "peers" / f"{name}_peer.py")], capture_output=True, text=True, check=False, cwd=folder)
    try:
        found: dict[str, Any] = json.loads(ran.stdout[ran.stdout.index('{"version') :])
        return found
    except ValueError:
        return {"absent": (ran.stderr.strip().splitlines() or ["no output"])[-1]}


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(turn[name] for turn in turns), 1) for name in turns[0]}


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
    folder = Path(os.environ.get("PEERS", HERE / "results" / ".peers"))
    folder.mkdir(parents=True, exist_ok=True)
    mine, none = [ours()], [plain()]
    found: dict[str, list[dict[str, Any]]] = {name: [peer(name, folder)] for name in PEERS}
    mine, none = [], []
    for _ in range(TURNS):
        mine.append(ours())
        none.append(plain())
        for name in PEERS:
            if "absent" not in found[name][0]:
                found[name].append(peer(name, folder))
    peers: dict[str, dict[str, Any]] = {}
    for name, turns in found.items():
        absent = "absent" in turns[0]
        peers[name] = turns[0] if absent else {"version": turns[0]["version"]} | medians([turn["us"] for turn in turns[1:]])
    us = medians(mine)
    fastest = {shape: min((peers[name][shape] for name in DURABLE if shape in peers[name]), default=None) for shape in us}
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "journal.db"
        at_once = statistics.median(asyncio.run(fifty_flows(store.with_name(f"{turn}.db"))) for turn in range(TURNS))
        resumed = statistics.median(asyncio.run(resume_ms(store.with_name(f"resume-{turn}.db"))) for turn in range(3))
    return {
        "what": f"microseconds per step, a new run each, median of {TURNS} turns in turn with the peers",
        "stillhouse": us,
        "plain asyncio": medians(none),
        "peers": peers,
        "times faster than the fastest durable peer": {shape: None if other is None else round(other / us[shape], 1) for shape, other in fastest.items()},
        "50 flows of 10 steps of 50 ms at once, seconds (ideal 0.50)": round(at_once, 3),
        "resume to the first new step after 10,000, ms": round(resumed, 1),
        "bytes stored of an 8 MB output that three steps return": stored_bytes_of_an_8_mb_output(),
        "import stillhouse, ms over a bare interpreter": round(import_ms(), 1),
        "load average": os.getloadavg()[0],
        "versions": {"python": sys.version.split()[0]},
    }
