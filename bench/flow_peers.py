"""Who hands out another branch's answer, who charges twice, who sends without approval? Flows that are killed or wait for a person, on Stillhouse and on durable peers.

Six programs of few steps, of the kinds that `flow_programs` draws at random. Killed with SIGKILL: two gathered branches of equal calls (after both have paid, and after
the first has), a failure that the flow handles, and a timeout that it handles. Ended while a person is asked: the same two branches, and two questions under
`gather(return_exceptions=True)`. In the second sitting the branches' times are turned round, and what was down or slow is well.
Each sitting is a process. Each peer is written as its documentation says (`peers/X_programs.py`), in the form that one writes first and in the one that it
recommends for branches. Peers run in environments of their own, as in `flow`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.flow import HERE, PEERS, environment

N = int(os.environ.get("N", "3"))
# What is played, and the effect after which the first sitting is killed.
PROGRAMS = {
    "two branches, after both have paid": ("tickets", "held"),
    "two branches, after the first has paid": ("tickets", "pay"),
    "a handled failure": ("failure", "held"),
    "a handled timeout": ("timeout", "held"),
    "two branches, then a question to a person": ("question", None),
    "two questions side by side, then what they allow": ("approvals", None),
}
FORMS = {
    "dbos": {"steps": "branches of steps", "workflows": "a workflow for each branch"},
    "langgraph": {"functional": "functional API", "graph": "graph API, a graph for each branch"},
}
SHOWN = {"stillhouse": "Stillhouse", "dbos": "DBOS", "langgraph": "LangGraph"}
# One that keeps nothing of a run cannot be resumed.
NOT_EXPRESSIBLE = {
    "pydantic_graph": "keeps nothing of a run: the persistence of version 1 is gone in 2, and no run goes on after its process died"
}
_LONGEST_S = 120
_OVER = -9  # how a process ends that was killed


def sitting(command: list[str], done: Path, kill_after: str | None) -> tuple[int, str, str]:
    """One process, killed a moment after the effect: how it ended, and what it said."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        give_up = time.monotonic() + _LONGEST_S
        while kill_after is not None and process.poll() is None and time.monotonic() < give_up:
            if done.exists() and any(line.startswith(kill_after) for line in done.read_text().splitlines()):
                time.sleep(0.8)  # what was done is written by then
                process.kill()
                break
            time.sleep(0.005)
        try:
            out, told = process.communicate(timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, told = process.communicate()
        return process.returncode, out, told


def faults(program: str, done: list[str], ended: int, told: str) -> list[str]:
    """What went wrong in both sittings together."""
    found = []
    if ended == _OVER:
        found.append(f"not over in {_LONGEST_S} s")
    elif ended:
        last = (told.strip().splitlines() or ["no word"])[-1].partition(":")[0]
        found.append(f"does not go on ({last.rpartition('.')[2]})")
    if program in ("question", "approvals") and "parked" not in done:
        found.append("does not wait for the person")
    if program == "approvals":
        before = done[: done.index("answered")] if "answered" in done else done
        if any(line.startswith("send") for line in before):
            found.append("sends without approval")
        if any(n > 1 for n in Counter(line for line in done if line.startswith("send")).values()):
            found.append("sends twice")
        if not ended and {line for line in done if line.startswith("send")} != {"send a", "send b"}:
            found.append("does not send what is allowed")
    if program in ("tickets", "question"):
        paid = [line.split()[1::3] for line in done if line.startswith("pay")]  # [item, ticket]
        if any(n > 1 for n in Counter(item for item, _ in paid).values()):
            found.append("pays twice")
        owners: dict[str, set[str]] = {}
        for item, number in paid:
            owners.setdefault(number, set()).add(item)
        if any(len(items) > 1 for items in owners.values()):
            found.append("a branch gets another's ticket")
    if program == "failure" and {"charge primary", "charge backup"} <= set(done):
        found.append("charges by both")
    if program == "timeout" and {"sent by plane", "sent by train"} <= set(done):
        found.append("sends by both")
    return found


def played(python: str | Path, script: str, settings: tuple[str, ...], program: str, kill_after: str | None) -> Any:
    """The version of the system, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder) / "done.txt"
        command = [str(python), str(HERE / "peers" / f"{script}_programs.py"), program, folder]
        sitting([*command, "1", *settings], done, kill_after)
        ended, out, told = sitting([*command, "2", *settings], done, None)
        version = json.loads(out.splitlines()[-1])["version"] if not ended and out else None
        lines = done.read_text().splitlines() if done.exists() else []
        return version, faults(program, lines, ended, told) if lines else [f"does nothing in {_LONGEST_S} s"]


def told_of(python: str | Path, script: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """What one system makes of each program."""
    versions: set[str] = set()
    told: dict[str, Any] = {}
    for what, (program, kill_after) in PROGRAMS.items():
        runs = [played(python, script, settings, program, kill_after) for _ in range(N)]
        versions |= {version for version, _ in runs if version}
        wrong = Counter(fault for _, found in runs for fault in found)
        told[what] = {"right": sum(not found for _, found in runs)} | dict(wrong)
    return told | {"version": ", ".join(sorted(versions)) or None}


def table(found: Mapping[str, Any]) -> str:
    """The table of the docs: how many runs were right, and what went wrong in the others."""
    n = found["runs of each program"]
    rows = [["", *PROGRAMS], ["---"] * (1 + len(PROGRAMS))]
    for system, told in found["systems"].items():
        name, _, form = system.partition(", ")
        version = "" if name == "stillhouse" else f" {told['version']}"
        rows.append(
            [f"{SHOWN[name]}{version}{form and ', '}{form}", *(_cell(told[program], n) for program in PROGRAMS)]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(told: Mapping[str, int], n: int) -> str:
    if told["right"] == n:
        return "right"
    wrong = [f"{fault}: {k}" for fault, k in told.items() if fault != "right"]
    return "; ".join([*wrong, f"right: {told['right']}"])


def main() -> dict[str, object]:
    """Play each program N times on each."""
    folder = Path(os.environ.get("PEERS", HERE / "results" / ".peers")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    systems: list[tuple[str, str | Path, str, tuple[str, ...]]] = [("stillhouse", sys.executable, "stillhouse", ())]
    absent = {}
    for peer, forms in FORMS.items():
        python, problem = environment(peer, folder, PEERS[peer])
        if problem is not None:
            absent[peer] = problem
            continue
        systems += [(f"{peer}, {told}", python, peer, (setting,)) for setting, told in forms.items()]
    with ThreadPoolExecutor() as side_by_side:
        told = list(side_by_side.map(lambda system: told_of(*system[1:]), systems))
    found = {name: row for (name, *_), row in zip(systems, told, strict=True)}
    return {
        "what": "flows killed with SIGKILL, or ended while a person is asked, and resumed: runs that were right, and what went wrong in the others",
        "runs of each program": N,
        "systems": found,
        "not expressible": NOT_EXPRESSIBLE,
        "absent": absent,
        "load average": os.getloadavg()[0],
    }
