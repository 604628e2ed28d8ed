"""Folders that cannot be written to: the task's, the runs', the store's. One sentence each, before anything is paid."""

import json
import os
import re
import subprocess
import sys

import pytest

from mood_task import MOOD

pytestmark = pytest.mark.slow  # each starts the command as a process of its own
_MOUNT = 'folder=$1; shift; mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder" && exec "$@"'


def with_read_only(folder, *arguments, cwd):
    """The command, to which `folder` is read-only: root is stopped by no permission bits, so it is mounted so."""
    command = [sys.executable, "-m", "stillhouse", *map(str, arguments)]
    if os.getuid() == 0:
        command = ["unshare", "-m", "sh", "-c", _MOUNT, "sh", str(folder), *command]
    else:
        folder.chmod(0o555)
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=cwd)
    finally:
        folder.chmod(0o755)


@pytest.fixture(autouse=True, scope="module")
def mountable():
    if os.getuid() == 0:
        tried = subprocess.run(
            ["unshare", "-m", "sh", "-c", "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp"],
            capture_output=True,
            check=False,
        )
        if tried.returncode != 0:
            pytest.skip("root, and this machine lets it mount nothing: no folder here is read-only")


@pytest.fixture
def task(tmp_path, endpoint):
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "task.toml").write_text(
        MOOD + f'test = "test.jsonl"\n[student]\nladder = ["linear"]\n[teacher]\nmodel = "{endpoint.url()}"\n'
    )
    for name, n, first in (("rows", 80, 0), ("test", 40, 500)):
        rows = [
            {
                "id": f"{name}{i}",
                "input": f"day {first + i} was {('good', 'awful')[i % 2]}",
                "label": ("good", "bad")[i % 2],
            }
            for i in range(n)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "app.py").write_text(
        "from stillhouse import flow, step\n@step\nasync def more(n: int) -> int:\n    return n + 1\n"
        "@flow\nasync def main(n: int) -> int:\n    return await more(n)\n"
    )
    for name in ("runs", "store", "out"):
        (tmp_path / name).mkdir()
    return folder


CASES = {
    "label, its task's folder": ("task", "label task --unpriced", "task: cannot write"),
    "label, its task's store": ("task", "label task --unpriced --out out/l.jsonl", "task/stillhouse.db: .* --store"),
    "label, its store's folder": ("store", "label task --unpriced --store store/s.db", "store/s.db: .* --store"),
    "label, its output's folder": ("out", "label task --unpriced --out out/l.jsonl", "out.*: cannot write"),
    "generate": ("task", "generate task -n 5 --unpriced", "task.*: cannot write"),
    "distill, its store's folder": ("store", "distill task --unpriced --store store/s.db", "store/s.db: .* --store"),
    "distill, its runs": ("runs", "distill task --unpriced --store out/s.db --runs runs", "runs: cannot write"),
    "advise, its runs": ("runs", "advise task --unpriced --store out/s.db --runs runs", "runs: cannot write"),
    "a flow's journal": (
        "store",
        'run task/app.py:main --input {"n":1} --store store/j.db',
        "store/j.db: .*cannot be op",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_folder_that_takes_nothing_is_one_sentence(case, task, tmp_path, endpoint):
    folder, arguments, sentence = CASES[case]
    done = with_read_only(tmp_path / folder, *arguments.split(), cwd=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("stillhouse: ")]
    assert done.returncode == 1 and len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    assert re.search(sentence, said[0]), said[0]
    if "runs" not in folder:  # a run is made once the teacher was asked; its answers are in the store
        assert endpoint.calls().total() == 0
