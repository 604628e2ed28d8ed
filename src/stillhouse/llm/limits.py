"""How fast to call: in flight, requests per minute, tokens per minute; halved when the endpoint says 429 and raised again by and by.

The in-flight limit follows additive increase, multiplicative decrease (Chiu & Jain 1989), the rule by which TCP shares a line it knows nothing of.
The per-minute limits are token buckets. Time comes from a clock that tests move.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable


class Bucket:
    """A token bucket: `per_minute` units refill evenly, and as many may gather. Larger demands than that wait for a full bucket."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._level, self._at = per_minute, clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until the amount will be there; 0: it is there now."""
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        lacking = min(amount, self.per_minute) - self._level
        return 0.0 if lacking <= 1e-9 else lacking * 60 / self.per_minute

    def take(self, amount: float) -> float:
        """Take the amount and return 0, or take nothing and return the seconds until it will be there."""
        if (wait_s := self.wait_s(amount)) == 0.0:
            self._level -= min(amount, self.per_minute)
        return wait_s


class Limiter:
    """One per endpoint. `async with limiter.slot(tokens)` around each call; `slow_down()` on a 429."""

    def __init__(
        self,
        in_flight: int,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._most, self._allowed, self._busy = in_flight, float(in_flight), 0
        self._requests = None if requests_per_minute is None else Bucket(requests_per_minute, clock)
        self._tokens = None if tokens_per_minute is None else Bucket(tokens_per_minute, clock)
        self._clock, self._sleep = clock, sleep
        self._not_before = 0.0
        self._freed = asyncio.Condition()

    @property
    def in_flight(self) -> int:
        """How many calls may be under way now."""
        return max(1, int(self._allowed))

    @contextlib.asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """Hold one place in flight, after waiting for the minute's requests and tokens."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._busy < self.in_flight)
            self._busy += 1
        try:
            while (wait_s := self._wait_s(tokens)) > 0:
                await self._sleep(wait_s)
            yield
        finally:
            async with self._freed:
                self._busy -= 1
                self._freed.notify(max(1, self.in_flight - self._busy))  # more than one where the limit has risen meanwhile

    def _wait_s(self, tokens: int) -> float:
        if (pause := self._not_before - self._clock()) > 0:
            return pause
        demands = [(bucket, amount) for bucket, amount in ((self._requests, 1.0), (self._tokens, float(tokens))) if bucket is not None]
        wait_s = max((bucket.wait_s(amount) for bucket, amount in demands), default=0.0)
        if wait_s == 0.0:  # taken from both at once or from neither: a wait for tokens must not use up requests
            for bucket, amount in demands:
                bucket.take(amount)
        return wait_s

    def succeeded(self) -> None:
        """Raise the in-flight limit by one per round of calls, up to what was configured."""
        self._allowed = min(self._most, self._allowed + 1 / max(1.0, self._allowed))

    def slow_down(self, retry_after_s: float | None) -> None:
        """Halve the in-flight limit, and start nothing before the endpoint's Retry-After is over."""
        self._allowed = max(1.0, self._allowed / 2)
        if retry_after_s is not None:
            self._not_before = max(self._not_before, self._clock() + retry_after_s)
