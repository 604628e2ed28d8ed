import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from report_samples import ENCODER, PROMPT, arms, curves, estimate, full, money, reliability, threshold_curve, worths

from stillhouse.records import Estimate
from stillhouse.report import plots, svg
from stillhouse.report.acceptability import acceptability
from stillhouse.report.svg import Scale, decade_ticks, linear_ticks, spread, wrapped
from stillhouse.results.money import AnswerWorth, BreakEven, CostLine, Money
from stillhouse.results.result import (
    Arm,
    Cascade,
    Crossover,
    Curve,
    CurvePoint,
    LearningCurves,
    Line,
    Reliability,
    ReliabilityBin,
    ThresholdCurve,
    ThresholdPoint,
)

NONE = {
    "curves": lambda width: plots.learning_curves(LearningCurves(()), "accuracy", {}, width),
    "curve without points": lambda width: plots.learning_curves(
        LearningCurves((Curve("a", (), 10),)), "accuracy", {}, width
    ),
    "volume": lambda width: plots.cost_by_volume(Money(), {}, width),
    "volume without prices": lambda width: plots.cost_by_volume(
        Money(lines=(CostLine("a", None, None), CostLine("b", 0.0, 0.0))), {}, width
    ),
    "cost": lambda width: plots.score_by_cost((), "accuracy", {}, width),
    "worth": lambda width: acceptability((), "correct answer", {}, width),
    "threshold": lambda width: plots.threshold_curve(ThresholdCurve("s", "t", 0, ()), None, {}, width),
    "reliability": lambda width: plots.reliability(Reliability("s", 0, ()), {}, width),
}
HALF = Estimate(0.5, 10)


def worth_of(arm="student", sentence="said", values=(0.01, 0.1, 1.0), shares=(0.9, 0.5, 0.2), flips_at=0.1, **more):
    return AnswerWorth(arm, "prompt", -0.01, -0.1, 100, flips_at, 0.02, None, 0.95, values, shares, sentence, **more)


ONE = {
    "curves": lambda width: plots.learning_curves(
        LearningCurves((Curve("a", (CurvePoint(64, 0.5),), 10),)), "accuracy", {}, width
    ),
    "volume": lambda width: plots.cost_by_volume(Money(lines=(CostLine("a", 0.0, 0.01),)), {}, width),
    "cost": lambda width: plots.score_by_cost(
        (Arm("a", "student", HALF, cost_usd_per_1000=1.0),), "accuracy", {}, width
    ),
    "worth": lambda width: acceptability(
        (worth_of(values=(0.1, 1.0, 10.0), shares=(1.0, 0.5, 0.1)),), "correct answer", {}, width
    ),
    "cost unknown": lambda width: plots.score_by_cost((Arm("a", "student", HALF),), "accuracy", {}, width),
    "threshold": lambda width: plots.threshold_curve(
        ThresholdCurve("s", "t", 10, (ThresholdPoint(0.5, 1.0, 0.5),)), None, {}, width
    ),
    "reliability": lambda width: plots.reliability(
        Reliability("s", 10, (ReliabilityBin(0.4, 0.5, 0.45, HALF),)), {}, width
    ),
}
MANY = {
    "curves": lambda width: plots.learning_curves(curves(), "accuracy", {}, width),
    "volume": lambda width: plots.cost_by_volume(money(), {}, width),
    "cost": lambda width: plots.score_by_cost(arms(), "accuracy", {}, width),
    "worth": lambda width: acceptability(worths(), "correct answer", {}, width),
    "threshold": lambda width: plots.threshold_curve(threshold_curve(), full().cascade, {}, width),
    "reliability": lambda width: plots.reliability(reliability(), {}, width),
}


def drawing(svg):
    return ElementTree.fromstring(str(svg))


def words(svg):
    return [element.text for element in drawing(svg).iter("text")]


@pytest.mark.parametrize("name", NONE)
def test_nothing_to_draw_is_no_drawing(name):
    assert NONE[name](520) == ""


