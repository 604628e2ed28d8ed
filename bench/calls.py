"""Calls per second of our client against the `openai` SDK's, on one fake endpoint in a process of its own: the median of several turns, taken alternately."""

import asyncio
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from fake_endpoint import Endpoint, running

N, TURNS, IN_FLIGHT = 400, 5, 32


async def ours(endpoint: Endpoint) -> float:
    from stillhouse.llm.client import ChatClient
    from stillhouse.llm.limits import Limiter
    from stillhouse.llm.request import Request

    client = ChatClient(f"http://127.0.0.1:{endpoint.port}/v1", "ok", None, Limiter(IN_FLIGHT))
    began = time.perf_counter()
    found = await asyncio.gather(*(client.complete(Request("ok", ({"role": "user", "content": f"good {i}"},))) for i in range(N)))
    took = time.perf_counter() - began
    assert all(completion.text == "good" for completion in found)
    await client.close()
    return N / took


async def theirs(endpoint: Endpoint) -> float:
    import openai

    gate = asyncio.Semaphore(IN_FLIGHT)
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{endpoint.port}/v1", api_key="none") as client:

        async def call(i: int) -> str | None:
            async with gate:
                reply = await client.chat.completions.create(model="ok", messages=[{"role": "user", "content": f"good {i}"}])
                return reply.choices[0].message.content

        began = time.perf_counter()
        found = await asyncio.gather(*(call(i) for i in range(N)))
        took = time.perf_counter() - began
    assert set(found) == {"good"}
    return N / took


def main() -> dict[str, object]:
    """Both sides in turn; the result as written to bench/results/calls.json."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as endpoint:
        asyncio.run(ours(endpoint))  # warm: the first turn pays for imports and connections
        pairs = [(asyncio.run(ours(endpoint)), asyncio.run(theirs(endpoint))) for _ in range(TURNS)]
    return {
        "what": f"chat completions per second, {N} calls, {IN_FLIGHT} in flight, one fake endpoint in another process; median of {TURNS}",
        "stillhouse": round(statistics.median(one for one, _ in pairs)),
        "openai": round(statistics.median(other for _, other in pairs)),
        "ratio": round(statistics.median(one / other for one, other in pairs), 2),
        "versions": {"openai": version("openai"), "aiohttp": version("aiohttp"), "python": sys.version.split()[0]},
    }
