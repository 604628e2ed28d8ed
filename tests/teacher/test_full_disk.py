"""A disk that is full while rows are labelled: one sentence, and what was paid for is kept.

A process that may write no file beyond a number of bytes stands for the full disk.
"""

import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mood_task import MOOD
from stillhouse.cli import main
from stillhouse.errors import StorageError
from stillhouse.runs import Lock
from stillhouse.store import open_store
from stillhouse.teacher.spool import Spool

TASK = MOOD + "\n[teacher]\nconcurrency = 4\n"


def label(folder, endpoint, most_bytes):
    command = [sys.executable, "-m", "stillhouse", "label", str(folder), "--teacher", endpoint.url(), "--unpriced"]

    def bounded():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=bounded)


@pytest.mark.slow
def test_a_disk_that_fills_while_rows_are_labelled_is_one_sentence(endpoint, tmp_path):
    """Half the rows are equal: their lines fill the buffer of the output while the store needs one of them."""
    (tmp_path / "task.toml").write_text(TASK)
    rows = [{"id": f"e{i}", "input": "a good day " + "x" * 1000} for i in range(500)]
    rows += [{"id": f"r{i}", "input": f"day {i} was good " + "x" * 2000} for i in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = label(tmp_path, endpoint, 300_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("stillhouse: ")]
    assert len(said) == 1 and "stillhouse.db" in said[0] and "free space" in said[0]
    paid = endpoint.calls().total()
    assert 0 < paid < 301
    with open_store(tmp_path / "stillhouse.db") as store:
        assert paid - 4 <= store.count() <= paid  # what was in flight could not be kept
    assert label(tmp_path, endpoint, resource.RLIM_INFINITY).returncode == 0
    assert endpoint.calls().total() <= 301 + 4


def test_lines_that_are_dropped_need_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("wb", buffering=2**20))  # noqa: SIM115
    with pytest.raises(StorageError, match="the first error"), Spool(tmp_path / "out.jsonl") as spool:
        spool.add(0, b"a line\n", kept=True)
        raise StorageError("the first error")


def test_lines_that_are_wanted_need_room(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("wb", buffering=2**20))  # noqa: SIM115
    with Spool(tmp_path / "out.jsonl") as spool:
        spool.add(0, b"a line\n", kept=True)
        with pytest.raises(StorageError, match=r"out\.jsonl: cannot write .No space left"):
            spool.write(tmp_path / "out.jsonl", tmp_path / "out.rejected.jsonl")


def test_a_lock_that_finds_no_room_says_so_and_holds_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match=r"a\.lock: cannot write .No space left on device.; free space"):
            Lock(tmp_path / "a.lock", "the run")
    Lock(tmp_path / "a.lock", "the run").release()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_wherever_the_disk_refuses_it_is_one_sentence(monkeypatch, capsys, number):
    def refuses():
        raise OSError(number, os.strerror(number), "/data/x.jsonl")

    monkeypatch.setattr("stillhouse.cli.app", refuses)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        f"stillhouse: /data/x.jsonl: cannot write ({os.strerror(number)}); free space or choose another place and run "
        "this again: what was stored is kept\n"
    )
