"""The three answers, from the p-values of both sides."""

import pytest

from stillhouse.evaluation.cannot_tell import answer_of


@pytest.mark.parametrize(
    ("p_not_above", "p_not_below", "level", "answer"),
    [
        (0.049, 0.9, 0.95, "pass"),
        (0.9, 0.049, 0.95, "fail"),
        (0.3, 0.7, 0.95, "cannot tell"),
        (0.25, 0.75, 0.75, "cannot tell"),  # to be shown, it must be below 1 - level
        (0.75, 0.25, 0.75, "cannot tell"),
        (0.05, 0.95, 0.9, "pass"),
        (0.95, 0.05, 0.9, "fail"),
    ],
)
def test_an_answer_needs_its_side_to_be_shown(p_not_above, p_not_below, level, answer):
    assert answer_of(p_not_above, p_not_below, level) == answer
