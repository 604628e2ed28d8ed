"""LangGraph's functional API with its synchronous SQLite saver (its fastest durable way): microseconds a task."""

import itertools
import tempfile
from importlib.metadata import version

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint, task
from times import LIKE_OURS, Times


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

    return {"10 steps": ten, "fan-out 100": fan_out, "loop 1,000": loop}


with tempfile.TemporaryDirectory() as folder, SqliteSaver.from_conn_string(f"{folder}/peer.db") as saver:
    if LIKE_OURS:  # WAL is its own default
        saver.conn.execute("PRAGMA synchronous=NORMAL")
    found, times, number = shapes(saver), Times(), itertools.count()
    for name, _ in times:
        with times.of(name):
            found[name].invoke(0, {"configurable": {"thread_id": f"run-{next(number)}"}, "recursion_limit": 10_000})
    times.tell(version("langgraph"))
