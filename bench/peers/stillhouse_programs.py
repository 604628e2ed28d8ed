"""The programs of `flow_peers` on Stillhouse."""

import asyncio
import json
from importlib.metadata import version

from programs import FOLDER, PROGRAM, charged_backup, charged_primary, fetched, flown, held, paid, railed, ticket_for

from stillhouse import flow, step


@step
async def fetch(item: str) -> str:
    return await fetched(item)


@step
async def ticket(text: str) -> int:
    return ticket_for(text)


@step
async def pay(number: int, item: str) -> str:
    return paid(number, item)


@step
async def primary() -> str:
    return charged_primary()


@step
async def backup() -> str:
    return charged_backup()


@step
async def plane() -> str:
    return await flown()


@step
async def train() -> str:
    return railed()


@step
async def hold() -> str:
    return await held()


async def branch(item: str) -> str:
    return await pay(await ticket(await fetch(item)), item)


@flow
async def tickets() -> list[str]:
    results = await asyncio.gather(branch("a"), branch("b"))
    await hold()
    return list(results)


@flow
async def failure() -> str:
    try:
        by = await primary()
    except ConnectionError:
        by = await backup()
    await hold()
    return by


@flow
async def timeout() -> str:
    try:
        async with asyncio.timeout(0.3):
            by = await plane()
    except TimeoutError:
        by = await train()
    await hold()
    return by


result = asyncio.run(
    {"tickets": tickets, "failure": failure, "timeout": timeout}[PROGRAM].run("r", store=FOLDER / "journal.db")
)
print(json.dumps({"version": version("stillhouse"), "result": result}))
