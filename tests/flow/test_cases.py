"""Testing a flow: scripts by step, paths, cassettes; nothing of it asks a model unless a case wants one."""

import asyncio
import sqlite3
from dataclasses import dataclass
from typing import Literal

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import StepError, agent, ask_human, decide
from stillhouse.flow.paths import check_path, path_problems
from stillhouse.flow.testing import Case, in_order, run_case, run_cases

INSTRUCTION = ["Write the query."]


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@step
async def route(question: str) -> Literal["sql", "search", "chat"]:
    """Who answers?"""


@step
async def to_sql(question: str, problem: str = "") -> str:
    """Write the query."""


@step
async def run_sql(query: str) -> list[int]:
    if query == "broken":
        raise StepError("no such column")
    return [3]


@flow
async def shop(question: str) -> str:
    if await route(question) != "sql":
        return "see the policy"
    problem = ""
    for _ in range(3):
        query = await to_sql(question, problem)
        try:
            return f"There are {(await run_sql(query))[0]}."
        except StepError as error:
            problem = str(error)
    return "I cannot tell."


def case(script, path=None, question="how many?"):
    return Case("c", {"question": question}, script, path)


async def test_a_script_answers_by_step_and_no_model_is_asked():
    outcome = await run_case(shop, case({"route": "sql", "to_sql": "SELECT 3"}, ["route=sql", "to_sql", "run_sql"]))
    assert (outcome.result, outcome.error, outcome.path_problems) == ("There are 3.", None, [])
    assert outcome.path == ["route=sql", "to_sql", "run_sql"]


async def test_answers_in_order_and_failures_lead_through_the_loop_that_retries():
    script = {"route": "sql", "to_sql": {"in_order": ["broken", "broken", "SELECT 3"]}}
    outcome = await run_case(
        shop, case(script, {"to_sql": 3, "run_sql": {">=": 1, "<=": 3}, "route=sql": 1, "route=chat": 0})
    )
    assert (outcome.result, outcome.path_problems) == ("There are 3.", [])
    script = {"route": "sql", "to_sql": in_order(["SELECT 3"]), "run_sql": {"raises": "the shop is closed"}}
    outcome = await run_case(shop, case(script))
    assert outcome.error == "NotScripted: the script has 1 answers for to_sql, and it is called once more, with " + (
        '{"problem":"the shop is closed","question":"how many?"}'
    )


async def test_answers_by_input_functions_and_exceptions():
    script = {
        "route": lambda question: "sql" if "many" in question else "chat",
        "to_sql": {"by_input": [{"input": {"question": "how many?", "problem": ""}, "output": "SELECT 3"}]},
        "run_sql": OSError("gone"),
    }
    assert (await run_case(shop, case(script))).error == "OSError: gone"
    assert (await run_case(shop, case(script, question="hello"))).result == "see the policy"
    unknown = await run_case(shop, case(script, question="many more"))
    assert unknown.error.startswith("NotScripted: the script has no answer of to_sql to ")


async def test_a_model_that_a_script_does_not_name_is_refused_by_name_unless_a_case_of_it_is_known():
    outcome = await run_case(shop, case({"to_sql": "SELECT 3"}))
    assert outcome.error == (
        'NotScripted: route asks a model {"question":"how many?"}, and neither the case\'s script nor a case of route has an answer; add one'
    )

    def known(step, arguments):
        assert (step, arguments) == ("route", '{"question":"how many?"}')
        return "sql"

    assert (await run_case(shop, case({"to_sql": "SELECT 3"}), known=known)).result == "There are 3."


async def test_a_script_that_says_what_the_step_cannot_is_the_cases_failure():
    outcome = await run_case(shop, case({"route": "banana"}))
    assert outcome.error.startswith("ValidationError")


helper = agent("Help.", name="helper")


