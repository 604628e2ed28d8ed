"""A label of a JSON task is a value, however it is written. The tables were written before the code."""

import pytest

from stillhouse.json_labels import LabelError, json_label, same_json

TEXT = {"type": "string"}
MAYBE = {"type": ["string", "null"]}
ENUM = {"enum": ["yes", "no"]}
ORDER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

CASES = [  # (label, schema, canonical text; None: refused)
    ({"b": 1, "a": 2}, None, '{"a": 2, "b": 1}'),
    ('{"b": 1, "a": 2}', None, '{"a": 2, "b": 1}'),
    (' {"b":1,\n"a":2} ', None, '{"a": 2, "b": 1}'),
    ('{"a": "caf\\u00e9"}', None, '{"a": "café"}'),
    ('{"a": 2.0}', None, '{"a": 2}'),
    ({"a": 2.0, "b": [1e2, -0.0]}, None, '{"a": 2, "b": [100, 0]}'),
    ("2.50", None, "2.5"),
    ("true", None, "true"),
    (True, None, "true"),
    ("null", None, "null"),
    ('"x  y"', None, '"x  y"'),
    (5, None, "5"),
    ([], None, "[]"),
    ("9007199254740993", None, "9007199254740993"),
    ("Porto", None, None),
    ("", None, None),
    ("{'a': 1}", None, None),
    ("True", None, None),
    ("None", None, None),
    ("NaN", None, None),
    ('{"a": 1e999}', None, None),
    ("[" * 5000, None, None),
    ('{"a": 1} ', None, '{"a": 1}'),
    # by the schema's type: a text that is a text there needs no quotes
    ("Porto", TEXT, '"Porto"'),
    ('"Porto"', TEXT, '"Porto"'),
    ("2.0", TEXT, '"2.0"'),
    ("true", TEXT, '"true"'),
    ("null", TEXT, '"null"'),
    ("null", MAYBE, "null"),
    ("x  y", TEXT, '"x  y"'),
    ("yes", ENUM, '"yes"'),
    ("maybe", ENUM, None),
    ('{"n": 2.0}', ORDER, '{"n": 2}'),
    ('{"n": 2.5}', ORDER, None),
    ('{"n": "2"}', ORDER, None),
    ({"n": True}, ORDER, None),
    ({}, ORDER, None),
    ("Porto", ORDER, None),
]


@pytest.mark.parametrize(("label", "schema", "wanted"), CASES)
def test_a_label_and_its_canonical_text(label, schema, wanted):
    if wanted is None:
        with pytest.raises(LabelError, match=r"no JSON|cannot be used|does not fit the schema"):
            json_label(label, schema)
        return
    assert json_label(label, schema) == wanted
    assert json_label(wanted, schema) == wanted  # read again, it is what it was


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ('{"a": 2.0}', '{"a": 2}', True),
        ("1e2", "100", True),
        ('"caf\\u00e9"', '"café"', True),
        ('"x  y"', '"x y"', False),
        ('{"a": "x  y"}', '{"a": "x y"}', False),
        ('{"a": "2"}', '{"a": 2}', False),
        ("true", "1", False),
        ("[1, 2]", "[2, 1]", False),
        ("null", "false", False),
        ("9007199254740993", "9007199254740992", False),
        ('{"a": null}', "{}", False),
        ("not JSON", "not JSON", False),
        ('{"a": 1', '{"a": 1', False),
    ],
)
def test_two_texts_are_the_same_value(one, other, same):
    assert same_json(one, other) is same is same_json(other, one)
