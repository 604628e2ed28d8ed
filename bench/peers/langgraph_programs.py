"""The programs of `flow_peers` on LangGraph with its SQLite saver, each change written before the next step begins.

`functional`: entrypoint and tasks. `graph`: a branch is a graph of its own, sent for each item.
"""

import asyncio
import json
import operator
import sys
from importlib.metadata import version
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
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

BY_GRAPH = sys.argv[4:] == ["graph"]


@task
async def fetch(item: str) -> str:
    return await fetched(item)


@task
async def ticket(text: str) -> int:
    return ticket_for(text)


@task
async def pay(number: int, item: str) -> str:
    return paid(number, item)


@task
async def primary() -> str:
    return charged_primary()


@task
async def backup() -> str:
    return charged_backup()


@task
async def plane() -> str:
    return await flown()


@task
async def train() -> str:
    return railed()


@task
async def hold() -> str:
    return await held()


@task
async def send(item: str) -> str:
    return sent(item)


def functional(saver):
    async def branch(item: str) -> str:
        return await pay(await ticket(await fetch(item)), item)

    @entrypoint(checkpointer=saver)
    async def tickets(_: str) -> list[str]:
        results = await asyncio.gather(branch("a"), branch("b"))
        await hold()
        return list(results)

    @entrypoint(checkpointer=saver)
    async def failure(_: str) -> str:
        try:
            by = await primary()
        except ConnectionError:
            by = await backup()
        await hold()
        return by

    @entrypoint(checkpointer=saver)
    async def timeout(_: str) -> str:
        try:
            by = await asyncio.wait_for(plane(), 0.3)
        except TimeoutError:
            by = await train()
        await hold()
        return by

    @entrypoint(checkpointer=saver)
    async def question(_: str) -> list[str]:
        results = await asyncio.gather(branch("a"), branch("b"))
        return [*results, interrupt("go on?")]

    async def asked(item: str) -> str:
        return interrupt(f"send {item}?")

    @entrypoint(checkpointer=saver)
    async def approvals(_: str) -> list[str]:
        answers = await asyncio.gather(*map(asked, "ab"), return_exceptions=True)
        return [await send(item) for item, answer in zip("ab", answers, strict=True) if answer != "no"]

    made = {"tickets": tickets, "failure": failure, "timeout": timeout, "question": question, "approvals": approvals}
    return made[PROGRAM]


class OfBranch(TypedDict, total=False):
    item: str
    text: str
    number: int
    results: Annotated[list[str], operator.add]


class Whole(TypedDict, total=False):
    results: Annotated[list[str], operator.add]
    by: str


def graph(saver):
    async def hold_node(state):
        if PROGRAM == "question":
            return {"by": interrupt("go on?")}
        await held()
        return {}

    whole = StateGraph(Whole)
    whole.add_node("hold", hold_node)
    whole.add_edge("hold", END)
    if PROGRAM == "approvals":

        async def approved(state):
            answer = interrupt(f"send {state['item']}?")
            return {"results": [] if answer == "no" else [sent(state["item"])]}

        whole = StateGraph(Whole)
        whole.add_node("approved", approved)
        whole.add_conditional_edges(START, lambda _: [Send("approved", {"item": item}) for item in "ab"], ["approved"])
        whole.add_edge("approved", END)
        return whole.compile(checkpointer=saver)

    if PROGRAM in ("tickets", "question"):

        async def fetch_node(state):
            return {"text": await fetched(state["item"])}

        async def ticket_node(state):
            return {"number": ticket_for(state["text"])}

        async def pay_node(state):
            return {"results": [paid(state["number"], state["item"])]}

        branch = StateGraph(OfBranch)
        branch.add_node("fetch", fetch_node)
        branch.add_node("ticket", ticket_node)
        branch.add_node("pay", pay_node)
        branch.add_edge(START, "fetch")
        branch.add_edge("fetch", "ticket")
        branch.add_edge("ticket", "pay")
        whole.add_node("branch", branch.compile())
        whole.add_conditional_edges(START, lambda _: [Send("branch", {"item": item}) for item in "ab"], ["branch"])
        whole.add_edge("branch", "hold")
        return whole.compile(checkpointer=saver)

    async def tried(state):  # an edge cannot take a failure: the node that fails catches it and says so
        try:
            async with asyncio.timeout(0.3):
                return {"by": charged_primary() if PROGRAM == "failure" else await flown()}
        except (ConnectionError, TimeoutError):
            return {"by": ""}

    async def instead(state):
        return {"by": charged_backup() if PROGRAM == "failure" else railed()}

    whole.add_node("tried", tried)
    whole.add_node("instead", instead)
    whole.add_edge(START, "tried")
    whole.add_conditional_edges("tried", lambda state: "hold" if state["by"] else "instead", ["hold", "instead"])
    whole.add_edge("instead", "hold")
    return whole.compile(checkpointer=saver)


async def main() -> None:
    async with AsyncSqliteSaver.from_conn_string(f"{FOLDER}/peer.db") as saver:
        made = graph(saver) if BY_GRAPH else functional(saver)
        given, config = ({} if BY_GRAPH else "begin") if FIRST else None, {"configurable": {"thread_id": "r"}}
        if PROGRAM in ("question", "approvals") and not FIRST:
            did("answered")
            open_now = (await made.aget_state(config)).interrupts
            given = Command(resume={each.id: "yes" for each in open_now}) if open_now else None
        result = await made.ainvoke(given, config, durability="sync")
        if FIRST and (await made.aget_state(config)).interrupts:
            did("parked")
    if BY_GRAPH:
        result = result["by"] if PROGRAM in ("failure", "timeout") else sorted(result["results"])
    print(json.dumps({"version": version("langgraph"), "result": result}, default=str))


asyncio.run(main())
