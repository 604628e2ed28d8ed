"""Models by name: each form opens what it says, keys come from the environment alone, and a wrong name says which forms there are."""

import subprocess
import sys

import pytest

from stillhouse.errors import KeyMissingError, ModelNameError, TaskFileError, TeacherError, UserError
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.models import endpoint, open_model, open_teacher, worked_examples
from stillhouse.llm.request import Completion, Request
from stillhouse.llm.scripted import ask_script, load_script
from stillhouse.records import Example, Usage
from stillhouse.settings import TeacherSettings
from stillhouse.store import open_store
from stillhouse.task import Task


def task(folder, **teacher):
    return Task(
        name="t",
        instruction="Is it good?",
        output="choice",
        labels=("good", "bad"),
        teacher=TeacherSettings(**teacher),
        folder=folder,
    )


def test_an_endpoint_is_a_url_with_the_models_name_after_a_hash(monkeypatch):
    assert endpoint("http://127.0.0.1:8000/v1#a/b") == ("http://127.0.0.1:8000/v1", "a/b", None)
    monkeypatch.setenv("STILLHOUSE_API_KEY", "k1")
    assert endpoint("https://host/v1#m")[2] == "k1"


def test_the_key_of_a_provider_comes_from_the_environment_and_goes_nowhere_else(monkeypatch):
    with pytest.raises(KeyMissingError, match="OPENAI_API_KEY"):
        endpoint("openai:gpt-4o-mini")
    monkeypatch.setenv("OPENAI_API_KEY", "k2")
    monkeypatch.setenv("STILLHOUSE_API_KEY", "k1")
    assert endpoint("openai:gpt-4o-mini") == ("https://api.openai.com/v1", "gpt-4o-mini", "k2")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert endpoint("openai:m")[0] == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize("name", ["gpt-4", "openai:", "http://127.0.0.1/v1", "http://127.0.0.1/v1#", "ftp://x#y", ""])
def test_a_name_of_no_known_form_says_what_to_write(name):
    with pytest.raises(ModelNameError, match=r"#|use openai:NAME"):
        endpoint(name)


@pytest.mark.parametrize("given", [{"price_in": 1.0}, {"price_out": 1.0}])
def test_half_a_price_is_refused(tmp_path, given):
    with open_store(tmp_path / "s.db") as store, pytest.raises(UserError, match="give both"):
        open_model("http://127.0.0.1/v1#m", task(tmp_path, **given).teacher, store, Ledger())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"input": "a"}', ":1: a worked example needs"),
        (b"\n[1]", ":2: a worked example needs"),
        (b"{", ":1: a worked"),
        (b"\xff", "not valid UTF-8"),
    ],
)
def test_a_broken_worked_example_is_named(tmp_path, content, says):
    (tmp_path / "w.jsonl").write_bytes(content)
    with pytest.raises(TaskFileError, match=says):
        worked_examples(task(tmp_path, examples="w.jsonl"))


def test_a_worked_example_may_hold_a_line_separator(tmp_path):
    (tmp_path / "w.jsonl").write_text('{"input": "one\u2028two", "label": "good"}\n', encoding="utf-8")
    assert worked_examples(task(tmp_path, examples="w.jsonl"))[0].input == "one\u2028two"


def script_module(folder, monkeypatch, source):
    (folder / "the_script.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "the_script", raising=False)


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("no_such_module:f", "", "cannot be imported"),
        ("the_script:absent", "", "cannot be imported"),
        ("the_script", "", "cannot be imported"),
        ("the_script:f", "def f(", "cannot be imported"),
        ("the_script:f", "f = 3", "is not callable"),
    ],
)
def test_a_script_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, name, source, says):
    script_module(tmp_path, monkeypatch, source)
    with pytest.raises(ModelNameError, match=says):
        load_script(name)


def test_a_script_of_the_working_folder_is_found_by_the_command_line_too(tmp_path):
    (tmp_path / "people.py").write_text("def answer(request, example):\n    return 'good'\n")
    found = "from stillhouse.llm.scripted import load_script; print(load_script('people:answer')(None, None))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", found], cwd=tmp_path, capture_output=True, text=True
    )  # -P: the folder is on no path, as in `stillhouse`
    assert (done.stdout, done.stderr) == ("good\n", "")


async def test_a_script_of_other_parameters_is_refused_in_a_sentence():
    with pytest.raises(
        TeacherError, match=r"cannot be called with \(request, example\): too many positional arguments"
    ):
        await ask_script(lambda request: "good", ASKED, None)


ASKED = Request("scripted:x:y", ({"role": "user", "content": "x" * 9},))


async def later(request, example):
    return "good"


async def test_a_script_may_answer_at_once_later_or_with_a_completion():
    now = await ask_script(lambda request, example: "good", ASKED, None)
    assert (now.text, now.usage) == ("good", Usage(3, 1, estimated=True))
    assert (await ask_script(later, ASKED, None)).text == "good"
    assert await ask_script(lambda request, example: Completion("x", cost_usd=1.0), ASKED, None) == Completion(
        "x", cost_usd=1.0
    )


async def test_a_script_that_answers_with_no_text_is_told_so():
    with pytest.raises(TeacherError, match="answered with int 7"):
        await ask_script(lambda request, example: 7, ASKED, None)
    assert (await ask_script(lambda request, example: "\ud800", ASKED, None)).error == "reply is not valid Unicode"


async def test_a_stand_in_says_so_and_is_priced_as_the_model_it_stands_for(tmp_path, monkeypatch):
    script_module(
        tmp_path,
        monkeypatch,
        'def f(request, example): return "good"\nf.stand_in = True\nf.priced_as = "openai:gpt-4o-mini"',
    )
    with open_store(tmp_path / "s.db") as store:
        teacher = open_teacher("scripted:the_script:f", task(tmp_path), store)
        (found,) = await teacher.predict([Example("1", "a day")])
    assert teacher.stand_in
    assert found.output == "good"
    assert 0 < found.cost_usd < 1e-3
