"""Steps without a body: what goes to the model, what may come back, which model is asked, and that nothing is asked or paid for twice."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Literal

import pytest
from pydantic import BaseModel

from stillhouse import flow, step
from stillhouse.errors import ModelNameError, UserError
from stillhouse.flow import LimitExceeded, StepError, agent, decide, limits, listen
from stillhouse.flow.models import CassetteMissError
from stillhouse.llm.request import Completion
from stillhouse.records import Prediction, Usage
from stillhouse.store.journal import open_journal


@dataclass
class Place:
    city: str
    orders: int


class Note(BaseModel):
    text: str


asked: list = []


def model(request, example):
    """A script in a model's place: says what it was asked by."""
    asked.append(request)
    if "Which of the two" in request.messages[0]["content"]:
        return "Chat."
    if "schema" in request.messages[0]["content"]:
        return '{"text": "noted"}'
    return f"answer {len(asked)}"


SCRIPT = f"scripted:{__name__}:model"


@pytest.fixture(autouse=True)
def nothing_asked_yet():
    sys.modules[SCRIPT.split(":")[1]] = sys.modules[__name__]
    asked.clear()


@step
async def route(question: str) -> Literal["sql", "chat"]:
    """Which of the two?"""


@step
async def reply(question: str, tone: str) -> str:
    """Answer politely."""


@step
async def note(about: str) -> Note:
    """Make a note."""


@step(name="place")
async def find_place(question: str) -> Place:
    """Where to, and how many orders?"""


@flow(model=SCRIPT)
async def talk(question: str) -> str:
    kind = await route(question)
    return f"{kind}: {await reply(question, tone='warm')}"


@flow(model=SCRIPT)
async def noted(about: str) -> Note:
    return await note(about)


@flow
async def places(question: str) -> Place:
    return await find_place(question)


def facts(run):
    return {row.key[0]: row for row in open_journal("stillhouse.db").steps(run)}


async def test_the_docstring_instructs_and_the_arguments_are_the_input():
    assert await talk.run("one", "hello there") == "chat: answer 2"
    system, user = asked[0].messages
    assert system["content"] == "Which of the two?\n\nAnswer with one of: sql, chat, and nothing else."
    assert user["content"] == "hello there"
    assert asked[1].messages[-1]["content"] == "question: hello there\ntone: warm"


async def test_a_finished_model_step_is_not_asked_again_and_another_run_is_answered_by_the_store():
    await talk.run("one", "hello")
    assert await talk.run("one", "hello") == "chat: answer 2"
    assert await talk.run("two", "hello") == "chat: answer 2"
    assert len(asked) == 2
    assert facts("two")["reply"].facts["from_store"] == 1


async def test_equal_calls_in_one_run_are_two_samples():
    @flow(model=SCRIPT)
    async def twice() -> list[str]:
        return [await reply("q", "t"), await reply("q", "t")]

    assert await twice.run("one") == ["answer 1", "answer 2"]
    assert [request.sample_index for request in asked] == [0, 1]


async def test_a_pydantic_model_comes_back_as_one_and_its_schema_is_sent():
    assert await noted.run("one", "tea") == Note(text="noted")
    assert asked[0].schema["required"] == ["text"]
    assert asked[0].schema["additionalProperties"] is False


async def test_structured_output_over_http(endpoint):
    assert await places.run("one", "where?", models={"place": endpoint.url("place")}) == Place("Porto", 3)
    row = facts("one")["place"]
    assert (row.kind, row.facts["input_tokens"], row.facts["output_tokens"]) == ("model", 20, 2)
    assert row.facts["cost_usd"] is None  # no price is known for this model, and unknown is not nothing


async def test_a_model_that_takes_no_temperature_is_asked_without_and_the_facts_say_so(endpoint):
    assert await talk.run("one", "a good day", models={"reply": endpoint.url("reasoning")}) == "chat: good"
    assert facts("one")["reply"].facts["without"] == ["temperature"]


