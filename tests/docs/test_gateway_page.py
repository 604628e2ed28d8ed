"""docs/gateway.md: its commands and its Python run as they stand there, against a stand-in for the provider."""

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from docs_code import blocks

PAGE = Path(__file__).parents[2] / "docs/gateway.md"


@pytest.mark.slow
def test_the_page_leads_from_an_app_to_rows_of_its_step(endpoint, tmp_path, monkeypatch, stillhouse):
    monkeypatch.chdir(tmp_path)
    start, later = blocks(PAGE, "sh")
    [command] = [shlex.split(line, comments=True) for line in start.splitlines() if line.startswith("stillhouse")]
    upstream = endpoint.url().partition("#")[0]
    command = [upstream if part == "openai" else part for part in command]
    with subprocess.Popen(
        [sys.executable, "-m", *command, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        url = json.loads(process.stdout.readline())["url"]
        scope = {}
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        [code] = blocks(PAGE, "python")
        exec(code.replace("http://127.0.0.1:8100", url), scope)
        for n in range(60):
            text = f"day {n} was {'good' if n % 3 else 'grim'}"
            messages = [{"role": "system", "content": "Which mood?"}, {"role": "user", "content": text}]
            said = scope["client"].chat.completions.create(model="ok", messages=messages)
            assert said.choices[0].message.content == ("good" if n % 3 else "bad")
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    assert sum(endpoint.calls().values()) == 60
    [step] = stillhouse("steps", "--json").json["steps"]
    assert (step["calls"], step["output"], step["labels"], step["usd"]) == (60, "choice", ["good", "bad"], None)
    commands = [shlex.split(line, comments=True) for line in later.splitlines()]
    assert [command[1] for command in commands] == ["steps", "harvest", "advise"]
    for command in commands[:2]:
        assert stillhouse(*(part.replace("STEP", step["name"]) for part in command[1:])).code == 0
    assert (tmp_path / "steps" / step["name"] / "task.toml").is_file()
    assert b"sk-secret" not in (tmp_path / "stillhouse.db").read_bytes()


def test_the_page_names_every_column_of_steps():
    source = (PAGE.parents[1] / "src/stillhouse/cli/gateway.py").read_text()
    named = re.findall(r'"(\w+)": (?:dict\()?step\.', source)
    page = PAGE.read_text()
    assert len(named) > 15 and [name for name in named if f"`{name}`" not in page] == []
