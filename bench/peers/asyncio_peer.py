"""Plain asyncio, which keeps nothing: microseconds a call of an async function."""

import asyncio
import platform

from times import Times


async def add(n: int) -> int:
    return n + 1


async def ten() -> None:
    for n in range(10):
        await add(n)


async def fan_out() -> None:
    await asyncio.gather(*(add(n) for n in range(100)))


async def loop() -> None:
    for n in range(1000):
        await add(n)


async def main() -> None:
    shapes = {"10 steps": ten, "fan-out 100": fan_out, "loop 1,000": loop}
    times = Times()
    for name, _ in times:
        with times.of(name):
            await shapes[name]()
    times.tell(platform.python_version())


asyncio.run(main())
