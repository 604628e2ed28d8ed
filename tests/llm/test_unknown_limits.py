"""Limits that nobody states, under a clock that jumps: how fast they are found, and what one row in trouble does to the others."""

import asyncio
import itertools
import math
import random
from collections import Counter

import pytest
from multidict import CIMultiDict

from stillhouse.llm.limits import Limiter
from stillhouse.llm.pace import InFlight, Pace
from virtual_time import Bucket, Endpoint, Window, call_for, caller, run_virtually


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", [False, True])
@pytest.mark.parametrize("latency_s", [0.2, 2.0])
@pytest.mark.parametrize("per_minute", [60, 600])
@pytest.mark.parametrize("burst_s", [2, 60])
def test_a_bucket_is_used_to_90_percent_by_the_sixtieth_second(per_minute, burst_s, latency_s, retry_after):
    endpoint = Endpoint(Bucket(per_minute, burst_s), latency_s, retry_after)
    call_for(120, endpoint)
    shares = endpoint.shares(per_minute)
    assert min(shares[5:]) >= 0.8  # ten calls at 60 a minute: each is a tenth
    assert sum(shares[5:]) / 7 >= 0.9
    assert sum(shares[:6]) / 6 >= 0.9
    late = sum(at >= 60 for at in endpoint.refused)
    assert late <= 15  # of 60 calls, at the slowest limit


@pytest.mark.slow
def test_a_high_limit_behind_slow_answers_is_reached_in_twenty_seconds():
    """It takes 200 calls at once; with one more a round it took minutes."""
    endpoint = Endpoint(Bucket(6000, 2), 2.0)
    call_for(60, endpoint)
    shares = endpoint.shares(6000, 60)
    assert min(shares[2:]) >= 0.9
    assert len(endpoint.refused) < 0.01 * len(endpoint.answered)


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", [False, True])
@pytest.mark.parametrize("latency_s", [0.2, 2.0])
@pytest.mark.parametrize("per_minute", [60, 600])
def test_fixed_minutes_are_told_from_a_rate_and_the_second_is_used_evenly(per_minute, latency_s, retry_after):
    endpoint = Endpoint(Window(per_minute), latency_s, retry_after)
    call_for(120, endpoint)
    shares = endpoint.shares(per_minute)
    assert sum(shares[:6]) == pytest.approx(6.0)
    assert sum(shares[6:]) / 6 >= (
        0.95 if retry_after else 0.85
    )  # without Retry-After, seconds pass until the new minute is noticed
    assert min(shares[7:11]) >= 0.85
    assert sum(1 <= at < 120 for at in endpoint.refused) <= 100


@pytest.mark.slow
def test_a_stated_limit_behind_slow_answers_is_used_to_95_percent_after_a_few_of_them():
    endpoint = Endpoint(Bucket(6000, 2), 2.0)
    call_for(60, endpoint, requests_per_minute=6000)
    assert min(endpoint.shares(6000, 60)[2:]) >= 0.95
    assert endpoint.refused == []


def test_two_callers_share_a_limit():
    endpoint = Endpoint(Bucket(600, 2), 0.2)
    call_for(120, endpoint, callers=2)
    shares = endpoint.shares(600)
    assert min(shares[5:]) >= 0.9
    assert sum(at >= 60 for at in endpoint.refused) < 0.05 * 600


@pytest.mark.slow
def test_a_limit_that_is_raised_tenfold_is_found_within_a_minute():
    bucket = Bucket(600, 2)
    endpoint = Endpoint(bucket, 0.2)

    async def raised():
        await asyncio.sleep(60)
        bucket.per_s, bucket.most = 100.0, 200.0

    async def main():
        tasks = [asyncio.create_task(one) for one in (caller(endpoint), raised())]
        await asyncio.sleep(120)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtually(main)
    assert endpoint.shares(600)[11] >= 4


@pytest.mark.slow
def test_more_at_once_than_the_endpoint_works_on_only_wait_longer_so_few_more_are_sent():
    """Twenty places of half a second."""
    free = [0.0] * 20

    class Places(Endpoint):
        longest_s = 0.0

        async def post(self, path, body):
            now = asyncio.get_running_loop().time()
            place = free.index(min(free))
            free[place] = max(now, free[place]) + 0.5
            self.longest_s, self.latency_s = max(self.longest_s, free[place] - now), free[place] - now
            return await super().post(path, body)

    endpoint = Places(None, 0.5)
    call_for(60, endpoint)
    assert len(endpoint.answered) == pytest.approx(60 * 40, rel=0.1)
    assert endpoint.longest_s < 4


# What one row does to the others.


@pytest.mark.parametrize("fault", [429, 500, 400, "hang"])
def test_a_row_that_always_fails_or_hangs_slows_no_other_down(fault):
    endpoint = Endpoint(Bucket(600, 2), 0.2, faults=lambda row: fault if row % 400 == 7 else None)
    call_for(120, endpoint)
    assert min(endpoint.shares(600)[2:]) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("fault", [429, 500, 400, "hang"])
