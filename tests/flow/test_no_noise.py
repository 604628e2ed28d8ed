"""What a run leaves behind is not printed by asyncio: its own exception says why it stopped."""

import asyncio
import gc

import pytest

from stillhouse import flow, step
from stillhouse.flow import Parked, ask_human


@pytest.fixture
def noise(tmp_path, monkeypatch):
    """What asyncio would print."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []

    async def heard(running):
        """The class of what it raises: the exception itself would keep the tasks of the flow alive."""
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context["message"]))
        raised = None
        try:
            await running
        except Exception as error:
            raised = type(error)
        for _ in range(20):
            await asyncio.sleep(0)
        gc.collect()
        return raised

    heard.said = said
    return heard


@step
async def fails(n: int) -> None:
    await asyncio.sleep(0)
    raise ConnectionError(f"gone {n}")


async def branch(n: int) -> None:
    await fails(n)


async def asks(n: int) -> str:
    return await ask_human(f"send {n}?")


@pytest.mark.parametrize("way", ["created", "completed", "gathered", "mapped"])
async def test_branches_of_a_run_that_failed(noise, way):
    @flow
    async def main() -> None:
        if way == "created":
            tasks = [asyncio.create_task(branch(n)) for n in range(3)]
            await asyncio.sleep(0.01)
            await tasks[0]
        elif way == "completed":
            for done in asyncio.as_completed([branch(n) for n in range(3)]):
                await done
        elif way == "gathered":
            await asyncio.gather(*(branch(n) for n in range(3)))
        else:
            await flow.map(branch, range(3))

    assert await noise(main.run("one")) is ConnectionError
    assert noise.said == []


@pytest.mark.parametrize("way", ["created", "completed", "gathered", "mapped"])
async def test_branches_of_a_run_that_waits(noise, way):
    @flow
    async def main() -> None:
        if way == "created":
            tasks = [asyncio.create_task(asks(n)) for n in range(3)]
            await asyncio.sleep(0.01)
            await tasks[0]
        elif way == "completed":
            for done in asyncio.as_completed([asks(n) for n in range(3)]):
                await done
        elif way == "gathered":
            await asyncio.gather(*(asks(n) for n in range(3)))
        else:
            await flow.map(asks, range(3))

    assert await noise(main.run("one")) is Parked
    assert noise.said == []


async def test_a_task_that_a_flow_forgot_and_that_failed_is_still_told_of(noise):
    @flow
    async def main() -> str:
        task = asyncio.create_task(branch(1))
        await asyncio.sleep(0.01)
        return "done" if task.done() else "not yet"

    assert await noise(main.run("one")) is None
    assert noise.said == ["Task exception was never retrieved"]


def test_many_failed_branches_are_not_all_kept():
    from stillhouse.flow.branches import LiveBranches

    class Task:
        _log_traceback = False

    live = LiveBranches()
    for _ in range(1000):
        live.note_failed(Task())
    assert len(live._failed) <= 257
