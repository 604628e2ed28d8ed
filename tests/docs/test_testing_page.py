"""The page on testing flows: its app, its cases, its commands and its tests run as they stand, with a script in the models' place."""

import json
import shlex
import sqlite3
import sys
from pathlib import Path

import pytest

from docs_code import blocks
from stillhouse import cli

PAGE = Path(__file__).parent.parent.parent / "docs" / "testing.md"
MODELS = """

def stand_in(request, example=None):
    if "about figures" in request.messages[0]["content"]:
        return "sql" if "many" in request.messages[-1]["content"] else "search"
    return "SELECT COUNT(*) FROM orders"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The page's app and cases, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    app, _ = blocks(PAGE, "python")
    (tmp_path / "app.py").write_text(app.replace("openai:gpt-6-luna", "scripted:app:stand_in") + MODELS)
    with sqlite3.connect(tmp_path / "shop.db") as db:
        db.execute("CREATE TABLE orders (id)")
    (tmp_path / "cases").mkdir()
    [cases] = blocks(PAGE, "jsonl")
    for line in cases.splitlines():
        name, row = line.split(maxsplit=1)
        (tmp_path / name).write_text(row + "\n")
    yield tmp_path
    sys.modules.pop("app", None)


def run(monkeypatch, command):
    monkeypatch.setattr("sys.argv", shlex.split(command))
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def test_its_cases_hold_and_its_commands_run(here, monkeypatch, capsys):
    first, *_ = blocks(PAGE, "sh")
    run_it, from_run, test_it = first.splitlines()
    assert run(monkeypatch, test_it) == 0
    assert run(monkeypatch, run_it) == 0
    assert run(monkeypatch, from_run + " --cases made") == 0
    assert run(monkeypatch, test_it + " --cases made --offline") == 0
    assert json.loads((here / "made" / "flow.jsonl").read_text())["expected"] == "There are 3."
    capsys.readouterr()


def test_its_commands_name_options_that_there_are(monkeypatch, capsys):
    commands = [line for block in blocks(PAGE, "sh") for line in block.splitlines()]
    assert len(commands) >= 8
    for command in commands:
        parts = shlex.split(command)
        assert run(monkeypatch, f"{parts[0]} {parts[1]} --help") == 0
        shown = capsys.readouterr().out
        for option in (part for part in parts if part.startswith("--")):
            assert option in shown, command


async def test_its_tests_pass(here):
    _, tests = blocks(PAGE, "python")
    scope = {}
    exec(tests, scope)
    found = [value for name, value in scope.items() if name.startswith("test_")]
    assert len(found) == 2
    for one in found:
        await one()
