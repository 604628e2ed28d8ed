"""How fast to call: calls under way, requests per minute, tokens per minute.

Three sources say so: what the user states, what the endpoint's headers say, and its refusals. For stated limits and
those of headers there are token buckets. They spread calls evenly, at 98 % of the limit, so that no window of a minute
ever holds more than it may. Where the endpoint refuses all the same (429), `pace` finds a rate, by the rule with which
TCP shares a line of unknown capacity (Chiu & Jain 1989). Time comes from a clock that tests move.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from stillhouse.llm.limit_headers import ToldLimit, read_limits
from stillhouse.llm.pace import InFlight, Pace, Refusal
from stillhouse.records import Usage

# Share of a limit that calls are spread at: with bursts of a second the fullest minute holds 99.7 % of the limit.
_SHARE = 0.98
_BURST_S = 1.0  # seconds' worth of calls that may begin together after a time in which nobody called
# Seconds between two readings of headers: reading more often costs more than the rest of the limiter.
_LEARN_EVERY_S = 0.1
_NAP_S = 5.0  # longest wait, in seconds, before a waiting caller looks again: limits may have changed
_NEVER = -1e9


class Bucket:
    """A token bucket: `per_s` units come in each second, and at most `burst` may gather.

    A demand for more than `burst` waits for a full bucket and leaves a debt.
    """

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
class CallSlot:
    """A call under way, with the tokens that were taken for it from the limits."""

    input_tokens: float
    output_tokens: float
    began: float


class Limiter:
    """The limits of one endpoint.

    A call goes so: `slot = await begin(...)`, the call itself, `end(slot, usage)`. The headers of each reply go to
    `learn`. A 429 is told to `refused`, any other reply to `succeeded`. `in_flight` None: 32 calls under way at first,
    and more while answers do not take longer for it. Callers are served in the order in which they come.
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
        self._paced: Bucket | None = None  # the bucket that fills at the learned pace; None while no pace is known
        self._not_before = _NEVER  # no call may begin before this time
        self._learned_at = _NEVER  # when headers were last read
        self._full_at = _NEVER  # when as many calls as allowed were last under way
        # The first in the queue holds this lock while it waits for its turn; all others wait for the lock, in order.
        self._first_in_queue = asyncio.Lock()
        # Wakes the first caller in the queue when a call under way has ended.
        self._freed: asyncio.Future[None] | None = None

    def _bucket(self, per_s: float, burst: float | None = None) -> Bucket:
        return Bucket(per_s * _SHARE, burst or per_s * _BURST_S, self.clock)

    @property
    def in_flight(self) -> int:
        """How many calls may be under way now."""
        return int(self._in_flight.allowed)

    @property
    def per_minute(self) -> dict[str, float]:
        """The limits that hold now: those stated, those of headers, and "pace", which refusals have shown."""
        limits = {name: bucket.per_s * 60 / _SHARE for name, bucket in self._buckets.items()}
        per_s = self._pace.per_s(self.clock())
        return limits if per_s is None else {**limits, "pace": per_s * 60}

    async def begin(self, input_tokens: float, output_tokens: float) -> CallSlot:
        """Wait until one more call may begin by all limits, and take from each what the call will use."""
        async with self._first_in_queue:
            while True:
                if self._busy >= self.in_flight:
                    self._freed = asyncio.get_running_loop().create_future()
                    await self._freed
                elif (wait_s := self._wait_s(input_tokens, output_tokens)) > 0:
                    await self.sleep(min(wait_s, _NAP_S))
                else:
                    break
            # Nothing was awaited since the buckets were checked, so the call takes from all of them or from none.
            self._busy += 1
            for bucket, amount in self._demands(input_tokens, output_tokens):
                bucket.take(amount)
        self._pace.sent()
        now = self.clock()
        if self._busy == self.in_flight:
            self._full_at = now
        return CallSlot(input_tokens, output_tokens, now)

    def end(self, slot: CallSlot, usage: Usage | None) -> None:
        """Free the slot. Where the call used more or less than was taken for it, take or give back the difference."""
        self._busy -= 1
        self._wake()
        if usage is None or not self._buckets:
            return
        more_in = 0.0 if usage.input_tokens is None else usage.input_tokens - slot.input_tokens
        more_out = 0.0 if usage.output_tokens is None else usage.output_tokens - slot.output_tokens
        for name, amount in (("input-tokens", more_in), ("output-tokens", more_out), ("tokens", more_in + more_out)):
            if name in self._buckets:
                self._buckets[name].take(amount)

    def _wake(self) -> None:
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)

    def _demands(self, input_tokens: float, output_tokens: float) -> list[tuple[Bucket, float]]:
        """What one call takes of each bucket."""
        amounts = {
            "requests": 1.0,
            "tokens": input_tokens + output_tokens,
            "input-tokens": input_tokens,
            "output-tokens": output_tokens,
        }
        demands = [(bucket, amounts[name]) for name, bucket in self._buckets.items()]
        return demands if self._paced is None else [*demands, (self._paced, 1.0)]

    def _wait_s(self, input_tokens: float, output_tokens: float) -> float:
        """Seconds until such a call may begin; 0: now."""
        if (pause_s := self._not_before - self.clock()) > 0:
            return pause_s
        if self._paced is not None and (per_s := self._pace.per_s(self.clock())) is not None:
            self._paced.per_s, self._paced.burst = per_s, max(1.0, per_s * _BURST_S)
        if not self._buckets and self._paced is None:
            return 0.0
        return max(bucket.wait_s(amount) for bucket, amount in self._demands(input_tokens, output_tokens))

    def succeeded(self, slot: CallSlot) -> None:
        """An answer came."""
        self._pace.answered(slot.began)
        if self._in_flight.answered(self.clock() - slot.began, self._full_at >= slot.began):
            self._wake()

    def refused(self, slot: CallSlot, retry_after_s: float | None, earlier: Refusal | None = None) -> Refusal:
        """A 429 came: begin no call before its Retry-After is over, and then at the pace that is known to pass.

        `earlier`: the last refusal of the same request.
        """
        now, cut_at = self.clock(), self._pace.cut_at
        until = self._not_before if retry_after_s is None else max(self._not_before, now + retry_after_s)
        refusal = self._pace.refused(slot.began, now, self._sent_per_s(now), until, earlier)
        if earlier is None or refusal.alone == earlier.alone:
            self._not_before = until  # set only here, because other requests may pass and need not wait for this one
        per_s = self._pace.per_s(now)
        if per_s is not None and self._pace.cut_at != cut_at:
            if self._paced is None:
                self._paced = Bucket(per_s, 1.0, self.clock)
            self._paced.wait_s(0.0)  # brings the bucket's level up to now
            # One call may begin when the wait is over. Without the bucket's debt, calls would gather meanwhile.
            self._paced.level = 1.0 - per_s * self._pace.hold_s if self._pace.hold_s > 0 else 0.0
        return refusal

    def _sent_per_s(self, now: float) -> float:
        """Calls begun each second: by Little's law, those under way over the mean time of an answer."""
        mean_s = self._in_flight.mean_s
        return self._busy / (max(now - self._first_at, 1.0) if mean_s is None else max(mean_s, 1e-3))

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take limits from a reply's headers (`x-ratelimit-*`, `anthropic-ratelimit-*`).

        They may lower a limit that the user stated, and never raise it.
        """
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
                # A limit per day may be used up all at once; calls under a limit per minute are spread over it.
                changed = self._bucket(per_s, told.limit if told.window_s > 60 else None)
                if bucket is not None:  # what was taken from a bucket stays taken, however often the limit changes
                    changed.level = min(changed.level, bucket.level)
                self._buckets[name] = bucket = changed
            if told.remaining is not None:
                bucket.level = min(bucket.level, told.remaining)  # others may be using the same limit
        elif told.remaining == 0 and told.reset_s is not None:
            self._not_before = max(self._not_before, now + told.reset_s)


class Expected:
    """How many tokens a call will take, learned from the calls before it.

    The prompt's tokens come from its characters. A reply is expected to be as long as the replies before it.
    """

    def __init__(self) -> None:
        # Tokens per character of English text, the usual rule of thumb, until replies tell better.
        self._per_character = 0.25
        self._output: float | None = None

    def tokens(self, n_characters: int, max_tokens: int | None) -> tuple[float, float]:
        """(input, output) tokens to take from the limits. Before the first reply, output is as long as it may be."""
        output = self._output if self._output is not None else float(max_tokens or 512)
        return n_characters * self._per_character, output

    def saw(self, n_characters: int, usage: Usage) -> None:
        """A call with a prompt of so many characters used so many tokens."""
        if usage.input_tokens and n_characters:
            self._per_character += 0.1 * (usage.input_tokens / n_characters - self._per_character)
        if usage.output_tokens is not None:
            before = float(usage.output_tokens) if self._output is None else self._output
            self._output = before + 0.1 * (usage.output_tokens - before)
