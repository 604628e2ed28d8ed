"""Without gold the prompt is the yardstick: nothing that a run says calls agreement with it accuracy, right or wrong, better or worse, or points."""

import html
import io
import json
import re
from dataclasses import replace

import pytest
from arms import LINEAR, PROMPT, Arm, Measured, Rows, found, shown
from arms import _arm as arm_of
from rich.console import Console

from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.report.result_page import render
from stillhouse.report.result_terminal import terminal
from stillhouse.results.row_result import RowResult
from stillhouse.results.run_result import from_dict, to_dict
from stillhouse.verdict.card import card
from stillhouse.verdict.money.answer_worth import answer_worth

BANNED = re.compile(
    r"points against|[+\-−–]\d[\d.]* points|, points\b|\bbetter than\b|\bworse\b|\bright\b|\bwrong\b|\bas good\b|accura|\berrs?\b|(?<!calibration )\berrors?\b|prompt[:, ]+100\.0 % \[",
    re.IGNORECASE,
)
BOTH, ALONE = "prompt linear", "prompt"
PAID = Arm("prompt", "prompt", usd=0.002)
FAST = Arm("linear", seconds=0.001, training_s=10)
MONEY = {"calls_per_day": 10_000, "machine_usd_per_hour": 0.01, "label_usd": 0.0, "training_usd_per_hour": 0.1}
CALIBRATED = (Rows(600, BOTH, 0.9), Rows(150, BOTH, 0.5), Rows(250, ALONE, 0.3))
CASES = {
    "fails": Measured([PROMPT, LINEAR], [Rows(300, BOTH), Rows(100, ALONE)], scored_against="teacher"),
    "passes": Measured([PROMPT, LINEAR], [Rows(998, BOTH), Rows(2, ALONE)], scored_against="teacher"),
    "cannot tell": Measured([PROMPT, LINEAR], [Rows(99, BOTH), Rows(1, ALONE)], scored_against="teacher"),
    "a lost class": Measured(
        [PROMPT, LINEAR], [Rows(980, BOTH), Rows(12, ALONE, label="rare")], scored_against="teacher"
    ),
    "still learning": Measured(
        [PROMPT, LINEAR],
        [Rows(950, BOTH), Rows(50, ALONE)],
        again={"linear": 0.99},
        curve_end=0.95,
        scored_against="teacher",
    ),
    "a cascade": Measured(
        [PROMPT, LINEAR], [Rows(750, BOTH, 0.9), Rows(250, ALONE, 0.3)], CALIBRATED, scored_against="teacher"
    ),
    "a cascade that breaks its promise": Measured(
        [PROMPT, LINEAR], [Rows(700, BOTH, 0.9), Rows(300, ALONE, 0.9)], CALIBRATED, scored_against="teacher"
    ),
    "passes, and not elsewhere": Measured(
        [PROMPT, LINEAR],
        [Rows(998, BOTH), Rows(2, ALONE)],
        elsewhere=[Rows(80, BOTH), Rows(20, ALONE)],
        scored_against="teacher",
    ),
    "the teacher says nearly always the same": Measured(
        [PROMPT, LINEAR],
        [Rows(997, BOTH), Rows(3, BOTH, label="rare")],
        trained_on=[Rows(900, "", label="common"), Rows(9, "", label="rare")],
        scored_against="teacher",
    ),
    "examples": Measured(
        [PROMPT, shown(8), LINEAR],
        [Rows(950, "prompt shown-8 linear"), Rows(50, ALONE)],
        shown_means={8: 0.95},
        scored_against="teacher",
    ),
    "money with a worth": Measured(
        [PAID, FAST],
        [Rows(998, BOTH), Rows(2, ALONE)],
        money={**MONEY, "right_answer_usd": 0.01},
        scored_against="teacher",
    ),
    "money without": Measured([PAID, FAST], [Rows(700, BOTH), Rows(300, ALONE)], money=MONEY, scored_against="teacher"),
    "twice the same input": Measured(
        [PROMPT, LINEAR],
        [Rows(900, BOTH), Rows(60, ALONE, input="again")],
        scored_against="teacher",
    ),
}


def said(measured, result):
    """Everything that a run says of it, place by place."""
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(terminal(result))
    page = re.sub(r"<style.*?</style>", "", render(result), flags=re.DOTALL)
    page = html.unescape(re.sub(r"<[^>]+>", " ", page)).replace("\u202f", " ").replace("\u00a0", " ")
    texts = {
        "terminal": console.export_text().replace("\u202f", " "),
        "page": page,
        "card": card(result, arm_of(measured, LINEAR)),
        "json": "\n".join(values(to_dict(result))),
    }
    return texts


def values(part):
    if isinstance(part, str):
        yield part
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from values(value)


@pytest.mark.parametrize("name", CASES)
def test_nothing_that_is_said_takes_agreement_for_more(name):
    result = found(CASES[name])
    for place, text in said(CASES[name], result).items():
        if place == "json":
            text = text.replace("\naccuracy\n", "\n")  # the name of the metric
        hit = BANNED.search(text)
        assert hit is None, (place, text[max(0, hit.start() - 200) : hit.end() + 80])
    assert to_dict(from_dict(json.loads(json.dumps(to_dict(result))))) == to_dict(result)


def test_the_gate_says_how_far_a_student_agrees_and_what_is_wanted():
    result = found(CASES["fails"])
    assert "linear, agrees with it to no more than 75.0 % [" in result.verdict.sentence
    gate = next(arm.gate for arm in result.arms if arm.name == "linear")
    assert gate.sentence.startswith("fails: the student agrees with the teacher to 75.0% on 400 rows, at most ")
    assert "short of the 98% that is wanted" in gate.sentence
    assert "prompt: the yardstick, as there is no gold; scores are agreement with its answers" in result.verdict.because


@pytest.mark.slow
def test_a_prompt_with_examples_agrees_with_the_plain_one():
    because = found(CASES["examples"]).verdict.because
    assert any(reason.startswith("shown-8 agrees with prompt to 95.0 % [") for reason in because), because


def test_with_gold_nothing_changes():
    result = found(replace(CASES["fails"], scored_against="gold"))
    assert "linear, is -25.0 points [" in result.verdict.sentence
    assert any(reason.startswith("prompt: 100.0 % [") for reason in result.verdict.because)


def test_an_agreement_that_cannot_be_told_says_what_has_to_be_shown():
    rows = [
        [RowResult(id=str(i), group=None, gold="x", output="x", score=score) for i in range(50)] for score in (1.0, 1.0)
    ]
    gate = decide_gate(*rows, margin=0.02, yardstick=True)
    assert gate.sentence.startswith(
        "cannot tell: the student agrees with the teacher to 100.0% on 50 rows, at least 94"
    )
    assert "and 98% has to be shown" in gate.sentence


def test_what_an_agreeing_answer_is_worth_is_said_as_that():
    scores = ([1.0] * 90 + [0.0] * 10, [1.0] * 100)
    usd = ([0.001] * 100, [0.002] * 100)
    groups = [str(i) for i in range(100)]
    worth = answer_worth(
        "linear", "prompt", scores, usd, groups, unit="answer that agrees with the teacher", agreement=True
    )
    assert (
        "costs $1.00 less per 1,000 calls than prompt and agrees with the teacher 10.0% less (n = 100)"
        in worth.sentence
    )
