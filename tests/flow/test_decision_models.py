"""A test of a decision's cases asks the model that the code names for it."""

import sys

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import decide, until
from stillhouse.flow.testing import Case, run_case
from stillhouse.flow_tests.decisions import model_of_decision
from stillhouse.flow_tests.parts import Parts

asked: list[str] = []


def by_the_flow(request, example=None):
    asked.append("flow")
    return "no"


def by_the_code(request, example=None):
    asked.append("code")
    return "yes"


OWN, OTHER = f"scripted:{__name__}:by_the_code", f"scripted:{__name__}:by_the_flow"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[by_the_flow.__module__])
    asked.clear()


async def helper(text: str) -> str:
    return await flow.decide("Is it a helper's?", ["yes", "no"], text, name="helped", model=OWN)


@step
async def in_a_step(text: str) -> str:
    return await decide(
        "In a step?", ["yes", "no"], text, name="stepped", model="scripted:test_decision_models:by_the_code"
    )


@flow(model=OTHER)
async def desk(text: str) -> str:
    urgent = await decide("Is it urgent?", ["yes", "no"], text, name="urgent", model=OWN)
    plain = await decide("Is it plain?", ["yes", "no"], text, name="plain")
    async for turn in until("Is it done?", at_most=2, model=OWN):
        turn.show(text)
    for name in ("one", "two"):
        await decide("Which?", ["yes", "no"], text, name="looped", model=OWN if name == "one" else OTHER)
    await decide("Twice?", ["yes", "no"], text, name="twice", model=OWN)
    await decide("Twice?", ["yes", "no"], text, name="twice", model=OTHER)
    return urgent + plain + await helper(text) + await in_a_step(text)


@pytest.mark.parametrize(
    ("name", "model"),
    [("urgent", OWN), ("helped", OWN), ("stepped", OWN), ("until", OWN), ("plain", None), ("absent", None)],
)
def test_the_model_is_found_where_the_decision_is_made(name, model):
    found = model_of_decision(sys.modules[__name__], name)
    assert (found and found.rpartition(":")[2]) == (model and model.rpartition(":")[2])


@pytest.mark.parametrize(
    ("name", "why"),
    [("looped", "which only a run knows; name it: --model looped=NAME"), ("twice", "are asked of 2 models")],
)
def test_a_model_that_is_in_doubt_is_said(name, why):
    with pytest.raises(UserError, match=why):
        model_of_decision(sys.modules[__name__], name)


async def test_a_case_asks_the_model_of_the_code_and_the_commands_before_it():
    case = Case("one", {"question": "Is it urgent?", "options": ["yes", "no"], "about": "fire"})
    rows = [{"input": dict(case.input)}]
    parts = Parts(desk)
    outcome = await run_case(parts.find("urgent", rows).flow, case)
    assert (outcome.result, asked) == ("yes", ["code"])
    outcome = await run_case(parts.find("urgent", rows).flow, case, models={"urgent": OTHER})
    assert (outcome.result, asked) == ("no", ["code", "flow"])
    outcome = await run_case(parts.find("plain", rows).flow, case)
    assert outcome.result == "no"
