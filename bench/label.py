"""Stored labels per second, and the share of an endpoint's limits that is used; against peers in the same run. Memory: `label_memory`.

A fake endpoint in a process of its own answers as fast as Python can, or after a fixed latency, and enforces limits where it has some. The peers are the
`openai` SDK with a semaphore (here) and, in environments of their own in the folder `PEERS` (default: a cache beside the results that git does not keep),
litellm and bespokelabs-curator; one that cannot be installed or run is reported as absent. The callers take turns, and each figure is the median of a
caller's turns. It is also given per second of the caller's own processor time, which does not depend on how busy the machine is.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = {"litellm": ("litellm",), "curator": ("bespokelabs-curator",)}
TURNS, IN_FLIGHT = 7, 64
CALLS = {"stillhouse": 6000, "openai": 1600, "litellm": 600, "curator": 1000}
RPM = 3000  # of the limits that are enforced; 100 tokens a call
LATENCY_S = 0.2
KEPT = ("memory", "unknown limits")  # sections of bench/label_memory.py and bench/unknown_limits.py


@contextlib.contextmanager
def endpoint(**settings: Any) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([sys.executable, str(HERE / "fast_endpoint.py"), folder, json.dumps(settings)])
        try:
            while not (Path(folder) / "port").exists():
                assert process.poll() is None, "the fake endpoint did not start"
                time.sleep(0.02)
            yield int((Path(folder) / "port").read_text())
        finally:
            process.kill()
            process.wait()


def counts(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def ran(name: str, port: int, n: int, in_flight: int, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """One turn of one caller: what it printed last; or why it is absent."""
    python = environment(name)
    if isinstance(python, dict):
        return python
    command = [
        python,
        str(HERE / "peers" / f"label_{name}.py"),
        str(port),
        str(n),
        str(in_flight),
        *([json.dumps(settings)] if settings else []),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    except (ValueError, IndexError):
        return {"absent": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}


def environment(name: str) -> str | dict[str, Any]:
    """The interpreter of a peer's environment, made where it is not there yet."""
    if name not in PEERS:
        return sys.executable
    folder = Path(os.environ.get("PEERS", HERE / "results" / ".peers")) / name
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        made = subprocess.run(
            [folder / "bin" / "python", "-m", "pip", "install", "-q", *PEERS[name]],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            return {"absent": made.stderr.strip().splitlines()[-1]}
    return str(folder / "bin" / "python")


def throughput() -> dict[str, Any]:
    """Median of the turns of each caller, at zero latency."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in CALLS}
    with endpoint() as port:
        for _ in range(TURNS):
            for name, n in CALLS.items():
                if not any("absent" in turn for turn in turns[name]):
                    turns[name].append(ran(name, port, n, IN_FLIGHT))
    found: dict[str, Any] = {}
    for name, each in turns.items():
        absent = next((turn for turn in each if "absent" in turn), None)
        middle = (
            {what: round(statistics.median(turn[what] for turn in each)) for what in ("per_s", "per_cpu_s")}
            if absent is None
            else {}
        )
        found[name] = absent or {"version": each[0]["version"], "n": CALLS[name], **middle}
    for what in ("per_s", "per_cpu_s"):
        ratios = {
            name: [one[what] / other[what] for one, other in zip(turns["stillhouse"], turns[name], strict=True)]
            for name in CALLS
            if what in found[name]
        }
        found[f"times the peer, {what}"] = {
            name: round(statistics.median(each), 1) for name, each in ratios.items() if name != "stillhouse"
        }
    return found


def limited(settings: dict[str, Any], seconds: int, from_s: int, **limits: Any) -> dict[str, Any]:
    """The share of the limit that was used from `from_s` seconds after the first call on, and the calls refused, in all and in those seconds."""
    with endpoint(latency_s=LATENCY_S, burst_s=2.0, **limits) as port:
        done = ran("stillhouse", port, RPM * seconds // 60, 0, settings)
        after = counts(port)
    if "absent" in done:
        return done
    answered = {int(second): n for second, n in after["seconds"].items()}
    first, last = min(answered), max(answered)
    span = range(first + from_s, last - 1)
    return {
        "seconds": len(span),
        "answered": sum(answered.get(second, 0) for second in span),
        "share of the limit": round(sum(answered.get(second, 0) for second in span) / len(span) / (RPM / 60), 4),
        "refused": after["refused"],
        "refused in those seconds": sum(n for second, n in after["refusals"].items() if int(second) in span),
    }


def limits() -> dict[str, Any]:
    """The share of a limit that is used: where the user states the limit, where the endpoint tells it, and where nobody knows it."""
    return {
        "what": f"share of {RPM} requests a minute (100 tokens each) that is used, {LATENCY_S} s latency, in-flight chosen by itself",
        "stated requests": limited({"requests_per_minute": RPM}, 40, 3, rpm=RPM, headers=False),
        "stated tokens": limited({"tokens_per_minute": 100 * RPM}, 40, 3, tpm=100 * RPM, headers=False),
        "told by headers": limited({"max_tokens": 512}, 40, 3, rpm=RPM, headers=True),
        "unknown, after 60 s": limited({"max_tokens": 512}, 100, 60, rpm=RPM, headers=False),
    }


def main() -> dict[str, Any]:
    return {
        "what": f"labels per second, {IN_FLIGHT} in flight at zero latency, median of {TURNS} turns; stillhouse and curator store them, the others do not",
        "throughput": throughput(),
        "limits": limits(),
        "load average": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "versions": {"python": sys.version.split()[0]},
    }
