"""The verdict as a table of cases, what each verdict names, and the money's lines."""

from dataclasses import replace
from datetime import date

import pytest

from stillhouse.advice.reach import Climb
from stillhouse.records import Estimate
from stillhouse.results.money import NetBenefit
from stillhouse.results.verdict import HalfStep
from stillhouse.verdict.evidence import CascadeEvidence, Contrast, MoneyEvidence, PromptEvidence, StudentEvidence
from stillhouse.verdict.money.break_even import ArmMoney, break_even
from stillhouse.verdict.money.machine import machine_usd_per_call
from stillhouse.verdict.rules import recommend

UNKNOWN = MoneyEvidence()
PROMPT = PromptEvidence("prompt", Estimate(0.80, 500, 0.76, 0.83))


def end(score, gain, *, gained=None):
    """The end of a curve, at 1,000 rows; with `gained`, at the 1,414 that an earlier look asked for."""
    if gained is None:
        return Climb(n=1000, score=score, gain=gain)
    return Climb(n=1414, score=score, gain=gain, step=HalfStep("linear", 1000, 2000), gained=gained)


def saves(usd):
    """A student that saves so much over 100 days, and was made for nothing."""
    net = NetBenefit(
        arm="linear",
        against="prompt",
        calls=1e6,
        days=100,
        saving_usd=usd,
        saving_low=usd,
        saving_high=usd,
        level=0.95,
        n=500,
    )
    return MoneyEvidence(net=net, fixed_usd=0.0)


def student(
    gate,
    difference,
    *,
    name="linear",
    learns_from="teacher",
    rows_needed=None,
    pays_off=None,
    climb=None,
    label_usd=None,
    money=UNKNOWN,
    low=None,
    high=None,
    with_examples=None,
):
    half = 0.02
    low, high = difference - half if low is None else low, difference + half if high is None else high
    estimate = Estimate(difference, 500, low, high)
    score = Estimate(0.8 + difference, 500, None, None)
    return StudentEvidence(
        name=name,
        learns_from=learns_from,
        score=score,
        gate=gate,
        gate_sentence=f"{gate}s",
        difference=estimate,
        better=low > 0,
        margin=0.02,
        rows_needed=rows_needed,
        n_train=1000,
        pays_off=pays_off,
        climb=climb,
        label_usd=label_usd,
        money=money,
        against_few_shot=with_examples,
    )


def beside_examples(gate, difference, rows_needed=None):
    """The gate against the prompt with examples."""
    return Contrast(
        against="few-shot",
        gate=gate,
        gate_sentence=f"{gate}s",
        difference=Estimate(difference, 500, difference - 0.02, difference + 0.02),
        better=difference > 0.02,
        rows_needed=rows_needed,
    )


def cascade(share=0.6, low=0.55, gate="pass", refused=None, pays_off=None):
    kept = None if refused else Estimate(share, 300, low, share + 0.05)
    score, difference = (None, None) if refused else (Estimate(0.8, 500, 0.77, 0.83), Estimate(0.0, 500, -0.02, 0.02))
    return CascadeEvidence(
        name="cascade",
        student="linear",
        share_kept=kept,
        score=score,
        budget=0.02,
        level=0.95,
        gate=gate,
        refused=refused,
        difference=difference,
        pays_off=pays_off,
    )


HELPS = Estimate(0.03, 500, 0.01, 0.05)


