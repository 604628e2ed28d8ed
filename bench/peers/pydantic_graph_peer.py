"""pydantic-graph, which keeps nothing: microseconds a step."""

import asyncio
import json
import sys
import time
from importlib.metadata import version

from pydantic_graph import Graph, GraphBuilder, StepContext, TypeExpression, reduce_sum


def looping(count: int) -> Graph:
    builder = GraphBuilder(input_type=int, output_type=int)

    @builder.step
    async def add(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs + 1

    again = builder.decision()
    again = again.branch(builder.match(TypeExpression[int], matches=lambda n: n < count).to(add))
    again = again.branch(builder.match(TypeExpression[int]).to(builder.end_node))
    builder.add(builder.edge_from(builder.start_node).to(add), builder.edge_from(add).to(again))
    return builder.build()


def fanning() -> Graph:
    builder = GraphBuilder(input_type=list[int], output_type=int)

    @builder.step
    async def add(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs + 1

    total = builder.join(reduce_sum, initial=0)
    builder.add(
        builder.edge_from(builder.start_node).map().to(add),
        builder.edge_from(add).to(total),
        builder.edge_from(total).to(builder.end_node),
    )
    return builder.build()


async def main() -> None:
    found = {}
    shapes = (
        ("10 steps", 10, looping(10), 0),
        ("fan-out 100", 100, fanning(), list(range(100))),
        ("loop 1,000", 1000, looping(1000), 0),
    )
    for name, count, graph, given in shapes * 2:  # the second time counts: the first one warms up
        began = time.perf_counter()
        out = await graph.run(inputs=given)
        found[name] = (time.perf_counter() - began) / count * 1e6
        assert out == (sum(range(1, 101)) if name == "fan-out 100" else count), (name, out)
    json.dump({"version": version("pydantic-graph"), "us": found}, sys.stdout)


asyncio.run(main())
