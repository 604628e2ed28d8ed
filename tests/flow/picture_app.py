"""An app with every way in which a flow's source joins calls."""

import asyncio
from typing import Literal

from stillhouse import flow, step
from stillhouse.flow import agent, ask_human, decide, limits, tool, until


@tool
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


helper = agent("You add numbers.", tools=[add], name="adder")


@step
async def price(item: str) -> float:
    return 1.0


@step
async def kind(item: str) -> Literal["a", "b"]:
    """Which one is it?"""


@step(name="pair")
async def both(item: str) -> float:
    return await price(item) + await price(item)


async def tried(item):
    for _ in range(3):
        try:
            return await price(item)
        except ValueError:
            await both(item)
    return await price("other")


@flow
async def sequence(item: str) -> float:
    """One after the other.

    And more words.
    """
    first = await kind(item)
    await asyncio.sleep(0)
    print(len(first))
    return await price(await kind(first))


@flow
async def parallel(items: list[str]) -> None:
    await asyncio.gather(price("a"), both("b"))
    await asyncio.gather(*(price(item) for item in items))
    await asyncio.gather(*[both(item) for item in items], return_exceptions=True)
    await flow.map(price, items, at_once=8)
    async with asyncio.TaskGroup() as group:
        group.create_task(price("a"))
        group.create_task(kind("b"))
    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(price(item))
    for done in asyncio.as_completed([price("a"), kind("b")]):
        await done


@flow
async def branches(item: str) -> str:
    found = await kind(item)
    if found == "a":
        return await kind("early")
    elif found == "b":
        await price("b")
    else:
        print("nothing to call")
    match found:
        case "a" | "b":
            await both("matched")
        case _:
            raise ValueError(found)
    return await kind("late") if found else await kind("later")


@flow
async def loops(items: list[str]) -> str:
    for item in items:
        await price(item)
    while await decide("More?", ["yes", "no"]) == "yes":
        if not items:
            break
        await price(items.pop())
    async for turn in until("Is it complete?", at_most=5, name="judge"):
        turn.show(await price("draft"))
    return str([await price(item) for item in items])


@flow
async def everything(item: str) -> str:
    mine = agent("You help.", name="mine")
    if await decide("Does it need arithmetic?", ["yes", "no"], item, threshold=0.8, otherwise="no") == "yes":
        async with limits(steps=30, dollars=0.1):
            item = await helper(item)
    await mine(item)
    await add(a=1, b=2)
    await tried(item)
    await sequence(item)
    return await ask_human(f"Send {item}?", ["yes", "no"])


async def endless(n):
    await price(str(n))
    await endless(n - 1)


@flow
async def recursive(n: int) -> None:
    await endless(n)


@flow
async def nothing(n: int) -> int:
    return n


@flow
async def labelled(question: str) -> None:
    if await decide("Is it urgent?", ["yes", "no"], question, name="urgent") == "yes":
        await price("a")
    elif await decide("Is it late?", ["yes", "no"], question) == "yes":
        await price("b")
