"""The programs of `flow_peers` on DBOS with SQLite. `steps`: the branches are plain coroutines; `workflows`: they are workflows started by the workflow."""

import asyncio
import json
import logging
import sys
from importlib.metadata import version

from dbos import DBOS, SetWorkflowID
from programs import (
    FIRST,
    FOLDER,
    PROGRAM,
    charged_backup,
    charged_primary,
    fetched,
    flown,
    held,
    paid,
    railed,
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


async def main() -> None:
    DBOS.launch()  # takes up what was under way when the process died
    if FIRST:
        with SetWorkflowID("r"):
            handle = await DBOS.start_workflow_async(
                {"tickets": tickets, "failure": failure, "timeout": timeout}[PROGRAM]
            )
    else:
        handle = await DBOS.retrieve_workflow_async("r")
    print(json.dumps({"version": version("dbos"), "result": await handle.get_result()}))


asyncio.run(main())
DBOS.destroy()
