"""A run's own copy of its task: all that the task's text names is in it, and it asks the same."""

import contextlib
import json
import shutil
import sqlite3

import pytest

from stillhouse.errors import UserError
from stillhouse.experiment.task_copy import keep_task
from stillhouse.llm.prompt_pins import task_pin, teacher_pin
from stillhouse.runs import TASK_FILE, portable_name
from stillhouse.task import load_task

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TEXT = r'''
[task]
name = "orders"
instruction = """Which "city"?
Say it as JSON: \\ tab\t, \u007f and 🏙."""
output = "json"
json_schema = "../shared/schema.json"

[data]
train = "ROOT/rows.jsonl"

[teacher]
model = "recorded:ROOT/shared/said.jsonl"
examples = "../shared/shown.jsonl"
tokenizer = "../shared"
temperature = 0.3
answer_pattern = '(\\w+)'
stop = ["END", "\n\n"]
price_in = 0.000002

[student]
ladder = ["generative:ROOT/base"]

[money]
prompt_retires = 2027-03-01
'''


@pytest.fixture
def task(tmp_path):
    folder, shared = tmp_path / "task", tmp_path / "shared"
    folder.mkdir()
    shared.mkdir()
    (shared / "schema.json").write_text(json.dumps(SCHEMA))
    (shared / "shown.jsonl").write_text('{"input": "to Rome", "label": {"city": "Rome"}}\n')
    (shared / "said.jsonl").write_text('{"id": "1", "teacher_label": {"city": "Oslo"}}\n')
    (shared / "tokenizer.json").write_text("{}")
    (folder / "task.toml").write_text(TEXT.replace("ROOT", str(tmp_path)))
    return load_task(folder)


def test_the_copy_asks_the_same_of_the_same_and_names_nothing_outside(task, tmp_path):
    run = tmp_path / "run"
    keep_task(run, task, task.teacher.model)
    shutil.move(run, tmp_path / "moved")
    shutil.rmtree(tmp_path / "shared")
    shutil.rmtree(tmp_path / "task")
    copy = load_task(tmp_path / "moved" / TASK_FILE)
    assert (copy.instruction, copy.schema, copy.output) == (task.instruction, SCHEMA, "json")
    assert copy.teacher.model == "recorded:recorded/said.jsonl"
    for name in ("temperature", "answer_pattern", "stop", "price_in", "max_tokens"):
        assert getattr(copy.teacher, name) == getattr(task.teacher, name)
    assert (copy.gate, copy.money) == (task.gate, task.money)
    assert str(tmp_path) not in (tmp_path / "moved" / TASK_FILE).read_text()
    assert len(task_pin(copy)) == len(teacher_pin(copy.teacher.model, copy)) == 64
    assert (tmp_path / "moved/task/tokenizer.json").is_file()


def test_the_text_has_one_pin_wherever_it_lies(task, tmp_path):
    keep_task(tmp_path / "run", task, task.teacher.model)
    assert task_pin(load_task(tmp_path / "run" / TASK_FILE)) == task_pin(task)


def test_a_database_is_copied_with_what_its_log_still_holds(task, tmp_path):
    database = tmp_path / "task" / "shop.db"
    with contextlib.closing(sqlite3.connect(database)) as held:
        held.execute("PRAGMA journal_mode = wal")
        held.execute("PRAGMA wal_autocheckpoint = 0")
        held.execute("CREATE TABLE t (a)")
        held.execute("INSERT INTO t VALUES (5)")
        held.commit()
        path = tmp_path / "task" / "task.toml"
        path.write_text(
            path.read_text()
            .replace('output = "json"', 'output = "text"\nmetric = "sql_execution"\ndatabase = "shop.db"')
            .replace('json_schema = "../shared/schema.json"\n', "")
        )
        keep_task(tmp_path / "run", load_task(path), None)
    database.unlink()
    copy = load_task(tmp_path / "run" / TASK_FILE)
    with contextlib.closing(sqlite3.connect(copy.database)) as copied:
        assert copied.execute("SELECT a FROM t").fetchall() == [(5,)]


def test_a_file_that_is_not_there_is_one_sentence(task, tmp_path):
    (tmp_path / "shared" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json: cannot be read .*; mend its name in the task file"):
        keep_task(tmp_path / "run", task, None)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("recorded:/home/me/said.jsonl", "recorded:said.jsonl"),
        ("encoder:/models/base", "encoder:base"),
        ("encoder:models/base", "encoder:models/base"),
        ("linear", "linear"),
        ("http://127.0.0.1:8000/v1#m", "http://127.0.0.1:8000/v1#m"),
        ("openai:gpt-4o", "openai:gpt-4o"),
    ],
)
def test_a_name_in_a_run_has_no_folders_of_this_machine(name, kept):
    assert portable_name(name) == kept
