"""What is wrong with a task costs nothing: it is one sentence before the first call, for every command that may pay."""

import json
import os
from pathlib import Path

import pytest

from stillhouse.llm.prices import Price

PRICE = Price(1.0, 2.0, "a test's")
TASK = """
[task]
name = "mood"
instruction = "Is it good?"
output = "{output}"
{task}

[data]
train = "rows.jsonl"
{data}

[teacher]
model = "{model}"
price_in = 1.0
price_out = 2.0
{teacher}

[student]
{student}
"""
CHOICE = 'labels = ["good", "bad"]'
STEP = {"recipe": 'recipe = "step_by_step"\nlearn_from = "gold"\nladder = ["generative:scratch:tiny"]'}


@pytest.fixture
def project(endpoint, tmp_path):
    """`project(...)` writes a task and its rows."""

    def write(
        output="choice", task=CHOICE, data="", teacher="", student='ladder = ["linear"]', model=None, change=None
    ):
        text = TASK.format(
            output=output, task=task, data=data, teacher=teacher, student=student, model=model or endpoint.url()
        )
        (tmp_path / "task.toml").write_text(text)
        rows = [
            {"id": f"r{i}", "input": f"day {i} was {'fine' if i % 2 else 'grey'}", "label": "good" if i % 2 else "bad"}
            for i in range(60)
        ]
        for row in rows:
            if change is not None:
                change(row)
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path

    return write


def no_label(row):
    row.pop("label")


def json_label(row):
    row["label"] = json.dumps(row["label"])


def odd_label(row):
    row["label"] = "ugly" if row["id"] == "r7" else row["label"]


def some_choices(row):
    if row["id"] != "r9":
        row["choices"] = ["good", "bad"]


def one_class(row):
    row["label"] = "good"


def one_group(row):
    row["group"] = "conversation 7"


def two_groups(row):
    row["group"] = "even" if int(row["id"][1:]) % 2 else "odd"


ALL, TRAINING = ("label", "generate", "distill", "advise"), ("distill", "advise")
ROWS = ("label", *TRAINING)
WRONG = {
    "a student that picks, and text": (dict(output="text", task="", student='ladder = ["linear"]'), ALL, "linear picks among choices"),
    "an encoder, and json": (dict(output="json", task="", student='ladder = ["generative:scratch:tiny", "encoder:minilm"]', change=json_label), ALL, "encoder:minilm picks among choices"),
    "a misspelt student": (dict(student='ladder = ["linaer"]'), ALL, "unknown student 'linaer'"),
    "a misspelt base": (dict(student='ladder = ["generative:scratch:huge"]'), ALL, "unknown base 'scratch:huge'"),
    "a base that is nowhere": (dict(student='ladder = ["encoder:./nowhere"]'), ALL, "./nowhere: no such folder"),
    "two bases of one name": (dict(student='ladder = ["encoder:/a/base", "encoder:/b/base"]'), ALL, "two students of the ladder would be called encoder:base"),
    "no ladder": (dict(student="ladder = []"), ALL, "the ladder is empty"),
    "no database": (dict(output="text", task='metric = "sql_execution"\ndatabase = "no.db"', student=""), ALL, "no such database"),
    "soft targets for a writer": (dict(student='ladder = ["generative:scratch:tiny"]\nsoft_targets = true'), ALL, "picks? among labels|soft_targets"),
    "a label that is none": (dict(change=odd_label), ALL, "ugly"),
    "one class": (dict(change=one_class), ROWS, "at least two classes"),
    "one group": (dict(change=one_group), ROWS, "1 group"),
    "two groups, and three parts": (dict(change=two_groups), ROWS, "2 groups"),
    "gold that is not there": (dict(change=no_label, student='ladder = ["linear"]\nlearn_from = "gold"'), ROWS, "gold label|no training rows"),
    "choices in some rows": (dict(task="", change=some_choices), ROWS, "`choices`"),
    "no labels and no choices": (dict(task="", change=no_label), ROWS, "`choices`|labels"),
    "no validation rows": (dict(data="split = [0.0, 0.2, 0.2]"), TRAINING, "no validation rows"),
    "no reasons for step by step": (dict(student=STEP["recipe"]), ROWS, "needs rationales"),
    "no file of worked examples": (dict(teacher='examples = "no.jsonl"'), ALL, "no such file of worked examples"),
    "no tokenizer": (dict(teacher='tokenizer = "nowhere"'), ALL, "tokenizer ="),
    "no schema": (dict(output="json", task='json_schema = "no.json"', student=""), ALL, "no such file"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "command"), [(case, command) for case, (_, commands, _) in WRONG.items() for command in commands]
)
def test_a_task_that_cannot_work_is_refused_before_the_first_call(stillhouse, endpoint, project, case, command):
    written, _, says = WRONG[case]
    folder = project(**written)
    options = ("--n", 5) if command == "generate" else ("--runs", folder / "runs") if command in TRAINING else ()
    ran = stillhouse(command, folder, "--yes", "--accept-terms", *options)
    assert endpoint.calls().total() == 0
    assert ran.code == 2, ran.err
    assert any(part in ran.err.replace("\n", " ") for part in says.split("|")), ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", TRAINING)
