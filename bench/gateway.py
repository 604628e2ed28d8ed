"""Calls through `stillhouse gateway` against direct ones and against a bare forwarder on the same libraries, in the same run.

The client is Debian's `wrk` (a C program), 64 connections; the provider is `fast_endpoint.py`, a stand-in, at 50 ms and at 0 ms. All share this machine.
Each figure is the median of the turns; the callers take turns. "direct" is the client on the provider itself.
"""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.label import endpoint

HERE = Path(__file__).parent
TURNS, SECONDS, CONNECTIONS = 5, 5, 64
LATENCIES_S = (0.05, 0.0)
CALL = {
    "model": "m",
    "messages": [{"role": "system", "content": "Which mood?"}, {"role": "user", "content": "a fine day " * 20}],
}
SCRIPT = """wrk.method = "POST"
wrk.body = [==[%s]==]
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
  io.write(string.format('\\n{"calls": %%d, "us": %%d, "errors": %%d, "p50_ms": %%.3f, "p99_ms": %%.3f}\\n', summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.connect + summary.errors.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@contextlib.contextmanager
def through(name: str, upstream: int, folder: Path) -> Iterator[int]:
    """The port to call."""
    if name == "direct":
        yield upstream
        return
    if name == "bare forwarder":
        (folder / "port").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, str(HERE / "peers" / "bare_forwarder.py"), str(upstream), str(folder)]
        )
        while not (folder / "port").exists() or not (folder / "port").read_text():
            assert process.poll() is None
            time.sleep(0.02)
        port = int((folder / "port").read_text())
    else:
        command = [sys.executable, "-m", "stillhouse", "gateway", "--upstream", f"http://127.0.0.1:{upstream}/v1"]
        command += ["--port", "0", "--store", str(folder / "calls.db"), "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        port = int(re.sub(r".*:", "", json.loads(process.stdout.readline())["url"]))
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def turn(port: int, script: Path) -> dict[str, Any]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script)]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/chat/completions"], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(said.stdout.strip().splitlines()[-1])
    return {
        "per_s": found["calls"] / found["us"] * 1e6,
        **{name: found[name] for name in ("p50_ms", "p99_ms", "errors", "calls")},
    }


def main() -> dict[str, Any]:
    if shutil.which("wrk") is None:
        sys.exit("wrk is not here; install it (Debian: apt-get install wrk) and run this again")
    found: dict[str, Any] = {
        "what": f"calls through the gateway, {CONNECTIONS} connections of wrk, median of {TURNS} turns of {SECONDS} s"
    }
    callers = ("direct", "bare forwarder", "gateway")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "call.lua"
        script.write_text(SCRIPT % json.dumps(CALL))
        for latency_s in LATENCIES_S:
            turns: dict[str, list[dict[str, Any]]] = {caller: [] for caller in callers}
            with endpoint(latency_s=latency_s) as upstream, contextlib.ExitStack() as stack:
                ports = {caller: stack.enter_context(through(caller, upstream, folder)) for caller in callers}
                for _ in range(TURNS):
                    for caller in callers:
                        turns[caller].append(turn(ports[caller], script))
            with contextlib.closing(sqlite3.connect(folder / "calls.db")) as db:
                n_kept = db.execute("SELECT count(*) FROM gateway_calls").fetchone()[0]
            (folder / "calls.db").unlink()
            medians = {
                caller: {
                    key: round(statistics.median(one[key] for one in turns[caller]), 2)
                    for key in ("per_s", "p50_ms", "p99_ms")
                }
                for caller in callers
            }
            found[f"upstream {latency_s * 1000:g} ms"] = medians | {
                "gateway, share of direct": round(medians["gateway"]["per_s"] / medians["direct"]["per_s"], 3),
                "gateway, share of the bare forwarder": round(
                    medians["gateway"]["per_s"] / medians["bare forwarder"]["per_s"], 3
                ),
                "added p50, ms": round(medians["gateway"]["p50_ms"] - medians["direct"]["p50_ms"], 2),
                "added p99, ms": round(medians["gateway"]["p99_ms"] - medians["direct"]["p99_ms"], 2),
                "errors": sum(one["errors"] for several in turns.values() for one in several),
                "calls through the gateway": sum(one["calls"] for one in turns["gateway"]),
                "calls kept": n_kept,
            }
    return found | {"load average": os.getloadavg()[0], "cores": os.cpu_count(), "python": sys.version.split()[0]}
