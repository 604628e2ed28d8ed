"""Numbers that may be negative, nothing, unknown or endless, and the sentence for each: a cost is no negative saving, "-0.0" is nothing, and None is unknown."""

import math
import re
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from stillhouse import numbers
from stillhouse.advice.advantage import Advantage, Ranged, data_advantage
from stillhouse.advice.crossover import Crossover, CurveRead
from stillhouse.advice.curves import RunScores
from stillhouse.advice.reach import Climb
from stillhouse.cli.curve_sentences import crossover_lines
from stillhouse.cli.curves import sentences
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.records import Estimate
from stillhouse.results.learning_curves import Curve, CurvePoint, LearningCurves, PromptCrossing
from stillhouse.results.money import NetBenefit
from stillhouse.results.row_result import RowResult
from stillhouse.results.verdict import HalfStep
from stillhouse.settings import MoneySettings
from stillhouse.verdict.evidence import MoneyEvidence, PromptEvidence, StudentEvidence
from stillhouse.verdict.money.answer_worth import answer_worth
from stillhouse.verdict.money.break_even import ArmMoney
from stillhouse.verdict.money.net_benefit import in_words, net_benefit, retirement
from stillhouse.verdict.rules import recommend
from stillhouse.verdict.wording import points

NEVER = re.compile(
    r"(saves|saved|brings|costs|loses|lost|gained|worth|needs) [-\u2212]|[-\u2212]0(\.0*)?(?![.\d])|\bnan\b|\binf|\bNone\b"
)


def net(saving, low, high, benefit=None, at_least=None, *, days=365, level=0.95):
    return NetBenefit(
        arm="student",
        against="prompt",
        calls=3650.0 if days else 1000.0,
        days=days,
        saving_usd=saving,
        saving_low=low,
        saving_high=high,
        worth_usd=None if benefit is None else 0.2,
        net_usd=benefit,
        net_low=at_least,
        level=level,
        n=100,
    )


MONEY = [
    (net(10, 5, 25), "over 365 days (3,650 calls) it saves $10.00 [$5.00, $25.00]"),
    (net(10, -5, 25), "over 365 days (3,650 calls) it saves $10.00 [from $5.00 more to $25.00 less]"),
    (net(-94, -120, -80), "over 365 days (3,650 calls) it costs $94.00 more [$80.00, $120.00]"),
    (net(-94, -200, 12), "over 365 days (3,650 calls) it costs $94.00 more [from $200.00 more to $12.00 less]"),
    (net(-0.004, -0.009, -0.001), "over 365 days (3,650 calls) it costs $0.004 more [$0.001, $0.009]"),
    (net(0, 0, 0), "over 365 days (3,650 calls) it saves nothing"),
    (net(0, -3, 3), "over 365 days (3,650 calls) it saves nothing [from $3.00 more to $3.00 less]"),
    (net(10, 5, 25, level=0.96), "over 365 days (3,650 calls) it saves $10.00 [$5.00, $25.00] at 96%"),
    (net(10, 5, 25, days=None), "over 1,000 calls it saves $10.00 [$5.00, $25.00]"),
    (net(10, 5, 25, days=1), "over 1 day (3,650 calls) it saves $10.00 [$5.00, $25.00]"),
    (
        net(-9, -10, -8, 5, 1),
        "it costs $9.00 more [$8.00, $10.00]; with $0.2 for a right answer it brings $5.00, at least $1.00 at 95%",
    ),
    (net(10, 5, 25, 5, -1), "for a right answer it brings $5.00, at worst a loss of $1.00 at 95%"),
    (net(10, 5, 25, -5, -9), "for a right answer it loses $5.00, at most $9.00 at 95%"),
    (net(10, 5, 25, 0, -9), "for a right answer it brings nothing, at worst a loss of $9.00 at 95%"),
]


@pytest.mark.parametrize(("found", "says"), MONEY, ids=[says[-60:] for _, says in MONEY])
def test_a_negative_saving_is_a_cost_and_a_negative_benefit_a_loss(found, says):
    assert in_words(found).endswith(says)
    assert not NEVER.search(in_words(found))


