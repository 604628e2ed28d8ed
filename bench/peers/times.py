"""How the shapes of bench/flow.py are timed, ours and every peer's alike.

First all shapes run twice, one after the other. The second run of each shape is its *cold* figure: what a process pays that has hardly begun. Then each shape
runs several times more, and the median of those runs is its *warm* figure: what every further run of a process costs.
"""

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager

STEPS = {"10 steps": 10, "fan-out 100": 100, "loop 1,000": 1000}
RUNS = {"10 steps": 30, "fan-out 100": 5, "loop 1,000": 2}
LIKE_OURS = (
    "WAL + NORMAL" in sys.argv
)  # a peer with a setting for it is also timed with the durability of our own journal


class Times:
    """The seconds of each run, in the order in which they ran."""

    def __init__(self, shapes: Collection[str] = tuple(STEPS)) -> None:
        self.shapes = shapes
        self.taken: dict[str, list[float]] = defaultdict(list)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Each run that is to be made: its shape, and that shape's number of steps."""
        yield from ((name, STEPS[name]) for _ in range(2) for name in self.shapes)
        yield from ((name, STEPS[name]) for name in self.shapes for _ in range(RUNS[name]))

    @contextmanager
    def of(self, shape: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.taken[shape].append(time.perf_counter() - began)

    def tell(self, version: str) -> None:
        """Print the microseconds a step as one JSON object, where bench/flow.py looks for it."""
        cold = {name: 1e6 * taken[1] / STEPS[name] for name, taken in self.taken.items()}
        warm = {name: 1e6 * statistics.median(taken[2:]) / STEPS[name] for name, taken in self.taken.items()}
        print(json.dumps({"version": version, "warm": warm, "cold": cold}), flush=True)
