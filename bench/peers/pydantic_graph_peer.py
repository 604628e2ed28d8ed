"""pydantic-graph, which keeps nothing: microseconds a node. It has no fan-out that compares."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version

from pydantic_graph import BaseNode, End, Graph, GraphRunContext


@dataclass
class State:
    left: int


@dataclass
class Add(BaseNode[State, None, int]):
    n: int

    async def run(self, ctx: GraphRunContext[State]) -> "Add | End[int]":
        ctx.state.left -= 1
        return Add(self.n + 1) if ctx.state.left else End(self.n)


graph = Graph(nodes=[Add])


async def main() -> None:
    found = {}
    for name, count in (("10 steps", 10), ("loop 1,000", 1000)):
        began = time.perf_counter()
        await graph.run(Add(0), state=State(count))
        found[name] = (time.perf_counter() - began) / count * 1e6
    json.dump({"version": version("pydantic-graph"), "us": found}, sys.stdout)


asyncio.run(main())
