"""A person in the loop: the run parks, the answer is kept, the run goes on."""

import asyncio
import inspect
import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import Parked, ask_human
from stillhouse.flow.human import answer, open_questions
from stillhouse.store.journal import open_journal

done: list = []


@step
async def work(n: int) -> int:
    done.append(n)
    return n


@step
async def work_awhile(n: int) -> None:
    await asyncio.sleep(0)


@flow
async def main(n: int) -> str:
    await work(n)
    try:
        said = await ask_human(f"send {n}?", ["yes", "no"])
    except Exception:  # a flow that catches all exceptions parks all the same
        said = "swallowed"
    await work(n + 1)
    return said


@pytest.fixture(autouse=True)
def nothing_done():
    done.clear()


async def test_the_run_parks_and_goes_on_with_the_answer():
    with pytest.raises(Parked, match=r"the run one waits for an answer to 'send 1.'"):
        await main.run("one", n=1)
    journal = open_journal("stillhouse.db")
    assert journal.run("one").status == "waiting"
    assert answer(journal, "one", "yes") == "send 1?"
    assert await main.run("one", n=1) == "yes"
    assert done == [1, 2]
    assert open_questions(journal, "one") == []


@pytest.mark.parametrize(
    "ask",
    [
        flow.uuid,
        flow.now,
        flow.random,
        lambda: flow.version("a change"),
        lambda: flow.sleep_until(datetime.now(UTC)),
        lambda: ask_human("and now?"),
    ],
)
async def test_a_branch_that_a_run_leaves_behind_asks_it_nothing_more(ask):
    asked, has_ended = [], asyncio.Event()

    async def late() -> None:
        await has_ended.wait()
        value = ask()
        asked.append(await value if inspect.isawaitable(value) else value)

    @flow
    async def both() -> None:
        await asyncio.gather(late(), ask_human("go on?"))

    with pytest.raises(Parked):
        await both.run("one")
    before = open_journal("stillhouse.db").steps("one")
    has_ended.set()
    await asyncio.sleep(0.01)
    assert asked == []
    assert open_journal("stillhouse.db").steps("one") == before


async def test_a_replayed_answer_that_waits_for_its_turn_is_not_given_when_the_run_has_ended():
    went_on = []

    async def works() -> None:
        await work_awhile(1)
        went_on.append("works")

    @flow
    async def both() -> None:
        await asyncio.gather(works(), ask_human("go on?"))

    for _ in range(2):
        with pytest.raises(Parked):
            await both.run("one")
        await asyncio.sleep(0.05)  # a branch that is left has time to go on
        assert went_on == ["works"]  # in the first sitting, which waited for the call


async def test_an_answer_that_waits_for_its_turn_is_not_given_when_the_run_has_ended():
    went_on = []

    async def answered_first() -> None:
        await ask_human("a")
        went_on.append("answered")

    async def asks() -> None:
        await work_awhile(1)
        if not went_on:
            await ask_human("b")

    @flow
    async def both() -> None:
        await asyncio.gather(asyncio.gather(asks(), answered_first()), work_awhile(2))

    with pytest.raises(Parked):
        await both.run("one")
    answer(open_journal("stillhouse.db"), "one", "yes", "a")
    with pytest.raises(Parked):
        await both.run("one")
    await asyncio.sleep(0.05)
    assert went_on == []


async def test_only_the_options_are_answers_and_only_to_what_is_asked():
    with pytest.raises(Parked):
        await main.run("one", n=1)
    journal = open_journal("stillhouse.db")
    with pytest.raises(UserError, match=r"'maybe' is not an answer to 'send 1.'; give one of: yes, no"):
        answer(journal, "one", "maybe")
    with pytest.raises(UserError, match="there is no run 'two'"):
        answer(journal, "two", "yes")
    answer(journal, "one", "no")
    with pytest.raises(UserError, match="the run one asks nothing"):
        answer(journal, "one", "yes")


async def test_branches_that_do_not_ask_finish_what_they_began():
    @step
    async def slow(n: int) -> int:
        await asyncio.sleep(0.05)
        done.append(n)
        return n

    @flow
    async def both() -> list:
        return await asyncio.gather(slow(7), ask_human("go on?"))

    with pytest.raises(Parked):
        await both.run("one")
    assert done == [7]
    answer(open_journal("stillhouse.db"), "one", "sure")
    assert await both.run("one") == [7, "sure"]
    assert done == [7]


