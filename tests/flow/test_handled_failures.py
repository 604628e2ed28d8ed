"""What a flow lived with is what is replayed: a failure that it caught, a time that was over, a limit. What ended the run is asked anew."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from stillhouse import flow, step
from stillhouse.flow import LimitExceeded, Parked, ask_human, limits, tool
from stillhouse.flow.human import answer
from stillhouse.flow.tools.tool import ToolError
from stillhouse.store.journal import open_journal

RUN = "r"
charged: Counter = Counter()
down: set = set()
answers: list = []


@pytest.fixture(autouse=True)
def nothing_done():
    charged.clear()
    down.clear()
    answers.clear()


class Killed(BaseException):
    """The process dies here: nothing of the flow's own is done any more, and the run is not ended."""


class Declined(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"declined, code {code}")
        self.code = code


@step
async def primary(item: str) -> str:
    charged[f"primary {item}"] += 1
    if "primary" in down:
        raise ConnectionError("primary is down")
    return f"{item} by primary"


@step
async def backup(item: str) -> str:
    charged[f"backup {item}"] += 1
    if "backup" in down:
        raise ConnectionError("backup is down")
    return f"{item} by backup"


@step
async def dies_once() -> None:
    if "process" in down:
        down.clear()
        raise Killed


async def bought(item: str) -> str:
    try:
        return await primary(item)
    except ConnectionError:
        return await backup(item)


async def one(items):
    return [await bought(item) for item in items]


async def gathered(items):
    return list(await asyncio.gather(*map(bought, items)))


async def gathered_with_exceptions(items):
    found = await asyncio.gather(*map(primary, items), return_exceptions=True)
    return [
        await backup(item) if isinstance(got, ConnectionError) else got for item, got in zip(items, found, strict=True)
    ]


async def grouped(items):
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(primary(item)) for item in items]
    except* ConnectionError:
        tasks = []
    return [task.result() for task in tasks] or [await backup(item) for item in items]


async def mapped(items):
    return await flow.map(bought, items)


@step
async def in_a_body(items: list[str]) -> list[str]:
    found = await gathered(items)
    await dies_once()
    return found


@pytest.mark.parametrize("way", [one, gathered, gathered_with_exceptions, grouped, mapped, in_a_body])
@pytest.mark.parametrize("by", ["kill", "question", "failure"])
async def test_what_was_bought_elsewhere_is_not_bought_again_where_it_failed(way, by):
    @flow
    async def main() -> list[str]:
        found = await way(["a", "b"])
        if by == "kill":
            await dies_once()
        elif by == "question":
            await ask_human("go on?")
        else:
            await primary("c")
        return found

    down.update({"primary", "process"})
    with pytest.raises((Killed, Parked, ConnectionError)):
        await main.run(RUN)
    down.clear()
    journal = open_journal("stillhouse.db")
    if by == "question" and way is not in_a_body:
        answer(journal, RUN, "yes")
    elif by == "question":
        with pytest.raises(Parked):
            await main.run(RUN)
        answer(journal, RUN, "yes")
    assert await main.run(RUN) == ["a by backup", "b by backup"]
    assert charged["backup a"] == charged["backup b"] == charged["primary a"] == 1
    assert charged["primary c"] == (2 if by == "failure" and way is not in_a_body else 1 if by == "failure" else 0)
    assert not main.report.unused


async def test_a_failure_that_ended_the_run_is_asked_anew_and_ends_it_again_with_what_it_says_then():
    @flow
    async def main() -> str:
        try:
            return await primary("a")
        except KeyError:
            return "no"

    down.add("primary")
    for times in (1, 2):
        with pytest.raises(ConnectionError, match="primary is down"):
            await main.run(RUN)
        assert charged["primary a"] == times
    down.clear()
    assert await main.run(RUN) == "a by primary"


async def raised_from(item):
    try:
        return await primary(item)
    except ConnectionError as error:
        raise RuntimeError("no sale") from error


async def raised_within(item):
    try:
        return await primary(item)
    except ConnectionError:
        raise RuntimeError("no sale")  # noqa: B904  # this is what is tried


async def raised_after_three(item):
    for _ in range(3):
        try:
            return await primary(item)
        except ConnectionError:
            pass
    raise RuntimeError("no sale")


async def cleaned_up(item):
    try:
        return await primary(item)
    finally:
        await backup("nothing")


async def all_gathered(item):
    return (await asyncio.gather(*(primary(item) for _ in range(4))))[0]


async def all_looked_at(item):
    found = await asyncio.gather(*(primary(item) for _ in range(4)), return_exceptions=True)
    if any(isinstance(got, Exception) for got in found):
        raise RuntimeError("no sale")
    return found[0]


