"""The cascade's threshold over several ways to count the calibration rows: the promise holds in each of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stillhouse.evaluation.cascade_threshold import NoThreshold, Threshold, choose_for_every_way, choose_threshold
from stillhouse.results.row_result import RowResult


def arms(rows):
    """`rows`: (confidence, whether the student's answer harms). The teacher is always right."""
    student = [
        RowResult(id=str(n), group=None, gold="x", output="x", score=float(not harms), confidence=sure)
        for n, (sure, harms) in enumerate(rows)
    ]
    teacher = [RowResult(id=str(n), group=None, gold="x", output="x", score=1.0) for n in range(len(rows))]
    return student, teacher


def test_the_bound_is_scipys_of_the_way_with_the_highest():
    few, many = [(0.9, False)] * 200, [(0.9, False)] * 500
    found = choose_for_every_way({"many": arms(many), "few": arms(few)}, budget=0.02)
    assert found.harm.high == pytest.approx(stats.beta.ppf(0.95, 1, 200)) and found.harm.n == 200


def test_one_way_is_as_it_is_and_one_refused_refuses_all_by_its_name():
    rows = [(0.9, False)] * 200 + [(0.5, True)] * 20
    assert choose_for_every_way({"": arms(rows)}, budget=0.02) == choose_threshold(*arms(rows), budget=0.02)
    found = choose_for_every_way({"all rows": arms(rows), "once": arms(rows[:50])}, budget=0.02)
    assert isinstance(found, NoThreshold) and found.reason.startswith("once: 50 calibration rows cannot prove")
    assert found.rows_missing == 99


ROWS = st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9]), st.booleans()), min_size=15, max_size=40)


@settings(max_examples=30, deadline=None)
@given(ROWS, ROWS)
def test_it_is_the_lowest_threshold_that_keeps_the_promise_in_every_way(one, other):
    """By the definition: every confidence is tried, from the surest on, until the bound fails in some way."""
    budget, ways = 0.3, {"one": one, "other": other}

    def kept(rows, threshold):
        return [harms for sure, harms in rows if sure >= threshold]

    def proven(rows, threshold):
        harms = sum(kept(rows, threshold))
        return harms < len(rows) and stats.beta.ppf(0.95, harms + 1, len(rows) - harms) < budget

    own = {name: {sure for sure, _ in rows} for name, rows in ways.items()}
    lowest = {name: min((at for at in own[name] if proven(rows, at)), default=None) for name, rows in ways.items()}
    found = choose_for_every_way({name: arms(rows) for name, rows in ways.items()}, budget=budget)
    if None in lowest.values():
        assert isinstance(found, NoThreshold)
        return
    assert isinstance(found, Threshold) and found.threshold == max(lowest.values())
    shares = {len(kept(rows, found.threshold)) / len(rows) for rows in ways.values()}
    harms = {sum(kept(rows, found.threshold)) / len(rows) for rows in ways.values()}
    assert found.share_kept.value == min(shares) and found.harm.value in harms
    assert found.harm.high < budget


def test_the_promise_is_broken_in_at_most_one_draw_of_twenty_in_either_way():
    """Below the threshold 0.7 the harm is over the budget of 2 %: by 2.4 % of calls, which is 8 of 100 inputs."""
    generator, broken = np.random.default_rng(5), 0
    for _ in range(100):
        calls = [(0.9, False)] * 200
        for _ in range(200):
            calls.append((0.6, bool(generator.random() < 0.048)))
        once = [(0.9, False)] * 200 + [(0.6, bool(generator.random() < 0.16)) for _ in range(200)]
        found = choose_for_every_way({"all rows": arms(calls), "once": arms(once)}, budget=0.02)
        broken += isinstance(found, Threshold) and found.threshold < 0.7
    assert broken <= 12  # 5 % of 100, and the chance (99.5 %) of more
