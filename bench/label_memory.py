"""What `stillhouse label` holds in memory at 10,000, 100,000 and a million rows, with ids and without, and when it is killed half-way through and run again."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.label import HERE, IN_FLIGHT, counts, endpoint
from stillhouse import __version__

SECTION = ("label", "memory")  # the file of results that this is a part of, and its name there
SIZES = (10_000, 100_000, 1_000_000)
TASK = """
[task]
name = "mood"
instruction = "Is it good?"
output = "choice"
labels = ["good", "bad"]

[data]
train = "rows.jsonl"
"""


def write(folder: Path, n: int, *, ids: bool) -> None:
    (folder / "task.toml").write_text(TASK)
    with (folder / "rows.jsonl").open("w") as rows:
        for i in range(n):
            rows.write(
                json.dumps(({"id": f"r{i}"} if ids else {}) | {"input": f"day number {i} was a good one"}) + "\n"
            )


def check(folder: Path, n: int, *, ids: bool) -> None:
    """Every row is there, once, in its place, and has its label."""
    with (folder / "teacher.jsonl").open() as labelled:
        for i, line in enumerate(labelled):
            row, text = json.loads(line), f"day number {i} was a good one"
            id_ = f"r{i}" if ids else "row-" + hashlib.sha256(json.dumps(text).encode()).hexdigest()[:12]
            assert (row["id"], row["input"], row["teacher_label"]) == (id_, text, "good"), row
    assert i + 1 == n, i


def run(folder: Path, port: int, n: int, kill_at: int | None = None) -> dict[str, Any]:
    """One command: its peak of resident memory and its processor time, as the kernel counted them. With `kill_at`, SIGKILL when so many calls are answered."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "peers" / "label_memory.py"), str(folder), str(port), str(n), str(IN_FLIGHT)]
    )
    while kill_at is not None and counts(port)["answered"] < kill_at:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.2)
    if kill_at is not None:
        os.kill(process.pid, signal.SIGKILL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL), process.returncode
    return {"peak_mib": round(used.ru_maxrss / 1024, 1), "cpu_s": round(used.ru_utime + used.ru_stime, 1)}


def whole(n: int, *, ids: bool) -> dict[str, Any]:
    print(f"label, {n:,} rows {'with' if ids else 'without'} ids", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as name, endpoint() as port:
        write(Path(name), n, ids=ids)
        found = run(Path(name), port, n)
        check(Path(name), n, ids=ids)
        assert counts(port)["answered"] == n
        return {"n": n, **found}


def killed(n: int) -> dict[str, Any]:
    print(f"label, {n:,} rows without ids, killed half-way and run again", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as name, endpoint() as port:
        write(Path(name), n, ids=False)
        first = run(Path(name), port, n, kill_at=n // 2)
        answered = counts(port)["answered"]
        assert not (Path(name) / "teacher.jsonl").exists()
        again = run(Path(name), port, n)
        check(Path(name), n, ids=False)
        calls = counts(port)["answered"]
        assert n <= calls <= n + IN_FLIGHT, calls  # what was in flight at the kill may have been asked again
        return {
            "n": n,
            "killed": {"calls": answered, **first},
            "run again": {"calls": calls - answered, **again},
            "calls that were made twice": calls - n,
        }


def main() -> dict[str, Any]:
    versions = {"stillhouse": __version__, "python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
    return {
        "what": f"peak resident MiB of the process that labels, {IN_FLIGHT} in flight at zero latency, a process of its own for each figure, one run each",
        "with ids": [whole(n, ids=True) for n in SIZES],
        "without ids": [whole(n, ids=False) for n in SIZES],
        "killed half-way, without ids": killed(SIZES[-1]),
        "versions": versions,
        "load average": os.getloadavg()[0],
    }
