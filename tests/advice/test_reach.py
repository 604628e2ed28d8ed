"""More training rows: how many before the next look, when to go on, and how often curves of real tasks did what is hoped."""

import math
from pathlib import Path

import numpy as np
import pytest

from stillhouse.advice import gain_ratios
from stillhouse.advice.reach import RATIOS, Climb, climb, hoped, next_rows
from stillhouse.results.learning_curves import CurvePoint
from stillhouse.results.verdict import HalfStep

ROOT = Path(__file__).parent.parent.parent


def curve(*points):
    return [CurvePoint(n, mean) for n, mean in points]


RISING = curve((256, 0.60), (512, 0.66), (1024, 0.72))


def test_the_first_look_asks_for_half_an_octave_and_says_from_which_score_to_go_on():
    """0.03 are missing, half of the last gain. At 1,448 rows half of that must be there: then as much again reaches it."""
    end = climb("linear", RISING)
    assert (end.n, end.score, end.gain, end.step) == (1024, 0.72, pytest.approx(0.06), None)
    assert hoped(end) == pytest.approx(0.78)
    rows = next_rows("linear", end, 0.75)
    assert (rows.n_rows, rows.until, rows.n_rest) == (424, 2048, 600)
    assert rows.go_on_from == pytest.approx(0.735)
    at_half = RATIOS.index(0.5)
    assert (rows.reach, rows.found) == pytest.approx((gain_ratios.REACH[at_half], gain_ratios.FOUND[at_half]))
    assert rows.expected_rows == pytest.approx(424 + gain_ratios.GO_ON[at_half] * 600)


def test_no_rows_are_asked_for_where_the_last_gain_again_would_not_do():
    end = climb("linear", RISING)
    assert next_rows("linear", end, 0.78) is not None  # exactly
    assert next_rows("linear", end, 0.781) is None
    assert climb("linear", RISING[:1]) is None


@pytest.mark.parametrize(
    ("at_half_step", "goes_on"),
    [(0.735, True), (0.7349, False), (0.75, True), (0.72, False), (0.70, False)],  # 0.735 + 0.015 = 0.75
)
def test_the_second_look_goes_on_only_if_the_half_steps_gain_again_reaches(at_half_step, goes_on):
    """Though the last doubling, from 724 rows to 1,448, gained enough in each but the last."""
    bought = [HalfStep("linear", 1024, 2048)]
    end = climb("linear", [*RISING, CurvePoint(1448, at_half_step)], bought)
    assert end.gained == pytest.approx(at_half_step - 0.72)
    rows = next_rows("linear", end, 0.75)
    assert (rows is not None) is goes_on
    if rows is not None:
        assert (rows.n_rows, rows.n_rest, rows.until, rows.go_on_from) == (600, 0, 2048, None)
        assert (rows.reach, rows.n_curve_points) == (gain_ratios.AFTER_GOING_ON, gain_ratios.N_WENT_ON)


@pytest.mark.parametrize(
    ("step", "under_way"),
    [
        (HalfStep("linear", 1024, 2048), True),
        (HalfStep("encoder", 1024, 2048), False),  # another student's
        (HalfStep("linear", 1448, 2896), False),  # this very run's, asked again
        (HalfStep("linear", 1300, 2600), False),  # a tenth more rows is no half step
        (HalfStep("linear", 700, 1400), False),  # the doubling is there
        (HalfStep("linear", 128, 256), False),
    ],
)
def test_a_step_is_looked_at_while_it_is_under_way(step, under_way):
    end = climb("linear", [*RISING, CurvePoint(1448, 0.74)], [step])
    assert (end.step is not None) is under_way


def test_a_curve_that_is_there_already_is_asked_to_stay():
    """Its mean has what is wanted, though the student that was tested has not."""
    rows = next_rows("linear", Climb(n=100, score=0.8, gain=0.0), 0.75)
    assert (rows.reach, rows.go_on_from) == (gain_ratios.REACH[0], 0.8)