CASES = [
    # what, students, cascade, few-shot gain, verdict, chosen
    ("a student on gold labels passes", [student("pass", 0.0, learns_from="gold")], None, None, "finetune", "linear"),
    ("a student on teacher labels passes", [student("pass", 0.0)], None, None, "distil", "linear"),
    (
        "the first that passes is taken",
        [student("fail", -0.1), student("pass", 0.0, name="encoder")],
        cascade(),
        None,
        "distil",
        "encoder",
    ),
    ("it passes but never pays off", [student("pass", 0.0, pays_off=False)], None, None, "keep prompt", "prompt"),
    ("it costs more and is better", [student("pass", 0.1, pays_off=False, low=0.05)], None, None, "distil", "linear"),
    ("a cascade keeps its promise", [student("fail", -0.1)], cascade(), None, "cascade", "cascade"),
    (
        "a cascade that keeps next to nothing",
        [student("fail", -0.1)],
        cascade(0.08, 0.05),
        None,
        "keep prompt",
        "prompt",
    ),
    ("a cascade that fails its own gate", [student("fail", -0.1)], cascade(gate="fail"), None, "keep prompt", "prompt"),
    ("a cascade that never pays off", [student("fail", -0.1)], cascade(pays_off=False), None, "keep prompt", "prompt"),
    (
        "no threshold, far below",
        [student("fail", -0.4)],
        cascade(refused="harms too much"),
        None,
        "keep prompt",
        "prompt",
    ),
    ("more test rows would tell", [student("cannot tell", -0.01, rows_needed=900)], None, None, "collect more", None),
    ("no number of rows would tell", [student("cannot tell", -0.02)], None, None, "cannot tell", None),
    (
        "the last gain again reaches it",
        [student("fail", -0.05, climb=end(0.75, 0.03))],
        None,
        None,
        "collect more",
        None,
    ),
    ("it does not", [student("fail", -0.05, climb=end(0.75, 0.029))], None, None, "keep prompt", "prompt"),
    (
        "half was bought, and its gain again reaches it",  # 0.76 + 0.02 = 0.78, the prompt less the margin
        [student("fail", -0.04, climb=end(0.76, 0.0, gained=0.02))],
        None,
        None,
        "collect more",
        None,
    ),
    (
        "half was bought, and gained too little, whatever the last doubling did",
        [student("fail", -0.04, climb=end(0.76, 0.10, gained=0.019))],
        None,
        None,
        "keep prompt",
        "prompt",
    ),
    (
        "half was bought, its gain again reaches it, and the gate is no longer sure that it fails",
        [student("cannot tell", -0.04, climb=end(0.76, 0.0, gained=0.02))],
        None,
        None,
        "collect more",
        None,
    ),
    (
        "the gate is not sure that it fails, and nothing was bought",
        [student("cannot tell", -0.04, climb=end(0.76, 0.10))],
        None,
        None,
        "cannot tell",
        None,
    ),
    (
        "its labels cost more than it may save",  # wanted: all of the last gain again, so found in 0.293; 0.293 x 1,000 < 0.30 x 414
        [student("fail", -0.05, climb=end(0.75, 0.03), label_usd=0.75, money=saves(1000.0))],
        None,
        None,
        "keep prompt",
        "prompt",
    ),
    (
        "its labels cost less than it may save",  # 0.293 x 1,000 = 293; rows: 414 and 586 in 0.187, 524 on average, so $262
        [student("fail", -0.05, climb=end(0.75, 0.03), label_usd=0.50, money=saves(1000.0))],
        None,
        None,
        "collect more",
        None,
    ),
    (
        "it would save nothing, whatever a label costs",
        [student("fail", -0.05, climb=end(0.75, 0.03), money=saves(-1.0))],
        None,
        None,
        "keep prompt",
        "prompt",
    ),
    (
        "what a label costs is not known",
        [student("fail", -0.05, climb=end(0.75, 0.03), money=saves(1000.0))],
        None,
        None,
        "collect more",
        None,
    ),
    (
        "examples help, students do not",
        [student("fail", -0.4, with_examples=beside_examples("fail", -0.43))],
        None,
        HELPS,
        "few-shot",
        "few-shot",
    ),
    (
        "passes against the plain prompt alone",
        [student("pass", 0.0, with_examples=beside_examples("fail", -0.03))],
        None,
        HELPS,
        "few-shot",
        "few-shot",
    ),
    (
        "passes against both prompts",
        [student("pass", 0.04, with_examples=beside_examples("pass", 0.01))],
        None,
        HELPS,
        "distil",
        "linear",
    ),
    ("never held against the better prompt", [student("pass", 0.0)], None, HELPS, "few-shot", "few-shot"),
    ("its cascade stands before the weaker prompt", [student("fail", -0.1)], cascade(), HELPS, "few-shot", "few-shot"),
    ("examples do not help", [student("fail", -0.4)], None, Estimate(0.01, 500, -0.01, 0.03), "keep prompt", "prompt"),
    ("no student at all", [], None, None, "keep prompt", "prompt"),
]


