"""Where the prompt is not shown to be better than the commonest label, to pass against it means nothing: that is said."""

import pytest
from arms import LINEAR, PROMPT, Measured, Rows, found, shown

MOSTLY_COMMON = (Rows(900, ""), Rows(100, "", label="rare"))
BOTH = "prompt linear"


def measured(*test, **more):
    return Measured([PROMPT, LINEAR], test, trained_on=MOSTLY_COMMON, **more)


@pytest.mark.parametrize(
    ("test", "says"),
    [
        # always the commonest label: 270 of 300; the prompt has 280 and 0 of the other 10 is lost: p = 2^-10
        ((Rows(270, BOTH), Rows(10, BOTH, label="rare"), Rows(20, "", label="rare")), None),
        # the prompt has the same 270
        ((Rows(270, BOTH), Rows(30, "", label="rare")), "prompt is not better than the commonest label"),
        # it has 10 rare ones more and 20 of the common ones less
        ((Rows(250, BOTH), Rows(20, ""), Rows(10, BOTH, label="rare"), Rows(20, "", label="rare")), "is not better"),
        # 2 rows gained, none lost: p = 0.25
        (
            (Rows(270, BOTH), Rows(2, BOTH, label="rare"), Rows(28, "", label="rare")),
            "it is not shown that prompt is better",
        ),
    ],
)
def test_the_prompt_is_held_against_the_commonest_label(test, says):
    warnings = found(measured(*test)).warnings
    about = [warning for warning in warnings if "commonest label" in warning]
    assert len(about) == (says is not None)
    if says is not None:
        assert says in about[0] and "n = 300" in about[0] and "means nothing" in about[0]
        assert warnings[0] == about[0]


def test_a_cascade_before_such_a_prompt_has_the_warning_too():
    calibration = [Rows(250, BOTH, 0.9), Rows(50, "prompt", 0.3)]
    result = found(
        measured(Rows(200, BOTH, 0.9), Rows(70, "prompt", 0.3), Rows(30, "", label="rare"), calibration=calibration)
    )
    assert result.verdict.kind == "cascade"
    assert "for a student and for a cascade" in result.warnings[0]


def test_examples_that_help_are_what_is_held_against_it():
    test = (Rows(270, f"{BOTH} shown-4"), Rows(25, "shown-4", label="rare"), Rows(5, "", label="rare"))
    result = found(Measured([PROMPT, shown(4), LINEAR], test, trained_on=MOSTLY_COMMON, shown_means={4: 0.95}))
    assert result.verdict.kind == "few-shot"
    assert not any("commonest" in warning for warning in result.warnings)


def test_tasks_without_labels_have_no_commonest_one():
    assert not found(measured(Rows(270, BOTH), Rows(30, "", label="rare"), labels=None)).warnings
