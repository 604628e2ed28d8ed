"""Warnings in the order of what they would do to the decision: the table of kinds, and runs that have several."""

from dataclasses import replace

from arms import LINEAR, PROMPT, PROVENANCE, Measured, Rows, _arm, _material

from stillhouse.doubts import Doubt, Warned, in_order
from stillhouse.verdict.findings import find

# Written down before the code: what would change the decision most comes first.
ORDER = [
    "PASSING_MEANS_NOTHING",
    "FAILS_ELSEWHERE",
    "OTHERS_DIFFER",
    "NOT_TRAFFIC",
    "GENERATED_TEST_ROWS",
    "TEST_ROWS_LEFT_OUT",
    "CALIBRATION_ROWS_LEFT_OUT",
    "QUERIES_DO_NOT_RUN",
    "LOOKED_AT",
    "NEAR_COPIES",
    "ROWS_NOT_LEARNED",
    "ROWS_SKIPPED",
    "RUN_NOT_READ",
]


def test_every_kind_has_its_place():
    assert [doubt.name for doubt in Doubt] == ORDER
    warned = [Warned(doubt, doubt.name) for doubt in reversed(Doubt)]
    assert list(in_order(warned)) == ORDER


def test_of_one_kind_what_concerns_more_rows_comes_first_and_a_trifle_last():
    warned = [
        Warned(Doubt.FAILS_ELSEWHERE, "5 points", 0.05),
        Warned(Doubt.TEST_ROWS_LEFT_OUT, "one of 600 rows", 1 / 600),
        Warned(Doubt.FAILS_ELSEWHERE, "20 points", 0.20),
        Warned(Doubt.NEAR_COPIES, "one near copy of 600", 1 / 600),
        Warned(Doubt.NEAR_COPIES, "half are near copies", 0.5),
    ]
    assert in_order(warned) == (
        "20 points",
        "5 points",
        "half are near copies",
        "one of 600 rows",
        "one near copy of 600",
    )


def test_twenty_points_on_another_test_set_come_before_one_near_copy():
    measured = Measured(
        [PROMPT, LINEAR],
        [Rows(1000, "prompt linear")],
        elsewhere=[Rows(80, "prompt linear"), Rows(20, "prompt")],
    )
    doubts = (
        Warned(Doubt.NEAR_COPIES, "1 of 1000 test rows are near copies", 0.001),
        Warned(Doubt.LOOKED_AT, "3 other plans have looked"),
    )
    material = replace(_material(measured), doubts=doubts)
    result = find(material, [_arm(measured, arm) for arm in measured.arms], PROVENANCE)
    assert result.chosen == "linear"
    assert [warning[:20] for warning in result.warnings] == [
        "on elsewhere, linear",
        "3 other plans have l",
        "1 of 1000 test rows ",
    ]
