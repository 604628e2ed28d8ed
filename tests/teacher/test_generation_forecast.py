"""What a generation will cost: against plain counting, by how it moves, and its interval's coverage by simulation."""

import numpy as np
import pytest

from stillhouse.teacher.forecast import CallSeen, forecast
from stillhouse.teacher.self_instruct import COLLAPSED, ROUND, WINDOW


def alike(kept, near=0, cost=0.002, n=8):
    return [CallSeen(20, kept, near, cost) for _ in range(n)]


def test_without_a_fall_and_without_spread_it_is_plain_counting():
    """144 of 160 were kept; 856 more at 18 a call are 47.6 calls, and the round's eight."""
    found = forecast(alike(18), 856, COLLAPSED)
    assert found.calls.value == pytest.approx(8 + 48, abs=2)
    assert found.cost_usd.value == pytest.approx(found.calls.value * 0.002)
    assert found.cost_usd.low <= 56 * 0.002 <= found.cost_usd.high
    assert (found.cost_usd.n, found.cost_usd.level) == (8, 0.95)


def test_what_was_paid_is_certain_and_what_is_not_known_stays_so():
    assert forecast(alike(18), 1, COLLAPSED).cost_usd.low >= 8 * 0.002
    assert forecast(alike(18, cost=None), 856, COLLAPSED).cost_usd is None
    half = [*alike(18, n=4, cost=None), *alike(18, n=4)]  # four replies came from the store
    assert forecast(half, 856, COLLAPSED).cost_usd.value == pytest.approx((4 + 48) * 0.002, abs=0.004)


def test_the_more_resembles_what_was_kept_the_more_calls_it_takes():
    values = [forecast(alike(18 - near, near), 856, COLLAPSED).calls for near in (0, 1, 3, 6)]
    assert [value.value for value in values] == sorted(value.value for value in values)
    assert values[-1].value > 8 + 856 / 12  # at the rate so far it would be as many
    assert all(value.low < value.value < value.high for value in values)
    assert values[-1].high / values[-1].value > values[0].high / values[0].value  # a fall is less certain than none
    # With fewer than one row in twenty new, a generation has ended: so many calls it can take at most.
    assert values[-1].high <= 8 + 856 / (COLLAPSED * 20) * 1.2


def a_generation(draw, weights, n, usable):
    """(the forecast's interval, what it came to in the end) of one made-up generation whose texts have these chances."""
    bounds = np.cumsum(weights / weights.sum())
    known, calls = set(), []

    def ask():
        share = np.clip(draw.normal(usable, 0.07), 0.02, 1)
        kept = near = 0
        for text in np.searchsorted(bounds, draw.random(draw.binomial(20, share))):
            if len(known) == n:
                break
            near, kept = near + (text in known), kept + (text not in known)
            known.add(text)
        calls.append(CallSeen(20, kept, near, max(1e-4, draw.normal(0.002, 0.0003))))

    for _ in range(ROUND):
        ask()
    told = forecast(calls, n - len(known), COLLAPSED).cost_usd
    while len(known) < n and (
        len(calls) < WINDOW or sum(call.kept for call in calls[-WINDOW:]) >= COLLAPSED * 20 * WINDOW
    ):
        ask()
    return told, sum(call.cost_usd for call in calls)


@pytest.mark.slow
@pytest.mark.parametrize("usable", [0.9, 0.5])
@pytest.mark.parametrize(
    ("texts", "n"),
    [
        (np.ones(1_000_000), 600),  # hardly anything comes twice
        (np.ones(3_000), 600),
        (np.ones(1_000), 600),  # two thirds of all there is
        (1 / np.arange(1, 30_001) ** 0.8, 600),
        (1 / np.arange(1, 30_001), 600),  # Zipf: some texts come over and over
        (1 / np.arange(1, 30_001) ** 1.2, 400),
    ],
)
def test_the_interval_covers_what_it_comes_to(texts, n, usable):
    draw = np.random.default_rng(7)
    inside = 0
    for _ in range(40):
        told, came_to = a_generation(draw, texts, n, usable)
        inside += told.low <= came_to <= told.high
    assert inside / 40 >= 0.85, inside