def test_what_rounding_leaves_is_neither_saved_nor_lost():
    """0.1 + 0.2 a call against 0.3 is no saving, and no reason to change an app."""
    arm = ArmMoney(name="student", fixed_usd=0.0, usd_per_call=0.3)
    rows = [1.0] * 50, [1.0] * 50
    usd = [0.3] * 50, [0.1 + 0.2] * 50
    names = [str(n) for n in range(50)]
    found = net_benefit(arm, arm, rows, usd, names, MoneySettings(), level=0.95, start=date(2026, 1, 1))
    assert (found.saving_usd, found.pays_off) == (0.0, False)
    assert in_words(found) == "over 1,000 calls it saves nothing"


WRITTEN = [
    (numbers.usd_in_sentence(-5), "-$5.00"),
    (numbers.usd_in_sentence(-0.0021), "-$0.0021"),
    (numbers.usd_in_sentence(-0.0), "$0.00"),
    (numbers.usd_in_sentence(0.004), "$0.004"),
    (numbers.usd_in_sentence(0.999), "$1.00"),
    (numbers.usd_in_sentence(-0.994), "-$0.99"),
    (numbers.usd_in_sentence(math.nan), "unknown"),
    (numbers.usd_in_sentence(math.inf), "unknown"),
    (numbers.usd(-0.0), "$0"),
    (numbers.usd(math.nan), "unknown"),
    (numbers.usd(9.9996e8), "$1,000\u202fmillion"),
    (numbers.usd(3e15), "$3,000\u202ftrillion"),
    (numbers.count(-0.2), "0"),
    (numbers.count(math.inf), "unknown"),
    (numbers.count(1234.0e12), "1,230\u202ftrillion"),
    (numbers.percent(-1e-9), "0.0\u202f%"),
    (numbers.percent(math.nan), "unknown"),
    (numbers.bare(-0.0001), "0.0"),
    (numbers.points(-0.0001), "+0.0"),
    (numbers.points(0.0), "+0.0"),
    (numbers.points(-0.001), "\u22120.1"),
    (points(Estimate(-0.0001, 90, -0.02, 0.0)), "+0.0 points [-2.0, +0.0] (n = 90)"),
]


@pytest.mark.parametrize(("written", "right"), WRITTEN, ids=[right for _, right in WRITTEN])
def test_numbers_in_sentences_have_no_negative_nothing_and_no_nan(written, right):
    assert written == right


def test_a_gate_without_a_difference_says_no_minus_nothing():
    own = [RowResult(id=str(i), group=None, gold="x", output="x", score=0.5 - 1e-9) for i in range(40)]
    other = [replace(row, score=0.5) for row in own]
    sentence = decide_gate(own, other, margin=0.02).sentence
    assert "the student is +0.0 points" in sentence and not NEVER.search(sentence)


def advantage(rows, interval=None, spread=None, **more):
    curve = CurveRead("prompt", (16, 32), (0.5, 0.6), (3, 3))
    crossed = Crossover(
        leader="head",
        n_star=None,
        low=None,
        high=None,
        level=None,
        censored=">",
        crossings=(),
        sentence="head does not",
    )
    return Advantage(
        protocol="ours",
        better="prompt",
        worse="head",
        advantage=rows,
        spread=spread,
        interval=interval,
        level=0.95,
        ratio=Ranged(None),
        window=(0.5, 0.6),
        full_range=False,
        crossover=crossed,
        at=None,
        curves=(curve, replace(curve, name="head")),
        **more,
    )


ROWS = [
    (advantage(249, (191, 314)), "prompt is worth 249 [191, 314] training rows against head"),
    (advantage(175, (-39, 329)), "prompt is worth 175 training rows against head [from 39 more to 329 fewer]"),
    (advantage(-44, (-80, -20)), "prompt needs 44 [20, 80] more training rows than head"),
    (advantage(-44, (-80, 10)), "prompt needs 44 more training rows than head [from 80 more to 10 fewer]"),
    (advantage(-44, spread=7), "prompt needs 44 ± 7 more training rows than head"),
    (advantage(-0.3), "prompt is worth no training rows against head"),
    (advantage(282, spread=34), "prompt is worth 282 ± 34 training rows against head"),
]