@flow
async def desk(question: str) -> str:
    if await decide("Is this urgent?", ["yes", "no"], question, name="urgent") == "yes":
        return await ask_human("Who takes it?", ["Ann", "Bo"])
    both = await asyncio.gather(helper(question), helper(f"{question} again"))
    return " ".join(both)


async def test_decisions_agents_and_people_are_scripted_like_steps():
    outcome = await run_case(desk, case({"urgent": "yes", "ask_human": "Bo"}, ["urgent=yes", "ask_human=Bo"]))
    assert (outcome.result, outcome.path_problems) == ("Bo", [])
    outcome = await run_case(
        desk, case({"urgent": "no", "helper": lambda task: task.upper()}, {"urgent=no": 1, "helper": 2, "ask_human": 0})
    )
    assert (outcome.result, outcome.path_problems) == ("HOW MANY? HOW MANY? AGAIN", [])
    assert "no answer under ask_human" in (await run_case(desk, case({"urgent": "yes"}))).error


@dataclass
class Order:
    id: int
    items: list[str]


@step
async def count(order: Order) -> int:
    return len(order.items)


@flow
async def main(order: Order) -> int:
    return await count(order)


async def test_json_input_becomes_what_the_annotations_say_and_what_does_not_fit_is_the_users_mistake():
    assert (await run_case(main, Case("c", {"order": {"id": 1, "items": ["a", "b"]}}))).result == 2
    with pytest.raises(UserError, match=r"the case c: its input .* does not fit main"):
        await run_case(main, Case("c", {"order": {"id": "x", "items": []}}))
    with pytest.raises(UserError, match="missing a required argument: 'order'"):
        await run_cases(main, [Case("c", {"orders": 1})])


# Paths


PATHS = [
    (["route=sql", "to_sql", "run_sql"], []),
    (["route", "to_sql", "run_sql"], []),
    (["route=chat", "to_sql"], ["call 1 is route=sql, and route=chat was expected"]),
    (["route", "to_sql"], ["it goes on with run_sql where the expected path ends"]),
    (["route", "to_sql", "run_sql", "answer"], ["it ends after 3 calls, and answer was expected next"]),
    ({}, []),
    ({"to_sql": 2}, ["to_sql was called 1 time, and 2 was expected"]),
    ({"to_sql": {">=": 2, "<=": 3}}, ["to_sql was called 1 time, and >= 2 and <= 3 was expected"]),
    ({"search": 1, "route=sql": 1, "route=chat": 0}, ["search was called 0 times, and 1 was expected"]),
]


@pytest.mark.parametrize(("expected", "problems"), PATHS, ids=lambda value: str(value)[:40])
async def test_how_a_path_differs_is_said_in_sentences(expected, problems):
    outcome = await run_case(shop, case({"route": "sql", "to_sql": "SELECT 3"}, expected))
    assert outcome.path_problems == problems
    assert path_problems(expected, outcome.calls) == problems


@pytest.mark.parametrize(
    "wrong", ["route", [1], [""], {"a": -1}, {"a": True}, {"a": {">": 1}}, {"a": {">=": {">=": 1}}}, {"a": {}}, None]
)
def test_what_is_no_path_is_refused(wrong):
    with pytest.raises(UserError, match="is no path"):
        check_path(wrong)


# Cassettes


class Clerk:
    """A scripted model of `shop` that counts what it is asked."""

    asked = 0

    def __call__(self, request, example=None):
        Clerk.asked += 1
        return "sql" if "Who answers" in request.messages[0]["content"] else "SELECT 3"


clerk = Clerk()
MODELS = {"*": f"scripted:{__name__}:clerk"}


async def test_a_cassette_answers_offline_and_pays_nothing_again(tmp_path):
    Clerk.asked = 0
    store = tmp_path / "s.db"
    first = await run_case(shop, case(None), models=MODELS, store=store)
    again = await run_case(shop, case(None), models=MODELS, store=store, offline=True)
    assert (again.result, again.missing, Clerk.asked) == (first.result, (), 2)
    assert first.latency_s is not None
    assert again.latency_s is None  # the store's time is not the model's


