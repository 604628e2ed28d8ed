"""Rows of one input, in the verdict: the right answers were written here before `find` ran on them.

Margin 2 points, level 95 %. A student that never differs on n rows passes from n = 149 on (0.98^149 = 0.0493), if it is the only one. Rows that are
counted in two or three ways have to pass in each; they fail in one way at 5 % by the number of ways (Bonferroni).
"""

from dataclasses import dataclass

import pytest
from arms import ENCODER, LINEAR, PROMPT, Arm, Measured, Rows, found

BOTH = "prompt linear"
ALL, NEW, ONCE = "all rows", "inputs not seen in training", "each input counted once"


@dataclass(frozen=True)
class Case:
    what: str
    rows: tuple[Rows, ...]
    # for copies = "traffic", copies = "files", and unset: the answer, and which ways decided it
    traffic: tuple[str, set[str]]
    files: tuple[str, set[str]]
    unset: tuple[str, set[str]]


CASES = [
    Case(
        "no input comes twice: one way to count",
        (Rows(170, BOTH),),
        ("pass", set()),
        ("pass", set()),
        ("pass", set()),
    ),
    Case(
        "32 % of calls are one input that the student gets wrong, the rest is right",
        (Rows(680, BOTH), Rows(320, "prompt", input="where is my parcel")),
        ("fail", set()),
        ("pass", set()),
        ("fail", {ALL}),
    ),
    Case(
        "the same, and the student learned from that input",
        (Rows(680, BOTH), Rows(320, "prompt", input="where is my parcel", seen=True)),
        ("fail", {ALL}),
        ("pass", set()),
        ("fail", {ALL}),
    ),
    Case(
        "one easy input in 90 % of calls, and 10 of 100 others are wrong: in files that is a tenth of what counts",
        (Rows(900, BOTH, input="hello"), Rows(90, BOTH), Rows(10, "prompt")),
        ("pass", set()),
        ("fail", set()),
        ("fail", {ONCE}),
    ),
    Case(
        "right on what it learned by heart, wrong on a tenth of what is new",
        (Rows(900, BOTH, input="hello", seen=True), Rows(180, BOTH), Rows(20, "prompt")),
        ("fail", {NEW}),
        ("fail", set()),
        ("fail", {NEW, ONCE}),
    ),
    Case(
        "all right, and only 100 rows are new: these show nothing",
        (Rows(900, BOTH, input="hello", seen=True), Rows(100, BOTH)),
        ("cannot tell", {NEW}),
        ("cannot tell", set()),
        ("cannot tell", {NEW, ONCE}),
    ),
    Case(
        "every input was in training: nothing is known of new ones",
        (Rows(100, BOTH, input="a", seen=True), Rows(100, BOTH, input="b", seen=True)),
        ("cannot tell", {NEW}),
        ("cannot tell", set()),
        ("cannot tell", {NEW, ONCE}),
    ),
    Case(
        "all right, in every way enough rows",
        (Rows(100, BOTH, input="hello", seen=True), Rows(200, BOTH)),
        ("pass", {NEW}),
        ("pass", set()),
        ("pass", {NEW}),
    ),
]


@pytest.mark.parametrize("copies", ["traffic", "files", None])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_copies_count_as_the_task_says_and_else_both_ways(case, copies):
    result = found(Measured([PROMPT, LINEAR], case.rows, copies=copies, labels=None))
    gate = next(arm.gate for arm in result.arms if arm.name == "linear")
    answer, decided = {"traffic": case.traffic, "files": case.files, None: case.unset}[copies]
    assert (gate.answer, set(gate.decided_by)) == (answer, decided), gate.sentence
    for way in gate.ways:  # each way is printed with its own n
        assert way.name in gate.sentence
        if way.difference is not None:
            assert f"on {way.difference.n} row" in gate.sentence
    if gate.answer != "pass":
        assert result.verdict.kind not in ("distil", "finetune")