async def test_two_questions_at_once_are_both_asked():
    @flow
    async def two() -> list:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask_human(question)) for question in ("first?", "second?")]
        return [task.result() for task in tasks]

    with pytest.raises(Parked):
        await two.run("one")
    journal = open_journal("stillhouse.db")
    questions = [row.facts["question"] for row in open_questions(journal, "one")]
    for question in questions:
        answer(journal, "one", f"re {question}", question)
    while True:
        try:
            assert await two.run("one") == ["re first?", "re second?"]
            break
        except Parked as parked:
            answer(journal, "one", f"re {parked.question}", parked.question)


async def test_outside_a_run_nobody_can_be_asked():
    with pytest.raises(UserError, match="outside a run"):
        await ask_human("anyone?")


APP = """
from stillhouse import flow
from stillhouse.flow import ask_human

@flow
async def main(n: int) -> str:
    return f"{n} {await ask_human('how many?')}"
"""


@pytest.mark.slow
def test_from_the_shell(tmp_path):
    (tmp_path / "app.py").write_text(APP)

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "stillhouse", *arguments], capture_output=True, text=True, check=False
        )

    parked = call("run", "app.py:main", "--input", '{"n": 3}', "--run-id", "one")
    assert (parked.returncode, parked.stdout) == (
        3,
        "the run one waits for a person: how many?\nanswer it with: stillhouse answer one ANSWER\n",
    )
    assert json.loads(call("resume", "one", "--json").stdout) == {"run": "one", "waits_for": "how many?"}
    assert call("answer", "one", "a dozen").stdout == "how many? -> a dozen\nnext: stillhouse resume one\n"
    assert json.loads(call("resume", "one", "--json").stdout) == {"run": "one", "result": "3 a dozen"}
    assert "there is no run 'two'" in call("resume", "two").stderr


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
async def test_after_a_park_nothing_begins_and_the_run_is_not_done(swallowed):
    """Each message waits for an approval of its own, however the flow lives with what parks it."""

    async def send(n: int) -> str:
        try:
            approved = await ask_human(f"send {n}?")
        except swallowed:
            approved = "yes"
        return str(await work(n)) if approved == "yes" else "kept"

    @flow
    async def both() -> list[str]:
        found = await asyncio.gather(send(1), send(2), return_exceptions=True)
        return [str(one) for one in found]

    journal = open_journal("stillhouse.db")
    with pytest.raises(Parked):
        await both.run("one")
    assert (done, journal.run("one").status) == ([], "waiting")
    assert [row.facts["question"] for row in open_questions(journal, "one")] == ["send 1?", "send 2?"]
    answer(journal, "one", "no", "send 2?")
    with pytest.raises(Parked, match="send 1"):
        await both.run("one")
    assert (done, journal.run("one").status) == ([], "waiting")
    answer(journal, "one", "yes", "send 1?")
    assert await both.run("one") == ["1", "kept"]
    assert done == [1]


async def test_a_park_that_is_swallowed_and_followed_by_an_error_still_waits():
    @flow
    async def main() -> int:
        found = await asyncio.gather(ask_human("how many?"), return_exceptions=True)
        return int(found[0])

    with pytest.raises(Parked):
        await main.run("one")
    journal = open_journal("stillhouse.db")
    assert journal.run("one").status == "waiting"
    answer(journal, "one", "3")
    assert await main.run("one") == 3


async def test_a_failed_step_beside_an_open_question_fails_the_run():
    @step
    async def breaks() -> None:
        raise ConnectionError("down")

    @flow
    async def main() -> None:
        found = await asyncio.gather(breaks(), ask_human("go on?"), return_exceptions=True)
        raise found[0]

    with pytest.raises(ConnectionError):
        await main.run("one")
    assert open_journal("stillhouse.db").run("one").status == "failed"


async def test_a_question_that_a_step_swallows_leaves_no_answer_of_the_step():
    asked = 0

    @step
    async def careless() -> str:
        nonlocal asked
        asked += 1
        try:
            return await ask_human("really?")
        except BaseException:
            return "nobody said no"

    @flow
    async def main() -> str:
        return await careless()

    for _ in range(2):
        with pytest.raises(Parked):
            await main.run("one")
    answer(open_journal("stillhouse.db"), "one", "no")
    assert await main.run("one") == "no"
    assert asked == 3
