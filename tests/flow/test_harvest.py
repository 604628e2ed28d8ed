"""From a step's traces to a data set: what goes in, what stays out, and that the task and its rows work at once."""

import asyncio
import json
import sys
from typing import Literal

import pytest

from stillhouse import flow, step
from stillhouse.commands.harvest import harvest as harvest_runs
from stillhouse.commands.step_task import task_of, task_toml
from stillhouse.data.dataset import load_examples
from stillhouse.data.harvest import CONFLICT, IN_TEST, NO_LABEL, SAID_WRONG, Feedback, Traced, harvest
from stillhouse.errors import DatasetError, ExistsError, UserError
from stillhouse.flow import decide
from stillhouse.flow.models import Models
from stillhouse.llm.prompted import build_messages
from stillhouse.records import Example, Prediction
from stillhouse.task import Task, load_task


def call(number, input_="how many?", output="sql", *, run=None, **more):
    facts = {"model": "m", "created": 0.0, "version": "v1", "cost_usd": 0.001} | more
    return Traced(run=run or f"r{number}", key=f"route/hash/{number}", input=input_, output=output, **facts)


def rows(made):
    return [(row.input, row.label, row.teacher_label) for row in made.examples]


# The pure core


def test_a_call_becomes_a_row_with_its_provenance():
    [row] = harvest([call(1)]).examples
    assert (row.input, row.teacher_label, row.label, row.group) == ("how many?", "sql", None, "r1")
    assert row.extra["provenance"] == {
        "run": "r1", "step": "route/hash/1", "model": "m", "created": "1970-01-01T00:00:00Z", "version": "v1", "cost_usd": 0.001, "n_calls": 1,
    }  # fmt: skip


def test_equal_inputs_are_one_row_and_conflicting_answers_none():
    made = harvest(
        [
            call(1),
            call(2, {"b": 1, "a": 2}, "x"),
            call(3),
            call(4, {"a": 2, "b": 1}, "x"),
            call(5, "who?", "sql"),
            call(6, "who?", "chat"),
        ]
    )
    assert rows(made) == [("how many?", None, "sql"), ({"b": 1, "a": 2}, None, "x")]
    assert (made.n_calls, made.merged, made.left_out) == (6, 2, {CONFLICT: 2})
    assert made.examples[0].extra["provenance"]["n_calls"] == 2


def test_with_every_call_each_call_is_a_row_and_weighs_as_much_as_it_comes():
    calls = [
        call(1),
        call(2, "who?", "chat"),
        call(3, created=60.0),
        call(4, "which?", "a"),
        call(5, "which?", "b"),
        call(6),
    ]
    made = harvest(calls, feedback=[Feedback(run="r3", key="route/hash/3", ok=True)], every_call=True)
    assert rows(made) == [
        ("how many?", "sql", "sql"),
        ("who?", None, "chat"),
        ("how many?", "sql", "sql"),
        ("how many?", "sql", "sql"),
    ]
    assert (made.n_calls, made.merged, made.left_out) == (6, 0, {CONFLICT: 2})
    assert len({row.id for row in made.examples}) == 4
    assert made.examples[0].id == harvest(calls).examples[0].id and made.examples[2].id.endswith("-2")
    assert made.examples[2].extra["provenance"]["created"] == "1970-01-01T00:01:00Z"
    assert {row.extra["provenance"]["n_calls"] for row in made.examples} == {1}


def test_a_task_file_of_every_call_says_that_repeats_are_traffic(tmp_path):
    path = tmp_path / "task.toml"
    path.write_text(task_toml(Task("route", "Which?", "choice", ("a", "b")), "examples.jsonl", copies="traffic"))
    assert load_task(path).data.copies == "traffic"


def test_feedback_leaves_out_confirms_and_corrects():
    said = [
        Feedback("r1", ok=False),
        Feedback("r2", "route/hash/2", ok=True),
        Feedback("r3", label="chat"),
        Feedback("r4", ok=True),  # of the whole run: no word on this step
        Feedback("r5", ok=False, label="search"),
        Feedback("gone", ok=True),
        Feedback("r6", ok=False),
        Feedback("r6", ok=True),  # the last word holds
    ]
    made = harvest([call(n, f"question {n}") for n in range(1, 7)], feedback=said)
    assert rows(made) == [
        ("question 2", "sql", "sql"),
        ("question 3", "chat", "sql"),
        ("question 4", None, "sql"),
        ("question 5", "search", "sql"),
        ("question 6", None, "sql"),
    ]
    assert (made.left_out, made.n_gold, made.n_feedback_unused) == ({SAID_WRONG: 1}, 3, 1)


