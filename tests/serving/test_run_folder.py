"""A run's folder goes anywhere and answers the same; what was changed in it is refused by name."""

import asyncio
import json
import shutil
import sys

import pytest

from moods_run import TEACHER, lines, made_run, rows
from stillhouse.commands import serve as serving
from stillhouse.errors import UserError
from stillhouse.records import Example
from stillhouse.results.cascade_file import PINNED
from stillhouse.serving.predictors import open_predictor
from stillhouse.student import engine

STUDENT = "arms/linear-on-gold-labels/student"
ROWS = [Example("a", "a lovely one"), Example("b", "so-so 3")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a run whose cascade keeps its promise, and the run's answers before it went anywhere."""
    folder = tmp_path_factory.mktemp("made")
    return folder, made_run(folder)


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy of the run's folder alone, far from its project."""
    folder = tmp_path / "elsewhere" / "run"
    shutil.copytree(made[1].folder, folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def served(monkeypatch):
    """What would be served: the models by name, and why each is unproven."""
    served = {}

    async def note(models, *, unproven, **_):
        served.update({name: (model, unproven.get(name)) for name, model in models.items()})

    monkeypatch.setattr(serving, "serve_models", note)
    return served


async def answers(name, rows=ROWS):
    async with open_predictor(name) as predictor:
        return [(one.output, one.source) for one in await predictor.predict(rows)]


# The folder


def test_no_file_of_a_run_names_the_place_where_it_was_made(made):
    folder, done = made
    held = {
        path.name for path in done.folder.rglob("*") if path.is_file() and str(folder).encode() in path.read_bytes()
    }
    assert held == set()


def test_absolute_paths_in_a_task_stay_out_of_its_run_too(tmp_path):
    made_run(tmp_path, teacher=f"recorded:{tmp_path}/task/answers.jsonl")
    (run,) = (tmp_path / "runs").iterdir()
    held = {path.name for path in run.rglob("*") if path.is_file() and str(tmp_path).encode() in path.read_bytes()}
    assert held == set()
    assert (run / "task" / "recorded" / "answers.jsonl").is_file()


async def test_a_copied_run_answers_the_same_where_its_project_is_gone(tmp_path, monkeypatch):
    done = made_run(tmp_path)
    before = [await answers(f"cascade:{done.folder}"), await answers(f"student:{done.folder}")]
    assert before == [[("good", "student"), ("bad", "teacher")], [("good", None), before[1][1]]]
    run = tmp_path / "far" / "away"
    shutil.copytree(done.folder, run)
    shutil.rmtree(tmp_path / "task")
    shutil.rmtree(tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "far")
    assert [await answers("cascade:away"), await answers("student:away")] == before


@pytest.mark.slow
def test_every_command_takes_a_copied_run(run, tmp_path, stillhouse, served):
    new = tmp_path / "new.jsonl"
    new.write_text(lines(rows(50, "noon")))
    for command in (
        ("serve", run),
        ("serve", run, "--cascade"),
        ("evaluate", run, new),
        ("evaluate", f"student:{run / STUDENT}", new),
        ("report", run),
        ("compare", f"{run}#majority", f"{run}#linear on gold labels", tmp_path / "nights.jsonl", "--people", "none"),
    ):
        (tmp_path / "nights.jsonl").write_text(lines(rows(400, "night")))
        ran = stillhouse(*command)
        assert ran.code == 0, (command, ran.err)
    assert served["mood"][1] is None


async def test_a_changed_task_file_changes_nothing_of_what_is_served(tmp_path, monkeypatch):
    (tmp_path / "mood_teacher.py").write_text(TEACHER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mood_teacher", raising=False)
    done = made_run(tmp_path, teacher="scripted:mood_teacher:answer")
    task = tmp_path / "task" / "task.toml"
    task.write_text(task.read_text().replace("Is it good?", "say hello"))
    (tmp_path / "task" / "shown.jsonl").unlink()
    asked = sys.modules["mood_teacher"].ASKED
    asked.clear()
    assert await answers(f"cascade:{done.folder}") == [("good", "student"), ("bad", "teacher")]
    assert asked and all("Is it good?" in prompt and "say hello" not in prompt for prompt in asked)


# The pins


def change_json(file, key, value):
    raw = json.loads(file.read_text())
    raw[key] = value
    file.write_text(json.dumps(raw))


def instead(name, old, new):
    def change(run, _):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new))

    return change


def retrained(run, _):
    """Another student, whole and valid, in the place of the one that was measured."""
    from stillhouse.student import train_student
    from stillhouse.task import load_task

    shutil.rmtree(run / STUDENT)
    few = [Example(row["id"], row["input"], label=row["label"]) for row in rows(60, "other")]
    task = load_task(run / "task")
    train_student("linear", task, few[:40], few[40:], source="gold", seed=1, out=run / STUDENT)


def another_pin(name):
    def change(run, _):
        raw = json.loads((run / "cascade.json").read_text())
        raw["pins"][name] = "0" * 64
        (run / "cascade.json").write_text(json.dumps(raw))

    return change


TAMPERED = {
    "an instruction": (instead("task/task.toml", "Is it good?", "say hello"), "task"),
    "a label more": (instead("task/task.toml", '"good",', '"good", "fine",'), "task"),
    "a worked example": (instead("task/worked.jsonl", "kind soul", "cruel soul"), "task"),
    "a temperature": (instead("task/task.toml", "temperature = 0.0", "temperature = 0.9"), "teacher"),
    "a longest reply": (instead("task/task.toml", "max_tokens = 512", "max_tokens = 9"), "teacher"),
    "a recorded answer": (instead("task/recorded/answers.jsonl", '"so-so 3", "teacher_label": "bad"', '"so-so 3", "teacher_label": "good"'), "teacher"),
    "another teacher": (lambda run, _: change_json(run / "cascade.json", "teacher", "openai:gpt-4o"), "teacher"),
    "another student": (retrained, "student"),
    "another engine": (lambda _, patch: patch.setitem(engine.ANSWERS, "linear", 2), "engine"),
    "a lower threshold": (lambda run, _: change_json(run / "cascade.json", "threshold", 0.5), "threshold"),
    "a larger budget": (lambda run, _: change_json(run / "cascade.json", "budget", 0.5), "threshold"),
    **{f"the pin of the {name}": (another_pin(name), name) for name in PINNED},
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_is_refused_by_name_and_served_as_unproven_alone(run, stillhouse, served, monkeypatch, what):
    change, part = TAMPERED[what]
    change(run, monkeypatch)
    refused = stillhouse("serve", run, "--cascade")
    assert refused.code == 2 and not served
    assert f"{PINNED[part]} is not what its promise was made with" in refused.err
    assert len(refused.err.strip().splitlines()) == 1 and "--cascade --unproven" in refused.err
    with pytest.raises(UserError, match=f"{PINNED[part]} is not what"):
        asyncio.run(answers(f"cascade:{run}"))
    if "openai" not in (run / "cascade.json").read_text():
        assert stillhouse("serve", run, "--cascade", "--unproven").code == 0
        assert PINNED[part] in served["mood"][1]


def test_what_answers_nothing_otherwise_may_change(run, stillhouse, served):
    """Prices, pace, and how the file is written."""
    task = run / "task" / "task.toml"
    task.write_text("# read by a person\n" + task.read_text().replace("[teacher]", "[teacher]\nconcurrency = 4"))
    assert stillhouse("serve", run, "--cascade").code == 0
    assert served["mood"][1] is None


def test_a_student_in_the_place_of_the_measured_one_is_not_proven_by_its_scores(run, stillhouse, served):
    retrained(run, None)
    refused = stillhouse("serve", run)
    assert refused.code == 2 and "not the student that was measured" in refused.err
    assert stillhouse("serve", run, "--unproven").code == 0 and "not the student" in served["mood"][1]


# Code


def test_code_of_the_folder_that_one_stands_in_is_not_loaded(tmp_path, stillhouse, served, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    (home / "mood_code.py").write_text(TEACHER)
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [*sys.path])
    done = made_run(home, teacher="scripted:mood_code:answer")
    assert stillhouse("serve", done.folder, "--cascade").code == 0  # the very code that was pinned
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(home)])
    monkeypatch.delitem(sys.modules, "mood_code")
    monkeypatch.chdir(here)
    served.clear()
    absent = stillhouse("serve", done.folder, "--cascade")
    assert absent.code == 2 and "a run carries no code" in absent.err
    (here / "mood_code.py").write_text("raise SystemExit('it was loaded')\n")
    for flag in ((), ("--unproven",)):
        refused = stillhouse("serve", done.folder, "--cascade", *flag)
        assert refused.code == 2 and "the teacher" in refused.err and "it was loaded" not in refused.err
    assert not served and "mood_code" not in sys.modules
