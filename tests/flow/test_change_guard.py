"""`flow.version`: runs under way keep the old way where they had passed the place, and new ones take the new way."""

import asyncio

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError

ran: list[str] = []
stops = False


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran.clear()


@step
async def charge(how: str) -> str:
    ran.append(how)
    return how


@step
async def stop(where: str) -> None:
    if stops:
        raise OSError(where)


async def stopped(running, *args):
    global stops
    stops = True
    with pytest.raises(OSError, match="here"):
        await running.run("r", *args)
    stops = False


def flow_of(body):
    return flow(name="main")(body)


async def test_a_new_run_takes_the_newest_version_and_keeps_it():
    newest = 1

    async def body() -> int:
        taken = flow.version("change", newest)
        await stop("here")
        return taken

    await stopped(flow_of(body))
    newest = 2
    assert await flow_of(body).run("r") == 1
    assert await flow_of(body).run("other") == 2
    assert flow.version("outside") == 1


async def test_a_run_that_had_passed_the_place_takes_the_old_way_and_one_that_had_not_the_new_one():
    async def before() -> str:
        await charge("first")
        await charge("old")
        await stop("here")
        return "old"

    async def after() -> str:
        await charge("first")
        if flow.version("two steps") >= 1:
            return await charge("new")
        await charge("old")
        await stop("here")
        return "old"

    await stopped(flow_of(before))
    assert await flow_of(after).run("r") == "old"
    assert ran == ["first", "old"]


async def test_a_run_that_stopped_before_the_place_takes_the_new_way():
    async def only_first() -> str:
        await charge("first")
        await stop("here")
        return ""

    async def at_the_stop() -> str:
        await charge("first")
        await stop("here")
        return await charge("new" if flow.version("two steps") else "old")

    await stopped(flow_of(only_first))
    assert await flow_of(at_the_stop).run("r") == "new"


async def test_the_answer_holds_for_the_whole_run():
    rounds = []

    async def before(n: int) -> None:
        for number in range(n):
            await charge(f"old {number}")
            if number == 1:
                await stop("here")

    async def after(n: int) -> None:
        for number in range(n):
            rounds.append(flow.version("loop"))
            await charge(f"old {number}")
            if number == 1:
                await stop("here")

    await stopped(flow_of(before), 4)
    await flow_of(after).run("r", 4)
    assert rounds == [0, 0, 0, 0]
    assert ran == [f"old {number}" for number in range(4)]


@pytest.mark.parametrize("shape", ["gather", "nested", "map"])
async def test_calls_of_branches_that_come_later_and_of_flows_around_count(shape):
    seen = []

    @flow
    async def inner(item: str) -> str:
        got = await charge(item)
        if guarded:
            seen.append(flow.version("change"))
        return got

    async def body() -> None:
        if shape == "gather":
            if guarded:
                seen.append(flow.version("change"))
            await asyncio.gather(charge("a"), charge("b"))
        elif shape == "nested":
            await inner("a")
        else:
            if guarded:
                seen.append(flow.version("change"))
            await flow.map(charge, ["a", "b"])
        await charge("last")
        await stop("here")

    guarded = False
    await stopped(flow_of(body))
    guarded = True
    await flow_of(body).run("r")
    assert seen == [0]


async def test_a_branch_that_is_further_does_not_count_for_another():
    seen = {}

    async def branch(item: str) -> None:
        await charge(item)
        if item == "b":
            await stop("here")
            seen[item] = flow.version("in b")

    async def body() -> None:
        await asyncio.gather(branch("a"), branch("b"))

    await stopped(flow_of(body))
    await flow_of(body).run("r")
    assert seen == {"b": 1}


def test_a_version_below_one_is_an_error():
    with pytest.raises(UserError, match="the newest version is 1 or more"):
        flow.version("change", 0)
