"""`stillhouse label`, as a job: rows from a file, replies committed to SQLite, labels to a file. Arguments: port, rows, in flight."""

import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from stillhouse import __version__
from stillhouse.commands.label import label
from stillhouse.session import Session

port, n, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
settings = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
TASK = """
[task]
name = "mood"
instruction = "Is it good?"
output = "choice"
labels = ["good", "bad"]

[data]
train = "rows.jsonl"
"""


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def once(folder, n):
    (folder / "task.toml").write_text(TASK)
    with (folder / "rows.jsonl").open("w") as rows:
        for i in range(n):
            rows.write(json.dumps({"id": f"r{i}", "input": f"day number {i} was a good one"}) + "\n")
    began, used = time.perf_counter(), cpu_s()
    given = {"concurrency": in_flight or None, "price_in": 1.0, "price_out": 2.0} | settings
    report = asyncio.run(label(folder, Session(teacher=f"http://127.0.0.1:{port}/v1#m", settings=given))).report
    assert report.labelled == n, report
    return n / (time.perf_counter() - began), n / (cpu_s() - used)


with tempfile.TemporaryDirectory() as folder:
    if not settings:
        (Path(folder) / "warm").mkdir()
        once(Path(folder) / "warm", 200)  # imports
    per_s, per_cpu_s = once(Path(folder), n)
peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(
    "\n" + json.dumps({"version": __version__, "per_s": per_s, "per_cpu_s": per_cpu_s, "peak_mib": round(peak_mib, 1)})
)