async def all_mapped(item):
    return (await flow.map(primary, [item] * 4))[0]


@step
async def translated(item: str) -> str:
    try:
        return await primary(item)
    except ConnectionError as error:
        raise Declined(3) from error


@pytest.mark.parametrize(
    "way",
    [
        raised_from,
        raised_within,
        raised_after_three,
        cleaned_up,
        all_gathered,
        all_looked_at,
        all_mapped,
        translated,
    ],
)
async def test_however_a_failure_ends_the_run_resume_asks_anew(way):
    @flow
    async def main() -> str:
        return await way("a")

    down.add("primary")
    with pytest.raises((ConnectionError, RuntimeError, ExceptionGroup, Declined)):
        await main.run(RUN)
    down.clear()
    assert await main.run(RUN) == "a by primary"


async def test_a_process_that_dies_before_its_failed_run_is_ended_asks_anew_as_well(monkeypatch):
    @flow
    async def main() -> str:
        return await primary("a")

    down.add("primary")
    journal = type(open_journal("stillhouse.db"))
    with monkeypatch.context() as patched:
        patched.setattr(journal, "end", lambda *args, **options: None)
        patched.setattr(journal, "ask_anew", lambda *args: None)
        with pytest.raises(ConnectionError):
            await main.run(RUN)
    down.clear()
    assert await main.run(RUN) == "a by primary"
    assert (main.report.ran, main.report.replayed) == ({"primary": 1}, {})


async def test_an_error_in_plain_code_after_the_backup_leaves_the_primary_failed():
    @flow
    async def main() -> str:
        try:
            found = await primary("a")
        except ConnectionError:
            found = await backup("a")
            if "code" in down:
                raise KeyError("x")  # noqa: B904  # within the `except` block, and not because of the failure
        return found

    down.update({"primary", "code"})
    with pytest.raises(KeyError):
        await main.run(RUN)
    down.clear()
    assert await main.run(RUN) == "a by backup"
    assert charged == {"primary a": 1, "backup a": 1}


async def test_the_backup_that_failed_is_asked_anew_and_the_primary_is_not():
    @flow
    async def main() -> str:
        return await bought("a")

    down.update({"primary", "backup"})
    with pytest.raises(ConnectionError, match="backup is down"):
        await main.run(RUN)
    down.clear()
    assert await main.run(RUN) == "a by backup"
    assert charged == {"primary a": 1, "backup a": 2}


class Refused(Declined):
    def __init__(self, code: int, why: object) -> None:
        super().__init__(code)
        self.why = why


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        FileNotFoundError(2, "no such file"),
        Declined(4),
        Refused(5, object()),
        ExceptionGroup("two", [ValueError("one"), Declined(6)]),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "no text"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_replayed_failure_is_caught_as_it_was(error):
    seen = []

    @step
    async def fails() -> None:
        charged["fails"] += 1
        raise error

    @flow
    async def main() -> str:
        try:
            await fails()
        except* Declined as group:
            seen.append([(str(one), one.code) for one in group.exceptions[-1:]])
        except* (OSError, ValueError) as group:
            seen.append(str(group.exceptions[0]))
        return await ask_human("go on?")

    for _ in range(2):
        with pytest.raises(Parked):
            await main.run(RUN)
    assert charged["fails"] == 1
    half = len(seen) // 2
    assert seen[:half] == seen[half:] and half


async def test_a_class_that_is_not_there_any_more_gives_way_to_its_base():
    def local() -> type[Exception]:
        class Local(ConnectionError):
            pass

        return Local

    @step
    async def fails() -> None:
        charged["fails"] += 1
        raise local()("gone")

    @flow
    async def main() -> str:
        try:
            await fails()
        except ConnectionError as error:
            answers.append(f"{type(error).__name__}: {error}")
        return await ask_human("go on?")

    for _ in range(2):
        with pytest.raises(Parked):
            await main.run(RUN)
    assert answers == ["Local: gone"] * 2 and charged["fails"] == 1


async def by_timeout(slow, item):
    async with asyncio.timeout(0.05):
        return await slow(item)


async def by_wait_for(slow, item):
    return await asyncio.wait_for(slow(item), 0.05)


async def by_wait(slow, item):
    task = asyncio.ensure_future(slow(item))
    _, late = await asyncio.wait({task}, timeout=0.05)
    if late:
        task.cancel()
        raise TimeoutError
    return task.result()


async def by_limit(slow, item):
    async with limits(seconds=0.05):
        return await slow(item)


