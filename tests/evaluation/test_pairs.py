"""Which pairs of answers nobody needs to be asked about."""

import pytest

from stillhouse.comparison.pairs import Pair
from stillhouse.records import Example


@pytest.mark.parametrize(
    ("a", "b", "choice"),
    [
        ("a plain text", "a  plain\ntext ", "tie"),
        ("a plain text", "a plain texts", None),
        ('{"a": 1, "b": "é"}', '{"b":"\\u00e9","a":1.0}', "tie"),
        ("[1, 2]", "[1,2.0]", "tie"),
        ('{"a": "x  y"}', '{"a": "x y"}', None),
        ("[1, 2]", "[2, 1]", None),
        ("{not json}", "{not  json}", "tie"),
        ("2", "2.0", None),  # two texts that look like numbers
        (None, "x", "B"),
        ("x", None, "A"),
        (None, None, "both bad"),
    ],
)
def test_equal_answers_tie_and_an_answer_is_better_than_none(a, b, choice):
    assert Pair(Example("1", "input"), a, b, key="k").settled == choice
