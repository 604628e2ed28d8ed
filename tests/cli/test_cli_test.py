"""stillhouse test and stillhouse harvest: exact words, exit codes, files; and the way from traces to a student that is proved in the flow."""

import json
import sqlite3
import sys
import textwrap

import pytest

APP = '''
from typing import Literal
from stillhouse import flow, step


def clerk(request, example=None):
    asked, instruction = request.messages[-1]["content"], request.messages[0]["content"]
    if "Who answers" in instruction:
        return "sql" if "many" in asked else "search"
    return "SELECT 3"


def worse(request, example=None):
    return "search"


@step(model="scripted:shop_app:clerk")
async def route(question: str) -> Literal["sql", "search"]:
    """Who answers?"""


@step(model="scripted:shop_app:clerk")
async def to_sql(question: str) -> str:
    """Write the query."""


@step
async def rows(query: str) -> int:
    return int(query.removeprefix("SELECT "))


@flow
async def main(question: str) -> str:
    if await route(question) == "search":
        return "see the policy"
    return f"There are {await rows(await to_sql(question))}."
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop_app.py").write_text(APP)
    yield tmp_path
    sys.modules.pop("shop_app", None)


def write(folder, name, *rows):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def cases(here, n=6):
    """Questions about numbers have the answer 3; every third asks for a policy."""
    asked = [("what may I return" if number % 3 == 0 else "how many") + f" of {number}?" for number in range(n)]
    policy = [question.startswith("what") for question in asked]
    rows = list(enumerate(zip(asked, policy, strict=True)))
    write(here / "cases", "route", *({"id": n, "input": q, "expected": "search" if p else "sql"} for n, (q, p) in rows))
    write(
        here / "cases",
        "flow",
        *({"id": n, "input": q, "expected": "see the policy" if p else "There are 3."} for n, (q, p) in rows),
    )
    write(
        here / "cases",
        "paths",
        {
            "id": "p",
            "input": "how?",
            "path": ["route=sql", "to_sql", "rows=7"],
            "script": {"route": "sql", "to_sql": "SELECT 7"},
        },
    )


def test_all_right_is_exit_code_0_and_a_table(here, stillhouse):
    cases(here)
    found = stillhouse("test", "shop_app.py:main")
    assert found.code == 0, found.err
    lines = [line.split() for line in found.out.splitlines()]
    assert ["main", "(whole)", "6", "100.0", "%", "[54.1,", "100.0]"] in [line[:7] for line in lines]
    assert "paths: 1 of 1 as expected" in found.out
    assert (
        "composability gap: 0.0\u202f% [0.0, 45.9], n = 6 runs with right parts (6 of 14 step calls judged)"
        in found.out
    )
    assert found.out.rstrip().endswith("passed")
    assert "wrote runs/tests-1.json" in found.err
    assert sorted(path.name for path in (here / "runs").iterdir() if not path.name.startswith(".")) == [
        "tests-1.db",
        "tests-1.html",
        "tests-1.json",
    ]
    with sqlite3.connect(here / "stillhouse.db") as db:
        assert "steps" not in {
            name for (name,) in db.execute("SELECT name FROM sqlite_master")
        }  # no trace of a test among the app's own runs


def test_what_is_wrong_is_attributed(here, stillhouse):
    cases(here, 9)
    found = stillhouse("test", "shop_app.py:main", "--model", "route=scripted:shop_app:worse", "--json")
    assert found.code == 1
    [route, whole] = found.json["parts"]
    assert (route["score"]["value"], whole["score"]["value"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.json["causes"] == [{"cause": "branch", "at": "route", "n": 6}]
    wrong = next(row for row in whole["rows"] if row["score"] == 0)
    assert (wrong["path"], wrong["cause"], wrong["output"]) == (["route=search"], "branch", "see the policy")
    with sqlite3.connect(found.json["journal"]) as db:
        assert db.execute("SELECT result FROM runs WHERE run = ?", (wrong["run"],)).fetchone() == ('"see the policy"',)


def test_right_parts_and_a_wrong_whole_are_the_gap(here, stillhouse):
    cases(here, 3)
    write(here / "cases", "flow", {"id": 1, "input": "how many of 1?", "expected": "There are three."})
    write(here / "cases", "to_sql", {"id": 1, "input": "how many of 1?", "expected": "SELECT 3"})
    found = stillhouse("test", "shop_app.py:main")
    assert found.code == 1
    assert "why 1 of 1 whole answers are wrong\n     1  right parts, wrong whole" in found.out
    assert "composability gap: 100.0\u202f% [2.5, 100.0], n = 1" in found.out
    assert "cannot be told (every run has the same steps)" in found.out
    assert "wrong in main\n  1: how many of 1? -> There are 3.  (expected There are three.)" in found.out


def test_a_wrong_path_says_where_it_leaves_the_expected_one(here, stillhouse):
    cases(here, 3)
    write(
        here / "cases",
        "paths",
        {"id": "p", "input": "how?", "path": ["route=sql", "rows"], "script": {"route": "sql", "to_sql": "SELECT x"}},
    )
    found = stillhouse("test", "shop_app.py:main")
    assert found.code == 1
    assert "p: call 2 is to_sql, and rows was expected; it failed (ValueError: invalid literal" in found.out
    assert "it went route=sql > to_sql > rows" in found.out


def test_offline_lists_every_call_without_an_answer_when_a_prompt_changed(here, stillhouse):
    cases(here, 3)
    for number in range(3):
        question = ("what may I return" if number % 3 == 0 else "how many") + f" of {number}?"
        assert (
            stillhouse(
                "run", "shop_app.py:main", "--input", json.dumps({"question": question}), "--run-id", f"r{number}"
            ).code
            == 0
        )
    again = stillhouse("test", "shop_app.py:main", "--offline", "--json")
    assert (again.code, again.json["missing"]) == (0, [])
    (here / "shop_app.py").write_text(APP.replace("Write the query.", "Write one query."))
    changed = stillhouse("test", "shop_app.py:main", "--offline", "--json")
    assert changed.code == 1
    assert [(miss["case"], miss["step"]) for miss in changed.json["missing"]] == [("1", "to_sql"), ("2", "to_sql")]
    (here / "shop_app.py").write_text(
        APP.replace("Who answers?", "Who answers it?").replace("Write the query.", "Write one query.")
    )
    both = stillhouse("test", "shop_app.py:main", "--offline")
    assert (
        "8 calls have no stored answer" in both.out
    )  # route alone three times, and in the whole; to_sql behind it twice
    assert 'to_sql in case 1: {"question":"how many of 1?"}' in both.out


@pytest.mark.slow
def test_against_a_baseline_worse_beyond_the_margin_is_exit_code_1_and_few_cases_cannot_tell(here, stillhouse):
    cases(here, 60)
    assert stillhouse("test", "shop_app.py:main").code == 0
    same = stillhouse("test", "shop_app.py:main", "--baseline", "runs/tests-1.json", "--margin", "0.2")
    assert same.code == 0, same.out
    assert "main: the same answers as before in all of 60 cases" in same.out
    worse = stillhouse(
        "test",
        "shop_app.py:main",
        "--baseline",
        "runs/tests-1.json",
        "--model",
        "route=scripted:shop_app:worse",
        "--json",
    )
    assert worse.code == 1
    by_name = {one["name"]: one for one in worse.json["against"]}
    assert (by_name["main"]["answer"], by_name["route"]["answer"]) == ("fail", "fail")
    assert by_name["main"]["difference"]["value"] == pytest.approx(-2 / 3)
    assert by_name["main"]["p"] < 1e-9
    cases(here, 6)
    few = stillhouse("test", "shop_app.py:main", "--baseline", "runs/tests-1.json")
    assert few.code == 0
    assert "main: the same answers as before in all of 6 cases; 54 cases that only one of the two has" in few.out
    other = stillhouse(
        "test", "shop_app.py:main", "--baseline", "runs/tests-1.json", "--model", "route=scripted:shop_app:worse"
    )
    assert other.code == 1
    assert other.out.rstrip().splitlines()[-1].startswith(("failed", "cannot tell"))


def _change(**row):
    return lambda raw: raw["parts"][0]["rows"][0].update(row)


DAMAGED = {
    "a score in words": (_change(score="x"), "score: Input should be a valid number; was it edited? test again"),
    "a score of 5": (_change(score=5), "the case 0 has the score 5, which is not from 0 to 1"),
    "a score of -1": (_change(score=-1), "the case 0 has the score -1, which is not from 0 to 1"),
    "an id that is a number": (_change(id=0), "id: Input should be a valid string"),
    "a case twice": (_change(id="1"), "route has the case 1 twice"),
    "no rows": (lambda raw: raw["parts"][0].pop("rows"), "is no result of `stillhouse test`"),
    "a list": (lambda raw: raw["parts"][0]["rows"].__setitem__(0, [1]), "Input should be an object"),
    "another version": (lambda raw: raw.update(format=7), "written by another version of Stillhouse"),
    "other cases": (
        lambda raw: [row.update(key="-") for part in raw["parts"] for row in part["rows"]],
        "has no case in common with this test; give a test of the same cases",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_baseline_is_one_sentence_before_a_case_is_run(here, stillhouse, name):
    cases(here, 3)
    assert stillhouse("test", "shop_app.py:main", "--out", "good.json").code == 0
    raw = json.loads((here / "good.json").read_text())
    change, says = DAMAGED[name]
    change(raw)
    (here / "bad.json").write_text(json.dumps(raw))
    (here / "shop_app.py").write_text(APP.replace('return "SELECT 3"', "raise AssertionError"))
    found = stillhouse("test", "shop_app.py:main", "--baseline", "bad.json")
    assert (found.code, found.out) == (2, "")
    assert says in found.err and len(found.err.strip().splitlines()) == 1
    assert not list(here.glob("runs/tests-*"))


def test_a_part_that_the_baseline_lacks_is_said_and_a_wrong_one_is_no_pass(here, stillhouse):
    cases(here, 6)
    assert stillhouse("test", "shop_app.py:main").code == 0
    write(here / "cases", "to_sql", {"id": 1, "input": "how many of 1?", "expected": "SELECT 4"})
    added = stillhouse("test", "shop_app.py:main", "--baseline", "runs/tests-1.json")
    assert added.code == 1
    assert "to_sql: is not in the baseline, so it is not compared; 1 of 1 case wrong" in added.out
    assert added.out.rstrip().splitlines()[-1].startswith("cannot tell against the baseline")
    assert "to_sql: is not in the baseline" in (here / "runs" / "tests-2.html").read_text()
    (here / "cases" / "to_sql.jsonl").unlink()
    (here / "cases" / "route.jsonl").unlink()
    removed = stillhouse("test", "shop_app.py:main", "--baseline", "runs/tests-1.json", "--json")
    assert removed.code == 0
    assert removed.json["not_compared"] == ["route: is in the baseline alone (6 cases), so it is not compared"]


def test_a_changed_prompt_that_gives_the_same_answers_is_unchanged(here, stillhouse):
    cases(here, 6)
    assert stillhouse("test", "shop_app.py:main").code == 0
    (here / "shop_app.py").write_text(APP.replace("Write the query.", "Write one query, no more."))
    same = stillhouse("test", "shop_app.py:main", "--baseline", "runs/tests-1.json")
    assert same.code == 0 and "main: the same answers as before in all of 6 cases" in same.out


@pytest.mark.slow
def test_a_baseline_model_is_tested_first_and_compared_with(here, stillhouse):
    cases(here, 60)
    found = stillhouse("test", "shop_app.py:main", "--baseline-model", "route=scripted:shop_app:worse", "--json")
    assert found.code == 0
    assert found.json["baseline"] == "runs/tests-1.json"
    assert found.json["file"] == "runs/tests-2.json"
    assert {one["answer"] for one in found.json["against"]} == {"pass"}


def test_cases_are_made_of_a_traced_run_and_hold(here, stillhouse):
    assert stillhouse("run", "shop_app.py:main", "--input", '{"question": "how many?"}', "--run-id", "r1").code == 0
    made = stillhouse("test", "--from-run", "r1", "--json")
    assert made.code == 0
    assert {path: counts["new"] for path, counts in made.json.items()} == {
        f"cases/{name}.jsonl": 1 for name in ("route", "to_sql", "rows", "paths", "flow")
    }
    path = json.loads((here / "cases" / "paths.jsonl").read_text())
    assert path == {
        "id": "r1",
        "input": "how many?",
        "path": ["route=sql", "to_sql", "rows=3"],
        "script": {"route": "sql", "to_sql": "SELECT 3"},
    }
    assert stillhouse("test", "shop_app.py:main", "--offline").code == 0
    (here / "cases" / "route.jsonl").write_text('{"id": "mine", "input": "how many?", "expected": "search"}\n')
    again = stillhouse("test", "--from-run", "r1", "--json").json
    assert again["cases/route.jsonl"] == {"new": 0, "known": 0, "differing": 1}
    assert again["cases/flow.jsonl"] == {"new": 0, "known": 1, "differing": 0}
    assert "no run 'r2'" in stillhouse("test", "--from-run", "r2").err


def test_metrics_by_name_and_by_function(here, stillhouse):
    with sqlite3.connect(here / "shop.db") as db:
        db.execute("CREATE TABLE t (n)")
        db.execute("INSERT INTO t VALUES (3)")
    write(here / "cases", "to_sql", {"input": "how many?", "expected": "SELECT n FROM t"})
    (here / "judge.py").write_text("def half(answer, expected):\n    return 0.5\n")
    assert stillhouse("test", "shop_app.py:main").code == 1
    right = stillhouse(
        "test", "shop_app.py:main", "--metric", "to_sql=sql_execution", "--database", "shop.db", "--json"
    )
    assert (right.code, right.json["parts"][0]["metrics"]) == (0, ["sql_execution"])
    write(here / "cases", "to_sql", {"id": "odd", "input": "who?", "expected": "SELECT n FROM nowhere"})
    odd = stillhouse("test", "shop_app.py:main", "--metric", "to_sql=sql_execution", "--database", "shop.db")
    assert odd.code == 2 and "the case odd expects does not run on shop.db (no such table: nowhere)" in odd.err
    write(here / "cases", "to_sql", {"input": "how many?", "expected": "SELECT n FROM t"})
    half = stillhouse("test", "shop_app.py:main", "--metric", "to_sql=judge:half", "--json")
    assert half.json["parts"][0]["score"]["value"] == 0.5


MISTAKES = [
    ([], "no flow is named"),
    (["shop_app.py:other"], "its flows: main"),
    (["shop_app.py:main", "--cases", "nowhere"], "nowhere: holds no cases"),
    (["shop_app.py:main", "--margin", "2"], "between 0 and 1"),
    (["shop_app.py:main", "--metric", "to_sql"], "write STEP=METRIC"),
    (["shop_app.py:main", "--metric", "sing=accuracy"], "there are no cases of sing"),
    (["shop_app.py:main", "--metric", "route=sql_execution"], "name the database"),
    (["shop_app.py:main", "--metric", "route=bleu"], "there is no metric 'bleu'"),
    (["shop_app.py:main", "--baseline", "none.json"], "none.json: no such file"),
    (["shop_app.py:main", "--baseline", "shop_app.py"], "not valid JSON"),
    (["shop_app.py:main", "--baseline", "a.json", "--baseline-model", "b"], "two baselines"),
    (["shop_app.py:main", "--model", "route=nonsense"], "'nonsense' is not a model's name"),
    (["shop_app.py:main", "--out", "shop_app.py"], "nothing is overwritten"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=[says for _, says in MISTAKES])
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(here, stillhouse, arguments, says):
    cases(here, 3)
    found = stillhouse("test", *arguments)
    assert (found.code, found.out) == (2, "")
    assert says in found.err
    assert len(found.err.strip().splitlines()) == 1
    assert not list(here.glob("runs/tests-*"))


ROWS = [
    ("sing", {"input": "la", "expected": "la"}, "has no step 'sing'; it has route, rows, to_sql, and the flow main"),
    ("route", {"input": "q"}, "route.jsonl:1: a case needs `expected`"),
    ("route", {"input": "q", "expected": "email"}, "expects 'email', which route cannot answer; it has sql, search"),
    ("route", {"input": {"text": "q"}, "expected": "sql"}, "does not fit route"),
    ("paths", {"input": "q", "path": "route"}, "paths.jsonl:1: 'route' is no path"),
    ("paths", {"input": "q", "path": [], "script": ["route"]}, "`script` must be an object"),
    ("main", {"input": "q", "expected": "x"}, "both hold cases of the whole flow"),
]


@pytest.mark.parametrize(("name", "row", "says"), ROWS, ids=[says for _, _, says in ROWS])
def test_a_broken_case_is_named_with_its_file(here, stillhouse, name, row, says):
    cases(here, 3)
    write(here / "cases", name, row)
    found = stillhouse("test", "shop_app.py:main")
    assert (found.code, found.out) == (2, "")
    assert says in found.err


def test_two_cases_of_one_input_cannot_expect_two_answers(here, stillhouse):
    write(
        here / "cases", "route", {"input": "q", "expected": "sql"}, {"input": {"question": "q"}, "expected": "search"}
    )
    assert (
        "the cases 1 and 2 have the same input and expect different answers"
        in stillhouse("test", "shop_app.py:main").err
    )
    write(
        here / "cases",
        "route",
        {"id": "a", "input": "q", "expected": "sql"},
        {"id": "a", "input": "r", "expected": "sql"},
    )
    assert "the id 'a' occurs twice (first on line 1)" in stillhouse("test", "shop_app.py:main").err


# Harvest, on the command line


def test_harvest_says_what_it_took_and_what_not(here, stillhouse):
    for number, question in enumerate(["how many?", "how many?", "and returns?"]):
        assert (
            stillhouse(
                "run", "shop_app.py:main", "--input", json.dumps({"question": question}), "--run-id", f"r{number}"
            ).code
            == 0
        )
    (here / "test.jsonl").write_text('{"input": "And returns?", "label": "search"}\n')
    found = stillhouse("harvest", "main", "--step", "route", "--exclude", "test.jsonl")
    assert found.code == 0, found.err
    assert found.out == textwrap.dedent("""\
        1 rows of 3 calls in 3 runs: steps/route/examples.jsonl
          answered by scripted:shop_app:clerk (3), in 1 version of the prompt, for unknown
          1 merged, of equal input and answer
          1 its input is among the excluded rows
        next: stillhouse advise steps/route
        """)
    as_json = stillhouse("harvest", "r0", "r2", "--step", "route", "--out", "more.jsonl", "--json").json
    assert (as_json["rows"], as_json["task"], as_json["cost_usd"]) == (2, "task.toml", None)
    assert stillhouse("harvest", "r9", "--step", "route").code == 2


@pytest.mark.slow
def test_from_traces_to_a_student_that_is_proved_in_the_flow(here, stillhouse):
    """run, harvest, distill by the step's name, test with the student in its place against the model that it replaces."""
    from stillhouse.demo.grammar import make_rows

    app = APP.replace("scripted:shop_app:clerk", "scripted:stillhouse.demo.stand_in:route_teacher", 1).replace(
        '["sql", "search"]', '["sql", "search", "chat"]'
    )
    app = app.replace(
        'if await route(question) == "search":\n        return "see the policy"',
        "kind = await route(question)\n    return kind",
    )
    (here / "shop_app.py").write_text(app)
    rows = make_rows("route", 500, 0, "train")
    (here / "ask.py").write_text(
        "import asyncio, json, shop_app\n"
        "from stillhouse import flow\n"
        "async def go():\n"
        "    questions = json.load(open('questions.json'))\n"
        "    await flow.map(lambda one: shop_app.main.run(f'q{one[0]}', question=one[1]), list(enumerate(questions)), at_once=16)\n"
        "asyncio.run(go())\n"
    )
    (here / "questions.json").write_text(json.dumps([row.text for row in rows]))
    import runpy

    runpy.run_path(str(here / "ask.py"))
    test_rows = make_rows("route", 120, 0, "test")
    write(here / "cases", "route", *({"id": row.id, "input": row.text, "expected": row.label} for row in test_rows))
    write(here / "cases", "flow", *({"id": row.id, "input": row.text, "expected": row.label} for row in test_rows))
    (here / "test.jsonl").write_text(
        "".join(json.dumps({"input": row.text, "label": row.label}) + "\n" for row in test_rows)
    )
    harvested = stillhouse(
        "harvest", "all", "--step", "route", "--app", "shop_app.py:main", "--exclude", "test.jsonl", "--json"
    )
    assert harvested.json["rows"] >= 400
    toml = here / "steps" / "route" / "task.toml"
    toml.write_text(toml.read_text() + '\n[gate]\nmargin = 0.5\nclasses = "none"\n[student]\nladder = ["linear"]\n')
    distilled = stillhouse("distill", "shop_app.py:route", "--json")
    assert distilled.code == 0, distilled.out + distilled.err
    student = f"route=student:{distilled.json['run']}"
    teacher = "route=scripted:stillhouse.demo.stand_in:route_teacher"
    found = stillhouse(
        "test", "shop_app.py:main", "--model", student, "--baseline-model", teacher, "--margin", "0.3", "--json"
    )
    assert found.code == 0, found.out + found.err
    assert {one["answer"] for one in found.json["against"]} == {"pass"}
    after = found.json["parts"][-1]
    assert after["rows"][0]["cost_usd"] is None  # what a student costs is the machine's time
