"""How fast an unknown limit is found: the share of it that is used in every ten seconds of the first 120, and how many calls are refused.

The fake endpoint enforces a limit and does not tell it. Its refusals say when to come again only in the cases with Retry-After. Each caller is `stillhouse
label` in a process of its own, and each endpoint too; cases with small limits run side by side.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.label import HERE, counts, endpoint

SECTION = ("label", "unknown limits")
SECONDS, EACH_S = 120, 10
KINDS = {
    "bucket of 2 s": {"burst_s": 2.0},  # as providers mostly have it
    "bucket of a minute": {"burst_s": 60.0},
    "fixed minutes": {"window": True},
}


@dataclass(frozen=True)
class Case:
    """A limit in requests per minute, of a kind, at an endpoint of that latency."""

    rpm: int
    latency_s: float
    kind: str
    retry_after: bool

    def __str__(self) -> str:
        return f"{self.rpm:,} a minute, {self.kind}, {self.latency_s} s{', Retry-After' if self.retry_after else ''}"


def groups() -> list[list[Case]]:
    """The cases that run side by side: so few calls together that the machine is idle most of the time."""

    def cases(rpm: int, kinds: Sequence[str] = tuple(KINDS), told: Sequence[bool] = (False, True)) -> list[Case]:
        return [
            Case(rpm, latency_s, kind, retry_after)
            for latency_s in (0.2, 2.0)
            for kind in kinds
            for retry_after in told
        ]

    middle = cases(6000)
    return [
        cases(60),
        cases(600),
        middle[:6],
        middle[6:],
        *([case] for case in cases(60_000, ("bucket of 2 s", "fixed minutes"), (False,))),
    ]


@contextlib.contextmanager
def caller(port: int, rows: int) -> Iterator[subprocess.Popen[bytes]]:
    """`stillhouse label` at work on more rows than it can do in the time. It is killed when the `with` ends."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(HERE / "peers" / "label_stillhouse.py"),
            str(port),
            str(rows),
            "0",
            '{"max_tokens": 512}',
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": folder}, **quiet)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def measured(group: Sequence[Case]) -> dict[str, Any]:
    """What each endpoint of a group counted in the seconds after its first call."""
    with contextlib.ExitStack() as stack:
        ports = [
            stack.enter_context(
                endpoint(
                    latency_s=case.latency_s,
                    rpm=case.rpm,
                    headers=False,
                    retry_after=case.retry_after,
                    **KINDS[case.kind],
                )
            )
            for case in group
        ]
        callers = [
            stack.enter_context(caller(port, 4 * case.rpm + 100)) for case, port in zip(group, ports, strict=True)
        ]
        while not all(counts(port)["answered"] for port in ports):
            assert all(process.poll() is None for process in callers), "a caller did not begin"
            time.sleep(0.2)
        for second in range(0, SECONDS + 1, EACH_S):
            print(
                f"\r{group[0].rpm:,} a minute, {len(group)} at once: {second} of {SECONDS} s",
                end="",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(EACH_S)
        found = {str(case): shares(case, counts(port)) for case, port in zip(group, ports, strict=True)}
    for name, share in found.items():
        print(f"\n{name}: {share['share per 10 s, %']}; 429s: {share['429s per 10 s']}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def shares(case: Case, counted: dict[str, Any]) -> dict[str, Any]:
    """The share of the limit that was used, in every ten seconds and in every minute from the first call on."""

    def per(seconds: int, what: str) -> list[int]:
        sums = [0] * (SECONDS // seconds)
        for second, n in counted[what].items():
            if int(second) < SECONDS:
                sums[int(second) // seconds] += n
        return sums

    answered, refused = per(EACH_S, "seconds"), per(EACH_S, "refusals")
    first, second = per(60, "seconds")
    return {
        "share per 10 s, %": " ".join(f"{100 * n / (case.rpm * EACH_S / 60):.0f}" for n in answered),
        "429s per 10 s": " ".join(map(str, refused)),
        "share from 50 to 60 s": round(answered[5] / (case.rpm * EACH_S / 60), 3),
        "share of the first minute": round(first / case.rpm, 3),
        "share of the second minute": round(second / case.rpm, 3),
        "answered in 120 s": first + second,
        "429s in 120 s": sum(refused),
    }


def main() -> dict[str, Any]:
    found = {
        "what": "share of a limit that neither the settings nor headers tell, from the first call on; real time, stillhouse label, in-flight by itself"
    }
    for group in groups():
        found |= measured(group)
    return found | {"load average": os.getloadavg()[0], "cores": os.cpu_count(), "python": sys.version.split()[0]}
