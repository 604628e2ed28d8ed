"""Two systems to compare: 24 rows, of which one has equal answers and one has none of the first; and the command with its page as a process."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

SECRETS = (
    "zebra-student",
    "okapi-teacher",
)  # what the two are called: neither may reach a page, a request or the choices' file


def write_sides(folder, n=24):
    """rows.jsonl, and one file of answers per system. Row 3 has the same answer twice, row 4 none of the first system."""
    rows = [
        {"id": str(i), "input": f"question {i}", "label": f"gold {i}", "group": f"g{i // 2}" if i > 19 else None}
        for i in range(n)
    ]
    sides = [[{"id": str(i), "answer": f"{word} answer to {i}"} for i in range(n)] for word in ("short", "much longer")]
    sides[0][3]["answer"] = sides[1][3]["answer"] + " "
    sides[0][4]["answer"] = None
    for name, lines in zip(("rows", *SECRETS), (rows, *sides), strict=True):
        lines = [{key: value for key, value in line.items() if key != "group" or value} for line in lines]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [folder / f"{name}.jsonl" for name in (*SECRETS, "rows")]


def mine(shown):
    """The side on which the first system's answer stands."""
    return "left" if shown["left"].startswith("short") else "right"


@contextlib.contextmanager
def page_of(folder, *options):
    """`stillhouse compare` with its page, in a process of its own; gives (process, address)."""
    a, b, data = (
        write_sides(folder)
        if not (folder / "rows.jsonl").exists()
        else [folder / f"{name}.jsonl" for name in (*SECRETS, "rows")]
    )
    command = [sys.executable, "-m", "stillhouse", "compare", a.name, b.name, data.name, "--people", "page", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + process.stderr.read()
            yield process, found[0]
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
