"""The programs of `flow_peers` on DBOS with SQLite. `steps`: the branches are plain coroutines; `workflows`: they are workflows started by the workflow."""

import asyncio
import json
import logging
import os
import sys
from importlib.metadata import version

from dbos import DBOS, SetWorkflowID
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

logging.disable(logging.CRITICAL)
DBOS(
    config={
        "name": "peer",
        "system_database_url": f"sqlite:///{FOLDER}/peer.sqlite",
        "log_level": "CRITICAL",
        "run_admin_server": False,
    }
)
BY_WORKFLOWS = sys.argv[4:] == ["workflows"]


@DBOS.step()
async def fetch(item: str) -> str:
    return await fetched(item)


@DBOS.step()
async def ticket(text: str) -> int:
    return ticket_for(text)


@DBOS.step()
async def pay(number: int, item: str) -> str:
    return paid(number, item)


@DBOS.step()
async def primary() -> str:
    return charged_primary()


@DBOS.step()
async def backup() -> str:
    return charged_backup()


@DBOS.step()
async def plane() -> str:
    return await flown()


@DBOS.step()
async def train() -> str:
    return railed()


@DBOS.step()
async def hold() -> str:
    return await held()


@DBOS.step()
async def send(item: str) -> str:
    return sent(item)


async def asked(item: str) -> str:
    await DBOS.set_event_async(item, "asked")
    return await DBOS.recv_async(item, timeout_seconds=60)


async def branch(item: str) -> str:
    return await pay(await ticket(await fetch(item)), item)


@DBOS.workflow()
async def branch_workflow(item: str) -> str:
    return await branch(item)


@DBOS.workflow()
async def tickets() -> list[str]:
    if BY_WORKFLOWS:
        handles = [await DBOS.start_workflow_async(branch_workflow, item) for item in "ab"]
        results = [await handle.get_result() for handle in handles]
    else:
        results = list(await asyncio.gather(branch("a"), branch("b")))
    await hold()
    return results


@DBOS.workflow()
async def failure() -> str:
    try:
        by = await primary()
    except ConnectionError:
        by = await backup()
    await hold()
    return by


@DBOS.step(name="timed plane", timeout_seconds=0.3)
async def timed_plane() -> str:
    return await flown()


@DBOS.workflow()
async def timeout() -> str:
    try:
        by = await timed_plane()
    except Exception as error:
        if "imeout" not in type(error).__name__:
            raise
        by = await train()
    await hold()
    return by


@DBOS.workflow()
async def question() -> list[str]:
    if BY_WORKFLOWS:
        handles = [await DBOS.start_workflow_async(branch_workflow, item) for item in "ab"]
        results = [await handle.get_result() for handle in handles]
    else:
        results = list(await asyncio.gather(branch("a"), branch("b")))
    return [*results, await asked("go on")]


@DBOS.workflow()
async def asked_workflow(item: str) -> str:
    return await asked(item)


@DBOS.workflow()
async def approvals() -> list[str]:
    if BY_WORKFLOWS:
        handles = []
        for item in "ab":
            with SetWorkflowID(f"r-{item}"):
                handles.append(await DBOS.start_workflow_async(asked_workflow, item))
        answers = await asyncio.gather(*(handle.get_result() for handle in handles), return_exceptions=True)
    else:
        answers = await asyncio.gather(*map(asked, "ab"), return_exceptions=True)
    return [await send(item) for item, answer in zip("ab", answers, strict=True) if answer != "no"]


PROGRAMS = {"tickets": tickets, "failure": failure, "timeout": timeout, "question": question, "approvals": approvals}
ASKED = {"question": ["go on"], "approvals": ["a", "b"]}.get(PROGRAM, [])  # the topics of the questions


def who_asks(topic: str) -> str:
    return f"r-{topic}" if BY_WORKFLOWS and PROGRAM == "approvals" else "r"


async def main() -> None:
    DBOS.launch()  # takes up what was under way when the process died
    if FIRST:
        with SetWorkflowID("r"):
            handle = await DBOS.start_workflow_async(PROGRAMS[PROGRAM])
        for topic in ASKED:
            await DBOS.get_event_async(who_asks(topic), topic, timeout_seconds=20)
        if ASKED:
            did("parked")
            os._exit(0)  # the process ends; the questions are open
    else:
        if ASKED:
            did("answered")
        for topic in ASKED:
            await DBOS.send_async(who_asks(topic), "yes", topic)
        handle = await DBOS.retrieve_workflow_async("r")
    print(json.dumps({"version": version("dbos"), "result": await handle.get_result()}))


asyncio.run(main())
DBOS.destroy()
