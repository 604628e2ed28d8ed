"""Money and the verdict, as a table of cases: the horizon, the worth of a right answer, missing prices, and a prompt that is switched off."""

from dataclasses import dataclass, replace
from datetime import date

import pytest
from arms import LINEAR, PROMPT, Measured, Rows, found

BOTH = "prompt linear"
DAY = 24.0  # dollars of a machine for a day at $1 an hour
A_DOLLAR_AN_HOUR = {"machine_usd_per_hour": 1.0, "utilisation": 0.25}
SAME = [Rows(400, BOTH)]  # passes: 0.98^400 < 0.001
BETTER = [Rows(360, BOTH), Rows(40, "linear")]  # +10 points
MISSES = [Rows(360, BOTH), Rows(40, "prompt")]  # -10 points


@dataclass
class Case:
    name: str
    prompt_usd: float | None
    seconds: float | None
    test: list
    money: dict
    kind: str
    says: tuple  # what stands in the sentence, the facts or what would change it
    why: str  # the sum by hand


CASES = [
    Case(
        "a break-even after ten thousand years",
        2.2e-6,
        0.0001,
        SAME,
        {"calls_per_day": 10, "machine_usd_per_hour": 0.0, "label_usd": 0.0565},
        "keep prompt",
        ("so no saving is shown", "over 365 days"),
        "1,500 labels at $0.0565 are $84.75 once; 3,650 calls save $0.008",
    ),
    Case(
        "dearer, and a right answer is worth next to nothing",
        2.2e-6,
        4320.0,
        BETTER,
        A_DOLLAR_AN_HOUR | {"right_answer_usd": 1e-6},
        "keep prompt",
        ("no benefit is shown",),
        "a call costs $4.80 (4,320 s / 0.25 at $1 an hour), ten points are worth $1e-7",
    ),
    Case(
        "dearer, and a right answer is worth much",
        0.01,
        3.6,
        BETTER,
        A_DOLLAR_AN_HOUR | {"right_answer_usd": 1.0},
        "distil",
        ("better than it", "it brings"),
        "a call costs $0.004 against $0.01, ten points are worth $0.10",
    ),
    Case(
        "dearer and better, and nobody says what an answer is worth",
        0.001,
        3.6,
        BETTER,
        A_DOLLAR_AN_HOUR,
        "distil",
        ("a right answer that is worth more, or less, than $0.03",),
        "$0.003 more a call for ten points: 0.003 / 0.10",
    ),
    Case(
        "the same, and the machine's price is not known",
        0.01,
        3.6,
        SAME,
        {"utilisation": 0.25},
        "distil",
        ("linear pays off if its machine costs under $2.50 an hour",),
        "0.01 / 3.6 s x 3,600 s x 0.25 = $2.50",
    ),
    Case(
        "the same, and the machine's price is not known for a volume",
        0.01,
        3.6,
        SAME,
        {"calls_per_day": 1200, "utilisation": 0.25},
        "distil",
        ("linear pays off if its machine costs under $0.5 an hour",),
        "1,200 calls a day cost the prompt $12; one machine for 24 h: 12 / 24",
    ),
    Case(
        "the prompt's price is not known",
        None,
        3.6,
        SAME,
        A_DOLLAR_AN_HOUR,
        "distil",
        ("linear pays off if a call of prompt costs over $0.004",),
        "3.6 s / 0.25 at $1 an hour",
    ),
    Case(
        "a saving smaller than the user thinks worth a change",
        0.01,
        3.6,
        SAME,
        {"calls_per_day": 4800, "machine_usd_per_hour": 1.0, "utilisation": 0.25, "least_saving_usd": 9000},
        "keep prompt",
        ("so no saving is shown, and $9,000.00 is the least that counts",),
        "(48 - 24) x 365 = $8,760",
    ),
    Case(
        "the same saving where less is asked for",
        0.01,
        3.6,
        SAME,
        {"calls_per_day": 4800, "machine_usd_per_hour": 1.0, "utilisation": 0.25, "least_saving_usd": 8000},
        "distil",
        ("it saves $8,760.00",),
        "(48 - 24) x 365 = $8,760",
    ),
    Case(
        "a horizon too short to earn the labels back",
        0.01,
        3.6,
        SAME,
        {"calls_per_day": 4800, "machine_usd_per_hour": 1.0, "utilisation": 0.25, "label_usd": 1.0, "horizon_days": 62},
        "keep prompt",
        ("so no saving is shown", "over 62 days"),
        "$24 a day for 62 days is $1,488; 1,000 training, 100 validation and 400 test labels are $1,500",
    ),
    Case(
        "a horizon just long enough",
        0.01,
        3.6,
        SAME,
        {"calls_per_day": 4800, "machine_usd_per_hour": 1.0, "utilisation": 0.25, "label_usd": 1.0, "horizon_days": 64},
        "distil",
        ("it saves $36.00",),
        "24 x 64 - 1,500 = 36",
    ),
    Case(
        "a student that is kept out by its gate brings more",
        1.0,
        3.6,
        MISSES,
        A_DOLLAR_AN_HOUR | {"right_answer_usd": 0.01},
        "keep prompt",
        ("linear does not pass its gate, which money does not overrule: over 1,000 calls it saves $996.00",),
        "$0.996 saved a call, and ten points are worth $0.001",
    ),
    Case(
        "the prompt's model goes in sixteen days, and nothing replaces it",
        0.01,
        3.6,
        MISSES,
        A_DOLLAR_AN_HOUR | {"prompt_retires": date(2026, 10, 17), "calls_per_day": 4800},
        "keep prompt",
        ("the model of prompt is switched off on 17 October 2026, in 16 days", "the answers of its successor"),
        "runs are of 1 October 2026",
    ),
    Case(
        "the prompt's model is gone already",
        0.01,
        3.6,
        MISSES,
        A_DOLLAR_AN_HOUR | {"prompt_retires": date(2026, 9, 30), "calls_per_day": 4800},
        "keep prompt",
        ("the model of prompt was switched off on 30 September 2026",),
        "the day before the run",
    ),
    Case(
        "a saving ends with the prompt's model",
        0.01,
        3.6,
        SAME,
        {
            "calls_per_day": 4800,
            "machine_usd_per_hour": 1.0,
            "utilisation": 0.25,
            "label_usd": 1.0,
            "prompt_retires": date(2026, 10, 17),
        },
        "keep prompt",
        ("over 16 days", "so no saving is shown"),
        "16 days save $384, labels are $1,500",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_is_what_the_sum_says(case):
    arms = [replace(PROMPT, usd=case.prompt_usd), replace(LINEAR, seconds=case.seconds, learns_from="gold")]
    if case.kind == "distil":
        arms[1] = replace(arms[1], learns_from="gold" if "label_usd" in case.money else "teacher")
    verdict = found(Measured(arms, case.test, money=case.money)).verdict
    kind = "finetune" if case.kind == "distil" and arms[1].learns_from == "gold" else case.kind
    assert verdict.kind == kind, verdict
    whole = " | ".join([verdict.sentence, *verdict.because, *verdict.would_change, verdict.buy_next])
    for part in case.says:
        assert part in whole, whole


def test_five_rows_without_a_difference_are_not_sure_at_any_worth():
    arms = [replace(PROMPT, usd=0.01), replace(LINEAR, seconds=3.6)]
    [worth] = found(Measured(arms, [Rows(5, BOTH)], money=A_DOLLAR_AN_HOUR)).money.worth
    assert worth.flips_at is None and worth.low is not None and worth.low < 0.05
    assert "with 95% confidence up to $" in worth.sentence
    [many] = found(Measured(arms, [Rows(2000, BOTH)], money=A_DOLLAR_AN_HOUR)).money.worth
    assert many.low > 50 * worth.low  # 2,000 rows without a difference say more


def test_a_cascade_that_is_better_is_not_dropped_for_a_trifle():
    """+5 points, and a call costs $0.00002 more: without a worth it is taken, and the worth that flips is said."""
    test = [Rows(500, BOTH, 0.9), Rows(40, "linear", 0.9), Rows(260, "prompt", 0.1)]
    calibration = [Rows(300, BOTH, 0.9), Rows(200, "prompt", 0.1)]
    arms = [replace(PROMPT, usd=0.0001), replace(LINEAR, seconds=0.0765)]
    measured = Measured(arms, test, calibration=calibration, money=A_DOLLAR_AN_HOUR)
    verdict = found(measured).verdict
    assert verdict.kind == "cascade"
    assert any("a right answer that is worth more, or less, than" in change for change in verdict.would_change)
    cheap = found(replace(measured, money=A_DOLLAR_AN_HOUR | {"right_answer_usd": 1e-6})).verdict
    assert cheap.kind == "keep prompt"
    assert any(fact.startswith("no cascade: ") and "no benefit is shown" in fact for fact in cheap.because)


def test_of_two_that_pass_the_one_that_brings_more_is_taken_where_the_worth_is_known():
    encoder = replace(LINEAR, name="encoder")
    test = [Rows(1500, "prompt linear encoder"), Rows(100, "encoder")]
    arms = [replace(PROMPT, usd=0.01), replace(LINEAR, seconds=0.36), replace(encoder, seconds=3.6)]
    first = found(Measured(arms, test, money=A_DOLLAR_AN_HOUR)).verdict
    assert first.chosen == "linear"  # no worth is known: the first of the ladder
    dear = found(Measured(arms, test, money=A_DOLLAR_AN_HOUR | {"right_answer_usd": 1.0})).verdict
    assert dear.chosen == "encoder"  # 6.25 points for $0.0036 a call
    assert any(fact.startswith("linear is not taken: ") and "less than encoder brings" in fact for fact in dear.because)