@pytest.mark.parametrize(
    ("students", "has_cascade", "gain", "kind", "chosen"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_verdict(students, has_cascade, gain, kind, chosen):
    few_shot = None if gain is None else PromptEvidence("few-shot", Estimate(0.83, 500), gain, helps=gain.low > 0)
    advice = recommend(PROMPT, students, few_shot=few_shot, cascade=has_cascade)
    assert (advice.kind, advice.chosen) == (kind, chosen)
    assert advice.sentence.endswith(".")
    assert any("n = 500" in fact for fact in advice.because)
    assert "n = 500" in advice.contrast and "[" in advice.contrast  # the interval and its n
    assert {advice.contrast, advice.money} <= set(advice.because)
    assert "unknown" in advice.money  # nothing is known of the money here, and that is said
    assert all(advice.would_change) and advice.would_change and advice.buy_next


def test_more_training_rows_come_with_their_chance_and_whose_curves_it_is_of():
    """0.02 of a last gain of 0.04 is wanted: half of it, at which the doubling reached in 0.64 and the plan in 0.513 of the real curves."""
    advice = recommend(PROMPT, [student("fail", -0.04, climb=end(0.76, 0.04))])
    assert advice.sentence == (
        "linear is still learning, and may come up to the prompt at 2,000 training rows, if the last doubling's gain comes again."
    )
    assert (
        "real curves gained as much with their next doubling in 64%, 51% where rows are bought in two parts "
        "(n = 189 points of curves of 6 tasks, Le Scao & Rush 2021; yours may differ)"
    ) in advice.because
    assert "more training rows for linear: what they cost, or would save, is not known" in advice.because
    assert advice.half_step == HalfStep("linear", 1000, 2000)


def test_training_rows_that_are_not_bought_are_said_with_their_reason():
    dear = recommend(PROMPT, [student("fail", -0.05, climb=end(0.75, 0.03), label_usd=0.75, money=saves(1000.0))])
    assert dear.buy_next == "no rows: more training rows for linear are not worth their labels"
    assert any(
        "29% of $1,000.00 saved over the horizon, for labels of $392.69 on average" in fact for fact in dear.because
    )
    short = recommend(PROMPT, [student("fail", -0.04, climb=end(0.76, 0.10, gained=0.01))])
    assert short.buy_next == (
        "no rows: from 1,000 to 1,414 training rows linear gained +1.0 points; as much again would come to 77.0%, and 78.0% is wanted"
    )
    flat = recommend(PROMPT, [student("fail", -0.05, climb=end(0.75, 0.01))])
    assert (
        flat.buy_next == "no rows: the last doubling's gain made again would bring linear to 76.0%, and 78.0% is wanted"
    )
    assert {dear.half_step, short.half_step, flat.half_step} == {None}


def test_without_a_prompt_nothing_is_replaced():
    advice = recommend(None, [student("pass", 0.0)])
    assert (advice.kind, advice.chosen) == ("cannot tell", None)
    assert advice.would_change and advice.buy_next and "unknown" in advice.money


def test_what_to_buy_next_says_how_many_and_never_more_than_a_doubling():
    assert (
        recommend(PROMPT, [student("cannot tell", -0.01, rows_needed=900)]).buy_next
        == "about 400 more labelled test rows"
    )
    far = recommend(PROMPT, [student("cannot tell", -0.01, rows_needed=9000)]).buy_next
    assert far.startswith("500 more labelled test rows, a doubling; about 9,000 in all")
    assert recommend(PROMPT, [student("cannot tell", -0.02)]).buy_next == "500 more labelled test rows, a doubling"
    assert (
        recommend(PROMPT, [student("fail", -0.05, climb=end(0.75, 0.04))]).buy_next
        == "414 more training rows, 0.41 times as many as now; then look: go on to 2,000 only if linear comes to 76.5% or more with them"
    )
    rest = recommend(PROMPT, [student("fail", -0.04, climb=end(0.76, 0.0, gained=0.02))])
    assert rest.buy_next == "586 more training rows, the rest of the doubling from 1,000"
    near = student("fail", -0.1, with_examples=beside_examples("cannot tell", -0.01, 900))
    assert (
        recommend(PROMPT, [near], few_shot=PromptEvidence("few-shot", Estimate(0.83, 500), HELPS, helps=True)).buy_next
        == "about 400 more labelled test rows"
    )


def test_against_a_prompt_with_examples_its_longer_prompt_is_the_price_to_beat():
    dear, cheap = (
        MoneyEvidence(usd_per_call=0.0020, prompt_usd_per_call=0.0010, fixed_usd=100.0),
        MoneyEvidence(
            usd_per_call=0.0020,
            prompt_usd_per_call=0.0040,
            fixed_usd=100.0,
            break_even_calls=50_000.0,
            against="few-shot",
        ),
    )
    beside = replace(beside_examples("pass", 0.0), pays_off=True, money=cheap)
    passing = replace(student("pass", 0.0, pays_off=False, with_examples=beside), money=dear)
    assert recommend(PROMPT, [passing]).kind == "keep prompt"  # it would never pay off against the plain prompt
    advice = recommend(PROMPT, [passing], few_shot=PromptEvidence("few-shot", Estimate(0.83, 500), HELPS, helps=True))
    assert (advice.kind, advice.chosen) == ("distil", "linear")
    assert (
        advice.money
        == "money: a call of linear costs $0.002, one of few-shot $0.004; spent once: $100.00; break-even: 50,000 calls"
    )


def test_the_money_is_named_where_it_is_known():
    money = MoneyEvidence(
        usd_per_call=0.0001,
        prompt_usd_per_call=0.0021,
        fixed_usd=100.0,
        break_even_calls=50_000.0,
        break_even_day=date(2027, 1, 5),
        worth_usd=0.12,
        worth_low=0.05,
        worth_high=None,
    )
    passing = replace(student("pass", 0.0), money=money)
    assert recommend(PROMPT, [passing]).money == (
        "money: a call of linear costs $0.0001, one of the prompt $0.0021; spent once: $100.00; break-even: 50,000 calls, 2027-01-05; "
        "the choice flips where one more right answer is worth $0.12 [$0.05, no limit]"
    )


def test_lines_cross_where_the_saving_has_paid_the_fixed_cost():
    found = break_even(
        ArmMoney(name="student", fixed_usd=100.0, usd_per_call=0.0001),
        ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.0021),
    )
    assert found.calls == pytest.approx(50_000)
    assert "from 50,000 calls on" in found.sentence


def test_dearer_calls_never_pay_off_and_unknown_prices_stay_unknown():
    assert (
        break_even(
            ArmMoney(name="student", fixed_usd=1.0, usd_per_call=0.02),
            ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.01),
        ).calls
        is None
    )
    assert (
        "never pays off"
        in break_even(
            ArmMoney(name="student", fixed_usd=1.0, usd_per_call=0.02),
            ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.01),
        ).sentence
    )
    unknown = break_even(
        ArmMoney(name="student", fixed_usd=1.0, usd_per_call=None),
        ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=0.01),
    )
    assert unknown.calls is None
    assert "unknown" in unknown.sentence


