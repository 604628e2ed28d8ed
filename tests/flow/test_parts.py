"""Cases of every kind of part, cases made of runs of every shape, and what a wrong whole is put down to."""

import asyncio
import json
import sys

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import StepError, agent, ask_human, decide, tool
from stillhouse.flow.human import answer
from stillhouse.flow.testing import Case, run_case
from stillhouse.flow_tests.attribution import cause_of, gap_of, judge_run
from stillhouse.flow_tests.cases import as_text, load_suite
from stillhouse.flow_tests.parts import Parts
from stillhouse.flow_tests.traced_cases import cases_of_runs
from stillhouse.records import Estimate
from stillhouse.results.flow_test import Against, CaseResult, FlowResult, Missing, PartResult
from stillhouse.store.journal import open_journal


@tool
def stock(product: str) -> int:
    """How many are there?"""
    return {"kettle": 3}[product]


helper = agent("Help.", [stock], name="helper")


@step
async def shout(text: str, times: int = 1) -> str:
    await asyncio.sleep(0)
    return text.upper() + "!" * times


@flow
async def desk(question: str) -> str:
    urgent = await decide("Is it urgent?", ["yes", "no"], question, name="urgent")
    if urgent == "yes":
        return await shout(await ask_human("Who takes it?"))
    first, second = await asyncio.gather(shout(question), helper(question))
    return f"{first} {second}"


def clerk(request, example=None):
    if "decision" in request.parameters:
        return "yes" if "fire" in request.messages[-1]["content"] else "no"
    return "Final Answer: soon"


