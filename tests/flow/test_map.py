"""`flow.map` and `Flow.run` as they are called: exceptions as they are, or as results; a flow's own parameters reach it."""

import ast
import asyncio
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import stillhouse
from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import Parked, ask_human

ran: list[int] = []


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran.clear()


@step
async def work(n: int) -> int:
    await asyncio.sleep(0)
    ran.append(n)
    if n % 2:
        raise ConnectionError(f"no {n}")
    return n


@flow
async def total(items: list[int]) -> int:
    return sum(await flow.map(work, items))


@flow
async def each(items: list[int]) -> list[str]:
    answers = await flow.map(work, items, at_once=2, return_exceptions=True)
    return [f"{type(answer).__name__}: {answer}" for answer in answers]


@flow
async def caught(items: list[int]) -> str:
    try:
        await flow.map(work, items)
    except ConnectionError as error:
        return f"handled {error}"
    return "nothing failed"


async def test_an_items_exception_comes_out_as_it_is():
    with pytest.raises(ConnectionError, match="no 1") as failed:
        await total.run("one", [0, 1, 2])
    assert not hasattr(failed.value, "exceptions")
    assert "in work" in "".join(traceback.format_exception(failed.value))
    assert await caught.run("two", [1]) == "handled no 1"


async def test_of_several_the_first_comes_out_and_says_how_many():
    with pytest.raises(ConnectionError, match="no 1") as failed:
        await total.run("one", [1, 3])
    assert failed.value.__notes__ == ["2 items of the map failed; this one did so first"]


async def test_exceptions_stand_in_the_results_place_and_the_others_go_on():
    assert await each.run("one", [0, 1, 2, 3]) == [
        "int: 0",
        "ConnectionError: no 1",
        "int: 2",
        "ConnectionError: no 3",
    ]
    assert sorted(ran) == [0, 1, 2, 3]


async def test_a_question_to_a_person_is_no_result():
    async def asks(n: int) -> str:
        return await ask_human(f"send {n}?")

    @flow
    async def main() -> list:
        return await flow.map(asks, [1], return_exceptions=True)

    with pytest.raises(Parked, match="send 1"):
        await main.run("one")


async def test_the_option_is_not_for_a_cluster():
    with pytest.raises(UserError, match="return_exceptions= is not for cluster"):
        await flow.map(work, [1], cluster="ray", return_exceptions=True)


async def test_parameters_called_as_our_options_are_the_flows_own():
    @flow
    async def main(store: str, models: str, run_id: str) -> str:
        return f"{store} {models} {run_id}"

    @flow
    async def one(store: str) -> str:
        return store

    assert await main.run("one", store="a shop", models="cars", run_id="x") == "a shop cars x"
    assert await main.run("one", "a shop", "cars", "x") == "a shop cars x"
    assert await one.run("two", store="a shop", models={}) == "a shop"
    assert await one.execute("three", {"store": "a shop"}, store="other.db") == "a shop"
    assert {run.run for run in flow.runs()} == {"one", "two"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'stores'"):
        await one.run("four", "a", stores="b")


def test_a_type_checker_sees_all_names_of_flow():
    stub = ast.parse((Path(stillhouse.__file__).parent / "__init__.pyi").read_text())
    [module] = [node for node in stub.body if isinstance(node, ast.ClassDef)]
    seen = {target.id for node in module.body if isinstance(node, ast.Assign) for target in node.targets}
    written = {node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert seen | written == {*flow.__all__, "__call__"}


TYPED = """
from stillhouse import flow

@flow
async def main(n: int, note: str = "") -> str:
    return str(n)

async def go() -> None:
    text: str = await main.run("r", 3, note="x")
    text = await main.run("r", 3, store="other.db", models=None)
    text = await main(3)
    found: list[int] = await flow.map(twice, [1, 2])
    kept: list[int | Exception] = await flow.map(twice, [1, 2], return_exceptions=True)
    await main.run("r", "three")
    await main.run("r", 3, nots="x")
    number: int = await main.run("r", 3)

async def twice(n: int) -> int:
    return 2 * n
"""


@pytest.mark.slow  # a type checker takes longer than a test may
def test_arguments_and_results_are_checked_by_a_type_checker(tmp_path):
    (tmp_path / "typed_app.py").write_text(TYPED)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "typed_app.py"], capture_output=True, text=True, check=False
    )
    wrong = [line.split(":")[1] for line in checked.stdout.splitlines() if ": error:" in line]
    assert wrong == ["14", "15", "16"], checked.stdout  # the three last lines of `go`


async def test_all_items_that_failed_are_tried_again_when_the_run_is_resumed():
    down = True

    @step
    async def shop(n: int) -> int:
        ran.append(n)
        await asyncio.sleep(0)
        if down and n:
            raise ConnectionError(f"no {n}")
        return n

    @flow
    async def main() -> int:
        return sum(await flow.map(shop, [0, 1, 3, 5]))

    with pytest.raises(ConnectionError, match="no 1"):
        await main.run("one")
    down = False
    assert await main.run("one") == 9
    assert sorted(ran) == [0, 1, 1, 3, 3, 5, 5]