def test_the_end_of_a_curve_is_read_on_numpys_line_in_log2():
    generator = np.random.default_rng(5)
    for _ in range(50):
        sizes = np.unique(np.sort(generator.integers(16, 4000, 6)))
        means = generator.uniform(0.3, 0.9, len(sizes))
        end = climb("a", curve(*zip(sizes.tolist(), means.tolist(), strict=True)))
        start = max(sizes[-1] / 2, sizes[0])
        before = np.interp(np.log2(start), np.log2(sizes), means)
        assert end.gain == pytest.approx(max(0.0, means[-1] - before) / np.log2(sizes[-1] / start))


def test_curves_that_stop_short_cost_half_the_rows_and_those_that_arrive_are_found():
    """Gains that shrink by one factor per half octave: the doubling brings 1 + f half steps. Simulated, with noise of means."""
    generator = np.random.default_rng(6)
    vain, n_short, found, n_there = 0.0, 0, 0, 0
    for _ in range(400):
        factor, first = generator.uniform(0.3, 1.0), generator.uniform(0.01, 0.06)
        gains = first * factor ** np.arange(5)  # half octaves from 512 to 2,896 rows
        true = 0.6 + np.concatenate([[0.0], np.cumsum(gains)])
        seen = true + generator.normal(0, 0.002, 6)
        points = curve(*zip((512, 724, 1024, 1448, 2048, 2896), seen.tolist(), strict=True))
        wanted = seen[2] + generator.uniform(0.1, 1.0) * (seen[2] - seen[0])
        if next_rows("a", climb("a", points[:3]), wanted) is None:
            continue
        on = next_rows("a", climb("a", points[:4], [HalfStep("a", 1024, 2048)]), wanted) is not None
        if true[4] < wanted:
            n_short, vain = n_short + 1, vain + (1.0 if on else 0.41)
        else:
            n_there, found = n_there + 1, found + on
    assert n_short > 100 and n_there > 40
    assert vain / n_short < 0.65 and found / n_there > 0.85


def test_the_shipped_figures_are_those_of_the_runs(real_data, monkeypatch):
    folder = real_data / "promptworth"
    if not folder.is_dir():
        pytest.skip("the runs of Le Scao & Rush 2021 are not here")
    monkeypatch.syspath_prepend(str(ROOT))
    from bench.gains import figures

    assert figures(folder) == Path(gain_ratios.__file__).read_text(encoding="utf-8")


def test_the_shipped_figures_are_chances_that_fall_with_what_is_wanted():
    assert len(gain_ratios.REACH) == len(gain_ratios.FOUND) == len(gain_ratios.GO_ON) == len(RATIOS)
    for shares in (gain_ratios.REACH, gain_ratios.FOUND):
        assert list(shares) == sorted(shares, reverse=True) and all(0 < share < 1 for share in shares)
    # a plan that looks halfway buys less than the doubling, and finds no more
    assert all(found <= reach for found, reach in zip(gain_ratios.FOUND, gain_ratios.REACH, strict=True))


def test_a_points_gains_are_read_as_the_naive_definition_reads_them(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from bench.gains import Point, _points_of, shares

    [point] = _points_of("t", {10: 0.5, 20: 0.6, 28: 0.65, 40: 0.68})
    assert (point.n, point.last, point.whole) == (20, pytest.approx(0.1), pytest.approx(0.08))
    slope = math.log2(math.sqrt(2) * 20 / 28) / math.log2(40 / 28)  # 28.3 lies a little beyond 28
    assert point.half == pytest.approx(0.05 + 0.03 * slope)
    assert not point.reaches(0.9) and point.reaches(0.8) and not point.at_half(0.8) and point.goes_on(0.8)
    assert [p.half for p in _points_of("t", {10: 0.5, 20: 0.6, 40: 0.68})] == [None]  # nothing was tried between
    of = shares([point, Point("t", 20, 0.1, 0.0, 0.0), Point("t", 20, -0.1, 0.0, 0.0)])  # the last one did not rise
    assert of["reach"][RATIOS.index(0.8)] == of["found"][RATIOS.index(0.8)] == of["go_on"][RATIOS.index(0.8)] == 0.5
