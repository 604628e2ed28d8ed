"""docs/compare.md: its code runs and prints what it says, its task file is one, its commands have the options that it gives them."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs_code import blocks
from stillhouse import cli
from stillhouse.task import load_task

PAGE = Path(__file__).parent.parent.parent / "docs" / "compare.md"


def test_alpacas_draw_is_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    first, *_ = blocks(PAGE, "python")
    exec(first, {})
    command = shlex.split(blocks(PAGE, "sh")[1])
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = " ".join(capsys.readouterr().out.split())
    for block in blocks(PAGE, ""):
        assert " ".join(block.split()) in said


@pytest.mark.parametrize("which", [1, 2], ids=["the corrected judge", "several people"])
def test_what_is_computed_is_what_the_page_says(which, capsys):
    code = blocks(PAGE, "python")[which]
    exec(code, {})
    said = re.findall(r"^# (.*)$", code, re.MULTILINE)
    assert said and capsys.readouterr().out.splitlines() == said


def test_its_task_file_is_one(tmp_path):
    [text] = blocks(PAGE, "toml")
    (tmp_path / "task.toml").write_text(text)
    assert load_task(tmp_path).metric == "win_rate"
    (tmp_path / "task.toml").write_text(text.replace('"text"', '"choice"'))
    with pytest.raises(Exception, match="right and wrong answers, so score those"):
        load_task(tmp_path)


def test_its_commands_name_options_that_there_are():
    commands = [shlex.split(line) for block in blocks(PAGE, "sh") for line in block.splitlines()]
    assert len(commands) == 6
    shown = CliRunner().invoke(cli.app, ["compare", "--help"], env={"COLUMNS": "300"}).output
    for command in commands:
        assert command[:2] == ["stillhouse", "compare"]
        for option in (part for part in command if part.startswith("--")):
            assert option in shown, option