@pytest.mark.parametrize(("found", "says"), ROWS, ids=[says for _, says in ROWS])
def test_who_needs_more_rows_is_not_worth_a_negative_number_of_them(found, says):
    assert found.in_words == says
    said = "\n".join(sentences(found))
    assert f"advantage: {says} (" in said and not NEVER.search(said)
    assert "needs an unknown number of times" in said  # the ratio is not known


def falling():
    def runs(name, means):
        return RunScores(
            name,
            {
                n: {str(s): mean + 0.001 * s for s in range(6)}
                for n, mean in zip((100, 200, 400, 800), means, strict=True)
            },
        )

    return runs("falling", (0.80, 0.92, 0.92, 0.86)), runs("level", (0.82, 0.89, 0.89, 0.895))


def test_that_a_curve_falls_comes_before_every_number_that_hides_it():
    lines = sentences(data_advantage(*falling()))
    [fall] = [at for at, line in enumerate(lines) if line.startswith("note: falling falls from 0.92")]
    [number] = [at for at, line in enumerate(lines) if line.startswith("advantage: ")]
    assert fall < number
    assert sum("hides that" in line for line in lines) == 1


def test_rows_and_ratio_that_disagree_are_said_before_either():
    found = advantage(273, notes=("rows and ratio disagree", "other"), cautions=("rows and ratio disagree",))
    lines = sentences(found)
    assert (
        lines[0] == "note: rows and ratio disagree"
        and lines[1].startswith("advantage: ")
        and lines[-1] == "note: other"
    )


def crossing(**found):
    known = {"n_star": None, "low": None, "high": None, "censored": None, "level": 0.95, "n_seeds": 3, "n_rows": 150}
    return PromptCrossing(**{"curve": "linear", "prompt": "prompt", **known, **found})


MEETS = [
    (crossing(n_star=300.0, low=200.0, high=500.0), "linear meets the prompt at about 300 labels [200, 500]"),
    (crossing(n_star=300.0, low=200.0), "linear meets the prompt at about 300 labels [200, beyond the largest]"),
    (
        crossing(censored=">", low=700.0),
        "linear does not meet the prompt at any size up to 800 labels [700, beyond the largest]",
    ),
    (
        crossing(censored="<=", high=90.0),
        "linear meets the prompt at or below 100 labels [below the smallest size, 90]",
    ),
    (
        crossing(),
        "linear meets the prompt at an unknown number of labels [below the smallest size, beyond the largest]",
    ),
    (
        crossing(note="linear falls from 0.9 to 0.8"),
        "linear falls from 0.9 to 0.8, so no number of labels meets the prompt for good",
    ),
]


@pytest.mark.parametrize(("found", "says"), MEETS, ids=[says for _, says in MEETS])
def test_where_a_curve_meets_the_prompt_is_said_of_every_kind_of_answer(found, says):
    curve = Curve("linear", (CurvePoint(100, 0.5), CurvePoint(800, 0.7)), 150)
    [line] = crossover_lines(LearningCurves((curve,), crossovers=(found,)))
    assert line.startswith(says)


def failing(climb, **money):
    return StudentEvidence(
        name="linear",
        learns_from="gold",
        score=Estimate(0.7, 500),
        gate="fail",
        gate_sentence="fails",
        difference=Estimate(-0.1, 500, -0.12, -0.08),
        better=False,
        margin=0.02,
        rows_needed=None,
        n_train=1414,
        climb=climb,
        money=MoneyEvidence(**money),
    )


STEP = HalfStep("linear", 1000, 2000)
CLIMBS = [
    (
        Climb(n=1414, score=0.7, gain=0.0, step=STEP, gained=-0.01),
        "from 1,000 to 1,414 training rows linear lost 1.0 points, and 78.0% is wanted",
    ),
    (
        Climb(n=1414, score=0.7, gain=0.0, step=STEP, gained=-1e-5),
        "training rows linear gained nothing, and 78.0% is wanted",
    ),
    (
        Climb(n=1414, score=0.7, gain=0.0, step=STEP, gained=0.01),
        "training rows linear gained +1.0 points; as much again would come to",
    ),
    (Climb(n=1414, score=0.7, gain=0.0), "the last doubling gained linear nothing, and 78.0% is wanted"),
]


