"""How long small requests to `stillhouse serve` take beside hostile ones, and how much memory the server needs at its peak.

The server is a process of its own on a loopback port, with a linear student of fixed labels and one of choices per row.
Small requests are sent one after another all the while, one hostile client at a time beside them.
"""

import asyncio
import http.client
import itertools
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

HERE = Path(__file__).parent
SECONDS = 4.0  # of each hostile client
ATTACKERS = 2  # hostile clients at once, each waiting for its answer
HEADERS = {"Content-Type": "application/json"}
MOST_MEMORY = 4 * 2**30  # of the server's address space, so that a server without bounds fails alone
SERVER = """
import asyncio, resource, sys
from pathlib import Path
from stillhouse.records import Example
from stillhouse.serving.app import serve
from stillhouse.student import load_student, train_student
from stillhouse.task import Task
folder = Path(sys.argv[1])
labels = ("good", "bad")
words = {"good": ("lovely", "bright", "warm"), "bad": ("awful", "grim", "cold")}
def rows(start, n, choices):
    return [Example(str(i), f"row {i}: what a {words[labels[i % 2]][i % 3]} day", label=labels[i % 2], choices=choices) for i in range(start, start + n)]
models = {}
for name, fixed in (("mood", labels), ("pairs", None)):
    task = Task(name=name, instruction="Is it good or bad?", output="choice", labels=fixed)
    own = None if fixed else labels
    train_student("linear", task, rows(0, 400, own), rows(400, 100, own), source="gold", seed=0, out=folder / name)
    models[name] = load_student(folder / name)
asyncio.run(serve(models, port=0, on_ready=lambda url: print(url, flush=True)))
"""


def chat(content: str, model: str = "mood", **more: Any) -> tuple[str, bytes]:
    return "/chat/completions", json.dumps(
        {"model": model, "messages": [{"role": "user", "content": content}], **more}
    ).encode()


def hostile() -> dict[str, tuple[str, bytes] | None]:
    """Each hostile request's path and body; None: none, for comparison."""
    labels = [{"value": "good"}, {"value": "bad"}]
    questions = {"model": "mood", "input": "day " * 962_500, "questions": [{"type": "choice", "choices": labels}] * 400}
    of_rows = [[{"value": f"a{i}"}, {"value": f"b{i}"}] for i in range(100)]
    own_choices = {
        "model": "pairs",
        "input": "day " * 900,
        "questions": [{"type": "choice", "choices": choices} for choices in of_rows],
    }
    nested = (
        b'{"model": "mood", "metadata": ['
        + b'["a"],' * 49_000
        + b'0], "messages": [{"role": "user", "content": "'
        + b"x" * 600_000
        + b'"}]}'
    )
    longest = questions | {"input": "a lovely day " * 7_600}
    words = " ".join(f"w{i}" for i in range(9_000))
    return {
        "none": None,
        "400 questions over 3.85 MB": ("/decisions", json.dumps(questions).encode()),
        "400 questions over the longest input": ("/decisions", json.dumps(longest).encode()),
        "4 MB of text": chat("day " * 1_000_000),
        "the longest text": chat("a lovely day " * 7_600),
        "a million empty messages": (
            "/chat/completions",
            b'{"model": "mood", "messages": [' + b"{}," * 1_000_000 + b"{}]}",
        ),
        "46 kB of words and choices": chat(words[:26_000], "pairs", choices=[words[:9_900], words[9_901:19_800]]),
        "100 questions with choices of their own": ("/decisions", json.dumps(own_choices).encode()),
        "49,000 lists, just under the bounds": ("/chat/completions", nested),
        "unknown parameters": ("/chat/completions", json.dumps({f"p{i}": 1 for i in range(200_000)}).encode()),
    }


def attack(url: str, request: tuple[str, bytes], answered: Any) -> None:
    """One hostile client, in a process of its own: it sends the request again and again, and then tells the statuses."""
    address, _, version = url.removeprefix("http://").partition("/")
    statuses, began = [], time.monotonic()
    connection = http.client.HTTPConnection(address, timeout=60)
    while time.monotonic() - began < SECONDS:
        connection.request("POST", f"/{version}{request[0]}", request[1], HEADERS)
        reply = connection.getresponse()
        reply.read()
        statuses.append(reply.status)
    answered.put(statuses)


async def beside(url: str, request: tuple[str, bytes] | None) -> dict[str, Any]:
    """Latencies of small requests while hostile clients send the hostile one again and again."""
    latencies: list[float] = []
    context = multiprocessing.get_context("fork")
    answered = context.Queue()
    attackers = [context.Process(target=attack, args=(url, request, answered)) for _ in range(ATTACKERS) if request]
    for attacker in attackers:
        attacker.start()
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            path, body = chat(f"what a lovely day number {len(latencies)}")
            sent = time.perf_counter()
            async with session.post(url + path, data=body) as response:
                assert response.status == 200, await response.text()
                await response.read()
            latencies.append(1000 * (time.perf_counter() - sent))
            await asyncio.sleep(0.005)
    statuses = Counter(itertools.chain.from_iterable(answered.get() for _ in attackers))
    for attacker in attackers:
        attacker.join()
    ranked = sorted(latencies)
    return {
        "n": len(ranked),
        "p50_ms": round(ranked[len(ranked) // 2], 1),
        "p99_ms": round(ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))], 1),
        "most_ms": round(ranked[-1], 1),
        "hostile_answers": {str(status): n for status, n in sorted(statuses.items())},
    }


def peak_mib(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024, 1)


def main() -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "src"), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, folder],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY)),
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            found: dict[str, Any] = {"seconds_each": SECONDS, "hostile_clients": ATTACKERS, "beside": {}}
            for name, request in hostile().items():
                found["beside"][name] = asyncio.run(beside(url, request)) | {"peak_mib_so_far": peak_mib(server.pid)}
            found |= {"peak_mib": peak_mib(server.pid), "load average": os.getloadavg()[0], "cores": os.cpu_count()}
            server.send_signal(signal.SIGTERM)
            server.wait(40)
        finally:
            server.kill()
    return found