def test_a_missing_extra_is_said_first(stillhouse, endpoint, project, command, monkeypatch):
    folder = project(student='ladder = ["encoder:minilm"]')
    (folder / "sitecustomize.py").write_text(
        "import importlib.util as u\n_find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'torch' else _find(name, package)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None if name == "torch" else object())
    ran = stillhouse(command, folder, "--yes", "--runs", folder / "runs")
    assert (ran.code, endpoint.calls().total()) == (2, 0)
    assert "encoder students need torch; install it with" in ran.err.replace("\n", " ")


@pytest.mark.parametrize("command", ALL)
def test_a_place_that_takes_no_files_is_said_first(stillhouse, endpoint, project, command):
    folder = project()
    (folder / "file").write_text("")
    place = ("--runs", folder / "file") if command in TRAINING else ("--out", folder / "file" / "x.jsonl")
    more = ("--n", 5) if command == "generate" else ()
    ran = stillhouse(command, folder, "--yes", *place, *more)
    assert (ran.code, endpoint.calls().total()) == (2, 0), ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", ["label", "generate"])
@pytest.mark.parametrize(
    ("make", "says"), [(Path.mkdir, "is a folder, and a file is written there"), (os.mkfifo, "is a device or a pipe")]
)
def test_what_is_no_file_in_the_place_of_the_output_is_said_first(stillhouse, endpoint, project, command, make, says):
    folder = project()
    make(folder / "out")
    ran = stillhouse(command, folder, "--yes", "--out", folder / "out", *(("--n", 5) if command == "generate" else ()))
    assert (ran.code, endpoint.calls().total()) == (2, 0), ran.err
    assert says in ran.err.replace("\n", " ")


def test_a_missing_key_of_the_judge_is_said_first(stillhouse, endpoint, project, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    folder = project(output="text", task='metric = "win_rate"', student="")
    with (folder / "task.toml").open("a") as file:
        file.write('\n[gate]\njudge = "openai:gpt-4o-mini"\n')
    for command in ("distill", "label"):
        ran = stillhouse(command, folder, "--yes")
        assert (ran.code, endpoint.calls().total()) == (2, 0), ran.err
        assert "needs a key; set the environment variable OPENAI_API_KEY" in ran.err.replace("\n", " ")


FREE = {
    "no ladder and one class": dict(change=one_class, student=""),
    "no ladder and no choices": dict(task="", change=no_label, student=""),
    "a majority of one class": dict(change=one_class, student='ladder = ["majority"]'),
    "gold of two classes": dict(student='ladder = ["linear"]\nlearn_from = "gold"'),
    "no gold, for the teacher's labels": dict(change=no_label),
}


@pytest.mark.parametrize("case", FREE)
def test_rows_that_can_be_learned_from_or_need_not_be_are_labelled(stillhouse, endpoint, project, case):
    ran = stillhouse("label", project(**FREE[case]), "--yes", "--accept-terms")
    assert endpoint.calls().total() == 60, ran.err
    assert ran.code == 0, ran.err


def test_one_file_of_a_task_may_lack_what_the_others_have(stillhouse, endpoint, project):
    folder = project(student='ladder = ["linear"]\nlearn_from = "gold"')
    (folder / "more.jsonl").write_text('{"input": "day 99 was wet"}\n')
    ran = stillhouse("label", folder, "--data", folder / "more.jsonl", "--yes", "--accept-terms")
    assert (ran.code, endpoint.calls().total()) == (0, 1), ran.err


def test_a_base_that_the_hub_does_not_have_is_said_before_the_first_call(stillhouse, endpoint, project, monkeypatch):
    import huggingface_hub

    def fails(*_, **__):
        raise OSError("no such model")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    ran = stillhouse("distill", project(student='ladder = ["encoder:no/where"]'), "--yes", "--accept-terms")
    assert (ran.code, endpoint.calls().total()) == (2, 0)
    assert "the base 'no/where' cannot be loaded (no such model)" in ran.err.replace("\n", " ")


def test_a_tokenizer_that_cannot_be_read_is_said_before_the_first_call(stillhouse, endpoint, project):
    folder = project(teacher='tokenizer = "tokenizer.json"')
    (folder / "tokenizer.json").write_text("{}")
    ran = stillhouse("advise", folder, "--yes", "--accept-terms", "--runs", folder / "runs")
    assert (ran.code, endpoint.calls().total()) == (2, 0), ran.err
    assert "cannot be read" in ran.err and "Traceback" not in ran.err


UNKNOWN_PRICE = "openai:nobody-knows-this-model"


@pytest.mark.parametrize("whose", ["judge", "b"])
def test_a_price_that_nobody_knows_is_said_before_anything_is_paid(stillhouse, endpoint, project, monkeypatch, whose):
    """Of two sides and a judge the first alone has a price: nothing is bought that could not be gone on with."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr("stillhouse.llm.models.known_price", lambda name, *_, **__: None if "nobody" in name else PRICE)
    monkeypatch.setattr("stillhouse.llm.metered.known_price", lambda name, *_, **__: PRICE)
    folder = project()
    b, judge = (endpoint.url("two"), UNKNOWN_PRICE) if whose == "judge" else (UNKNOWN_PRICE, endpoint.url("j"))
    what = (endpoint.url(), b, folder / "rows.jsonl", "--task", folder, "--judge", judge)
    ran = stillhouse("compare", *what, "--yes", "--runs", folder / "runs")
    assert (ran.code, endpoint.calls().total()) == (2, 0), ran.err
    assert f"no price is known for {UNKNOWN_PRICE}" in ran.err.replace("\n", " ")


def test_a_judge_without_a_price_is_said_before_labels_are_bought_for_a_win_rate(
    stillhouse, endpoint, project, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr("stillhouse.llm.models.known_price", lambda name, *_, **__: None if "nobody" in name else PRICE)
    monkeypatch.setattr("stillhouse.llm.metered.known_price", lambda name, *_, **__: PRICE)
    folder = project(
        output="text",
        task='metric = "win_rate"',
        student=f'ladder = ["generative:scratch:tiny"]\n[gate]\njudge = "{UNKNOWN_PRICE}"',
    )
    ran = stillhouse("distill", folder, "--yes", "--accept-terms", "--runs", folder / "runs")
    assert (ran.code, endpoint.calls().total()) == (2, 0), ran.err
    assert f"no price is known for {UNKNOWN_PRICE}, so nobody can say what 24 calls will cost" in ran.err.replace(
        "\n", " "
    )
