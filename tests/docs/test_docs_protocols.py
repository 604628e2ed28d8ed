"""docs/protocols.md: its commands print what it says, on its own runs and on the paper's."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs_code import blocks

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "protocols.md"


def run(block, folder, **variables):
    """Every line of a block of commands; the output of the last."""
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    for line in block.splitlines():
        command = shlex.split(line.replace("$STILLHOUSE_DATA", variables.get("STILLHOUSE_DATA", "")))
        program = [sys.executable, "-m", "stillhouse"] if command[0] == "stillhouse" else [sys.executable]
        found = subprocess.run(
            [*program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.slow
def test_the_example_prints_what_the_page_says(tmp_path, monkeypatch):
    [python], [command, _], [said, _] = blocks(PAGE, "python"), blocks(PAGE, "sh"), blocks(PAGE, "")
    monkeypatch.chdir(tmp_path)
    exec(python, {})
    printed = run(command, tmp_path)
    assert said in printed
    assert printed.startswith("  0.84 │")
    assert (tmp_path / "prompt.svg").read_text().startswith("<svg")


@pytest.mark.slow
def test_the_papers_figure_is_met_by_the_command_that_the_page_gives(tmp_path, real_data):
    if not (real_data / "promptworth").is_dir():
        pytest.skip(f"the runs of Le Scao & Rush are not here ({real_data / 'promptworth'})")
    [_, command], [_, said] = blocks(PAGE, "sh"), blocks(PAGE, "")
    assert said in run(command, tmp_path, STILLHOUSE_DATA=str(real_data))


def test_the_table_of_the_page_is_the_one_that_the_benchmark_makes(real_data):
    if not (real_data / "promptworth").is_dir():
        pytest.skip(f"the runs of Le Scao & Rush are not here ({real_data / 'promptworth'})")
    sys.path.insert(0, str(ROOT))
    try:
        from bench.promptworth import table
    finally:
        sys.path.remove(str(ROOT))
    assert table(real_data / "promptworth") in PAGE.read_text(encoding="utf-8"), (
        "run `python -m bench.promptworth table FOLDER`"
    )