@pytest.mark.parametrize("width", [plots.NARROW, plots.HALF, plots.WIDE])
@pytest.mark.parametrize(
    "draw", [*ONE.values(), *MANY.values()], ids=[*(f"one {name}" for name in ONE), *(f"many {name}" for name in MANY)]
)
def test_a_drawing_is_well_formed_named_and_stays_inside(draw, width):
    root = drawing(draw(width))
    assert root.get("role") == "img"
    ids = {element.get("id"): element.text for element in root if element.get("id")}
    assert all(ids[name] for name in root.get("aria-labelledby").split())
    _, _, right, bottom = map(float, root.get("viewBox").split())
    numbers = [
        (key, float(value))
        for element in root.iter()
        for key, value in element.attrib.items()
        if key in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy")
    ]
    numbers += [
        ("xy"[index % 2], float(value))
        for element in root.iter()
        for index, value in enumerate(re.split("[ ,]", element.get("points") or "0,0"))
    ]
    assert all(-1 <= value <= (right if "x" in key else bottom) + 1 for key, value in numbers)


@pytest.mark.parametrize("name", MANY)
def test_what_the_user_named_cannot_become_markup(name):
    evil = "</text><script>alert('1')</script>&\""
    score = estimate(0.5, 100)
    draw = {
        "curves": lambda: plots.learning_curves(
            LearningCurves(
                (Curve(evil, (CurvePoint(64, 0.5, 0.4, 0.6), CurvePoint(128, 0.6, 0.5, 0.7)), 9),), (Line(evil, score),)
            ),
            evil,
            {},
            520,
        ),
        "volume": lambda: plots.cost_by_volume(
            Money(lines=(CostLine(evil, 1.0, 1.0),), break_even=(BreakEven(evil, evil, 2000.0, evil),)), {}, 520
        ),
        "cost": lambda: plots.score_by_cost((Arm(evil, "student", score, cost_usd_per_1000=1.0),), evil, {}, 520),
        "worth": lambda: acceptability((worth_of(arm=evil, sentence=evil),), evil, {}, 520),
        "threshold": lambda: plots.threshold_curve(
            ThresholdCurve(evil, evil, 9, (ThresholdPoint(0.5, 1.0, 0.5),), evil, 0.4, 0.5), None, {}, 520
        ),
        "reliability": lambda: plots.reliability(
            Reliability(evil, 9, (ReliabilityBin(0.4, 0.5, 0.45, score),)), {}, 520
        ),
    }[name]
    root = drawing(draw())
    assert "<script" not in str(draw()) and not list(root.iter("script"))


def test_the_learning_curve_marks_where_the_student_meets_the_prompt():
    assert {"n* = 2,010", "n* > 9,842", ENCODER, "512", "9,842"} <= set(words(MANY["curves"](700)))


@pytest.mark.parametrize(("censored", "label"), [("<=", "n* ≤ 64"), (">", "n* > 128"), (None, "n* = 90")])
def test_a_crossover_off_the_sizes_tried_says_so(censored, label):
    data = LearningCurves(
        (Curve("student", (CurvePoint(64, 0.5), CurvePoint(128, 0.6)), 100),),
        (Line("prompt", Estimate(0.55, 100)),),
        (Crossover("student", "prompt", None if censored else 90.0, 10.0, 1e9, censored, 0.95, 5, 100),),
    )
    assert label in words(plots.learning_curves(data, "accuracy", {}, 520))


def test_scores_that_never_vary_still_have_a_scale():
    flat = tuple(CurvePoint(n, 1.0, 1.0, 1.0, (1.0, 1.0, 1.0)) for n in (16, 32))
    assert {"99", "100"} <= set(
        words(plots.learning_curves(LearningCurves((Curve("a", flat, 5),)), "accuracy", {}, 520))
    )


def test_arms_without_a_price_and_without_a_cost_stand_apart():
    named = (
        Arm("free", "student", HALF, cost_usd_per_1000=0.0),
        Arm("priceless", "student", HALF),
        Arm("paid", "prompt", HALF, cost_usd_per_1000=2.0),
    )
    assert {"$0", "unknown", "$1", "$10"} <= set(words(plots.score_by_cost(named, "accuracy", {}, 520)))