async def by_limit_of_a_map(slow, item):
    async with limits(seconds=0.05):
        return (await flow.map(slow, [item, item]))[0]


async def by_its_own_timeout(slow, item):
    return await in_time(item)


@step
async def slow_primary(item: str) -> str:
    charged[f"primary {item}"] += 1
    await asyncio.sleep(5 if "primary" in down else 0)
    return f"{item} by primary"


@step(timeout_s=0.05)
async def in_time(item: str) -> str:
    charged[f"primary {item}"] += 1
    await asyncio.sleep(5 if "primary" in down else 0)
    return f"{item} by primary"


@pytest.mark.parametrize("way", [by_timeout, by_wait_for, by_wait, by_limit, by_limit_of_a_map, by_its_own_timeout])
@pytest.mark.parametrize("branches", [1, 2])
async def test_a_time_that_was_over_is_over_on_resume(way, branches):
    from stillhouse.flow import StepError

    async def buy(item: str) -> str:
        try:
            return await way(slow_primary, item)
        except (TimeoutError, LimitExceeded, StepError):
            return await backup(item)

    @flow
    async def main() -> list[str]:
        found = list(await asyncio.gather(*map(buy, "ab"[:branches])))
        await dies_once()
        return found

    down.update({"primary", "process"})
    with pytest.raises(Killed):
        await main.run(RUN)
    before = dict(charged)
    assert await main.run(RUN) == ["a by backup", "b by backup"][:branches]
    assert charged == before


async def test_a_call_that_the_flow_gives_up_no_more_runs_in_the_end(monkeypatch):
    wait = 0.05

    @flow
    async def main() -> str:
        try:
            async with asyncio.timeout(wait):
                return await slow_primary("a")
        except TimeoutError:
            await backup("a")
            await dies_once()
            return "late"

    down.update({"primary", "process"})
    with pytest.raises(Killed):
        await main.run(RUN)
    wait, charged["primary a"] = None, 0
    sleep = asyncio.sleep
    monkeypatch.setattr("stillhouse.flow.call.asyncio.sleep", lambda seconds: sleep(min(seconds, 0.01)))
    assert await main.run(RUN) == "a by primary"
    assert charged["primary a"] == 1


async def test_the_loser_of_a_race_does_not_run_again():
    async def raced() -> str:
        tasks = [asyncio.ensure_future(slow_primary("a")), asyncio.ensure_future(backup("a"))]
        done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        return done.pop().result()

    @flow
    async def main() -> str:
        found = await raced()
        await dies_once()
        return found

    down.update({"primary", "process"})
    with pytest.raises(Killed):
        await main.run(RUN)
    assert await main.run(RUN) == "a by backup"
    assert charged == {"primary a": 1, "backup a": 1}


@pytest.mark.parametrize("branches", [1, 3])
async def test_a_limit_that_was_caught_is_reached_at_the_same_call(branches):
    """Whichever branch is quicker on resume, the one that was refused is refused, and the others have their answers."""
    turned = False

    async def branch(nth: int) -> list[str]:
        found = []
        try:
            for number in range(3):
                await asyncio.sleep(0.01 * (nth if turned else branches - nth))
                found.append(await primary(f"{nth}-{number}"))
        except LimitExceeded:
            found.append("limit")
        return found

    @flow
    async def main() -> list[list[str]]:
        async with limits(steps=2 * branches):
            found = list(await asyncio.gather(*map(branch, range(branches))))
        await dies_once()
        return found

    down.add("process")
    with pytest.raises(Killed):
        await main.run(RUN)
    before, turned = dict(charged), True
    found = await main.run(RUN)
    assert charged == before
    assert sum(part.count("limit") for part in found) >= 1
    assert sum(len(part) for part in found) - sum(part.count("limit") for part in found) == sum(before.values())


async def test_a_failure_in_the_body_of_a_tool_is_handled_once():
    @tool
    async def pay(item: str) -> str:
        """Pays."""
        found = await bought(item)
        await dies_once()
        return found

    @tool
    def broken() -> str:
        """Breaks."""
        charged["broken"] += 1
        raise OSError("no")

    @flow
    async def main() -> str:
        try:
            await broken()
        except ToolError as error:
            assert "broken failed" in str(error)
        return await pay(item="a")

    down.update({"primary", "process"})
    with pytest.raises(Killed):
        await main.run(RUN)
    assert await main.run(RUN) == "a by backup"
    assert charged == {"primary a": 1, "backup a": 1, "broken": 1}


