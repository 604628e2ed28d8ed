"""How fast to call: in flight, requests per minute, tokens per minute; as stated, as the endpoint's headers say, and as its refusals show.

Stated limits, and those that headers tell, are token buckets that pace calls evenly at 98 % of the limit, so that no window of a minute ever holds more than
it may. Where the endpoint refuses all the same (429), a pace of its own is found (`pace`) by the rule with which TCP shares a line that it knows nothing of
(Chiu & Jain 1989). Time comes from a clock that tests move.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from stillhouse.llm.limit_headers import ToldLimit, read_limits
from stillhouse.llm.pace import InFlight, Pace, Refusal
from stillhouse.records import Usage

_SHARE = 0.98  # of a limit that is aimed at: with a burst of one second's calls the fullest minute holds 99.7 %
_BURST_S = 1.0  # what may gather while nobody calls
_LEARN_EVERY_S = 0.1  # headers are read so often at most: they cost more than the rest of the limiter
_NAP_S = 5.0  # a wait is looked at again after so long: limits may have changed


class Bucket:
    """A token bucket: `per_s` units refill evenly, and `burst` may gather. Larger demands wait for a full bucket and leave a debt."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self.per_s, self.burst, self._clock = per_s, burst, clock
        self.level, self._at = burst, clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until the amount may be taken; 0: now."""
        now = self._clock()
        self.level = min(self.burst, self.level + (now - self._at) * self.per_s)
        self._at = now
        lacking = min(amount, self.burst) - self.level
        return 0.0 if lacking <= 1e-9 else lacking / self.per_s

    def take(self, amount: float) -> None:
        self.level -= amount


@dataclass(slots=True)
class Slot:
    """A call under way, with what was taken for it."""

    input_tokens: float
    output_tokens: float
    began: float


class Limiter:
    """One per endpoint: `place = await begin(...)`, the call, `end(place, usage)`; `learn` from each reply's headers; `refused` on a 429, else `succeeded`.

    `in_flight` None: 32 at first, and more while answers take no longer for it. Callers are served in the order in which they come.
    """

    def __init__(
        self,
        in_flight: int | None = None,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        input_tokens_per_minute: float | None = None,
        output_tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._in_flight, self._busy = InFlight(in_flight), 0
        self.clock, self.sleep = clock, sleep
        stated = {
            "requests": requests_per_minute,
            "tokens": tokens_per_minute,
            "input-tokens": input_tokens_per_minute,
            "output-tokens": output_tokens_per_minute,
        }
        self._stated = {name: per_minute / 60 for name, per_minute in stated.items() if per_minute is not None}
        self._buckets = {name: self._bucket(per_s) for name, per_s in self._stated.items()}
        self._first_at = clock()
        self._pace = Pace(self._first_at)
        self._paced: Bucket | None = None  # filled at the pace, once there is one
        self._not_before = self._learned_at = self._full_at = -1e9
        self._head = (
            asyncio.Lock()
        )  # whoever is first waits for time and place; all others wait for the lock, which is fair
        self._freed: asyncio.Future[None] | None = None

    def _bucket(self, per_s: float, burst: float | None = None) -> Bucket:
        return Bucket(per_s * _SHARE, burst or per_s * _BURST_S, self.clock)

    @property
    def in_flight(self) -> int:
        """How many calls may be under way now."""
        return int(self._in_flight.allowed)

    @property
    def per_minute(self) -> dict[str, float]:
        """The limits that hold now: stated, learned, and (`pace`) found by being refused."""
        found = {name: bucket.per_s * 60 / _SHARE for name, bucket in self._buckets.items()}
        per_s = self._pace.per_s(self.clock())
        return found if per_s is None else {**found, "pace": per_s * 60}

    async def begin(self, input_tokens: float, output_tokens: float) -> Slot:
        """Wait for a place in flight and for the minute's requests and tokens, and take them."""
        async with self._head:
            while True:
                if self._busy >= self.in_flight:
                    self._freed = asyncio.get_running_loop().create_future()
                    await self._freed
                elif (wait_s := self._wait_s(input_tokens, output_tokens)) > 0:
                    await self.sleep(min(wait_s, _NAP_S))
                else:
                    break
            self._busy += 1  # with nothing awaited since the look: taken from all buckets or from none
            for bucket, amount in self._demands(input_tokens, output_tokens):
                bucket.take(amount)
        self._pace.sent()
        now = self.clock()
        if self._busy == self.in_flight:
            self._full_at = now
        return Slot(input_tokens, output_tokens, now)

    def end(self, place: Slot, usage: Usage | None) -> None:
        """Free the place, and put right what was taken by what the call took in the end."""
        self._busy -= 1
        self._wake()
        if usage is None or not self._buckets:
            return
        more_in = (usage.input_tokens if usage.input_tokens is not None else place.input_tokens) - place.input_tokens
        more_out = (
            usage.output_tokens if usage.output_tokens is not None else place.output_tokens
        ) - place.output_tokens
        for name, amount in (("input-tokens", more_in), ("output-tokens", more_out), ("tokens", more_in + more_out)):
            if name in self._buckets:
                self._buckets[name].take(amount)

    def _wake(self) -> None:
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)

    def _demands(self, input_tokens: float, output_tokens: float) -> list[tuple[Bucket, float]]:
        amounts = {
            "requests": 1.0,
            "tokens": input_tokens + output_tokens,
            "input-tokens": input_tokens,
            "output-tokens": output_tokens,
        }
        demands = [(bucket, amounts[name]) for name, bucket in self._buckets.items()]
        return demands if self._paced is None else [*demands, (self._paced, 1.0)]

    def _wait_s(self, input_tokens: float, output_tokens: float) -> float:
        if (pause := self._not_before - self.clock()) > 0:
            return pause
        if self._paced is not None and (per_s := self._pace.per_s(self.clock())) is not None:
            self._paced.per_s, self._paced.burst = per_s, max(1.0, per_s * _BURST_S)
        if not self._buckets and self._paced is None:
            return 0.0
        return max(bucket.wait_s(amount) for bucket, amount in self._demands(input_tokens, output_tokens))

    def succeeded(self, place: Slot) -> None:
        """An answer came."""
        self._pace.answered(place.began)
        if self._in_flight.answered(self.clock() - place.began, self._full_at >= place.began):
            self._wake()

    def refused(self, place: Slot, retry_after_s: float | None, earlier: Refusal | None = None) -> Refusal:
        """A 429: start nothing before its Retry-After is over, and then at the pace that is known to pass. `earlier`: the same request's last refusal."""
        now, mean_s, cut_at = self.clock(), self._in_flight.mean_s, self._pace.cut_at
        until = self._not_before if retry_after_s is None else max(self._not_before, now + retry_after_s)
        sent_per_s = self._busy / (
            max(now - self._first_at, 1.0) if mean_s is None else max(mean_s, 1e-3)
        )  # Little's law
        refusal = self._pace.refused(place.began, now, sent_per_s, until, earlier)
        if earlier is None or refusal.alone == earlier.alone:  # else others pass, and need not wait for this one
            self._not_before = until
        per_s = self._pace.per_s(now)
        if per_s is not None and self._pace.cut_at != cut_at:
            if self._paced is None:
                self._paced = Bucket(per_s, 1.0, self.clock)
            self._paced.wait_s(0.0)  # brings it up to now
            self._paced.level = (
                1.0 - per_s * self._pace.hold_s if self._pace.hold_s > 0 else 0.0
            )  # one call when the wait is over: nothing gathers in it
        return refusal

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take limits from a reply's headers (`x-ratelimit-*`, `anthropic-ratelimit-*`). A limit that the user stated is only ever lowered by them."""
        if (now := self.clock()) - self._learned_at < _LEARN_EVERY_S:
            return
        self._learned_at = now
        for name, told in read_limits(headers).items():
            self._take_over(name, told, now)

    def _take_over(self, name: str, told: ToldLimit, now: float) -> None:
        if told.per_s is not None:
            per_s = min(told.per_s, self._stated.get(name, float("inf")))
            bucket = self._buckets.get(name)
            if bucket is None or abs(bucket.per_s - per_s * _SHARE) > 1e-9:
                # Of a limit per day all may be used at once; one per minute is paced.
                changed = self._bucket(per_s, told.limit if told.window_s > 60 else None)
                if bucket is not None:
                    changed.level = min(
                        changed.level, bucket.level
                    )  # what is taken stays taken, however often the limit changes
                self._buckets[name] = bucket = changed
            if told.remaining is not None:
                bucket.level = min(bucket.level, told.remaining)  # others may be using the same limit
        elif told.remaining == 0 and told.reset_s is not None:
            self._not_before = max(self._not_before, now + told.reset_s)


class Expected:
    """How many tokens a call will take, learned from those that came back: tokens per character of the prompt, and tokens of the reply."""

    def __init__(self) -> None:
        self._per_character = 0.25  # English text, the usual rule of thumb, until replies tell better
        self._output: float | None = None

    def tokens(self, n_characters: int, max_tokens: int | None) -> tuple[float, float]:
        """(input, output) tokens to take from the limits. Before the first reply the reply may be as long as it is allowed to."""
        output = self._output if self._output is not None else float(max_tokens or 512)
        return n_characters * self._per_character, output

    def saw(self, n_characters: int, usage: Usage) -> None:
        if usage.input_tokens and n_characters:
            self._per_character += 0.1 * (usage.input_tokens / n_characters - self._per_character)
        if usage.output_tokens is not None:
            self._output = (
                float(usage.output_tokens)
                if self._output is None
                else self._output + 0.1 * (usage.output_tokens - self._output)
            )