async def test_an_endpoint_that_refuses_schemas_is_asked_without_and_a_wrong_reply_is_sent_back_once(endpoint):
    assert await places.run("one", "where?", models={"place": endpoint.url("place-plain")}) == Place("Porto", 3)
    row = facts("one")["place"]
    assert row.facts["repairs"] == 1
    assert row.facts["structured_output"] is False
    assert row.facts["output_tokens"] == 4  # both replies were paid for; the refusal was not


async def test_what_still_does_not_fit_is_refused_with_the_field(endpoint):
    with pytest.raises(StepError, match=r"does not fit its type .orders: Input should be a valid integer"):
        await places.run("one", "where?", models={"place": endpoint.url("place-bad")})
    assert facts("one")["place"].error.startswith("StepError")


async def test_the_run_names_the_model_before_the_step_and_the_step_before_the_flow():
    @step(model="scripted:nowhere:declared")
    async def who(question: str) -> str:
        """Who?"""

    @flow(model="scripted:nowhere:default")
    async def main() -> str:
        return await who("x")

    with pytest.raises(ModelNameError, match="nowhere:declared"):
        await main.run("one")
    assert (await main.run("two", models={"who": SCRIPT})).startswith("answer")
    assert (await main.run("three", models={"*": SCRIPT})).startswith("answer")


async def test_a_step_that_nothing_names_a_model_for_says_how_to_name_one():
    with pytest.raises(UserError, match="place names no model; give it model=, or the run --model place=NAME"):
        await places.run("one", "where?")


async def test_another_model_is_another_step_and_is_said():
    class Student:
        name = "student"

        async def predict(self, inputs):
            return [Prediction("sql", confidence=0.9, source="student") for _ in inputs]

    @flow(model=SCRIPT)
    async def main(question: str) -> str:
        kind = await route(question)
        raise ConnectionError(kind)

    with pytest.raises(ConnectionError, match="chat"):
        await main.run("one", "hello")
    with pytest.raises(ConnectionError, match="sql"):
        await main.run("one", "hello", models={"route": Student()})
    assert main.report.changed == {"route": 1}
    assert facts("one")["route"].facts["confidence"] == 0.9


async def test_offline_replays_the_store_and_names_the_call_that_it_has_no_answer_to():
    await talk.run("one", "hello")
    asked.clear()
    assert await talk.execute("two", {"question": "hello"}, offline=True) == "chat: answer 2"
    with pytest.raises(CassetteMissError, match=r"no stored answer of scripted:.* to 'goodbye'"):
        await talk.execute("three", {"question": "goodbye"}, offline=True)
    assert asked == []


async def test_outside_a_flow_a_model_step_asks_its_own_model():
    @step(model=SCRIPT)
    async def who(question: str) -> str:
        """Who?"""

    assert await who("x") == "answer 1"


def test_a_step_with_neither_body_nor_docstring_is_refused():
    with pytest.raises(UserError, match="neither a body nor a docstring"):

        @step
        async def nothing(question: str) -> str: ...


def test_a_step_with_a_body_takes_no_model():
    with pytest.raises(UserError, match="has a body, so no model answers it"):

        @step(model=SCRIPT)
        async def something(question: str) -> str:
            """Does it itself."""
            return question


async def test_a_step_that_returns_nothing_may_have_no_body():
    @step
    async def pause() -> None:
        """Nothing to do."""

    @flow
    async def main() -> None:
        await pause()

    assert await main.run("one") is None


def test_a_model_step_is_a_task():
    task = route.task()
    assert (task.name, task.output, task.labels) == ("route", "choice", ("sql", "chat"))
    assert "must match this schema" in note.task().instruction


async def test_a_listener_hears_the_text_while_it_is_written(endpoint):
    heard = []

    @flow(model=endpoint.url("stream"))
    async def main() -> str:
        with listen(lambda name, piece: heard.append((name, piece))):
            return await reply("q", "t")

    assert await main.run("one") == "Good morning"
    assert heard == [("reply", "Good "), ("reply", "morning")]
    assert facts("one")["reply"].facts["output_tokens"] == 2
    assert await main.run("two") == "Good morning"
    assert heard[2:] == [("reply", "Good morning")]  # from the store, in one piece


