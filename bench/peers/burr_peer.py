"""Burr with its SQLite persister: microseconds an action. It has no fan-out that its persister keeps action by action."""

import itertools
import tempfile
from importlib.metadata import version

from burr.core import ApplicationBuilder, State, action, expr
from burr.core.persistence import SQLitePersister
from times import LIKE_OURS, Times


@action(reads=["n"], writes=["n"])
def add(state: State) -> State:
    return state.update(n=state["n"] + 1)


@action(reads=["n"], writes=["n"])
def end(state: State) -> State:
    return state


with tempfile.TemporaryDirectory() as folder:
    persister = SQLitePersister(f"{folder}/peer.db")
    persister.initialize()
    if LIKE_OURS:
        persister.connection.execute("PRAGMA journal_mode=WAL")
        persister.connection.execute("PRAGMA synchronous=NORMAL")
    times, number = Times(("10 steps", "loop 1,000")), itertools.count()
    for name, count in times:
        app = (
            ApplicationBuilder()
            .with_actions(add=add, end=end)
            .with_transitions(("add", "add", expr(f"n < {count}")), ("add", "end", expr(f"n >= {count}")))
            .with_state(n=0)
            .with_entrypoint("add")
            .with_identifiers(app_id=f"run-{next(number)}", partition_key="bench")
            .with_state_persister(persister)
            .build()
        )
        with times.of(name):
            app.run(halt_after=["end"])
    times.tell(version("apache-burr"))
