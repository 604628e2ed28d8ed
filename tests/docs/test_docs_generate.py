"""The page on generating data: its Python prints what it says, its commands run."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from docs_code import blocks
from stillhouse.cli import main

PAGE = Path(__file__).parent.parent.parent / "docs" / "generate.md"


def test_the_python_prints_what_its_comments_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [code] = blocks(PAGE, "python")
    exec(code, {})
    said = [line.rpartition("  # ")[2] for line in code.splitlines() if line.startswith("print(")]
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.slow
def test_the_commands_run_with_a_script_in_the_teachers_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    script = """
import random, re

def exercises(request, example):
    draw, shown = random.Random(request.hash), request.messages[-1]["content"]
    first, last = map(int, re.search(r"from (\\d+) to (\\d+)", request.messages[0]["content"]).groups())
    texts = {number: " ".join(f"w{draw.randrange(900)}" for _ in range(9)) for number in range(first, last + 1)}
    form = "Instruction: {}\\nInput: <none>\\nOutput: Done." if "Instruction:" in shown else "{}"
    return "\\n\\n".join(f"## {number}\\n" + form.format(text) for number, text in texts.items())
"""
    (tmp_path / "words_teacher.py").write_text(script)
    monkeypatch.setattr(sys, "argv", ["stillhouse", "new", "tickets"])
    with pytest.raises(SystemExit):
        main()
    seed = {"instruction": "Say something nice about rain.", "input": "", "output": "It smells of summer."}
    (tmp_path / "mine.jsonl").write_text(json.dumps(seed) + "\n")
    capsys.readouterr()
    commands = [shlex.split(line) for block in blocks(PAGE, "console") for line in block.splitlines()]
    assert len(commands) == 4
    for command in commands:
        given = ["scripted:words_teacher:exercises" if part.startswith("openai:") else part for part in command]
        given[given.index("-n") + 1] = "40"
        monkeypatch.setattr(sys, "argv", [*given, "--json", "--no-report"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, None)
        assert json.loads(capsys.readouterr().out)["kept"] == 40
