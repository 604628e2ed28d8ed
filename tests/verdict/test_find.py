"""From measured arms to a verdict: cases whose right answer was worked out by hand, and written here, before `find` ran on them.

Where the numbers come from. Margin 2 points, level 95 %, harm 2 %. A student that never differs from the prompt on n rows has p = 0.98^n against "worse by 2
points": 0.98^170 = 0.032 passes alone and not as one of two (Holm: 0.064). It needs 0 harms in 149 to 235 calibration rows, at most 1 in 236 to 312, to prove
a harm under 2 % (binomial). Of b rows that only one of two prompts has right, 95 % of Tango's interval is above 0 from 4 rows on (sqrt(b) > 1.96), and with
four numbers of examples tried from 7 rows on (sqrt(b) > 2.50).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from arms import ENCODER, LINEAR, PROMPT, Arm, Measured, Rows, found, shown

from stillhouse.results.verdict import HalfStep

BOTH, ALL = "prompt linear", "prompt linear encoder"
GOLD = Arm("gold", learns_from="gold")
FOUR = {1: 0.90, 2: 0.92, 4: 0.95, 8: 0.93}  # 4 examples are best over their draws
TRIED = tuple(shown(k) for k in FOUR)
EVERY_SHOWN = "shown-1 shown-2 shown-4 shown-8"
# Students whose calls cost 1 cent, and a tenth of a cent: so many seconds of a machine at $36 an hour that is half idle.
MACHINE = {"machine_usd_per_hour": 36.0, "utilisation": 0.5}
DEAR, CHEAP = Arm("linear", seconds=0.5), Arm("linear", seconds=0.05)
PAID = Arm("prompt", "prompt", usd=0.005)

# A student that is 10 points behind on 300 test rows, always where it is unsure: it fails alone, and a cascade at 0.8 does not.
UNSURE_WHERE_WRONG = (Rows(180, BOTH, 0.9), Rows(60, BOTH, 0.8), Rows(30, BOTH, 0.7), Rows(30, "prompt", 0.3))
# 300 calibration rows, so 1 harm is allowed: one at 0.8, the second at 0.7. On them the threshold is 0.8, and 200 of 300 rows are kept.
HARMED_AT_SEVEN = (
    Rows(150, BOTH, 0.9),
    Rows(1, "prompt", 0.8),
    Rows(49, BOTH, 0.8),
    Rows(1, "prompt", 0.7),
    Rows(49, BOTH, 0.7),
    Rows(50, "prompt", 0.3),
)
NEVER_HARMED = (Rows(250, BOTH, 0.9), Rows(50, "prompt", 0.3))


@dataclass(frozen=True)
class Case:
    """What was measured, why the answer is right, and the answer: the verdict, the arm it recommends, and what else has to be so."""

    what: str
    why: str
    measured: Measured
    verdict: str
    chosen: str | None
    gates: Mapping[str, str] = field(default_factory=dict)
    cascade: Mapping[str, Any] = field(default_factory=dict)  # facts of the cascade's section
    scores: Mapping[str, float] = field(default_factory=dict)  # of arms on the test rows


CASES = [
    # The gate over several students
    Case(
        "one student that never differs",
        "0.98^170 = 0.032 < 0.05",
        Measured([PROMPT, LINEAR], [Rows(170, BOTH)]),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "it learned gold labels",
        "the same rows; what it learned from names the verdict",
        Measured([PROMPT, replace(LINEAR, learns_from="gold")], [Rows(170, BOTH)]),
        "finetune",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "two students near the level",
        "Holm: 2 x 0.032 > 0.05, so neither may pass",
        Measured([PROMPT, LINEAR, ENCODER], [Rows(170, ALL)]),
        "collect more",
        None,
        {"linear": "cannot tell", "encoder": "cannot tell"},
    ),
    Case(
        "one student near the level, and one to come",
        "the ladder has two, so the look at the first is one of two: 2 x 0.032 > 0.05",
        Measured([PROMPT, LINEAR], [Rows(170, BOTH)], ladder=("linear", "encoder")),
        "collect more",
        None,
        {"linear": "cannot tell"},
    ),
    Case(
        "two students, one of them surer",
        "the surer one is far below 0.025; it is then out of the way, and 1 x 0.032 < 0.05 passes for the other (Bonferroni would not)",
        Measured([PROMPT, LINEAR, ENCODER], [Rows(155, ALL), Rows(15, "encoder")]),
        "distil",
        "linear",
        {"linear": "pass", "encoder": "pass"},
    ),
    Case(
        "two students with rows enough",
        "2 x 0.98^200 = 2 x 0.0176 < 0.05",
        Measured([PROMPT, LINEAR, ENCODER], [Rows(200, ALL)]),
        "distil",
        "linear",
        {"linear": "pass", "encoder": "pass"},
    ),
    # The margin
    Case(
        "a student at -1 with margin 2",
        "it is surely worse (30 rows lost, none won: 2^-30) and surely not by 2 points: P(Bin(3000, 0.02) <= 30) < 0.001. A gate allows what the margin allows",
        Measured([PROMPT, LINEAR], [Rows(2970, BOTH), Rows(30, "prompt")]),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "a student at -1.3 on 600 rows",
        "surely worse than 0 (2^-8), but P(Bin(600, 0.02) <= 8) = 0.15 and P(>= 8) = 0.92: nothing is shown about 2 points",
        Measured([PROMPT, LINEAR], [Rows(592, BOTH), Rows(8, "prompt")]),
        "collect more",
        None,
        {"linear": "cannot tell"},
    ),
    Case(
        "a student at -4 on 600 rows",
        "P(Bin(600, 0.02) >= 24) = 0.001: shown to be worse by more than 2 points",
        Measured([PROMPT, LINEAR], [Rows(576, BOTH), Rows(24, "prompt")]),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
    ),
    Case(
        "it fails, and one doubling may bring it within the margin",
        "the last gain again: 0.985; the prompt less the margin: 0.98",
        Measured([PROMPT, LINEAR], [Rows(576, BOTH), Rows(24, "prompt")], again={"linear": 0.985}),
        "collect more",
        None,
        {"linear": "fail"},
    ),
    Case(
        "it fails, and one doubling will not",
        "the last gain again: 0.975 < 0.98",
        Measured([PROMPT, LINEAR], [Rows(576, BOTH), Rows(24, "prompt")], again={"linear": 0.975}),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
    ),
    Case(
        "half of the doubling was bought, and its gain again does not do",
        "from 750 rows (read between 500 and 1,000 in log2: 0.950) to 1,000 it gained 0.0104; in log2 0.415, so to 1,500 (0.585) as much again comes to 0.975",
        Measured(
            [PROMPT, LINEAR],
            [Rows(576, BOTH), Rows(24, "prompt")],
            again={"linear": 0.985},
            bought=[HalfStep("linear", 750, 1500)],
        ),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
    ),
    Case(
        "another student's half of the doubling",
        "what the encoder was told to buy says nothing of the linear student",
        Measured(
            [PROMPT, LINEAR],
            [Rows(576, BOTH), Rows(24, "prompt")],
            again={"linear": 0.985},
            bought=[HalfStep("encoder", 750, 1500)],
        ),
        "collect more",
        None,
        {"linear": "fail"},
    ),
    # One lost class
    Case(
        "one class is lost, the mean is better",
        "+60 rows of the common class, -30 of 100 of the rare one: a mean of +1.5 points hides a class that lost 30",
        Measured(
            [PROMPT, LINEAR],
            [Rows(1840, BOTH), Rows(60, "linear"), Rows(70, BOTH, label="rare"), Rows(30, "prompt", label="rare")],
        ),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
    ),
    Case(
        "one class is lost, and the curve may rise",
        "the curve is of all rows, and says nothing of the class that fails: no rows are to be bought for it",
        Measured(
            [PROMPT, LINEAR],
            [Rows(1840, BOTH), Rows(60, "linear"), Rows(70, BOTH, label="rare"), Rows(30, "prompt", label="rare")],
            again={"linear": 0.999},
        ),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
    ),
    Case(
        "the same rows where labels are no classes",
        "without classes only the mean counts, and +1.5 points pass",
        Measured(
            [PROMPT, LINEAR],
            [Rows(1840, BOTH), Rows(60, "linear"), Rows(70, BOTH, label="rare"), Rows(30, "prompt", label="rare")],
            labels=None,
        ),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "the class that is lost has four rows",
        "of fewer than five rows of a class nothing can be shown: it has no say. The mean: P(Bin(1000, 0.02) <= 4) < 0.001",
        Measured([PROMPT, LINEAR], [Rows(996, BOTH), Rows(4, "prompt", label="rare")]),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "the cascade loses the class",
        "harm is 1 % of all rows, within the budget, and all of it in the rare class, whose 10 rows are lost: a cascade's gate has classes too",
        Measured(
            [PROMPT, LINEAR],
            [Rows(790, BOTH, 0.9), Rows(200, "prompt", 0.3), Rows(10, "prompt", 0.9, "rare")],
            calibration=[Rows(790, BOTH, 0.9), Rows(200, "prompt", 0.3), Rows(10, "prompt", 0.9, "rare")],
        ),
        "keep prompt",
        "prompt",
        {"linear": "fail", "cascade": "fail"},
    ),
    # The cascade: calibration rows differ from test rows
    Case(
        "the calibration rows choose the threshold",
        "0.8 by the calibration rows, with 1 harm in 300 (2 would be too many); the test rows, where nothing is harmed, would have said 0.7",
        Measured([PROMPT, LINEAR], UNSURE_WHERE_WRONG, calibration=HARMED_AT_SEVEN),
        "cascade",
        "cascade",
        {"linear": "fail", "cascade": "pass"},
        {"threshold": 0.8, "n": 300, "harm": 1 / 300, "share_kept": 200 / 300, "refused": None},
    ),
    Case(
        "the calibration rows refuse what the test rows would allow",
        "the surest answers harm 20 of 300",
        Measured([PROMPT, LINEAR], UNSURE_WHERE_WRONG, calibration=[Rows(20, "prompt", 0.99), Rows(280, BOTH, 0.9)]),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
        {"threshold": None, "n": 300, "rows_missing": None},
    ),
    Case(
        "too few calibration rows",
        "without a single harm it takes 149 rows: 49 are missing",
        Measured([PROMPT, LINEAR], UNSURE_WHERE_WRONG, calibration=[Rows(100, BOTH, 0.9)]),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
        {"threshold": None, "n": 100, "rows_missing": 49},
    ),
    Case(
        "the test rows break the calibration rows' promise",
        "20 of 300 kept and harmed is 6.7 %, surely above 2 %; the 25 rows that only the student has right do not make up for it",
        Measured(
            [PROMPT, LINEAR],
            [Rows(195, BOTH, 0.9), Rows(20, "prompt", 0.9), Rows(25, "linear", 0.9), Rows(60, "prompt", 0.3)],
            calibration=NEVER_HARMED,
        ),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
        {"threshold": 0.9, "harm": 0.0, "refused": None},
    ),
    Case(
        "the test rows show a little more harm than was promised",
        "8 of 300 is 2.7 %, and as much comes by chance where 2 % is true: P(Bin(300, 0.02) >= 8) = 0.25. No promise is shown to be broken",
        Measured(
            [PROMPT, LINEAR],
            [Rows(232, BOTH, 0.9), Rows(8, "prompt", 0.9), Rows(60, "prompt", 0.3)],
            calibration=NEVER_HARMED,
        ),
        "cascade",
        "cascade",
        {"linear": "fail", "cascade": "cannot tell"},
        {"threshold": 0.9, "harm": 0.0, "refused": None},
        {"cascade": 292 / 300},
    ),
    Case(
        "rows at the threshold itself are kept",
        "0.8 is kept: the 60 rows at 0.8 that only the student has right are right, and those below are the prompt's",
        Measured(
            [PROMPT, LINEAR],
            [Rows(180, BOTH, 0.9), Rows(60, "linear", 0.8), Rows(60, "prompt", 0.3)],
            calibration=HARMED_AT_SEVEN,
        ),
        "cascade",
        "cascade",
        {"linear": "cannot tell", "cascade": "pass"},
        {"threshold": 0.8},
        {"linear": 240 / 300, "prompt": 240 / 300, "cascade": 1.0},
    ),
    Case(
        "a cascade that keeps too little",
        "31 of 300 calibration rows: 10 %, and by its interval perhaps 7",
        Measured(
            [PROMPT, LINEAR],
            [Rows(31, BOTH, 0.9), Rows(269, "prompt", 0.3)],
            calibration=[Rows(31, BOTH, 0.9), Rows(269, "prompt", 0.3)],
        ),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
        {"threshold": 0.9, "share_kept": 31 / 300},
    ),
    Case(
        "the validation rows choose the cascade's student",
        "the encoder was better on its validation rows, the linear one is better on the test rows, which have no say",
        Measured(
            [PROMPT, replace(LINEAR, validation=0.8), replace(ENCODER, validation=0.9)],
            [Rows(200, ALL, 0.9), Rows(40, BOTH, 0.3), Rows(60, "prompt", 0.3)],
            calibration=[Rows(250, ALL, 0.9), Rows(50, "prompt", 0.3)],
        ),
        "cascade",
        "cascade",
        {"linear": "fail", "encoder": "fail"},
        {"student": "encoder"},
    ),
    Case(
        "a student of other labels is validated by other labels",
        "0.95 against gold labels is not comparable with 0.8 against the teacher's, whose labels this task learns",
        Measured(
            [PROMPT, replace(GOLD, validation=0.95), replace(LINEAR, validation=0.8)],
            [Rows(240, "prompt linear gold", 0.9), Rows(60, "prompt", 0.3)],
            calibration=[Rows(250, "prompt linear gold", 0.9), Rows(50, "prompt", 0.3)],
        ),
        "cascade",
        "cascade",
        {"linear": "fail", "gold": "fail"},
        {"student": "linear"},
    ),
    Case(
        "a student that names no confidence",
        "nothing can be kept, so there is no cascade",
        Measured(
            [PROMPT, LINEAR], [Rows(240, BOTH), Rows(60, "prompt")], calibration=[Rows(250, BOTH), Rows(50, "prompt")]
        ),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
        {"threshold": None, "n": 300},
    ),
    # Examples in the prompt
    Case(
        "few-shot at the edge: four numbers tried",
        "5 rows gained, none lost: sqrt(5) = 2.24 is above 1.96 and not above 2.50, which four tries ask for",
        Measured([PROMPT, *TRIED], [Rows(295, f"prompt {EVERY_SHOWN}"), Rows(5, "shown-4")], shown_means=FOUR),
        "keep prompt",
        "prompt",
    ),
    Case(
        "few-shot at the edge: one number tried",
        "the same 5 rows; sqrt(5) = 2.24 > 1.96",
        Measured([PROMPT, shown(4)], [Rows(295, "prompt shown-4"), Rows(5, "shown-4")], shown_means={4: 0.95}),
        "few-shot",
        "shown-4",
    ),
    Case(
        "few-shot beyond the edge",
        "7 rows gained: sqrt(7) = 2.65 > 2.50",
        Measured([PROMPT, *TRIED], [Rows(293, f"prompt {EVERY_SHOWN}"), Rows(7, "shown-4")], shown_means=FOUR),
        "few-shot",
        "shown-4",
    ),
    Case(
        "the best number of examples over its draws",
        "2 examples gained more rows in this draw (40 against 30), and on average over draws 4 are better",
        Measured(
            [PROMPT, *TRIED],
            [Rows(260, f"prompt {EVERY_SHOWN}"), Rows(30, "shown-2 shown-4"), Rows(10, "shown-2")],
            shown_means=FOUR,
        ),
        "few-shot",
        "shown-4",
    ),
    Case(
        "a student as good as the plain prompt, where examples help",
        "the prompt to beat is the one with examples, and the student is 30 of 300 rows behind it",
        Measured(
            [PROMPT, shown(4), LINEAR], [Rows(270, "prompt linear shown-4"), Rows(30, "shown-4")], shown_means={4: 0.95}
        ),
        "few-shot",
        "shown-4",
        {"linear": "pass"},
    ),
    Case(
        "a student as good as the prompt with examples",
        "it never differs from it on 170 rows: 0.032 < 0.05",
        Measured(
            [PROMPT, shown(4), LINEAR],
            [Rows(140, "prompt linear shown-4"), Rows(30, "linear shown-4")],
            shown_means={4: 0.95},
        ),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "two students as good as the prompt with examples",
        "0.032 each against it, and Holm makes it 0.064; against the plain prompt both pass with ease",
        Measured(
            [PROMPT, shown(4), LINEAR, ENCODER],
            [Rows(140, f"{ALL} shown-4"), Rows(30, "linear encoder shown-4")],
            shown_means={4: 0.95},
        ),
        "few-shot",
        "shown-4",
        {"linear": "pass", "encoder": "pass"},
    ),
    Case(
        "a student that loses a class against the prompt with examples",
        "the plain prompt had lost that class as well, so only the better prompt shows it: 10 of 20 rows",
        Measured(
            [PROMPT, shown(4), LINEAR],
            [
                Rows(900, "prompt linear shown-4"),
                Rows(80, "linear shown-4"),
                Rows(10, "prompt linear shown-4", label="rare"),
                Rows(10, "shown-4", label="rare"),
            ],
            shown_means={4: 0.95},
        ),
        "few-shot",
        "shown-4",
    ),
    # Money that contradicts accuracy
    Case(
        "as good, and a call costs twice as much",
        "1 cent against half a cent: it never pays off, so a prompt that is as good stays",
        Measured([PAID, DEAR], [Rows(200, BOTH)], money=MACHINE),
        "keep prompt",
        "prompt",
        {"linear": "pass"},
    ),
    Case(
        "better, and a call costs twice as much",
        "+10 points, surely above 0: whoever pays more gets more",
        Measured([PAID, DEAR], [Rows(180, BOTH), Rows(20, "linear")], money=MACHINE),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "as good, and cheaper",
        "a tenth of a cent against half a cent",
        Measured([PAID, CHEAP], [Rows(200, BOTH)], money=MACHINE),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "worse beyond the margin, and almost free",
        "-10 points: money never overrules the gate",
        Measured([PAID, CHEAP], [Rows(270, BOTH), Rows(30, "prompt")], money=MACHINE),
        "keep prompt",
        "prompt",
        {"linear": "fail"},
    ),
    Case(
        "as good, and what a call of it costs is not known",
        "unknown is not dear: the gate decides alone",
        Measured([PAID, LINEAR], [Rows(200, BOTH)]),
        "distil",
        "linear",
        {"linear": "pass"},
    ),
    Case(
        "a cascade whose student costs more than the prompt",
        "1 cent for every row, and half a cent for those passed on: always dearer than half a cent",
        Measured([PAID, DEAR], UNSURE_WHERE_WRONG, calibration=NEVER_HARMED, money=MACHINE),
        "keep prompt",
        "prompt",
        {"linear": "fail", "cascade": "pass"},
    ),
    Case(
        "a cascade whose student costs a fifth of the prompt",
        "0.1 cents for every row, half a cent for at most a fifth of them: at most 0.2 cents",
        Measured([PAID, CHEAP], UNSURE_WHERE_WRONG, calibration=NEVER_HARMED, money=MACHINE),
        "cascade",
        "cascade",
        {"linear": "fail", "cascade": "pass"},
    ),
    Case(
        "a cascade whose student costs a little less than the prompt",
        "0.45 cents for every row and half a cent for 40 % of them: 0.65, dearer than half a cent",
        Measured([PAID, replace(LINEAR, seconds=0.225)], UNSURE_WHERE_WRONG, calibration=NEVER_HARMED, money=MACHINE),
        "keep prompt",
        "prompt",
        {"linear": "fail", "cascade": "pass"},
    ),
    # Nothing to compare with
    Case("no prompt", "nothing can be said", Measured([LINEAR], [Rows(200, BOTH)]), "cannot tell", None),
    Case("no student", "there is nothing else", Measured([PROMPT], [Rows(200, BOTH)]), "keep prompt", "prompt"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_find(case: Case) -> None:
    result = found(case.measured)
    assert (result.verdict.kind, result.chosen) == (case.verdict, case.chosen), case.why
    gates = {arm.name: arm.gate.answer for arm in result.arms if arm.gate is not None}
    assert {name: gates.get(name) for name in case.gates} == dict(case.gates), case.why
    scores = {arm.name: arm.score.value for arm in result.arms}
    assert {name: scores.get(name) for name in case.scores} == pytest.approx(dict(case.scores)), case.why
    if case.cascade:
        assert result.cascade is not None
        section = {name: getattr(result.cascade, name) for name in case.cascade}
        values = {name: getattr(fact, "value", fact) for name, fact in section.items()}
        assert values == pytest.approx(dict(case.cascade)), case.why


@pytest.mark.parametrize(
    ("elsewhere", "warns"),
    [
        ([Rows(200, BOTH)], False),
        ([Rows(180, BOTH), Rows(20, "prompt")], True),
        ([Rows(20, BOTH)], True),  # too few rows to tell is no pass either
    ],
    ids=["it passes there too", "it fails there", "nobody can tell there"],
)
def test_what_the_verdict_recommends_has_to_pass_on_every_other_test_set(elsewhere, warns):
    result = found(Measured([PROMPT, LINEAR], [Rows(200, BOTH)], elsewhere=elsewhere))
    assert result.chosen == "linear"
    assert [("on elsewhere, linear is" in warning) for warning in result.warnings] == ([True] if warns else [])


def test_the_cascade_that_is_recommended_is_looked_at_elsewhere_as_it_would_answer():
    """The student alone would lose 20 rows; the cascade passes them on, and is as good as the prompt."""
    there = [Rows(180, BOTH, 0.9), Rows(20, "prompt", 0.3)]
    cascade = Measured([PROMPT, LINEAR], UNSURE_WHERE_WRONG, calibration=NEVER_HARMED, elsewhere=there)
    assert (found(cascade).chosen, found(cascade).warnings) == ("cascade", ())
    lost = replace(cascade, elsewhere=[Rows(180, BOTH, 0.9), Rows(20, "prompt", 0.9)])
    assert "on elsewhere, cascade is -10.0 points" in found(lost).warnings[0]


def test_the_cases_have_names_of_their_own() -> None:
    assert len({case.what for case in CASES}) == len(CASES)


def test_a_class_that_fails_is_named_where_the_mean_does_not_show_it():
    """ "Keep the prompt: the best student is +1.5 points against it" is no reason."""
    lost = [Rows(1840, BOTH), Rows(60, "linear"), Rows(70, BOTH, label="rare"), Rows(30, "prompt", label="rare")]
    verdict = found(Measured([PROMPT, LINEAR], lost)).verdict
    assert verdict.sentence.endswith("on the same rows, and fails in the class rare.")
    rows = [Rows(790, BOTH, 0.9), Rows(200, "prompt", 0.3), Rows(10, "prompt", 0.9, "rare")]
    verdict = found(Measured([PROMPT, LINEAR], rows, calibration=rows)).verdict
    assert "fails in" not in verdict.sentence  # the mean fails as well, and is said
    assert any(
        "no cascade: it is shown to be worse than the prompt in the class rare, over all rows: -1.0 points" in why
        for why in verdict.because
    )
