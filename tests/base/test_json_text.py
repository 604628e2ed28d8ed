"""JSON from outside: what is read, and what is refused with what it holds."""

import json
import math

import pytest

from stillhouse.json_text import MOST_DEPTH, JsonError, NotJsonError, list_items, read_body, read_json


def nested(depth, opening="[", closing="]"):
    return opening * depth + closing * depth


@pytest.mark.parametrize(
    "text", ['{"a": [1, 2.5, null, true]}', nested(MOST_DEPTH), "9" * 4_300, '"\\ud83d\\ude00"', '"é"']
)
def test_what_json_has_is_read_as_python_reads_it(text):
    assert read_json(text) == read_json(b"\xef\xbb\xbf" + text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (nested(MOST_DEPTH + 1), "nested more than 100 deep"),
        ('{"a":' * 250 + "1" + "}" * 250, "nested more than 100 deep"),
        (nested(100_000), "nested more than 100 deep"),
        ("9" * 5_000, "a number of more than 4,300 digits"),
        ("[1e999]", "a number too large"),
        ("[-1e999]", "a number too large"),
        ("9" * 400 + ".5", "a number too large"),
        ("1e-400", "a number too small"),
        ("[-2.5E-999]", "a number too small"),
        ("0." + "0" * 400 + "1", "a number too small"),
        ("NaN", "NaN, which is no number of JSON"),
        ('{"a": -Infinity}', "-Infinity, which"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' twice in one object"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"\\uDFFF": 1}', "half of a surrogate pair"),
        ('"\ud800"', "half of a surrogate pair"),
    ],
)
def test_what_no_reader_may_meet_is_refused_by_name(text, holds):
    with pytest.raises(JsonError, match=holds) as refused:
        read_json(text)
    assert not isinstance(refused.value, NotJsonError)


@pytest.mark.parametrize("text", ["0", "-0.0", "0e-999", "0.000", "1e-300", "5e-324"])
def test_a_zero_that_is_written_so_and_a_small_number_are_read(text):
    assert read_json(text) == read_json(text, exact=True) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{'a': 1}", b"\xff", b"\xed\xa0\x80"])
def test_what_is_no_json_is_called_that(text):
    with pytest.raises(NotJsonError):
        read_json(text)


def test_an_endpoints_body_is_read_where_every_client_reads_it():
    assert read_body(b'{"a": 1, "a": 2, "b": NaN}')["a"] == 2
    assert read_body(b'"\\ud800"') == "\ud800"
    for raw in (nested(101), b"\xff{"):
        with pytest.raises(JsonError):
            read_body(raw)


def test_a_number_of_too_many_digits_in_a_body_is_nan_and_loses_nothing_else():
    value = read_body('{"id": ' + "7" * 5_000 + ', "n": 12, "text": "good"}')
    assert isinstance(value["id"], float) and math.isnan(value["id"])
    assert (value["n"], value["text"]) == (12, "good")


def test_a_count_has_a_bound_of_its_own():
    assert read_json("[5, 18446744073709551616]", most=2**64) == [5, 2**64]
    for text in ("18446744073709551617", "9" * 400, "9" * 5_000):
        with pytest.raises(JsonError, match="a whole number beyond"):
            read_json(text, most=2**64)


def test_the_items_of_a_list_are_read_one_by_one():
    text = '[{"a": "],["}, [1, [2]], "\\"", 5 , nonsense]'
    assert [item.strip() for item in list_items(text)] == ['{"a": "],["}', "[1, [2]]", '"\\""', "5", "nonsense"]
    assert list(list_items("[]")) == list(list_items(" [ ] ")) == []
    for torn in ("[1, 2", "[1] 2"):
        with pytest.raises(NotJsonError):
            list(list_items(torn))
