"""Which rows choose the cascade's threshold: rows that can be scored, one of each group, in their order."""

from arms import calibration_rows

from stillhouse.records import Example


def row(name, label="common", group=None, teacher_label=None):
    return Example(name, f"text of {name}", label, teacher_label=teacher_label, group=group)


def ids(rows, **scored_against):
    return [row.id for row in calibration_rows(rows, **scored_against)]


def test_of_each_group_the_first_row_counts():
    rows = [row("a", group="g"), row("b"), row("c", group="g"), row("d", group="h"), row("e", group="h"), row("f")]
    assert ids(rows) == ["a", "b", "d", "f"]


def test_a_group_called_as_a_row_is_not_that_row():
    assert ids([row("a", group="b"), row("b"), row("c", group="b")]) == ["a", "b"]


def test_a_row_that_cannot_be_scored_does_not_stand_for_its_group():
    rows = [row("a", label=None, group="g"), row("b", group="g"), row("c", label=None, teacher_label="rare")]
    assert ids(rows) == ["b"]
    assert ids(rows, scored_against="teacher") == ["c"]
