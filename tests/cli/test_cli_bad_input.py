"""What a user gets wrong: each is one sentence that names the file, the row and the remedy, and an exit code."""

import json
import subprocess
import sys

import pytest

from mood_task import MOOD
from stillhouse.runs import Lock

TASK = (
    MOOD
    + """test = "test.jsonl"

[teacher]
model = "recorded:teacher.jsonl"

[gate]
margin = 0.3
"""
)
WORDS = {"good": ("lovely", "bright", "warm", "kind"), "bad": ("awful", "grim", "cold", "rude")}


def rows(n, what="day"):
    return [
        {"id": f"{what}{i}", "input": f"{what} {i} {WORDS[label][i % 4]}", "label": label}
        for i in range(n)
        for label in (("good", "bad")[i % 2],)
    ]


def write(path, found):
    path.write_text("".join(json.dumps(row) + "\n" for row in found))


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "mood"
    folder.mkdir()
    (folder / "task.toml").write_text(TASK)
    write(folder / "rows.jsonl", rows(120))
    write(folder / "test.jsonl", rows(80, "night"))
    write(
        folder / "teacher.jsonl",
        [{"id": row["id"], "teacher_label": row["label"]} for row in rows(120) + rows(80, "night")],
    )
    return folder


def unknown_key(folder):
    (folder / "task.toml").write_text(TASK.replace("margin", "margn"))


def no_task(folder):
    (folder / "task.toml").unlink()


def no_data(folder):
    (folder / "rows.jsonl").unlink()


def torn_line(folder):
    (folder / "rows.jsonl").write_text((folder / "rows.jsonl").read_text()[:-20])


def empty(folder):
    (folder / "rows.jsonl").write_text("")


def one_class(folder):
    write(folder / "rows.jsonl", [row | {"label": "good"} for row in rows(120)])


def strange_label(folder):
    write(folder / "rows.jsonl", [*rows(119), {"id": "odd", "input": "an odd one", "label": "fine"}])


def twice(folder):
    write(folder / "rows.jsonl", [*rows(120), {"id": "day7", "input": "another text", "label": "bad"}])


def leak(folder):
    write(folder / "test.jsonl", [*rows(80, "night"), {"id": "copy", "input": rows(120)[3]["input"], "label": "bad"}])


def no_teacher(folder):
    (folder / "teacher.jsonl").unlink()


def odd_model(folder):
    (folder / "task.toml").write_text(TASK.replace("recorded:teacher.jsonl", "gpt-9"))


def odd_student(folder):
    (folder / "task.toml").write_text(TASK + '\n[student]\nladder = ["forest"]\n')


CASES = [
    (unknown_key, ["task.toml", "margn", "margin, level"]),
    (no_task, ["task.toml", "stillhouse new"]),
    (no_data, ["rows.jsonl", "no such data file"]),
    (torn_line, ["rows.jsonl:120", "--skip-bad"]),
    (empty, ["rows.jsonl", "no usable row"]),
    (one_class, ["'good'", "at least two classes"]),
    (strange_label, ["rows.jsonl:120", "'fine'", "good, bad"]),
    (twice, ["rows.jsonl:121", "'day7'"]),
    (leak, ["'copy'", "same input", "'day3'"]),
    (no_teacher, ["teacher.jsonl", "no such file"]),
    (odd_model, ["'gpt-9'", "openai:NAME"]),
    (odd_student, ["'forest'", "linear"]),
]


@pytest.mark.parametrize(("spoil", "says"), CASES, ids=[spoil.__name__ for spoil, _ in CASES])
def test_one_sentence_and_exit_code_two(project, stillhouse, tmp_path, spoil, says):
    spoil(project)
    found = stillhouse("distill", project, "--runs", tmp_path / "runs")
    assert found.code == 2
    assert found.out == ""
    lines = [
        line for line in found.err.strip().splitlines() if not line.startswith(("rows for the gate", "  "))
    ]  # said before anything is bought
    assert len(lines) == 1
    for part in says:
        assert part in lines[0]


def test_two_commands_on_one_run_are_refused(project, stillhouse, tmp_path):
    runs = tmp_path / "runs"
    stillhouse("distill", project, "--runs", runs)
    manifest = runs / "mood-distill-1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"status": "done"', '"status": "running"'))
    with Lock(runs / "mood-distill-1" / ".lock", "the run"):
        found = stillhouse("distill", project, "--runs", runs)
    assert found.code == 2
    assert "mood-distill-1 is in use by process" in found.err


def test_a_changed_student_is_named_and_not_served(project, stillhouse, tmp_path):
    assert stillhouse("distill", project, "--runs", tmp_path / "runs").code == 0
    student = next((tmp_path / "runs").glob("mood-distill-1/arms/linear*/student"))
    weights = bytearray((student / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (student / "model.safetensors").write_bytes(weights)
    for command in (("evaluate", student, project / "test.jsonl"), ("serve", tmp_path / "runs" / "mood-distill-1")):
        found = stillhouse(*command)
        assert found.code == 2
        assert "model.safetensors" in found.err
        assert "train it again" in found.err


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(project, stillhouse, tmp_path):
    """A process that may write no file beyond 4 kB cannot keep the answers; with room again, the same command goes on in the same run."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from stillhouse.cli import main; main()"
    )
    command = [sys.executable, "-c", script, "distill", str(project), "--runs", str(tmp_path / "runs")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "free space" in found.stderr
    assert "Traceback" not in found.stderr
    assert stillhouse("distill", project, "--runs", tmp_path / "runs").code == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mood-distill-1"]


def test_a_run_that_is_none_and_sizes_that_are_none(project, stillhouse, tmp_path):
    assert "no such run directory" in stillhouse("report", tmp_path / "nothing").err
    assert "not a student" in stillhouse("serve", tmp_path).err
    found = stillhouse("advise", project, "--sizes", "10,many", "--runs", tmp_path / "runs")
    assert (found.code, "whole numbers" in found.err) == (2, True)
    assert "from 2 to" in stillhouse("advise", project, "--sizes", "10,100000", "--runs", tmp_path / "runs").err
    assert "at least 3" in stillhouse("advise", project, "--seeds", "2", "--runs", tmp_path / "runs").err