def test_traffic_that_a_student_gets_wrong_in_a_third_is_refused_and_the_verdict_says_why():
    result = found(
        Measured([PROMPT, LINEAR], (Rows(680, BOTH), Rows(320, "prompt", input="where is my parcel")), labels=None)
    )
    linear = next(arm for arm in result.arms if arm.name == "linear")
    assert (result.verdict.kind, linear.score.n, linear.score.value) == ("keep prompt", 1000, 0.68)
    assert "decided by all rows" in " ".join(result.verdict.because)
    [said] = result.notes
    assert "319 of 1000 test rows repeat the input of another, the most frequent one 320 times" in said
    assert "all rows counted (n = 1000)" in said and "each input counted once (n = 681)" in said


def test_a_pass_that_holm_takes_away_is_said_of_all_ways():
    """0.98^160 = 0.039 passes alone; as one of two students it does not."""
    rows = (Rows(100, "prompt linear encoder", input="hello", seen=True), Rows(160, "prompt linear encoder"))
    result = found(Measured([PROMPT, LINEAR, ENCODER], rows, labels=None, copies="traffic"))
    gates = [arm.gate for arm in result.arms if arm.gate is not None and arm.kind == "student"]
    assert [gate.answer for gate in gates] == ["cannot tell", "cannot tell"]
    assert all(gate.sentence.startswith("cannot tell: all rows: ") for gate in gates)


# The cascade. 300 rows without a harm prove a harm under 2 % (149 would do).
KEPT, LEFT = Rows(280, BOTH, 0.9), Rows(20, "prompt", 0.1)


@pytest.mark.parametrize(
    ("copies", "threshold"),
    # one input in a third of the calls, harmed at 0.8: in traffic it must be left to the prompt, in files it is one harm in 301
    [("traffic", 0.9), ("files", 0.8), (None, 0.9)],
)
def test_the_threshold_keeps_its_promise_in_every_way(copies, threshold):
    calibration = (KEPT, Rows(150, "prompt", 0.8, input="hello"), LEFT)
    test = (Rows(250, BOTH, 0.9), Rows(50, "prompt", 0.1))
    result = found(Measured([PROMPT, LINEAR], test, calibration, copies=copies, labels=None))
    assert result.cascade.threshold == threshold


def test_a_cascade_keeps_the_least_share_that_any_way_has():
    """Of 430 calls 150 are one sure input; counted once, it is one of 281."""
    calibration = (Rows(150, BOTH, 0.9, input="hello"), Rows(140, BOTH, 0.9), Rows(140, "prompt", 0.1))
    shares = {}
    for copies in ("traffic", "files", None):
        result = found(Measured([PROMPT, LINEAR], (Rows(300, BOTH, 0.9),), calibration, copies=copies, labels=None))
        shares[copies] = (result.cascade.share_kept.value, result.cascade.share_kept.n)
    assert shares == {"traffic": (290 / 430, 430), "files": (141 / 281, 281), None: (141 / 281, 281)}


def test_a_saving_that_one_way_does_not_show_is_none():
    """A call of the student costs 0.4 cents, one of the prompt 2. Of 600 calls the cascade keeps 320: it costs 0.4 + 0.47 x 2 = 1.3
    cents. Of 301 inputs it keeps 21: 0.4 + 0.93 x 2 = 2.3 cents.
    """
    paid, student = Arm("prompt", "prompt", usd=0.02), Arm("linear", seconds=0.2)
    money = {"machine_usd_per_hour": 36.0, "utilisation": 0.5}
    test = (Rows(300, BOTH, 0.9, input="hello"), Rows(20, BOTH, 0.9), Rows(280, "prompt", 0.1))
    kinds, saves = {}, {}
    for copies in ("traffic", None):
        result = found(Measured([paid, student], test, (KEPT, LEFT), money=money, labels=None, copies=copies))
        net = next(net for net in result.money.net if net.arm == "cascade")
        kinds[copies], saves[copies] = result.verdict.kind, (net.n, net.pays_off)
    assert kinds == {"traffic": "cascade", None: "keep prompt"}
    assert saves == {"traffic": (600, True), None: (301, False)}