def test_a_person_settles_which_of_two_answers_is_right():
    made = harvest([call(1, output="sql"), call(2, output="chat")], feedback=[Feedback("r2", "route/hash/2", ok=True)])
    assert rows(made) == [("how many?", "chat", "chat")]
    two_persons = [Feedback("r1", label="sql"), Feedback("r2", label="chat")]
    assert harvest([call(1), call(2)], feedback=two_persons).left_out == {CONFLICT: 2}


def test_a_label_for_a_run_of_several_calls_must_name_the_call():
    with pytest.raises(UserError, match="fits 2 calls; name the call as `step`, one of: route/hash/1, route/hash/2"):
        harvest([call(1, run="r"), call(2, "who?", run="r")], feedback=[Feedback("r", label="sql")])


def test_no_test_row_comes_in_however_it_is_spelt():
    tests = [Example("t", "How many?"), Example("u", {"a": 1, "b": 2})]
    made = harvest([call(1, "how  many"), call(2, {"b": 2, "a": 1}), call(3, "how few?")], exclude=tests)
    assert rows(made) == [("how few?", None, "sql")]
    assert made.left_out == {IN_TEST: 2}


def test_redaction_sees_every_row_and_comes_before_equal_inputs_are_merged():
    seen = []

    def redact(row):
        seen.append(row["input"])
        return row | {"input": "NAME asks", "group": None}

    made = harvest([call(1, "Ann asks"), call(2, "Bo asks")], redact=redact)
    assert (rows(made), made.merged, seen) == ([("NAME asks", None, "sql")], 1, ["Ann asks", "Bo asks"])
    assert made.examples[0].group is None
    assert harvest([call(1, "Ann asks")], redact=redact, exclude=[Example("t", "name asks")]).left_out == {IN_TEST: 1}


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        (lambda row: None, "gave back NoneType and no row"),
        (lambda row: row | {"input": ""}, "a row without `input`"),
        (lambda row: row | {"teacher_label": 3}, "whose `teacher_label` is no text"),
        (lambda row: row | {"label": 3}, "whose `label` or `group` is no text"),
        (lambda row: row["name"], r"failed \(KeyError: 'name'\)"),
    ],
)
def test_a_redaction_hook_that_fails_stops_everything(hook, says):
    with pytest.raises(UserError, match=says):
        harvest([call(1)], redact=hook)


def test_answers_that_are_no_labels_any_more_are_left_out():
    assert harvest([call(1, output="email"), call(2, "who?")], labels=["sql", "chat"]).left_out == {NO_LABEL: 1}


# From a journal


def answerer(request, example=None):
    content = request.messages[-1]["content"]
    if "decision" in request.parameters:
        return "yes" if "fire" in content else "no"
    return "sql" if "many" in content else "chat"


MODEL = f"scripted:{__name__}:answerer"
APP = """
from typing import Literal
from stillhouse import flow, step

@step
async def route(question: str, account: str) -> Literal["sql", "chat"]:
    '''Who answers?
    "sql": figures.'''

@flow
async def main(question: str) -> str:
    return await route(question, "acme")
"""


@step
async def route(question: str) -> Literal["sql", "chat"]:
    """Who answers?"""


@step
async def check(question: str) -> int:
    if "fail" in question:
        raise OSError("down")
    return len(question)


@flow
async def desk(question: str) -> str:
    kind = await route(question)
    urgent = await decide("Is it urgent?", ["yes", "no"], {"text": question, "by": "mail"}, name="urgent")
    return f"{kind} {urgent} {await check(question)}"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("harvest_app", None)


def ran(*questions, models=None, flow_=desk, prefix="run"):
    async def all_of():
        for number, question in enumerate(questions):
            await flow_.run(f"{prefix}-{number}", question=question, models=models or {"*": MODEL})

    asyncio.run(all_of())


