"""pydantic-graph, which keeps nothing: microseconds a step."""

import asyncio
from importlib.metadata import version

from pydantic_graph import Graph, GraphBuilder, StepContext, TypeExpression, reduce_sum
from times import Times


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
    shapes = {
        "10 steps": (looping(10), 0, 10),
        "fan-out 100": (fanning(), list(range(100)), sum(range(1, 101))),
        "loop 1,000": (looping(1000), 0, 1000),
    }
    times = Times()
    for name, _ in times:
        graph, given, expected = shapes[name]
        with times.of(name):
            out = await graph.run(inputs=given)
        assert out == expected, (name, out)
    times.tell(version("pydantic-graph"))


asyncio.run(main())
