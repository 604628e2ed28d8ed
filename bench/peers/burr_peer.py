"""Burr with its SQLite persister: microseconds an action."""

import json
import sys
import tempfile
import time
from importlib.metadata import version

from burr.core import ApplicationBuilder, State, action, expr
from burr.core.persistence import SQLitePersister


@action(reads=["n"], writes=["n"])
def add(state: State) -> State:
    return state.update(n=state["n"] + 1)


@action(reads=["n"], writes=["n"])
def end(state: State) -> State:
    return state


with tempfile.TemporaryDirectory() as folder:
    found = {}
    for number, (name, count) in enumerate((("10 steps", 10), ("loop 1,000", 1000)) * 2):  # the second time counts: the first one warms up
        persister = SQLitePersister(f"{folder}/{number}.db")
        persister.initialize()
        app = (
            ApplicationBuilder()
            .with_actions(add=add, end=end)
            .with_transitions(("add", "add", expr(f"n < {count}")), ("add", "end", expr(f"n >= {count}")))
            .with_state(n=0)
            .with_entrypoint("add")
            .with_identifiers(app_id=f"run-{number}", partition_key="bench")
            .with_state_persister(persister)
            .build()
        )
        began = time.perf_counter()
        app.run(halt_after=["end"])
        found[name] = (time.perf_counter() - began) / count * 1e6
    json.dump({"version": version("apache-burr"), "us": found}, sys.stdout)