def test_a_row_that_always_fails_or_hangs_ends_with_its_reason_after_all_others_did(fault):
    found, done_at = {}, {}
    endpoint = Endpoint(None, 0.2, faults=lambda row: fault if row == 3 else None)

    def take(index, row, completion):
        found[row], done_at[row] = completion, asyncio.get_running_loop().time()

    run_virtually(lambda: caller(endpoint, 400, take))
    assert sorted(found) == list(range(400))
    assert [row for row in found if found[row].error is not None] == [3]
    tries = Counter(row for _, row in endpoint.tries)
    assert max(n for row, n in tries.items() if row != 3) == 1
    if fault == 400:
        assert tries[3] == 1
        assert found[3].error == "refused by the endpoint (400: rate limit reached)"
    else:
        assert max(at for row, at in done_at.items() if row != 3) < done_at[3] - 3
        assert tries[3] >= 6
        assert found[3].error.startswith(
            "endpoint failed: " + ("no answer within 120 s" if fault == "hang" else f"status {fault}")
        )


def test_tries_wait_twice_as_long_each_time_with_jitter():
    endpoint = Endpoint(None, 0.2, faults=lambda row: 503)
    run_virtually(lambda: caller(endpoint, 1))
    times = [at for at, _ in endpoint.tries]
    waits = [after - before - 0.02 for before, after in itertools.pairwise(times)]
    assert len(waits) == 5
    for n, wait_s in enumerate(waits):
        assert 0.125 * 2**n <= wait_s <= 0.25 * 2**n
    assert len({round(wait_s / 2**n, 6) for n, wait_s in enumerate(waits)}) == 5


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again_and_passes(status):
    faults, found = iter([status, status]), []
    endpoint = Endpoint(None, 0.2, faults=lambda row: next(faults, None))
    run_virtually(lambda: caller(endpoint, 1, lambda index, row, completion: found.append(completion)))
    assert (len(endpoint.tries), found[0].error) == (3, None)


@pytest.mark.parametrize("status", [400, 402, 405, 406, 410, 411, 413, 415, 418, 422, 431, 451])
def test_what_this_request_will_never_pass_is_not_tried_again(status):
    found, endpoint = [], Endpoint(None, 0.2, faults=lambda row: status)
    run_virtually(lambda: caller(endpoint, 1, lambda index, row, completion: found.append(completion)))
    assert (len(endpoint.tries), found[0].error) == (1, f"refused by the endpoint ({status}: rate limit reached)")


def test_a_request_larger_than_a_whole_minutes_tokens_is_not_tried_again():
    class TooLarge(Endpoint):
        async def post(self, path, body):
            self.tries.append(0)
            return (
                429,
                {},
                b'{"error": {"message": "Request too large for m on tokens per min (TPM): Limit 10, Requested 90", "code": "rate_limit_exceeded"}}',
            )

    found, endpoint = [], TooLarge(None, 0.2)
    run_virtually(lambda: caller(endpoint, 1, lambda index, row, completion: found.append(completion)))
    assert len(endpoint.tries) == 1
    assert found[0].error.startswith("refused by the endpoint (429: Request too large")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "least_s"),
    [
        ({"Retry-After": "20"}, 20),
        ({"Retry-After": "Tue, 24 Nov 2020 12:00:20 GMT", "Date": "Tue, 24 Nov 2020 12:00:00 GMT"}, 20),
        ({"Retry-After": "900"}, 60),
    ],
)
def test_the_next_try_waits_for_retry_after_and_at_most_a_minute(headers, least_s, status):
    class Later(Endpoint):
        async def post(self, path, body):
            first = not self.tries
            answer = await super().post(path, body)
            return (status, CIMultiDict(headers), b"") if first else answer

    endpoint = Later(None, 0.0)
    run_virtually(lambda: caller(endpoint, 1))
    (first, _), (second, _) = endpoint.tries
    assert least_s <= second - first <= 1.1 * least_s + 0.1


def test_a_wait_for_a_slow_limit_is_no_refusal():
    """The last of twenty rows is sent after nineteen minutes, and refused once."""
    faults, found = iter([429]), {}
    endpoint = Endpoint(None, 0.2, faults=lambda row: next(faults, None) if row == 19 else None)
    run_virtually(
        lambda: caller(
            endpoint, 20, lambda index, row, completion: found.update({row: completion.error}), requests_per_minute=1
        )
    )
    assert found == dict.fromkeys(range(20))


def test_refusals_are_not_counted_among_the_failed_tries():
    """Ten 429s, then a moment's trouble of another kind."""
    faults, found = iter([429] * 10 + [500]), []
    endpoint = Endpoint(None, 0.2, faults=lambda row: next(faults, None))
    run_virtually(lambda: caller(endpoint, 1, lambda index, row, completion: found.append(completion.error)))
    assert found == [None]


