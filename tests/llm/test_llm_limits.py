"""The limiter under a clock that the tests move."""

import asyncio

import pytest

from stillhouse.llm.limits import Bucket, Limiter


class Clock:
    def __init__(self):
        self.now = 0.0
        self.slept = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def test_a_bucket_refills_evenly_and_gathers_one_minute_at_most():
    clock = Clock()
    bucket = Bucket(60, clock)
    assert [bucket.take(1) for _ in range(60)] == [0.0] * 60
    assert bucket.take(1) == pytest.approx(1.0)
    clock.now += 600
    assert bucket.take(60) == 0.0
    assert bucket.take(30) == pytest.approx(30.0)


async def test_requests_and_tokens_per_minute_are_kept():
    clock = Clock()
    limiter = Limiter(8, requests_per_minute=2, tokens_per_minute=100, clock=clock, sleep=clock.sleep)
    for _ in range(2):
        async with limiter.slot(10):
            pass
    assert clock.slept == []
    async with limiter.slot(10):  # the third request of the minute waits for half of it
        pass
    assert clock.now == pytest.approx(30.0)
    async with limiter.slot(100):
        pass
    assert clock.now >= 60.0


async def test_a_wait_for_tokens_uses_up_no_requests():
    clock = Clock()
    limiter = Limiter(8, requests_per_minute=3, tokens_per_minute=100, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        async with limiter.slot(100):
            pass
    assert clock.now == pytest.approx(120.0)  # two waits of a minute for the tokens, none for a request


async def test_calls_that_wait_come_back_when_the_limit_has_risen():
    limiter, inside, most = Limiter(8), 0, 0
    for _ in range(5):
        limiter.slow_down(None)

    async def call():
        nonlocal inside, most
        async with limiter.slot(1):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            inside -= 1
            limiter.succeeded()

    await asyncio.gather(*(call() for _ in range(200)))
    assert most == 8


async def test_no_more_are_in_flight_than_allowed():
    limiter, inside, most = Limiter(3), 0, 0

    async def call():
        nonlocal inside, most
        async with limiter.slot(1):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(call() for _ in range(20)))
    assert most == 3


async def test_a_429_halves_the_calls_in_flight_and_successes_bring_them_back_one_by_one():
    clock = Clock()
    limiter = Limiter(16, clock=clock, sleep=clock.sleep)
    limiter.slow_down(2.0)
    assert limiter.in_flight == 8
    async with limiter.slot(1):
        assert clock.now == pytest.approx(2.0)  # not before the endpoint's Retry-After
    for _ in range(8):
        limiter.succeeded()
    assert limiter.in_flight == 8  # eight answers are nearly one round: 8.9
    limiter.succeeded()
    limiter.succeeded()
    assert limiter.in_flight == 9
    for _ in range(20):
        limiter.slow_down(None)
    assert limiter.in_flight == 1
