"""Which rows choose the cascade's threshold: rows that can be scored, in their order."""

from arms import calibration_rows

from stillhouse.records import Example


def row(name, label="common", group=None, teacher_label=None):
    return Example(name, f"text of {name}", label, teacher_label=teacher_label, group=group)


def ids(rows, **scored_against):
    return [row.id for row in calibration_rows(rows, **scored_against)]


def test_every_row_of_a_group_counts():
    """The first rows of conversations are not like the later ones: the bound takes groups as they are."""
    rows = [row("a", group="g"), row("b"), row("c", group="g"), row("d", group="h"), row("e", group="h"), row("f")]
    assert ids(rows) == ["a", "b", "c", "d", "e", "f"]


def test_a_row_that_cannot_be_scored_does_not_count():
    rows = [row("a", label=None, group="g"), row("b", group="g"), row("c", label=None, teacher_label="rare")]
    assert ids(rows) == ["b"]
    assert ids(rows, scored_against="teacher") == ["c"]