async def test_cancelled_from_outside_a_call_is_not_given_up():
    @flow
    async def main() -> str:
        try:
            return await slow_primary("a")
        finally:
            if down:
                await backup("cleaned up")

    down.add("primary")
    running = asyncio.create_task(main.run(RUN))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    down.clear()
    async with asyncio.timeout(1):
        assert await main.run(RUN) == "a by primary"
    assert charged["primary a"] == 2


APP = """
import asyncio, os, signal
from pathlib import Path
from stillhouse import flow, step

def log(text):
    with Path("charged.txt").open("a") as file:
        file.write(text + "\\n")

class Down(Exception):
    pass

@step
async def charge(by: str, item: str) -> str:
    log(f"{by} {item}")
    if by == "primary" and not Path("second").exists():
        raise Down("primary is down")
    return f"{item} by {by}"

@step
async def dies() -> None:
    if not Path("second").exists():
        Path("second").touch()
        os.kill(os.getpid(), signal.SIGKILL)

@flow
async def main() -> list[str]:
    async def buy(item: str) -> str:
        try:
            return await charge("primary", item)
        except Down:
            return await charge("backup", item)

    found = list(await asyncio.gather(buy("a"), buy("b")))
    await dies()
    return found

if __name__ == "__main__":
    print(asyncio.run(main.run("r")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("second", [["app.py"], ["-m", "stillhouse", "run", "app.py:main", "--run-id", "r"]])
def test_killed_and_resumed_nothing_is_charged_twice(tmp_path, second):
    """The second sitting may know the flow's module under another name."""
    (tmp_path / "app.py").write_text(APP)
    first = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, check=False, env=os.environ)
    assert first.returncode == -signal.SIGKILL
    resumed = subprocess.run([sys.executable, *second], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "a by backup" in resumed.stdout
    assert sorted(Path(tmp_path / "charged.txt").read_text().split("\n")[:-1]) == [
        "backup a",
        "backup b",
        "primary a",
        "primary b",
    ]


async def test_what_was_called_in_a_step_that_failed_is_no_answer_that_nothing_asks_for():
    @step
    async def half_done(item: str) -> str:
        await backup(item)
        raise Declined(1)

    @flow
    async def main() -> str:
        try:
            await half_done("a")
        except Declined:
            await primary("b")
        return await ask_human("go on?")

    for _ in range(2):
        with pytest.raises(Parked):
            await main.run(RUN)
    assert charged == {"backup a": 1, "primary b": 1}
    assert (main.report.unused, main.report.replayed) == ({}, {"half_done": 1, "primary": 1})


async def test_an_agent_that_came_to_no_answer_comes_to_none_again_with_its_turns():
    from stillhouse.flow import AgentError, agent
    from stillhouse.llm.request import Completion, ToolCall

    def look(n: int) -> str:
        """Looks."""
        charged["look"] += 1
        return f"saw {n}"

    def model(request, example):
        charged["asked"] += 1
        call = ToolCall("c", "look", '{"n": 1}')
        return Completion(None, finish_reason="tool_calls", tool_calls=(call,))

    sys.modules[__name__].model = model
    helper = agent("Look.", [look], max_turns=2, model=f"scripted:{__name__}:model")

    @flow
    async def main() -> str:
        try:
            await helper("a")
        except AgentError as error:
            answers.append((str(error), [turn.observations for turn in error.turns]))
        return await ask_human("go on?")

    for _ in range(3):
        with pytest.raises(Parked):
            await main.run(RUN)
    assert answers[0] == answers[1] == answers[2] and len(answers[0][1]) == 2
    assert charged == {"asked": 2, "look": 2}
    row = next(row for row in open_journal("stillhouse.db").steps(RUN) if row.kind == "agent")
    assert row.attempts == 1 and "failures" not in row.facts


@pytest.mark.parametrize("named", [False, True])
async def test_a_handled_failure_is_replayed_until_the_user_names_its_step(tmp_path, named):
    down.add("primary")
    stops = True

    @step
    async def charge(by: str) -> str:
        charged[by] += 1
        if by in down:
            raise ConnectionError(f"{by} is down")
        return by

    @step
    async def note(text: str) -> str:
        return text

    @flow
    async def main() -> str:
        try:
            by = await charge("primary")
        except ConnectionError as error:
            await note(str(error))
            raise RuntimeError("nothing was charged") from None if stops else error
        return by

    store = tmp_path / "s.db"
    with pytest.raises(RuntimeError):
        await main.run(RUN, store=store)
    down.clear()
    if named:
        assert await main.execute(RUN, {}, store=store, rerun=["charge"]) == "primary"
    else:
        with pytest.raises(RuntimeError):
            await main.run(RUN, store=store)
    assert charged["primary"] == 1 + named
