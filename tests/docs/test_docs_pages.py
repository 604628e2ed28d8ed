"""What the docs say is what happens: the README's run, the generated pages, the links."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from typer.testing import CliRunner

from docs_code import blocks
from stillhouse.cli import app

ROOT = Path(__file__).parent.parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")]


@pytest.mark.slow
def test_the_readmes_run_leads_from_rows_to_a_served_student(tmp_path):
    """Every command of the README's first block, the server at last; then its Python against that server."""
    [run] = blocks(ROOT / "README.md", "sh")
    commands = [shlex.split(line, comments=True) for line in run.splitlines() if line.startswith("stillhouse ")]
    assert [command[1] for command in commands] == ["new", "label", "advise", "distill", "serve", "export"]
    server_command = commands.pop(4)
    for command in commands:
        found = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr
    served = [sys.executable, "-m", *server_command, "--port", "0", "--json"]
    with subprocess.Popen(served, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            base_url = json.loads(server.stdout.readline())["base_url"]
            [python] = blocks(ROOT / "README.md", "python")
            scope = {}
            exec(python.replace("http://127.0.0.1:8000/v1", base_url), scope)
            assert scope["answer"].choices[0].message.content in ("sql", "search", "chat")
            assert isinstance(scope["client"], openai.OpenAI)
        finally:
            server.terminate()


async def test_the_readmes_flow_runs_with_any_model_in_its_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    [code] = blocks(ROOT / "README.md", "py")
    (tmp_path / "readme_app.py").write_text(f"{code}\n\ndef says(request, example):\n    return 'sql'\n")
    app_of_the_page = importlib.import_module("readme_app")
    assert (
        await app_of_the_page.assistant.run(
            "monday", "how many orders are late?", models={"route": "scripted:readme_app:says"}
        )
        == "sql"
    )


def test_the_readmes_commands_have_the_options_that_it_gives_them():
    [console] = blocks(ROOT / "README.md", "console")
    commands = [shlex.split(line, comments=True) for line in console.splitlines()]
    assert [command[1] for command in commands] == ["run", "runs", "harvest", "run", "test"]
    for command in commands:
        shown = CliRunner().invoke(app, [command[1], "--help"], env={"COLUMNS": "300"}).output
        for option in (part for part in command if part.startswith("--")):
            assert option in shown, command


def test_the_pages_of_the_commands_are_generated():
    sys.path.insert(0, str(ROOT))
    try:
        from docs.generate import PAGE, page
    finally:
        sys.path.remove(str(ROOT))
    before = dict(os.environ)
    try:
        assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.slow
def test_every_command_says_in_one_line_what_it_does_and_can_speak_json():
    for command in app.registered_commands:
        name = command.callback.__name__
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        assert "--json" in shown, name
        assert command.callback.__doc__.strip().splitlines()[0].rstrip().endswith("."), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tree_in_the_readme_names_every_package():
    [tree] = [block for block in blocks(ROOT / "README.md", "") if "src/stillhouse/" in block]
    for package in (ROOT / "src" / "stillhouse").iterdir():
        if package.is_dir() and package.name != "__pycache__":
            assert f"{package.name}/" in tree, package.name


def test_the_evidence_for_the_verdict_is_what_the_benchmark_found(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    verdict = importlib.import_module("bench.verdict")
    size = importlib.import_module("bench.gate_size")
    page = (ROOT / "docs/verdict.md").read_text(encoding="utf-8")
    groups = importlib.import_module("bench.gate_groups")
    found = json.loads(verdict.OUT.read_text(encoding="utf-8"))
    tables = [*verdict.tables(found).values(), size.table(json.loads(size.OUT.read_text(encoding="utf-8")))]
    tables.append(groups.table(json.loads(groups.OUT.read_text(encoding="utf-8"))["rows"]))
    assert len(tables) == 13
    assert [table.partition("\n")[0] for table in tables if table not in page] == []