def test_a_steps_calls_are_harvested_and_failed_ones_never(here):
    with pytest.raises(OSError, match="down"):
        ran("how many?", "hello", "how many? fail")
    done = harvest_runs(["all"], step="route")
    assert [(row.input, row.teacher_label) for row in load_examples(done.out).examples] == [
        ("how many?", "sql"),
        ("hello", "chat"),
        ("how many? fail", "sql"),
    ]
    assert (done.out, done.models) == (done.out.parent / "examples.jsonl", {MODEL: 3})
    assert harvest_runs(["desk"], step="check").n_failed == 1
    with pytest.raises(ExistsError, match="is there already"):
        harvest_runs(["all"], step="route")
    with pytest.raises(
        UserError, match=r"no call of 'sing' .* their steps: check \(step\), route \(model\), urgent \(decide\)"
    ):
        harvest_runs(["all"], step="sing")
    with pytest.raises(UserError, match="no run and no flow 'monday'"):
        harvest_runs(["monday"], step="urgent")


def test_a_decision_is_a_choice_task_whose_inputs_are_what_its_prompt_showed(here):
    ran("fire!", "hello")
    done = harvest_runs(["run-0", "run-1"], step="urgent")
    task = load_task(done.task_file)
    assert (task.instruction, task.output, task.labels) == ("Is it urgent?", "choice", ("yes", "no"))
    [first, second] = load_examples(done.out, task=task).examples
    assert (first.teacher_label, second.teacher_label) == ("yes", "no")
    assert first.text == "by: mail\ntext: fire!"
    shown = []

    def spy(request, example=None):
        shown.append(request.messages[-1]["content"])
        return answerer(request)

    globals()["spied"] = spy
    ran("fire!", models={"*": f"scripted:{__name__}:spied"}, prefix="again")
    assert first.text in shown


def test_what_a_student_answered_is_nothing_to_learn_from(here):
    class Student:
        name = "route/linear"

        async def predict(self, inputs):
            return [Prediction("chat", confidence=0.9) for _ in inputs]

    class Cascade(Student):
        async def predict(self, inputs):
            return [
                Prediction("sql", confidence=0.9, source="teacher" if "many" in row.text else "student")
                for row in inputs
            ]

    ran("hello", models={"*": MODEL, "route": Student()})
    with pytest.raises(UserError, match="1 were answered by students"):
        harvest_runs(["all"], step="route")

    async def cascaded():
        for question in ("how many?", "who?"):
            await desk.run(question[:3], question=question, models={"*": MODEL, "route": Cascade()})

    asyncio.run(cascaded())
    done = harvest_runs(["all"], step="route")
    assert ([row.input for row in done.harvest.examples], done.n_by_students) == (["how many?"], 2)


def test_fields_come_in_the_order_of_the_prompt_which_only_the_code_knows(here):
    (here / "harvest_app.py").write_text(APP)
    import harvest_app

    ran("how many?", flow_=harvest_app.main)
    with pytest.raises(UserError, match=r"takes account, question, and in which order .* --app"):
        harvest_runs(["all"], step="route")
    done = harvest_runs(["all"], step="route", app="harvest_app:main")
    [row] = load_examples(done.out).examples
    assert list(row.input) == ["question", "account"]
    task = load_task(done.task_file)
    step_task = sys.modules["harvest_app"].route.task()
    assert task.instruction == step_task.instruction == 'Who answers?\n"sql": figures.'
    asked = []

    class Spy:
        name = "spy"

        async def predict(self, inputs):
            asked.extend(inputs)
            return [Prediction("sql")]

    async def ask():
        async with Models({"*": Spy()}) as models:
            step = sys.modules["harvest_app"].route.task.__self__
            await step.ask(models, {"question": "how many?", "account": "acme"})

    asyncio.run(ask())
    assert build_messages(task, row) == build_messages(step_task, asked[0])  # what is learned is what will be asked


