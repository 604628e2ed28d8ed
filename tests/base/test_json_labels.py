"""A label of a JSON task is a value, however it is written. The tables were written before the code."""

import json

import pytest

from stillhouse.data.dataset import load_examples
from stillhouse.json_labels import LabelError, json_label, same_json
from stillhouse.task import load_task

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
    ('{"a": 1e999}', None, '{"a": 1' + "0" * 999 + "}"),
    ('{"a": 1e5000}', None, None),
    ('{"a": 1e99999999999999999999}', None, None),
    (
        '{"b": [9007199254740992.50, 0.5], "a": 9007199254740993.0}',
        None,
        '{"a": 9007199254740993, "b": [9007199254740992.5, 0.5]}',
    ),
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
        ("9007199254740993.0", "9007199254740993", True),
        ("9007199254740993.0", "9007199254740992", False),
        ("90071992547409.93e2", "9007199254740992.0", False),
        ("9007199254740992.5", "9007199254740992", False),
        ("-9007199254740992.5", "-9007199254740992.50", True),
        ("1e400", "1" + "0" * 400, True),
        ("1e400", "2e400", False),
        ("10e-1", "1", True),
        ('{"a": null}', "{}", False),
        ("not JSON", "not JSON", False),
        ('{"a": 1', '{"a": 1', False),
    ],
)
def test_two_texts_are_the_same_value(one, other, same):
    assert same_json(one, other) is same is same_json(other, one)


def test_an_object_in_a_sentence_is_written_as_json():
    with pytest.raises(LabelError, match=r'is \{"a": null, "b": true\}, which does not fit'):
        json_label({"a": None, "b": True}, ORDER)


@pytest.mark.parametrize("label", ['{"n": 9007199254740993.0}', {"n": 9007199254740993}])
def test_a_label_of_a_row_is_exact_whether_it_is_a_value_or_a_text(label, tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(ORDER))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "n"\ninstruction = "n"\noutput = "json"\njson_schema = "schema.json"\nmetric = "exact_match"\n[data]\ntrain = "a"\n'
    )
    written = json.dumps(label) if isinstance(label, str) else '{"n": 9007199254740993.0}'
    (tmp_path / "a.jsonl").write_text(f'{{"input": {{"x": 1e17}}, "label": {written}}}\n')
    (row,) = load_examples(tmp_path / "a.jsonl", task=load_task(tmp_path / "task.toml")).examples
    assert row.label == '{"n": 9007199254740993}'
    assert json.dumps(row.input) == '{"x": 1e+17}'  # and so is the id that is made of it
