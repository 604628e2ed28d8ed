"""Minutes of calls in a moment: a loop whose clock jumps to the next thing that happens, and in it an endpoint whose limit is told nowhere."""

import asyncio
import itertools
import json
import math
import random
import selectors

from stillhouse.llm.bulk import Bulk
from stillhouse.llm.client import ChatClient
from stillhouse.llm.limits import Limiter
from stillhouse.llm.request import Request

_ANSWER = json.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": "good"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 10},
    }
).encode()
REFUSAL = b'{"error": {"message": "rate limit reached"}}'


class _Jumping(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "everybody waits, and nothing will ever happen"
        self.now += max(0.0, timeout)
        return super().select(0)


def run_virtually(main):
    """Run the coroutine function to its end; `asyncio.sleep` and the loop's time take no time."""
    selector = _Jumping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


class Bucket:
    def __init__(self, per_minute, burst_s):
        self.per_s, self.most, self.at = per_minute / 60, max(1.0, per_minute / 60 * burst_s), 0.0
        self.level = self.most

    def wait_s(self, now):
        """0: taken."""
        self.level, self.at = min(self.most, self.level + (now - self.at) * self.per_s), now
        if self.level < 1 - 1e-9:
            return (1 - self.level) / self.per_s
        self.level -= 1
        return 0.0


class Window:
    def __init__(self, per_minute):
        self.per_minute, self.minute, self.used = per_minute, None, 0

    def wait_s(self, now):
        if int(now // 60) != self.minute:
            self.minute, self.used = int(now // 60), 0
        self.used += 1
        return 0.0 if self.used <= self.per_minute else (self.minute + 1) * 60 - now


class Endpoint:
    """`faults(row)` may answer for it: a status, "hang", or None. Answers take `latency_s`, give or take a third; refusals 20 ms."""

    def __init__(self, limit, latency_s, retry_after=False, faults=lambda row: None):
        self.limit, self.latency_s, self.retry_after, self.faults, self.rng = (
            limit,
            latency_s,
            retry_after,
            faults,
            random.Random(0),
        )
        self.answered, self.refused, self.tries = [], [], []

    async def post(self, path, body):
        now, row = asyncio.get_running_loop().time(), int(json.loads(body)["messages"][0]["content"])
        self.tries.append((now, row))
        if (fault := self.faults(row)) is not None:
            await asyncio.sleep(0.02 if fault != "hang" else 1e9)
            return fault, {}, REFUSAL
        if wait_s := self.limit.wait_s(now) if self.limit is not None else 0.0:
            self.refused.append(now)
            await asyncio.sleep(0.02)
            return 429, {"Retry-After": str(math.ceil(wait_s))} if self.retry_after else {}, REFUSAL
        self.answered.append(now)
        await asyncio.sleep(self.latency_s * math.exp(self.rng.gauss(0, 0.3)))
        return 200, {}, _ANSWER

    def shares(self, per_minute, seconds=120):
        """Of the limit, per ten seconds."""
        return [sum(at <= one < at + 10 for one in self.answered) / (per_minute / 6) for at in range(0, seconds, 10)]


async def caller(endpoint, rows=None, take=lambda *_: None, **limits):
    """All rows (without a number: rows without end) asked as `label` asks them."""
    clock = asyncio.get_running_loop().time
    limiter = Limiter(clock=clock, sleep=asyncio.sleep, **limits)
    client = ChatClient("http://127.0.0.1/v1", "m", None, limiter, jitter=random.Random(0).random)

    async def post(path, body):
        async with asyncio.timeout(120):
            return await endpoint.post(path, body)

    client._post_whole = post

    async def ask(row):
        return await client.complete(Request("m", ({"role": "user", "content": str(row)},)))

    await Bulk(lambda: limiter.in_flight, ask).run(itertools.count() if rows is None else range(rows), take)


def call_for(seconds, endpoint, callers=1, **limits):
    """Let them call for so long."""

    async def main():
        tasks = [asyncio.create_task(caller(endpoint, **limits)) for _ in range(callers)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtually(main)
