"""DBOS on SQLite, as it comes: microseconds a step."""

import asyncio
import json
import logging
import sys
import tempfile
import time
from importlib.metadata import version

from dbos import DBOS

logging.disable(logging.CRITICAL)
folder = tempfile.TemporaryDirectory()
DBOS(config={"name": "peer", "system_database_url": f"sqlite:///{folder.name}/peer.sqlite", "log_level": "CRITICAL", "run_admin_server": False})


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
    found = {}
    for name, count, flow in (("10 steps", 10, ten), ("fan-out 100", 100, fan_out), ("loop 1,000", 1000, loop)) * 2:  # the second time counts
        began = time.perf_counter()
        await flow(0)
        found[name] = (time.perf_counter() - began) / count * 1e6
    json.dump({"version": version("dbos"), "us": found}, sys.stdout)


asyncio.run(main())
sys.stdout.flush()
DBOS.destroy()
