"""The programs of `flow_peers` on Stillhouse."""

import asyncio
import json
from importlib.metadata import version

from programs import (
    FIRST,
    FOLDER,
    PROGRAM,
    charged_backup,
    charged_primary,
    did,
    fetched,
    flown,
    held,
    paid,
    railed,
    sent,
    ticket_for,
)

from stillhouse import flow, step
from stillhouse.flow import ask_human


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


@step
async def send(item: str) -> str:
    return sent(item)


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


@flow
async def question() -> list[str]:
    results = await asyncio.gather(branch("a"), branch("b"))
    return [*results, await ask_human("go on?")]


@flow
async def approvals() -> list[str]:
    answers = await asyncio.gather(*(ask_human(f"send {item}?") for item in "ab"), return_exceptions=True)
    return [await send(item) for item, answer in zip("ab", answers, strict=True) if answer != "no"]


async def main() -> object:
    flows = {"tickets": tickets, "failure": failure, "timeout": timeout, "question": question, "approvals": approvals}
    made, store = flows[PROGRAM], FOLDER / "journal.db"
    if not FIRST and PROGRAM in ("question", "approvals"):
        did("answered")
        for asked in flow.runs(store=store)[0].questions:
            flow.answer("r", "yes", question=asked, store=store)
    while True:
        try:
            return await made.run("r", store=store)
        except flow.Parked as parked:
            if FIRST:
                did("parked")
                return "parked"
            flow.answer("r", "yes", question=parked.question, store=store)


result = asyncio.run(main())
print(json.dumps({"version": version("stillhouse"), "result": result}))
