"""LangGraph's functional API with its synchronous SQLite saver (its fastest durable way): microseconds a task."""

import json
import sys
import tempfile
import time
from importlib.metadata import version

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint, task


@task
def add(n: int) -> int:
    return n + 1


def shapes(saver):
    @entrypoint(checkpointer=saver)
    def ten(n: int) -> int:
        for _ in range(10):
            n = add(n).result()
        return n

    @entrypoint(checkpointer=saver)
    def fan_out(n: int) -> int:
        return sum(future.result() for future in [add(number) for number in range(100)])

    @entrypoint(checkpointer=saver)
    def loop(n: int) -> int:
        for _ in range(1000):
            n = add(n).result()
        return n

    return {"10 steps": (10, ten), "fan-out 100": (100, fan_out), "loop 1,000": (1000, loop)}


with tempfile.TemporaryDirectory() as folder, SqliteSaver.from_conn_string(f"{folder}/peer.db") as saver:
    found = {}
    for name, (count, flow) in [*shapes(saver).items()] * 2:  # the second time counts: the first one warms up
        began = time.perf_counter()
        flow.invoke(0, {"configurable": {"thread_id": f"{name}-{time.time()}"}, "recursion_limit": 10_000})
        found[name] = (time.perf_counter() - began) / count * 1e6
    json.dump({"version": version("langgraph"), "us": found}, sys.stdout)