def test_callers_that_are_cancelled_at_any_moment_leave_no_place_taken():
    async def main():
        limiter, rng = (
            Limiter(3, clock=asyncio.get_running_loop().time, sleep=asyncio.sleep, requests_per_minute=6000),
            random.Random(1),
        )

        async def one():
            place = await limiter.begin(1, 1)
            try:
                await asyncio.sleep(rng.random() / 10)
                limiter.refused(place, None) if rng.random() < 0.1 else limiter.succeeded(place)
            finally:
                limiter.end(place, None)

        tasks = [asyncio.create_task(one()) for _ in range(300)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(rng.random() / 50)
            rng.choice(tasks).cancel()
        assert limiter._busy == 0
        for _ in range(3):  # and all three places are free
            await asyncio.wait_for(limiter.begin(1, 1), 60)

    run_virtually(main)


# The pace by itself.


def refused(pace, now, began=None, earlier=None, until=-1e9):
    return pace.refused(now if began is None else began, now, 20.0, until, earlier)


def test_the_first_refusal_halves_what_was_sent_and_the_rate_then_grows_as_its_definition_says():
    pace = Pace(0.0)
    assert pace.per_s(5.0) is None
    refused(pace, 5.0)
    assert pace.per_s(5.0) == 10.0
    per_s, step = 10.0, 1e-4
    for n in range(int(12 / step)):  # d(log rate)/dt = (1 + (t/T)^2) / 10T, with T = 4 s
        per_s *= 1 + step * 0.1 * (1 + (n * step / 4) ** 2) / 4
    assert pace.per_s(17.0) == pytest.approx(per_s, rel=1e-3)


def test_a_later_refusal_brings_it_to_a_little_less_than_what_passed():
    pace = Pace(0.0)
    refused(pace, 0.0)
    for _ in range(80):
        pace.sent()
    refused(pace, 10.0)  # one of the eighty
    assert pace.per_s(10.0) == pytest.approx(0.95 * 79 / 10)


def test_refusals_of_calls_that_began_before_the_cut_are_one_refusal():
    pace = Pace(0.0)
    refused(pace, 1.0)
    for _ in range(20):
        refused(pace, 1.1, began=0.9)
    assert pace.per_s(1.0) == 10.0


def test_refusals_that_follow_at_once_halve_it_and_hold_back_ever_longer():
    pace, now, holds = Pace(0.0), 0.0, []
    refused(pace, now)
    for _ in range(9):
        now += pace.hold_s + 0.01
        pace.sent()
        refused(pace, now)
        holds.append(pace.hold_s)
    assert holds == pytest.approx([0.25, 0.5, 1, 2, 4, 4, 4, 4, 4])
    assert pace.per_s(now) == pytest.approx(10 / 2**5, rel=0.05)  # six in a row; then it is no rate that is wrong


def test_after_a_window_the_rate_is_what_it_held():
    pace = Pace(0.0)
    for _ in range(120):
        pace.sent()
    now = 10.0
    refused(pace, now)
    while now < 58:
        now += pace.hold_s + 0.1
        pace.sent()
        refused(pace, now)
    pace.sent()
    pace.answered(60.0)
    assert pace.per_s(60.0) == pytest.approx(119 / 60)  # the refused at ten seconds was one of those sent


def test_a_request_that_is_refused_while_many_pass_takes_its_cuts_back():
    pace = Pace(0.0)
    refusal = refused(pace, 0.0)
    assert (pace.per_s(0.0), refusal.cut_to, refusal.alone) == (10.0, 0.5, 0)
    for n in range(20):
        pace.sent()
        pace.answered(0.1 + n / 100)
    refusal = refused(pace, 0.5, earlier=refusal)
    assert refusal.alone == 1
    assert pace.per_s(0.5) == pytest.approx(20.0, rel=0.02)


def test_in_flight_doubles_each_round_until_answers_take_twice_as_long():
    in_flight = InFlight(None)
    for round_of in (32, 64, 128):
        assert in_flight.allowed == round_of
        for _ in range(round_of):
            in_flight.answered(1.0, True)
    for _ in range(256):
        in_flight.answered(2.5, True)
    assert in_flight.allowed == 256
    for _ in range(256):
        in_flight.answered(1.0, True)
    assert in_flight.allowed == pytest.approx(257, abs=0.01)


def test_one_quick_answer_does_not_end_the_climb():
    """A refused prompt or a cached reply comes a hundred times sooner than an answer."""
    in_flight = InFlight(None)
    for n in range(200):
        in_flight.answered(0.01 if n == 40 else 1.0 * math.exp(0.1 * math.sin(n)), True)
    assert in_flight.allowed > 200