async def test_a_stream_that_breaks_is_not_taken_for_the_whole(endpoint):
    @flow(model=endpoint.url("stream-broken"))
    async def main() -> str:
        with listen(lambda name, piece: None):
            return await reply("q", "t")

    with pytest.raises(StepError, match="the stream broke off"):
        await main.run("one")
    assert sum(endpoint.calls().values()) == 1  # what was heard once is not asked for again behind the listener's back


@pytest.mark.parametrize("text", ["Chat.", ""], ids=["cut off", "empty"])
async def test_a_reply_with_an_error_is_no_answer_whatever_it_says(text):
    def cut_off(request, example):
        return Completion(text or None, error="the reply was cut off", finish_reason="length")

    sys.modules[__name__].cut_off = cut_off

    @flow(model=f"scripted:{__name__}:cut_off")
    async def main() -> str:
        return await route("q")

    with pytest.raises(StepError, match="no usable reply: the reply was cut off"):
        await main.run("one")


async def test_the_next_try_of_a_step_is_another_sample_and_not_the_reply_that_failed():
    def at_the_second(request, example):
        asked.append(request)
        return "Chat." if len(asked) == 2 else "neither"

    sys.modules[__name__].at_the_second = at_the_second

    @step(retries=1, backoff_s=0.0, model=f"scripted:{__name__}:at_the_second")
    async def choose(question: str) -> Literal["sql", "chat"]:
        """Which of the two?"""

    @flow
    async def main() -> str:
        return await choose("q")

    assert await main.run("one") == "chat"
    assert [request.messages for request in asked] == [asked[0].messages] * 2
    assert asked[0].hash != asked[1].hash


async def test_limits_of_steps_and_tokens_name_what_is_exceeded():
    @flow(model=SCRIPT)
    async def main(tokens: int) -> str:
        async with limits(steps=5, name="everything"), limits(tokens=tokens):
            await reply("first", "t")
            return await reply("second", "t")

    with pytest.raises(LimitExceeded, match="the limit of 10 tokens is reached") as refused:
        await main.run("none", 10)
    assert asked == []  # it might have passed the limit
    room_for_one = int(str(refused.value).split("up to ")[1].split(")")[0])
    with pytest.raises(LimitExceeded, match=f"the limit of {room_for_one} tokens is reached"):
        await main.run("one", room_for_one)
    with pytest.raises(LimitExceeded, match=f"the limit of {room_for_one} tokens"):
        await main.run("one", room_for_one)  # the journaled step counts as it did
    assert len(asked) == 1

    @flow(model=SCRIPT)
    async def many() -> None:
        async with limits(steps=2, name="the search"):
            for number in range(5):
                await reply(str(number), "t")

    with pytest.raises(LimitExceeded, match="the limit of 2 steps of the search is reached before reply"):
        await many.run("many")


async def test_a_reply_from_the_store_uses_none_of_a_limits_dollars():
    spent = []

    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(dollars=1.0) as within:
            answer = await reply("q", "t")
            spent.append(within.dollars)
            return answer

    model.priced_as = "gpt-4o"
    try:
        assert await main.run("one") == await main.run("two")
    finally:
        del model.priced_as
    assert len(asked) == 1
    assert spent[0] > 0 and spent[1] == 0


async def test_a_limit_of_dollars_is_kept_before_the_call_and_needs_a_price():
    @flow(model=SCRIPT)
    async def main() -> str:
        async with limits(dollars=0.001):
            return await reply("q", "t")

    with pytest.raises(UserError, match="no price is known for scripted"):
        await main.run("one")
    model.priced_as = "gpt-4o"
    try:
        with pytest.raises(LimitExceeded, match=r"the limit of \$0.001 is reached .* the next call may cost up to"):
            await main.run("two")
    finally:
        del model.priced_as
    assert asked == []


ANSWERS: list = []  # what the script below answers, call by call


def in_turn(request, example):
    asked.append(request)
    text = ANSWERS[min(len(asked), len(ANSWERS)) - 1]
    return text if isinstance(text, Completion) else Completion(text, finish_reason="stop", usage=Usage(10, 5))


