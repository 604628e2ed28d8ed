"""litellm's `acompletion` with a semaphore; nothing is stored. Arguments: port, calls, in flight."""

import asyncio
import json
import resource
import sys
import time
from importlib.metadata import version

import litellm

port, n, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main():
    gate = asyncio.Semaphore(in_flight)
    litellm.suppress_debug_info = True

    async def call(i):
        async with gate:
            messages = [
                {"role": "system", "content": "Is it good?"},
                {"role": "user", "content": f"day number {i} was a good one"},
            ]
            address = {"api_base": f"http://127.0.0.1:{port}/v1", "api_key": "none"}
            reply = await litellm.acompletion(
                model="openai/m", messages=messages, temperature=0.0, max_tokens=512, **address
            )
            return reply.choices[0].message.content

    await asyncio.gather(*(call(i) for i in range(100)))  # imports and connections
    began, used = time.perf_counter(), cpu_s()
    found = await asyncio.gather(*(call(i) for i in range(n)))
    assert set(found) == {"good"}
    return n / (time.perf_counter() - began), n / (cpu_s() - used)


per_s, per_cpu_s = asyncio.run(main())
print("\n" + json.dumps({"version": version("litellm"), "per_s": per_s, "per_cpu_s": per_cpu_s}))
