"""A flow inside a flow is a frame: its own model, a row of its own in journal, trace, picture and spans; never replayed."""

import asyncio
import json

import pytest

from stillhouse import flow, step
from stillhouse.commands.graph import graph
from stillhouse.commands.runs import read_trace
from stillhouse.flow import ask_human
from stillhouse.flow.call import Parked
from stillhouse.flow.human import answer
from stillhouse.flow.trace import busy_s, totals
from stillhouse.store.journal import open_journal

ran: list[str] = []


def outer_model(request, example):
    return "by the outer model"


def inner_model(request, example):
    return "by the inner model"


OUTER, INNER = f"scripted:{__name__}:outer_model", f"scripted:{__name__}:inner_model"


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran.clear()


@step
async def reply(question: str) -> str:
    """Answer politely."""


@step
async def pay(item: str) -> str:
    ran.append(item)
    return f"paid {item}"


@flow(model=INNER)
async def sub(item: str) -> str:
    await pay(item)
    return await reply(item)


@flow
async def plain(item: str) -> str:
    return await reply(item)


@flow(model=OUTER)
async def main(items: list[str]) -> list[str]:
    before = await reply("before")
    inside = await flow.map(sub, items)
    return [before, *inside, await plain("plain"), await reply("after")]


def frames(run):
    return {row.key[0]: row for row in open_journal("stillhouse.db").steps(run) if row.kind == "flow"}


async def test_a_flow_inside_a_flow_is_answered_by_its_own_model_and_one_that_names_none_by_the_outer_one():
    answers = await main.run("one", ["a", "b"])
    inner, outer = "by the inner model", "by the outer model"
    assert answers == [outer, inner, inner, outer, outer]


async def test_the_runs_own_choice_and_the_steps_come_before_the_inner_flows_model():
    assert set(await main.run("one", ["a"], models={"*": OUTER})) == {"by the outer model"}

    @step(model=OUTER)
    async def own(question: str) -> str:
        """Answer."""

    @flow(model=INNER)
    async def inside() -> str:
        return await own("x")

    @flow
    async def around() -> str:
        return await inside()

    assert await around.run("two") == "by the outer model"


async def test_the_inner_flow_is_a_row_with_what_it_was_given_and_gave_and_its_calls_stand_in_it():
    await main.run("one", ["a"])
    row = frames("one")["sub"]
    assert (json.loads(row.arguments), json.loads(row.output)) == ({"item": "a"}, "by the inner model")
    traced = read_trace("one")
    assert [node.name for node in traced.roots] == ["reply", "sub", "plain", "reply"]
    assert [node.name for node in traced.roots[1].children] == ["pay", "reply"]
    assert [total.name for total in totals(traced.rows)] == ["reply", "pay"]  # a frame is no call of its own
    assert busy_s(traced.rows) == busy_s([row for row in traced.rows if row.kind != "flow"])
    [(_, finished)] = open_journal("stillhouse.db").runs()
    assert finished == 5


async def test_flows_in_flows_in_steps_and_in_tasks_stand_where_they_were_called():
    @flow
    async def leaf(n: int) -> str:
        return await pay(f"leaf {n}")

    @flow
    async def branch(n: int) -> list[str]:
        return list(await asyncio.gather(leaf(n), leaf(n + 1)))

    @step
    async def body(n: int) -> str:
        return await leaf(n)

    @flow
    async def tree() -> None:
        await branch(1)
        await body(5)

    await tree.run("one")
    roots = read_trace("one").roots
    assert [(root.name, [child.name for child in root.children]) for root in roots] == [
        ("branch", ["leaf", "leaf"]),
        ("body", ["leaf"]),
    ]
    assert [[leaf.name for leaf in child.children] for child in roots[0].children] == [["pay"], ["pay"]]
    assert [child.name for child in roots[1].children[0].children] == ["pay"]


async def test_a_resumed_frame_keeps_its_row_and_runs_nothing_twice():
    calls = 0

    @flow
    async def around() -> str:
        nonlocal calls
        calls += 1
        answers = await flow.map(inside, ["a", "b"])
        await ask_human("Go on?")
        return ", ".join(answers)

    @flow
    async def inside(item: str) -> str:
        return await pay(item)

    with pytest.raises(Parked):
        await around.run("one")
    before = [row for row in open_journal("stillhouse.db").steps("one") if row.kind == "flow"]
    answer(open_journal("stillhouse.db"), "one", "yes")
    assert await around.run("one") == "paid a, paid b"
    after = [row for row in open_journal("stillhouse.db").steps("one") if row.kind == "flow"]
    assert sorted(ran) == ["a", "b"]
    assert before == after
    assert (len(after), calls) == (2, 2)
    assert around.report.unused == {}


async def test_a_frame_that_waits_and_one_that_failed_say_so():
    @flow
    async def asks() -> str:
        await pay("first")
        return await ask_human("Send?")

    @flow
    async def fails() -> None:
        await pay("second")
        raise ConnectionError("gone")

    @flow
    async def around() -> None:
        try:
            await fails()
        except ConnectionError:
            await asks()

    with pytest.raises(Parked):
        await around.run("one")
    failed, waiting = read_trace("one").roots
    assert (failed.state, failed.row.error) == ("failed", "ConnectionError: gone")
    assert (waiting.state, [child.state for child in waiting.children]) == ("waiting", ["done", "waiting"])
    answer(open_journal("stillhouse.db"), "one", "yes")
    await around.run("one")
    assert [root.state for root in read_trace("one").roots] == ["failed", "done"]
    assert ran == ["first", "second"] or ran == ["second", "first"]


async def test_what_is_no_json_may_pass_between_flows_and_is_named_by_its_type():
    class Connection:
        pass

    given = []

    @flow
    async def inside(connection: Connection) -> Connection:
        given.append(connection)
        await pay("x")
        return connection

    @flow
    async def around() -> bool:
        connection = Connection()
        return await inside(connection) is connection

    assert await around.run("one") is True
    row = frames("one")["inside"]
    assert (json.loads(row.arguments), json.loads(row.output)) == ({"connection": "<Connection>"}, "<Connection>")


async def test_a_picture_of_a_run_has_the_inner_flow_as_a_box_around_its_calls():
    await main.run("one", ["a"])
    drawn = graph("one")
    box = drawn[drawn.index('["sub') : drawn.index("plain")]
    assert "pay" in box and "end" in box


async def test_wrong_arguments_of_an_inner_flow_are_the_errors_of_python():
    @flow
    async def around() -> None:
        await plain(1, 2)

    with pytest.raises(TypeError, match="argument"):
        await around.run("one")