IN_TURN = f"scripted:{__name__}:in_turn"
CUT = Completion(None, error="cut off at max_tokens", finish_reason="length", usage=Usage(10, 5))
UNREADABLE = {
    "a choice": (lambda: route("q"), ["neither"], "Chat.", "chat"),
    "json, sent back once": (
        lambda: find_place("q"),
        ["{", "[1]"],
        '{"city": "Porto", "orders": 3}',
        Place("Porto", 3),
    ),
    "cut off": (lambda: reply("q", "t"), [CUT], "fine", "fine"),
    "a decision": (lambda: decide("Go?", ["yes", "no"], "x"), ["perhaps"], "yes", "yes"),
    "an agent's turn": (lambda: agent("Help.", name="helper", calling="text")("go"), [CUT], "Final Answer: 3", "3"),
}


@pytest.mark.parametrize(("call", "bad", "good", "right"), UNREADABLE.values(), ids=UNREADABLE)
async def test_a_resume_asks_anew_for_a_reply_that_could_not_be_read_and_keeps_the_old_one(call, bad, good, right):
    sys.modules[SCRIPT.split(":")[1]] = sys.modules[__name__]
    ANSWERS[:] = [*bad, *bad, good]

    @flow(model=IN_TURN)
    async def main():
        return await call()

    for number in (1, 2):
        with pytest.raises(StepError):
            await main.execute("one", {})
        assert len(asked) == number * len(bad)
    assert await main.execute("one", {}) == (right if not isinstance(right, Place) else {"city": "Porto", "orders": 3})
    row = next(row for row in open_journal("stillhouse.db").steps("one") if "input_tokens" in (row.facts or {}))
    assert row.facts["output_tokens"] == 5 * (2 * len(bad) + 1)  # what was thrown away is counted
    assert len(row.facts["requests"]) == len(set(row.facts["requests"])) == 2 * len(bad) + 1
    assert (row.attempts, len(row.facts["failures"])) == (3, 2)
    n_asked = len(asked)
    await main.execute("one", {})
    assert len(asked) == n_asked  # a finished run is read from the journal


async def test_what_the_flow_lived_with_is_not_asked_anew_by_a_resume_after_a_kill():
    sys.modules[SCRIPT.split(":")[1]] = sys.modules[__name__]
    ANSWERS[:] = ["neither", "fine"]

    @flow(model=IN_TURN)
    async def main() -> str:
        try:
            return await route("q")
        except StepError:
            if len(asked) == 1:
                raise KeyboardInterrupt from None
            return await reply("q", "t")

    with pytest.raises(KeyboardInterrupt):
        await main.run("one")
    asked.append("a second sitting")
    ANSWERS.insert(1, "")
    assert await main.run("one") == "fine"
    assert len(asked) == 3


async def test_a_page_with_status_200_is_asked_again_within_the_step(endpoint):
    @flow(model=endpoint.url("page-once"))
    async def main() -> str:
        return await reply("a good day", "t")

    assert await main.run("one") == "good"


async def test_equal_prompts_in_branches_are_samples_of_their_own_and_a_bad_one_is_asked_anew_in_its_branch():
    sys.modules[SCRIPT.split(":")[1]] = sys.modules[__name__]
    ANSWERS[:] = ["neither", "chat", "sql", "neither", "sql"]

    async def routed(after: float) -> str:
        await asyncio.sleep(after)
        return await route("q")

    waits = [0.0, 0.01, 0.02]

    @flow(model=IN_TURN)
    async def main() -> list[str]:
        found = await asyncio.gather(*map(routed, waits), return_exceptions=True)
        if errors := [one for one in found if isinstance(one, StepError)]:
            raise errors[0]
        return found

    for _ in range(2):
        with pytest.raises(StepError):
            await main.execute("one", {})
        waits.reverse()
    assert await main.execute("one", {}) == ["sql", "chat", "sql"]
    assert len({(request.sample_index) for request in asked}) == len(asked) == 5
