"""Ours, with its default journal (SQLite in WAL, synchronous NORMAL): microseconds a journaled step, each time in a new run."""

import asyncio
import itertools
import tempfile
from pathlib import Path

from times import Times

from stillhouse import __version__, flow, step


@step
async def add(n: int) -> int:
    return n + 1


@flow
async def ten() -> None:
    for n in range(10):
        await add(n)


@flow
async def fan_out() -> None:
    await asyncio.gather(*(add(n) for n in range(100)))


@flow
async def loop() -> None:
    for n in range(1000):
        await add(n)


async def main(store: Path) -> None:
    shapes = {"10 steps": ten, "fan-out 100": fan_out, "loop 1,000": loop}
    times, number = Times(), itertools.count()
    for name, _ in times:
        with times.of(name):
            await shapes[name].run(f"run-{next(number)}", store=store)
    times.tell(__version__)


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder) / "journal.db"))
