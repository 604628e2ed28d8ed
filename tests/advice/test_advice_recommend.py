"""The verdict as a table of cases, and the money's lines."""

import pytest

from stillhouse.advice.breakeven import Line, break_even, machine_usd_per_call
from stillhouse.advice.recommend import CascadeEvidence, PromptEvidence, StudentEvidence, recommend
from stillhouse.records import Estimate

PROMPT = PromptEvidence("prompt", Estimate(0.80, 500, 0.76, 0.83))


def student(gate, difference, *, name="linear", learns_from="teacher", rows_needed=None, pays_off=None, reach=None, low=None, high=None):
    half = 0.02
    low, high = difference - half if low is None else low, difference + half if high is None else high
    estimate = Estimate(difference, 500, low, high)
    return StudentEvidence(name, learns_from, Estimate(0.8 + difference, 500, None, None), gate, f"{gate}s", estimate, 0.02, rows_needed, 1000, pays_off, reach)


def cascade(share=0.6, low=0.55, gate="pass", refused=None):
    kept = None if refused else Estimate(share, 300, low, share + 0.05)
    return CascadeEvidence("cascade", "linear", kept, None if refused else Estimate(0.8, 500, 0.77, 0.83), 0.02, 0.95, gate, refused)


CASES = [
    # what, students, cascade, few-shot gain, verdict, chosen
    ("a student on gold labels passes", [student("pass", 0.0, learns_from="gold")], None, None, "finetune", "linear"),
    ("a student on teacher labels passes", [student("pass", 0.0)], None, None, "distil", "linear"),
    ("the first that passes is taken", [student("fail", -0.1), student("pass", 0.0, name="encoder")], cascade(), None, "distil", "encoder"),
    ("it passes but never pays off", [student("pass", 0.0, pays_off=False)], None, None, "keep prompt", "prompt"),
    ("it costs more and is better", [student("pass", 0.1, pays_off=False, low=0.05)], None, None, "distil", "linear"),
    ("a cascade keeps its promise", [student("fail", -0.1)], cascade(), None, "cascade", "cascade"),
    ("a cascade that keeps next to nothing", [student("fail", -0.1)], cascade(0.08, 0.05), None, "keep prompt", "prompt"),
    ("a cascade that fails its own gate", [student("fail", -0.1)], cascade(gate="fail"), None, "keep prompt", "prompt"),
    ("no threshold, far below", [student("fail", -0.4)], cascade(refused="harms too much"), None, "keep prompt", "prompt"),
    ("more test rows would tell", [student("cannot tell", -0.01, rows_needed=900)], None, None, "collect more", None),
    ("no number of rows would tell", [student("cannot tell", -0.02)], None, None, "cannot tell", None),
    ("the curve may reach it", [student("fail", -0.05, reach=(2000, 0.79))], None, None, "collect more", None),
    ("examples help, students do not", [student("fail", -0.4)], None, Estimate(0.03, 500, 0.01, 0.05), "few-shot", "few-shot"),
    ("examples do not help", [student("fail", -0.4)], None, Estimate(0.01, 500, -0.01, 0.03), "keep prompt", "prompt"),
    ("no student at all", [], None, None, "keep prompt", "prompt"),
]


@pytest.mark.parametrize(("students", "has_cascade", "gain", "kind", "chosen"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_verdict(students, has_cascade, gain, kind, chosen):
    few_shot = None if gain is None else PromptEvidence("few-shot", Estimate(0.83, 500), gain)
    advice = recommend(PROMPT, students, few_shot=few_shot, cascade=has_cascade)
    assert (advice.kind, advice.chosen) == (kind, chosen)
    assert advice.sentence.endswith(".")
    assert any("n = 500" in fact for fact in advice.because)


def test_without_a_prompt_nothing_is_replaced():
    advice = recommend(None, [student("pass", 0.0)])
    assert (advice.kind, advice.chosen) == ("cannot tell", None)


def test_what_to_buy_next_says_how_many():
    assert recommend(PROMPT, [student("cannot tell", -0.01, rows_needed=900)]).buy_next == "about 400 more labelled test rows"
    assert recommend(PROMPT, [student("fail", -0.05, reach=(2000, 0.79))]).buy_next == "1,000 more training rows"


def test_lines_cross_where_the_saving_has_paid_the_fixed_cost():
    found = break_even(Line("student", 100.0, 0.0001), Line("prompt", 0.0, 0.0021))
    assert found.calls == pytest.approx(50_000)
    assert "from 50,000 calls on" in found.sentence


def test_dearer_calls_never_pay_off_and_unknown_prices_stay_unknown():
    assert break_even(Line("student", 1.0, 0.02), Line("prompt", 0.0, 0.01)).calls is None
    assert "never pays off" in break_even(Line("student", 1.0, 0.02), Line("prompt", 0.0, 0.01)).sentence
    unknown = break_even(Line("student", 1.0, None), Line("prompt", 0.0, 0.01))
    assert unknown.calls is None
    assert "unknown" in unknown.sentence


def test_a_call_costs_its_share_of_the_machine():
    assert machine_usd_per_call(0.36, 0.01, 0.5) == pytest.approx(0.000002)  # $0.0001 a second, 0.01 s, half of the time idle
    assert machine_usd_per_call(None, 0.01, 0.5) is None
    assert machine_usd_per_call(0.36, None, 0.5) is None
