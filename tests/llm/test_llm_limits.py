"""The limiter under a clock that the tests move."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from multidict import CIMultiDict

from stillhouse.llm.limit_headers import read_limits, retry_after_s, seconds
from stillhouse.llm.limits import Bucket, Expected, Limiter
from stillhouse.records import Usage


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


def limiter(clock, in_flight=None, **limits):
    return Limiter(in_flight, clock=clock, sleep=clock.sleep, **limits)


async def call(limiter, n_input=0.0, n_output=0.0, usage=None):
    place = await limiter.begin(n_input, n_output)
    limiter.end(place, usage)
    return place


def test_a_bucket_refills_evenly_and_a_demand_beyond_it_leaves_a_debt():
    clock = Clock()
    bucket = Bucket(2.0, 4.0, clock)
    for _ in range(4):
        assert bucket.wait_s(1) == 0.0
        bucket.take(1)
    assert bucket.wait_s(1) == pytest.approx(0.5)
    clock.now += 600
    assert bucket.wait_s(10) == 0.0  # a full bucket is all there ever is
    bucket.take(10)
    assert bucket.wait_s(1) == pytest.approx((6 + 1) / 2)


@pytest.mark.parametrize(
    ("limits", "n_input", "n_output", "calls_per_minute"),
    [
        ({"requests_per_minute": 600}, 10, 10, 600),
        ({"tokens_per_minute": 60_000}, 150, 50, 300),
        ({"input_tokens_per_minute": 30_000, "output_tokens_per_minute": 60_000}, 100, 50, 300),
        ({"input_tokens_per_minute": 60_000, "output_tokens_per_minute": 12_000}, 100, 50, 240),
        ({"requests_per_minute": 100, "tokens_per_minute": 60_000}, 150, 50, 100),
        ({"tokens_per_minute": 600}, 900, 300, 0.5),  # each call is two minutes' worth
    ],
)
async def test_stated_limits_are_used_to_95_percent_and_no_window_of_a_minute_holds_more(
    limits, n_input, n_output, calls_per_minute
):
    clock = Clock()
    limited = limiter(clock, 1000, **limits)
    n = max(8, int(4 * calls_per_minute))
    began = [(await call(limited, n_input, n_output)).began for _ in range(n)]
    minutes = (began[-1] - began[0]) / 60
    assert 0.95 * calls_per_minute <= (n - 1) / minutes <= calls_per_minute * 1.01
    most = max(1, calls_per_minute)
    assert (
        max(sum(at <= other < at + 60 for other in began[index : index + 700]) for index, at in enumerate(began))
        <= most
    )


async def test_a_wait_for_tokens_uses_up_no_requests():
    clock = Clock()
    limited = limiter(clock, 8, requests_per_minute=60, tokens_per_minute=60)
    for _ in range(4):
        await call(limited, 60)
    assert clock.now == pytest.approx(3 * 60 / 0.98, rel=0.02)  # the tokens' waits, and none for a request


async def test_what_a_call_took_in_the_end_is_what_it_counts():
    clock = Clock()
    limited = limiter(clock, 8, tokens_per_minute=6000)
    for _ in range(100):
        await call(limited, 20, 500, Usage(20, 5))  # 520 were taken, 495 of them are given back
    assert clock.now < 30
    assert clock.now == pytest.approx(100 * 25 / 100, rel=0.3)


def test_what_a_call_will_take_is_learned_from_those_before():
    expected = Expected()
    assert expected.tokens(400, 300) == (100, 300)
    for _ in range(60):
        expected.saw(400, Usage(200, 10))
    assert expected.tokens(400, 300) == (pytest.approx(200, rel=0.01), pytest.approx(10))


async def test_no_more_are_in_flight_than_allowed_and_whoever_came_first_goes_first():
    limited, inside, most, order = Limiter(3), 0, 0, []

    async def one(number):
        nonlocal inside, most
        place = await limited.begin(1, 1)
        order.append(number)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        limited.end(place, None)

    await asyncio.gather(*(one(number) for number in range(20)))
    assert most == 3
    assert order == list(range(20))


async def test_a_caller_that_is_cancelled_while_it_waits_leaves_the_queue_whole():
    limited = Limiter(1)
    place = await limited.begin(1, 1)
    first, second = (asyncio.create_task(limited.begin(1, 1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    limited.end(place, None)
    assert await asyncio.wait_for(second, 1)


async def test_more_are_in_flight_while_that_does_not_slow_answers_down():
    clock = Clock()
    limited = limiter(clock)
    assert limited.in_flight == 32

    async def rounds(n, answer_s):
        for _ in range(n):
            places = [await limited.begin(1, 1) for _ in range(limited.in_flight)]
            clock.now += answer_s(len(places))
            for place in places:
                limited.succeeded(place)
                limited.end(place, None)

    await rounds(3, lambda n: 0.5)
    assert limited.in_flight == 8 * 32  # twice as many each round
    await rounds(20, lambda n: 0.5 * n / 20)  # the endpoint answers 20 at a time: more at once only wait longer
    assert limited.in_flight == 8 * 32
    await rounds(20, lambda n: 0.5)
    assert 8 * 32 < limited.in_flight <= 8 * 32 + 20  # one more a round from then on
    fixed = limiter(clock, 4)
    for _ in range(100):
        fixed.succeeded(await call(fixed))
    assert fixed.in_flight == 4


async def test_after_a_429_nothing_starts_before_its_retry_after():
    clock = Clock()
    limited = limiter(clock, 16)
    place = await limited.begin(1, 1)
    limited.refused(place, 2.0)
    limited.end(place, None)
    assert (await call(limited)).began == pytest.approx(2.0, abs=0.3)


OPENAI = {
    "x-ratelimit-limit-requests": "600",
    "x-ratelimit-remaining-requests": "599",
    "x-ratelimit-reset-requests": "100ms",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "39000",
    "anthropic-ratelimit-output-tokens-limit": "8000",
}


async def test_a_shorter_pause_does_not_end_a_longer_one():
    clock = Clock()
    limited = limiter(clock)
    places = [await limited.begin(0, 0), await limited.begin(0, 0)]
    for place, pause_s in zip(places, (30.0, 2.0), strict=True):
        limited.end(place, None)
        limited.refused(place, pause_s)
    assert (await call(limited)).began >= 30.0


async def test_limits_are_learned_from_headers_and_kept():
    clock = Clock()
    limited = limiter(clock, 100)
    limited.learn(CIMultiDict({name.upper(): value for name, value in OPENAI.items()}))
    assert limited.per_minute == {"requests": pytest.approx(600)}
    for _ in range(110):
        await call(limited)
    assert clock.now == pytest.approx(10.2, abs=0.3)
    clock.now += 1
    limited.learn(ANTHROPIC)
    assert limited.per_minute == {
        "requests": pytest.approx(50),
        "input-tokens": pytest.approx(40_000),
        "output-tokens": pytest.approx(8000),
    }


async def test_a_stated_limit_is_lowered_by_headers_and_never_raised():
    clock = Clock()
    limited = limiter(clock, requests_per_minute=300)
    limited.learn(OPENAI)
    assert limited.per_minute["requests"] == pytest.approx(300)
    clock.now += 1
    limited.learn(OPENAI | {"x-ratelimit-limit-requests": "60"})
    assert limited.per_minute["requests"] == pytest.approx(60)


async def test_a_limit_that_changes_with_every_reply_lends_nothing():
    clock = Clock()
    limited = limiter(clock, 100)
    for n in range(300):
        await call(limited)
        limited.learn(OPENAI | {"x-ratelimit-limit-requests": str(600 - n % 2)})
        clock.now += 0.02
    assert clock.now > 28  # 300 calls at ten a second, of which ten may come at once


async def test_a_limit_that_is_lowered_while_calls_wait_holds_for_them():
    clock = Clock()
    limited = limiter(clock, 100, requests_per_minute=6000)
    for _ in range(120):
        await call(limited)
    limited.learn(OPENAI | {"x-ratelimit-limit-requests": "60"})
    before = clock.now
    for _ in range(5):
        await call(limited)
    assert clock.now - before >= 4 / 0.98


async def test_what_others_used_up_is_not_used_again():
    clock = Clock()
    limited = limiter(clock, 100)
    limited.learn(
        {"x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "60s"}
    )
    assert (await call(limited, 50)).began == pytest.approx(0.5, rel=0.1)  # 100 tokens come back each second
    azure = limiter(Clock())
    azure.learn({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "3s"})
    assert (await call(azure)).began == pytest.approx(3.0, abs=0.2)


async def test_a_limit_per_day_is_told_from_one_per_minute_and_may_be_used_at_once():
    day = read_limits(
        {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "8.64s",
        }
    )["requests"]
    assert day.window_s == 86_400
    minute = read_limits(
        {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "1s",
        }
    )["requests"]
    assert minute.window_s == 60
    clock = Clock()
    limited = limiter(clock, 100)
    limited.learn(
        {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "50",
            "x-ratelimit-reset-requests": "12h",
        }
    )
    for _ in range(50):
        await call(limited)
    assert clock.now == 0.0
    await call(limited)
    assert clock.now == pytest.approx(864 / 0.98, rel=0.05)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("7", 7), ("0.5", 0.5)]
    + [(text, None) for text in ("soon", "nan", "-1", "1s!", None)],
)
def test_spans_of_time_are_read_as_providers_write_them(text, value):
    assert seconds(text) == (None if value is None else pytest.approx(value))


def test_a_moment_is_read_as_the_seconds_until_it():
    moment = datetime.now(UTC) + timedelta(seconds=90)
    assert seconds(moment.isoformat().replace("+00:00", "Z")) == pytest.approx(90, abs=5)
    assert seconds("2020-01-01T00:00:00Z") == 0.0
    assert seconds("2020-01-01T00:00:00") is None


def test_a_moment_is_counted_from_the_repliers_own_clock():
    """Ours may be an hour behind: until the reset are five seconds all the same."""
    told = {
        "Date": "Tue, 24 Nov 2020 12:00:00 GMT",
        "anthropic-ratelimit-tokens-reset": "2020-11-24T12:00:05Z",
        "anthropic-ratelimit-tokens-remaining": "0",
    }
    assert read_limits(CIMultiDict(told))["tokens"].reset_s == pytest.approx(5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Tue, 24 Nov 2020 12:00:30 GMT", 30.0),
        ("Tuesday, 24-Nov-20 12:00:30 GMT", 30.0),  # the two older forms that HTTP still has
        ("Tue Nov 24 12:00:30 2020", 30.0),
        ("Tue, 24 Nov 2020 11:59:00 GMT", 0.0),
        ("Tue, 99 Nov 2020 12:00:30 GMT", None),
        ("later", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, value):
    assert retry_after_s(CIMultiDict({"Retry-After": text, "Date": "Tue, 24 Nov 2020 12:00:00 GMT"})) == value


def test_retry_after_as_a_date_without_the_repliers_clock_is_counted_from_ours():
    moment = datetime.now(UTC) + timedelta(seconds=40)
    assert retry_after_s(CIMultiDict({"Retry-After": format_datetime(moment, usegmt=True)})) == pytest.approx(40, abs=5)
    assert retry_after_s({}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-limit-requests": "many"},
        {"x-ratelimit-limit-tokens": "0"},
        {"x-ratelimit-limit-requests": "-5"},
    ],
)
async def test_headers_that_tell_nothing_change_nothing(headers):
    clock = Clock()
    limited = limiter(clock, 4)
    limited.learn(headers)
    assert limited.per_minute == {}
    await call(limited)
    assert clock.now == 0.0
