"""Branches and loops that a model decides."""

import sys

import pytest

from stillhouse import flow
from stillhouse.errors import UserError
from stillhouse.flow import StepError, decide, until
from stillhouse.llm.request import Completion
from stillhouse.records import Prediction, Usage
from stillhouse.store.journal import open_journal

asked: list = []
says: list = []


def model(request, example):
    asked.append(request)
    return says.pop(0)


SCRIPT = f"scripted:{__name__}:model"


@pytest.fixture(autouse=True)
def clean():
    sys.modules[SCRIPT.split(":")[1]] = sys.modules[__name__]
    asked.clear()
    says.clear()


@flow
async def main(question: str = "Is it urgent?", threshold: float | None = None) -> list:
    choice = await decide(
        question, ["yes", "no"], "the kettle burns", threshold=threshold, otherwise=None if threshold is None else "ask"
    )
    return [choice, choice.probability, choice.otherwise]


async def test_the_decisions_api_gives_a_probability_per_option(endpoint):
    assert await main.run("one", models={"decide": endpoint.url("decisions")}) == ["yes", 0.7, False]
    assert await main.run("two", threshold=0.9, models={"decide": endpoint.url("decisions")}) == ["ask", 0.7, True]
    assert endpoint.calls() == {"decision: Is it urgent?": 1}  # the second run was answered by the store
    (row,) = open_journal("stillhouse.db").steps("one")
    assert (row.kind, row.facts["options"], row.facts["choice"], row.facts["confidence"]) == (
        "decide",
        ["yes", "no"],
        "yes",
        0.7,
    )


async def test_without_that_api_the_log_probabilities_of_the_reply_count(endpoint):
    option, probability, _ = await main.run("one", models={"decide": endpoint.url("logprobs")})
    assert (option, round(probability, 6)) == ("yes", 0.45)


async def test_without_any_probability_it_is_unknown_and_meets_no_threshold(endpoint):
    assert await main.run("one", models={"decide": endpoint.url("no-logprobs")}) == ["yes", None, False]
    assert await main.run("two", threshold=0.01, models={"decide": endpoint.url("no-logprobs")}) == ["ask", None, True]


@pytest.mark.parametrize("status", [400, 404, 405, 501])
async def test_whether_the_api_is_there_is_told_by_the_status_alone(status):
    says.extend([Completion(None, error="any words", status=status), "no"])
    assert (await main.run("one", models={"decide": SCRIPT}))[0] == "no"
    says.append(Completion(None, error="refused by the endpoint (400: these words are no status)"))
    with pytest.raises(StepError, match="these words are no status"):
        await main.run("two", "Or not?", models={"decide": SCRIPT})


async def test_a_student_decides_with_its_own_probability():
    class Student:
        name = "student"

        async def predict(self, inputs):
            return [Prediction("no", confidence=0.6, scores={"yes": 0.4, "no": 0.6}) for _ in inputs]

    assert await main.run("one", models={"decide": Student()}) == ["no", 0.6, False]


async def test_an_answer_that_is_no_option_is_refused():
    says.extend(["perhaps", "perhaps"])
    with pytest.raises(StepError, match="'perhaps' is none of the options yes, no"):
        await main.run("one", models={"*": SCRIPT})


async def test_a_resumed_run_takes_the_same_branch():
    @flow(model=SCRIPT)
    async def branching() -> str:
        if await decide("Left?", ["yes", "no"]) == "yes":
            raise ConnectionError("on the left")
        return "right"

    says.append("yes")
    for _ in range(2):
        with pytest.raises(ConnectionError, match="on the left"):
            await branching.run("one")
    assert len(asked) == 1


async def test_until_ends_at_a_yes_and_at_its_bound():
    @flow(model=SCRIPT)
    async def drafts(at_most: int) -> str:
        draft = ""
        async for turn in until("Is it done?", at_most=at_most):
            draft += f"turn {turn}. "
            turn.show(draft)
        return draft.strip()

    says.extend(["no", "yes"])
    assert await drafts.run("one", at_most=9) == "turn 0. turn 1."
    says.extend(["no", "no"])
    assert await drafts.run("two", at_most=2) == "turn 0. turn 1."
    assert says == [
        "no",
        "no",
    ]  # the first question was answered by the store, and after the last turn nothing is asked


@pytest.mark.parametrize("options", [[], ["one"], ["same", "same"]])
async def test_options_must_be_a_choice(options):
    with pytest.raises(UserError, match="are no choice"):
        await decide("Which?", options)


async def test_a_threshold_needs_an_otherwise():
    with pytest.raises(UserError, match="a threshold needs an `otherwise`"):
        await decide("Which?", ["a", "b"], threshold=0.5)


async def test_a_refusal_to_decide_is_an_error_and_not_an_option():
    says.append(Completion(None, error="the model refused to decide", finish_reason="refusal", usage=Usage(1, 0)))
    with pytest.raises(StepError, match="refused to decide"):
        await main.run("one", models={"*": SCRIPT})


async def test_until_wants_something_to_judge():
    with pytest.raises(UserError, match=r"turn 0 showed nothing to judge; call turn.show"):
        async for _ in until("Is it done?", at_most=3):
            pass
