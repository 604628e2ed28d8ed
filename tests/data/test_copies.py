"""Copies among the rows that are measured on: left out or linked, counted, said."""

from stillhouse.data.copies import distinct, repeats_in_words
from stillhouse.records import Example


def test_a_row_that_repeats_another_is_left_out_and_said():
    found = distinct(
        [Example("1", "Where is it?", "chat"), Example("2", "where is it", "chat"), Example("3", "how many", "sql")]
    )
    assert [row.id for row in found.rows] == ["1", "3"]
    assert found.said_of("test") == [
        "1 of 3 test rows repeat the input and label of another and were left out: a copy is no new evidence"
    ]


def test_rows_that_contradict_each_other_stay_as_one_group():
    found = distinct(
        [Example("1", "where is it", "chat"), Example("2", "how many", "sql"), Example("3", "where is it", "search")]
    )
    assert [row.id for row in found.rows] == ["1", "2", "3"]
    assert found.rows[0].group == found.rows[2].group is not None and found.rows[1].group is None
    assert "2 of 3 test rows have the input of another row and a different label" in found.said_of("test")[0]


def test_choices_make_a_row_another_and_distinct_rows_are_as_they_were():
    rows = [
        Example("1", "pick", "a", choices=("a", "b")),
        Example("2", "pick", "a", choices=("a", "c")),
        Example("3", "x", "a", group="g"),
    ]
    found = distinct(rows)
    assert (found.rows, found.n_dropped, found.said_of("test")) == (rows, 0, [])


def test_a_row_whose_copy_is_in_another_part_is_not_said_to_repeat_none():
    """It said "0 of 392 rows repeat the input of another", and went on that this made a difference."""
    rows = [Example(f"r{i}", f"text {i}", "a") for i in range(4)]
    told = "1 of 4 test rows has the input of a row in another part of the file"
    assert repeats_in_words(rows, rows[:3], "test") == told
    twins = [*rows, Example("r5", "text 1", "a")]
    told = "1 of 5 test rows repeat the input of another, the most frequent one 2 times"
    assert repeats_in_words(twins, rows, "test") == told