@pytest.mark.parametrize(("climb", "says"), CLIMBS, ids=[says for _, says in CLIMBS])
def test_a_curve_that_gained_nothing_or_fell_is_not_said_to_have_gained(climb, says):
    verdict = recommend(PromptEvidence("prompt", Estimate(0.8, 500)), [failing(climb)])
    assert says in verdict.buy_next and not NEVER.search(verdict.buy_next)


BREAK_EVEN = [
    ({"break_even_calls": 1200.0}, "break-even: 1,200 calls"),
    ({"break_even_calls": 0.0}, "break-even: at once"),
    ({"never_breaks_even": True}, "break-even: never"),
    ({}, "break-even: unknown"),
]


@pytest.mark.parametrize(("money", "says"), BREAK_EVEN, ids=[says for _, says in BREAK_EVEN])
def test_never_is_not_unknown_and_nothing_is_at_once(money, says):
    verdict = recommend(PromptEvidence("prompt", Estimate(0.8, 500)), [failing(None, **money)])
    assert says in verdict.because[1].split("; ")


WORTHS = [
    # scores of the arm and of the prompt on 200 rows, dollars a call
    (100, 100, 0.01, 0.01, "arm costs as much as prompt and is as good (n = 200)"),
    (100, 100, 0.02, 0.01, "arm costs $10.00 more per 1,000 calls than prompt and is as good (n = 200)"),
    (90, 100, 0.01, 0.01, "arm costs as much as prompt and is 5.0 points worse (n = 200)"),
    (90, 100, 0.0, 0.01, "arm costs $10.00 less per 1,000 calls than prompt and is 5.0 points worse (n = 200)"),
]


@pytest.mark.parametrize(("own", "other", "own_usd", "other_usd", "says"), WORTHS, ids=[case[-1] for case in WORTHS])
def test_what_an_answer_must_be_worth_is_said_where_a_difference_is_nothing(own, other, own_usd, other_usd, says):
    scores = tuple([1.0] * right + [0.0] * (200 - right) for right in (own, other))
    found = answer_worth(
        "arm", "prompt", scores, ([own_usd] * 200, [other_usd] * 200), [str(n) for n in range(200)], n_resamples=100
    )
    assert found.sentence.startswith(says) and not NEVER.search(found.sentence)


def test_a_difference_too_small_to_be_written_is_not_0_0_points():
    scores = np.full(200, 0.5), np.full(200, 0.5001)
    found = answer_worth(
        "arm", "prompt", scores, (np.zeros(200), np.ones(200)), [str(n) for n in range(200)], n_resamples=100
    )
    assert "is less than 0.1 points worse" in found.sentence


def test_a_model_that_goes_tomorrow_goes_in_1_day():
    money = ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.1, ends=date(2026, 1, 2))
    assert retirement(money, date(2026, 1, 1)).endswith("in 1 day")


@pytest.mark.parametrize(
    ("amount", "written"), [(2.5, "$2.5"), (8e-8, "$0.00000008"), (1e6, "$1000000"), (0.0, "$0"), (20, "$20")]
)
def test_what_a_user_gave_is_written_without_an_exponent(amount, written):
    assert numbers.usd_as_given(amount) == written


def test_that_the_better_arm_depends_on_the_score_comes_before_what_is_so_on_average():
    def runs(name, means):
        return RunScores(
            name,
            {
                n: {str(s): mean + 0.001 * s for s in range(6)}
                for n, mean in zip((100, 200, 400, 800), means, strict=True)
            },
        )

    lines = sentences(data_advantage(runs("a", (0.50, 0.62, 0.70, 0.72)), runs("b", (0.45, 0.64, 0.66, 0.78))))
    assert lines[0] == "note: the curves cross more than once, so which arm needs fewer rows depends on the score"
    assert lines[1].startswith("note: at a score of 0.61") and lines[1].endswith("than on average over the window")
    assert lines[2].startswith("advantage: a is worth ")