async def test_every_call_that_the_cassette_cannot_answer_is_listed_not_only_the_first(tmp_path):
    store, questions = tmp_path / "s.db", ["how many?", "how few?"]
    cases = [Case(question, {"question": question}) for question in questions]
    await run_cases(shop, cases, models=MODELS, store=store)
    with sqlite3.connect(store) as db:  # as if the prompts had changed since
        db.execute("DELETE FROM completions")

    class Earlier:
        def answer(self, step, arguments):
            return {"route": "sql", "to_sql": "SELECT 3"}[step]

        def values(self, given):
            return ()

    found = await run_cases(shop, cases, models=MODELS, store=store, offline=True, recorded=Earlier())
    assert [(miss.case, miss.step) for outcome in found for miss in outcome.missing] == [
        ("how many?", "route"), ("how many?", "to_sql"), ("how few?", "route"), ("how few?", "to_sql"),
    ]  # fmt: skip
    assert [outcome.result for outcome in found] == ["There are 3.", "There are 3."]
    blind = await run_cases(shop, cases, models=MODELS, store=store, offline=True)
    assert [miss.step for outcome in blind for miss in outcome.missing] == ["route", "route"]
    assert blind[0].error.startswith("CassetteMissError: no stored answer of")


@step
async def dated(day: str) -> str:
    """What day is it?"""


@flow
async def diary() -> str:
    return await dated(flow.now().isoformat())


async def test_the_clock_of_a_recorded_run_is_played_back_so_that_its_prompts_are_the_same(tmp_path):
    from stillhouse.flow_tests.recorded_runs import RecordedRuns

    store = tmp_path / "s.db"
    await diary.run("monday", store=store, models=MODELS)
    recorded = RecordedRuns("diary", store)
    outcome = await run_case(diary, Case("c", {}), models=MODELS, store=store, offline=True, recorded=recorded)
    assert (outcome.result, outcome.missing) == ("SELECT 3", ())
    assert len((await run_case(diary, Case("c", {}), models=MODELS, store=store, offline=True)).missing) == 1


async def test_cases_leave_nothing_in_the_apps_own_journal(tmp_path):
    await run_case(shop, case({"route": "chat"}))
    assert list(tmp_path.iterdir()) == []
    await run_case(shop, case({"route": "chat"}), journal=tmp_path / "kept.db", prefix="path")
    with sqlite3.connect(tmp_path / "kept.db") as db:
        assert db.execute("SELECT run, flow, status FROM runs").fetchall() == [("path-1", "shop", "done")]


@dataclass
class Place:
    city: str
    orders: int


@step
async def place(text: str) -> Place:
    """Which city, and how many orders?"""


@flow
async def urgent() -> str:
    return await decide("Is it urgent?", ["yes", "no"], "the kettle burns")


@flow
async def placed() -> int:
    return (await place("Three orders from Porto")).orders


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


adder = agent("Add.", [add], name="adder")


@flow
async def added() -> str:
    return await adder("1 and 2")


ENDPOINTS = [
    (urgent, "decisions"), (urgent, "logprobs"), (urgent, "no-logprobs"), (placed, "place"), (placed, "place-plain"), (added, "agent"), (added, "agent-text"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("played", "mode"), ENDPOINTS, ids=lambda value: value if isinstance(value, str) else value.name
)
async def test_a_cassette_replays_what_was_said_to_an_endpoint_whatever_that_lacks(endpoint, tmp_path, played, mode):
    models = {"*": endpoint.url(mode)}
    recorded = await run_case(played, Case("c", {}), models=models, store=tmp_path / "s.db")
    paid = endpoint.calls()
    again = await run_case(played, Case("c", {}), models=models, store=tmp_path / "s.db", offline=True)
    assert recorded.error is None
    assert (again.result, again.error, again.missing) == (recorded.result, None, ())
    assert endpoint.calls() == paid