helper.calling = "text"
MODELS = {"*": f"scripted:{__name__}:clerk"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sys.modules["test_parts"] = sys.modules[__name__]
    return tmp_path


def suite(folder, **files):
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parts = Parts(desk)
    return parts, load_suite(folder, parts.find, parts.whole, {}, None)


DECISION = {"question": "Is it urgent?", "options": ["yes", "no"], "about": "fire!"}
PARTS = [
    ("urgent", DECISION, "yes"),
    ("helper", "hello", "soon"),
    ("stock", {"product": "kettle"}, "3"),
    ("stock", "kettle", "3"),
    ("stock", {"product": "lamp"}, "Error: stock failed (KeyError: 'lamp')"),
    ("shout", "hey", "HEY!"),
    ("shout", {"text": "hey", "times": 2}, "HEY!!"),
]


@pytest.mark.parametrize(("name", "given", "expected"), PARTS)
async def test_every_kind_of_part_can_have_cases(here, name, given, expected):
    parts, found = suite(here, **{name: [{"input": given, "expected": expected}]})
    [one] = found.steps[name]
    outcome = await run_case(parts.find(name, [{"input": one.case.input}]).flow, one.case, models=MODELS)
    assert (outcome.result, outcome.error, one.score(outcome.result)) == (expected, None, 1.0)
    [call] = [call for call in outcome.calls if call.key[0] == name]
    assert call.arguments == one.call  # so that the same call within a whole run is judged by this case


def test_what_takes_a_branch_is_known(here):
    parts = Parts(desk)
    assert parts.decides("urgent", "decide")
    assert not parts.decides("shout", "step")


@pytest.mark.parametrize(("left", "right"), [("a", "a"), (3, 3.0), ({"b": [1.0], "a": 2}, {"a": 2, "b": [1]})])
def test_equal_values_have_equal_texts(left, right):
    assert as_text(left) == as_text(right)
    assert as_text(True) != as_text(1)


# Cases of runs


async def test_a_run_with_a_person_and_one_with_branches_side_by_side_become_cases_that_hold(here):
    with pytest.raises(BaseException, match="waits for an answer"):
        await desk.run("r1", question="fire!", models=MODELS)
    journal = open_journal("stillhouse.db")
    with pytest.raises(UserError, match=r"the run r1 is not done \(waiting\)"):
        cases_of_runs(["r1"], cases=here / "cases", store="stillhouse.db")
    answer(journal, "r1", "Ann")
    await desk.run("r1", question="fire!", models=MODELS)
    await desk.run("r2", question="hello", models=MODELS)
    journal.close()
    cases_of_runs(["r1", "r2"], cases=here / "cases", store="stillhouse.db")
    first, second = map(json.loads, (here / "cases" / "paths.jsonl").read_text().splitlines())
    assert (first["path"], first["script"]) == (
        ["urgent=yes", "ask_human=Ann", "shout=ANN!"],
        {"urgent": "yes", "ask_human": "Ann"},
    )
    assert second["path"] == {"urgent=no": 1, "shout=HELLO!": 1, "helper=soon": 1}  # shout and the helper ran at once
    parts = Parts(desk)
    made = load_suite(here / "cases", parts.find, parts.whole, {}, None)
    for case in made.paths:
        outcome = await run_case(desk, case)
        assert (outcome.error, outcome.path_problems) == (None, [])
    assert [one.case.path for one in made.whole] == [first["path"], second["path"]]  # the paths of the same inputs


@step
async def attempt(n: int) -> int:
    if n < 2:
        raise StepError("too small")
    return n


@step
async def draw() -> str:
    return next(DRAWN)


DRAWN = iter("abcdef")


@flow
async def retrying() -> list[str]:
    for n in range(3):
        try:
            await attempt(n)
        except StepError:
            continue
    return [str(await decide("Which?", ["a", "b"], name="pick")) for _ in range(2)] + [await draw()]


async def test_equal_calls_with_different_answers_are_scripted_in_order(here):
    said = iter("ab")
    sys.modules[__name__].pick = lambda request, example=None: next(said)
    await retrying.run("r", models={"*": f"scripted:{__name__}:pick"})
    cases_of_runs(["r"], cases=here / "cases", store="stillhouse.db")
    [row] = [json.loads(line) for line in (here / "cases" / "paths.jsonl").read_text().splitlines()]
    [pick] = row["script"]["pick"]["by_input"]
    assert pick["output"] == {"in_order": ["a", "b"]}
    assert row["path"] == ["attempt", "attempt", "attempt=2", "pick=a", "pick=b", "draw=a"]
    outcome = await run_case(retrying, Case("c", {}, row["script"]))
    assert (outcome.error, outcome.result) == (None, ["a", "b", "b"])  # draw has a body: it runs


# What a wrong whole is put down to


async def judged(here, question, script, *, right, path=None, **cases):
    parts, found = suite(here, **cases)
    outcome = await run_case(desk, Case("c", {"question": question}, script, path), known=found.answer)
    return cause_of(judge_run(outcome, right, found.known), parts.decides), judge_run(outcome, right, found.known)


SHOUT = {"input": "hello", "expected": "HELLO!"}
URGENT = {"input": {**DECISION, "about": "hello"}, "expected": "no"}
CAUSES = [
    ("a decision is wrong", {"urgent": "yes", "ask_human": "Ann"}, None, {"urgent": [URGENT]}, ("branch", "urgent")),
    ("the path is another", {"urgent": "yes", "ask_human": "Ann"}, ["urgent=no"], {"shout": [SHOUT]}, ("branch", None)),
    (
        "a step is wrong",
        {"urgent": "no", "helper": "x", "shout": "hm"},
        None,
        {"urgent": [URGENT], "shout": [SHOUT]},
        ("step", "shout"),
    ),
    (
        "a step failed",
        {"urgent": "no", "helper": "x", "shout": {"raises": "oh"}},
        None,
        {"shout": [SHOUT]},
        ("step", "shout"),
    ),
    (
        "it failed where nothing was judged",
        {"urgent": "no", "helper": {"raises": "oh"}, "shout": "x"},
        None,
        {},
        ("failed", "helper"),
    ),
    (
        "all parts are right",
        {"urgent": "no", "helper": "x"},
        None,
        {"urgent": [URGENT], "shout": [SHOUT]},
        ("whole", None),
    ),
    ("nothing was judged", {"urgent": "no", "helper": "x"}, None, {}, ("unknown", None)),
]


@pytest.mark.parametrize(
    ("script", "path", "cases", "cause"), [row[1:] for row in CAUSES], ids=[row[0] for row in CAUSES]
)
async def test_a_wrong_whole_is_put_down_to_the_first_thing_that_went_wrong(here, script, path, cases, cause):
    cases = cases or {"shout": [{"input": "other", "expected": "OTHER!"}]}
    found, _ = await judged(here, "hello", script, right=False, path=path, **cases)
    assert found == cause


async def test_the_gap_counts_runs_and_calls(here):
    _, right_parts = await judged(
        here, "hello", {"urgent": "no", "helper": "x"}, right=False, urgent=[URGENT], shout=[SHOUT]
    )
    _, wrong_part = await judged(here, "hello", {"urgent": "yes", "ask_human": "Ann"}, right=False, urgent=[URGENT])
    gap = gap_of([right_parts, wrong_part])
    assert (gap.share.value, gap.share.n, gap.n_calls, gap.n_judged) == (1.0, 1, 6, 3)


# Whether a test passed


def row(score, id_="1"):
    return CaseResult(
        id=id_, key="key", score=score, expected="x", output="y", error=None, run="run", latency_s=None, cost_usd=None
    )


def result_of(*rows, missing=(), baseline=None, against=()):
    part = PartResult(
        name="main",
        kind="whole",
        metrics=("accuracy",),
        score=None,
        rows=rows,
        cost_usd_per_1000=None,
        latency_p50_s=None,
    )
    return FlowResult(
        flow="main",
        app="app.py:main",
        created="",
        models={},
        offline=False,
        parts=(part,),
        paths=(),
        gap=None,
        missing=missing,
        baseline=baseline,
        against=against,
    )


def test_without_a_baseline_everything_must_be_right_and_nothing_unanswered():
    assert result_of(row(1.0)).passed
    assert not result_of(row(1.0), row(0.5)).passed
    no_worse = Against(
        name="main",
        answer="pass",
        difference=Estimate(0.0, 1, -0.02, 0.02, 0.95, "Tango"),
        lower_bound=-0.02,
        p=1.0,
        n_left_out=0,
        sentence="",
    )
    assert result_of(row(0.5), baseline="tests-1.json", against=(no_worse,)).passed  # then only the comparison counts
    assert not result_of(row(0.5), baseline="tests-1.json").passed  # where there is one
    assert not result_of(
        row(None), missing=(Missing("1", "route", "{}", "no stored answer"),), baseline="tests-1.json"
    ).passed