def test_lines_without_a_price_are_not_drawn_and_break_even_is_marked():
    said = words(MANY["volume"](520))
    assert "hosted" not in " ".join(said) and "41,100 calls" in said


def test_the_acceptability_curve_marks_where_the_choice_flips_and_what_the_user_says_an_answer_is_worth():
    said = words(acceptability((worth_of(yours=0.05, at_yours=0.7),), "correct answer", {}, 520))
    assert {"$0.10", "yours: $0.050", "student", "100", "50"} <= set(said)
    assert worth_of().share_at(0.055) == pytest.approx(0.7)  # half way between 0.9 and 0.5
    assert (worth_of().share_at(1e-9), worth_of().share_at(1e9)) == (0.9, 0.2)


def test_a_flip_beyond_the_axis_and_a_curve_without_one_leave_no_mark():
    said = words(
        acceptability((worth_of(flips_at=None), worth_of(arm="other", flips_at=50.0)), "correct answer", {}, 520)
    )
    assert not any(word.startswith("$50") or word.startswith("yours") for word in said)


def test_what_comes_back_is_in_the_total_cost_as_often_as_it_comes():
    again = CostLine("student", 100.0, 0.001, renewal_usd=10.0, renewal_calls=1000)
    assert [again.total_usd(calls) for calls in (999, 1000, 2500)] == pytest.approx([100.999, 111.0, 122.5])


def test_a_refused_cascade_marks_no_threshold():
    refused = Cascade(ENCODER, PROMPT, 0.02, 0.95, 40, refused="too few rows", rows_missing=109)
    assert not any(
        word.startswith("chosen") for word in words(plots.threshold_curve(threshold_curve(), refused, {}, 520))
    )


def test_scales_meet_their_ends_and_logs_halve():
    assert [Scale(0, 10, 100, 200)(value) for value in (0, 5, 10)] == [100, 150, 200]
    assert Scale(16, 256, 0, 4, log=True)(64) == pytest.approx(2)


def test_ticks_are_round_and_inside():
    assert linear_ticks(0.413, 0.871) == [0.5, 0.6, 0.7, 0.8]
    assert linear_ticks(0.99, 1.0)[-1] == 1.0
    assert decade_ticks(0.01, 1000) == [0.01, 0.1, 1, 10, 100, 1000]
    assert len(decade_ticks(1e-6, 1e9)) <= 7


def test_labels_move_apart_as_little_as_needed():
    assert spread([10, 12, 50], [10, 10, 10], 0, 100) == [10, 20, 50]
    assert spread([98, 99], [10, 10], 0, 100) == [85, 95]


def test_a_long_name_is_broken_and_cut():
    assert wrapped("student on teacher labels of unlabelled rows", 80, lines=2) == ["student on", "teacher…"]


def test_series_colours_are_told_apart_with_any_colour_vision():
    """CIE76 difference of at least 15 between all pairs, as seen and under full protan, deutan and tritan deficiency (Machado et al. 2009)."""
    style = (Path(svg.__file__).parent / "templates" / "colours.css").read_text()
    deficiency = {
        "none": np.eye(3),
        "protan": np.array(
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
        ),
        "deutan": np.array(
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
        ),
        "tritan": np.array(
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
        ),
    }
    schemes = [
        dict(re.findall(r"--(s\d|ink|faint): (#\w{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    ]
    for scheme in schemes:
        assert len(scheme) == svg.SERIES + 2
        for matrix in deficiency.values():
            seen = np.array([lab(matrix @ linear(colour)) for colour in scheme.values()])
            apart = np.linalg.norm(seen[:, None] - seen[None, :], axis=2)
            assert apart[~np.eye(len(seen), dtype=bool)].min() > 15


def linear(colour):
    srgb = np.array([int(colour[index : index + 2], 16) for index in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