def test_a_call_costs_its_share_of_the_machine():
    assert machine_usd_per_call(0.36, 0.01, 0.5) == pytest.approx(
        0.000002
    )  # $0.0001 a second, 0.01 s, half of the time idle
    assert machine_usd_per_call(None, 0.01, 0.5) is None
    assert machine_usd_per_call(0.36, None, 0.5) is None


@pytest.mark.parametrize(("gate", "said"), [("pass", False), ("cannot tell", True)])
def test_a_cascade_that_is_taken_beside_a_gate_that_cannot_tell_says_by_what(gate, said):
    verdict = recommend(PROMPT, [student("cannot tell", -0.01)], cascade=cascade(gate=gate))
    assert verdict.kind == "cascade"
    assert any("it is taken by its promise" in fact for fact in verdict.because) == said


def test_a_cascade_before_another_prompt_is_said_to_be_no_candidate():
    """Examples help, so the prompt with examples is to be beaten, and the cascade was measured before the plain one."""
    with_examples = PromptEvidence("few-shot", Estimate(0.83, 500), gain=HELPS, helps=True)
    verdict = recommend(PROMPT, [student("fail", -0.1)], few_shot=with_examples, cascade=cascade())
    assert verdict.kind == "few-shot"
    assert "no cascade: cascade stands before prompt, and few-shot is what is to be beaten" in verdict.because
