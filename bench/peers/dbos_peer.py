"""DBOS on SQLite: microseconds a step."""

import asyncio
import logging
import tempfile
from importlib.metadata import version
from typing import Any

import sqlalchemy
from dbos import DBOS
from times import LIKE_OURS, Times

if LIKE_OURS:

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def as_our_journal(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


logging.disable(logging.CRITICAL)
folder = tempfile.TemporaryDirectory()
DBOS(
    config={
        "name": "peer",
        "system_database_url": f"sqlite:///{folder.name}/peer.sqlite",
        "log_level": "CRITICAL",
        "run_admin_server": False,
    }
)


@DBOS.step()
async def add(n: int) -> int:
    return n + 1


@DBOS.workflow()
async def ten(n: int) -> int:
    for _ in range(10):
        n = await add(n)
    return n


@DBOS.workflow()
async def fan_out(n: int) -> int:
    return sum(await asyncio.gather(*(add(number) for number in range(100))))


@DBOS.workflow()
async def loop(n: int) -> int:
    for _ in range(1000):
        n = await add(n)
    return n


async def main() -> None:
    DBOS.launch()
    shapes = {"10 steps": ten, "fan-out 100": fan_out, "loop 1,000": loop}
    times = Times()
    for name, _ in times:
        with times.of(name):
            await shapes[name](0)
    times.tell(version("dbos"))


asyncio.run(main())
DBOS.destroy()
