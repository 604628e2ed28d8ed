"""Microseconds a journaled step costs, against the same functions awaited bare: 10 steps, a fan-out of 100, a loop of 1,000; medians of several turns."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from stillhouse import flow, step
from stillhouse.flow.engine import Flow

TURNS = 5


@step
async def add(n: int) -> int:
    return n + 1


async def bare(n: int) -> int:
    return n + 1


def shapes(call: Callable[[int], Awaitable[int]]) -> dict[str, tuple[int, Callable[[], Awaitable[object]]]]:
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


def main() -> dict[str, object]:
    """What a run costs as a whole (lock, journal, begin and end included), per step."""
    found: dict[str, object] = {"what": f"microseconds per step, SQLite WAL with synchronous NORMAL, a new run each; median of {TURNS}"}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "journal.db"
        for name, (count, body) in shapes(add).items():
            measured = as_flow(body, name)
            times = [asyncio.run(seconds(measured.run(f"{count}-{turn}", store=store))) for turn in range(TURNS)]
            plain = [asyncio.run(seconds(shapes(bare)[name][1]())) for _ in range(TURNS)]
            found[name] = {"journaled": round(1e6 * statistics.median(times) / count, 1), "bare": round(1e6 * statistics.median(plain) / count, 2)}
    return found | {"versions": {"python": sys.version.split()[0]}}