def test_feedback_and_redaction_come_from_files_and_modules(here):
    ran("how many Anns?", "hello", "bye")
    (here / "hooks_of_mine.py").write_text(
        "def clean(row):\n    return row | {'input': row['input'].replace('Ann', 'NAME')}\n"
    )
    said = [
        {"run": "run-1", "ok": False},
        {"run": "run-2", "step": "check", "ok": False},
        {"run": "run-2", "step": "route", "label": "sql"},
    ]
    (here / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    done = harvest_runs(["all"], step="route", redact="hooks_of_mine:clean", feedback=here / "said.jsonl")
    assert [(row.input, row.label) for row in done.harvest.examples] == [("how many NAMEs?", None), ("bye", "sql")]
    (here / "said.jsonl").write_text('{"run": "run-1"}\n')
    with pytest.raises(DatasetError, match=r"said.jsonl:1: feedback needs"):
        harvest_runs(["all"], step="route", feedback=here / "said.jsonl", out=here / "other.jsonl")
    with pytest.raises(UserError, match="--redact hooks_of_mine:wash: cannot be imported"):
        harvest_runs(["all"], step="route", redact="hooks_of_mine:wash", out=here / "other.jsonl")
    assert not (here / "other.jsonl").exists()


def test_a_date_bounds_the_runs(here):
    ran("how many?")
    with pytest.raises(UserError, match="the 0 runs"):
        harvest_runs(["all"], step="route", since="2100-01-01")
    with pytest.raises(UserError, match="--since monday: no date"):
        harvest_runs(["all"], step="route", since="monday")
    assert harvest_runs(["all"], step="route", since="2020-01-01").harvest.n_calls == 1


def test_a_task_file_that_says_something_else_is_left_alone(here):
    ran("how many?")
    (here / "steps" / "urgent").mkdir(parents=True)
    (here / "steps" / "urgent" / "task.toml").write_text("# mine\n")
    done = harvest_runs(["all"], step="urgent")
    assert done.task_file is None
    assert "was left as it is" in done.no_task
    assert (here / "steps" / "urgent" / "task.toml").read_text() == "# mine\n"


TEXTS = [
    'one "line" with \\ and \t',
    'two\nlines """ and \\',
    "\n leading",
    'ends with a quote"\nor "',
    "del \x7f and \x01",
    "a\r\nb",
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_docstring_survives_the_task_file(here, text):
    task = Task("t", text, "choice", ("a", text))
    (here / "task.toml").write_text(task_toml(task, "rows.jsonl"), encoding="utf-8", newline="")
    read = load_task(here)
    assert (read.instruction, read.labels, read.data.train) == (text, ("a", text), "rows.jsonl")


# A step in the place of a task file


def test_a_step_is_a_task_with_the_rows_that_were_harvested(here):
    (here / "harvest_app.py").write_text(APP)
    import harvest_app

    ran("how many?", flow_=harvest_app.main)
    with pytest.raises(
        UserError,
        match=r"examples.jsonl: no such data file; make it of traces with `stillhouse harvest RUNS --step route`",
    ):
        task_of("harvest_app.py:route")
    done = harvest_runs(["all"], step="route", app="harvest_app.py:main")
    task = task_of("harvest_app.py:route")
    assert task.path == done.task_file.resolve()
    assert task.resolve(task.data.train) == done.out.resolve()
    other = here / "other.jsonl"
    other.write_text('{"input": {"question": "q", "account": "a"}, "label": "sql"}\n')
    assert task_of("harvest_app.py:route", other).resolve(task_of("harvest_app.py:route", other).data.train) == other
    done.task_file.write_text(done.task_file.read_text().replace("Who", "What"))
    with pytest.raises(UserError, match="its instruction is not that of"):
        task_of("harvest_app.py:route")
    with pytest.raises(UserError, match="no model step 'main'; its model steps: route"):
        task_of("harvest_app.py:main")


def test_a_step_with_rows_of_its_own_gets_a_task_file_that_names_them(here):
    (here / "harvest_app.py").write_text(APP)
    (here / "rows.jsonl").write_text('{"input": {"question": "q", "account": "a"}, "label": "sql"}\n')
    task = task_of("harvest_app.py:route", here / "rows.jsonl")
    assert task.path == here / "steps" / "route" / "task.toml"
    assert task.resolve(task.data.train) == here / "rows.jsonl"
    with pytest.raises(UserError, match="--data goes with a step's name"):
        task_of(here, here / "rows.jsonl")
