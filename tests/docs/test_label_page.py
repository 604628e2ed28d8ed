"""The code of docs/label.md runs, and prints what its comments say; its settings are settings."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from docs_code import blocks
from stillhouse import cli
from stillhouse.errors import TaskFileError
from stillhouse.patterns import PatternError, compiled
from stillhouse.task import load_task

PAGE = Path(__file__).parent.parent.parent / "docs" / "label.md"
TEACHER = """
def answer(request, example):
    good = "fast" in example.text
    return f"{'Two cups in a minute is fast.' if good else 'It leaks.'} That makes it {'good' if good else 'bad'}."

answer.stand_in = True
"""


def said(block):
    return [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]


def test_the_pages_task_is_labelled_and_its_code_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "page_teacher.py").write_text(TEACHER)
    (tmp_path / "task.toml").write_text(blocks(PAGE, "toml")[0])
    (tmp_path / "worked.jsonl").write_text(blocks(PAGE, "jsonl")[0])
    (tmp_path / "reviews.jsonl").write_text(
        "".join(json.dumps({"input": text}) + "\n" for text in ("Two cups, fast.", "Leaks."))
    )
    parsing, reading = blocks(PAGE, "python")
    exec(parsing, {})
    assert capsys.readouterr().out.splitlines() == said(parsing)
    [command] = blocks(PAGE, "sh")
    monkeypatch.setattr("sys.argv", command.split())
    cli.main.__globals__["app"](standalone_mode=False)
    capsys.readouterr()
    exec(reading, {})
    assert capsys.readouterr().out.splitlines() == said(reading)
    assert (tmp_path / "card.md").is_file()


def test_each_pattern_that_the_page_calls_refused_is_refused_with_the_pages_words():
    page = PAGE.read_text()
    [told] = [block.strip() for block in blocks(PAGE, "text") if "answer_pattern" in block]
    words = told.partition("): ")[2].partition(";")[0]
    rows = page.partition("| what | such as |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    patterns = [pattern for row in rows for pattern in re.findall("`([^`]+)`", row.split(" | ")[1])]
    assert len(rows) == 8 and len(patterns) == 21
    for pattern in patterns:
        with pytest.raises(PatternError, match="not a pattern whose time is bounded") as refusal:
            compiled(pattern)
        assert words in str(refusal.value)


def test_the_words_of_the_refusal_are_those_of_the_task_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page_teacher.py").write_text(TEACHER)
    [told] = [block.strip() for block in blocks(PAGE, "text") if "answer_pattern" in block]
    pattern = told.partition("answer_pattern = ")[2].partition(":")[0]
    own = r"'That makes it (\w+)\.$'"
    (tmp_path / "task.toml").write_text(blocks(PAGE, "toml")[0].replace(own, pattern))
    with pytest.raises(TaskFileError) as refusal:
        load_task("task.toml")
    assert str(refusal.value) == told


def test_the_pages_other_settings_are_settings(tmp_path):
    (tmp_path / "order.schema.json").write_text('{"type": "object"}')
    for block in blocks(PAGE, "toml")[1:]:
        given = tomllib.loads(block)
        task = {"name": "t", "instruction": "-", "output": "choice", **given.pop("task", {})}
        sections = {"task": task, **given}
        lines = [
            line
            for name, values in sections.items()
            for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()))
        ]
        (tmp_path / "task.toml").write_text("\n".join(lines))
        loaded = load_task(tmp_path)
        for section, values in given.items():
            for name, value in values.items():
                found = getattr(getattr(loaded, section), name)
                assert (list(found) if isinstance(found, tuple) else found) == value
