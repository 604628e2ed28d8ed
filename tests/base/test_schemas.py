"""JSON schemas: what is refused when the task is loaded, and work on a reply that is bounded."""

import pytest

from stillhouse import schemas
from stillhouse.patterns import PatternError, compiled
from stillhouse.schemas import SchemaProblem, check_schema, first_problem

TREE = {
    "$defs": {"node": {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}}},
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"anyOf": [{"type": "null"}, {"not": {"$ref": "#/$defs/a"}}]}}},
        {"properties": {"x": {"if": True, "then": {"$ref": "#/properties/x"}}}},
        {"$defs": {"a": {"$anchor": "here", "oneOf": [{"$ref": "#here"}]}}},
        {"$defs": {"a": {"dependentSchemas": {"k": {"$ref": "#/$defs/a"}}}}},
        {"$dynamicAnchor": "top", "$dynamicRef": "#top"},
        {"$id": "https://example.org/a", "items": {"$ref": "b", "$defs": {"b": {"$id": "b", "$ref": "b"}}}},
    ],
)
def test_a_schema_that_goes_round_without_going_into_the_value_is_refused(schema):
    with pytest.raises(SchemaProblem, match="refers to itself without end"):
        check_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [TREE, {"items": {"$ref": "#"}}, {"properties": {"a": {"$ref": "#"}}, "not": {"items": {"$ref": "#"}}}, {}],
)
def test_a_schema_that_calls_itself_for_a_part_is_fine(schema):
    check_schema(schema)


@pytest.mark.parametrize(
    "ref", ["http://127.0.0.1:1/schema", "file:///etc/passwd", "#/$defs/absent", "other.json", "#nowhere"]
)
def test_what_is_not_in_the_file_is_refused_and_nothing_is_fetched(ref):
    with pytest.raises(SchemaProblem, match="which is not in the file"):
        check_schema({"properties": {"a": {"$ref": ref}}})


def test_a_deep_value_under_a_recursive_schema_is_a_problem_or_fits():
    deep = {}
    for _ in range(250):
        deep = {"child": deep}
    assert first_problem(TREE, deep) in (None, "the value: nested too deep for the schema")
    assert first_problem(TREE, {"child": {"child": 5}}) == "child.child: 5 is not of type 'object'"


def test_work_that_doubles_with_each_level_ends(monkeypatch):
    monkeypatch.setattr(schemas, "MOST_STEPS", 2_000)
    either = {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}, "required": ["child"]}
    schema = {
        "$defs": {"node": {"anyOf": [either, {**either, "title": "other"}, {"const": 1}]}},
        "$ref": "#/$defs/node",
    }
    value = 2
    for _ in range(40):
        value = {"child": value}
    assert first_problem(schema, value) == "the value: more than 2,000 checks would be needed"
    assert first_problem({"uniqueItems": True}, [[n] for n in range(20_000)]) is None


@pytest.mark.parametrize(
    ("value", "divisor", "fits"),
    [
        (19.99, 0.01, True),
        (4.35, 0.01, True),
        (0.07, 0.01, True),
        (0.3, 0.1, True),
        (1e300, 1e-300, True),
        (10**399, 10, True),
        (10**399 + 1, 10, False),
        (7, 10**399, False),
        (19.995, 0.01, False),
        (1e-300, 0.01, False),
        (-0.07, 0.01, True),
        (2.0, 2, True),
        ("19.99", 0.01, True),
    ],
)
def test_multiples_are_those_of_the_numbers_as_written(value, divisor, fits):
    assert (first_problem({"multipleOf": divisor}, value) is None) == fits


def test_items_are_the_same_as_the_schema_says():
    same = [[1, 1.0], [{"a": 1, "b": 2}, {"b": 2, "a": 1.0}], [[1], [1.0]]]
    other = [[1, True], [0, False], ["1", 1], [{"a": 1}, {"a": True}], [1, 1.5]]
    assert all(first_problem({"uniqueItems": True}, items) for items in same)
    assert not any(first_problem({"uniqueItems": True}, items) for items in other)


BACKTRACKS, LONG = "^(a+)+$", "a" * 50 + "!"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("schema", "value", "place"),
    [
        ({"properties": {"x": {"$schema": DRAFT, "pattern": BACKTRACKS}}}, {"x": LONG}, "x: "),
        (
            {"$defs": {"q": {"$id": "http://h/q", "$schema": DRAFT, "pattern": BACKTRACKS}}, "$ref": "#/$defs/q"},
            LONG,
            "the value: ",
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "properties": {"x": {"$ref": "#"}, "y": {"pattern": BACKTRACKS}},
            },
            {"x": {"y": LONG}},
            "x.y: ",
        ),
    ],
)
def test_a_draft_that_is_named_inside_does_not_lead_away_from_the_bounds(schema, value, place):
    check_schema(schema)
    assert first_problem(schema, value).startswith(place)


def test_a_property_called_schema_is_no_draft():
    schema = {"properties": {"$schema": {"type": "string"}}, "const": {"$schema": "x"}}
    check_schema(schema)
    assert first_problem(schema, {"$schema": "x"}) is None and first_problem(schema, {"$schema": 1}) is not None


@pytest.mark.parametrize("key", ["default", "const"])
def test_a_reference_to_a_value_is_refused(key):
    schema = {"$ref": f"#/{key}", key: {"properties": {"x": {"pattern": "(?=a)b"}}}}
    with pytest.raises(SchemaProblem, match="is a value and no schema"):
        check_schema(schema)
    named = {"properties": {key: {"pattern": "^a$"}, "x": {"$ref": f"#/properties/{key}"}}}
    check_schema(named)
    assert first_problem(named, {"x": "b"}) is not None


def test_what_a_reference_joins_is_refused_as_what_stands_together():
    with pytest.raises(PatternError, match="unevaluatedProperties"):
        check_schema(
            {
                "$defs": {
                    "q": {"patternProperties": {BACKTRACKS: True}},
                    "r": {"unevaluatedProperties": False, "$ref": "#/$defs/q"},
                },
                "$ref": "#/$defs/r",
            }
        )


def test_a_repeat_without_its_least_means_what_it_means_to_python():
    assert compiled("^a{,2}b$").search("aab") and not compiled("^a{,2}b$").search("aaab")
    assert compiled("^[{,2}]+$").search("{,2}")


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"enum": [None, "a"]}, True, 'true is not one of [null, "a"]'),
        ({"enum": [None, "a"]}, None, None),
        ({"type": "string"}, {"a": None}, '{"a": null} is not of type'),
        ({"const": None}, {"a": True}, "null was expected"),
        ({"items": False}, [{"a": None}], 'found 1 extra: {"a": null}'),
        ({"prefixItems": [{}], "items": False}, [1, None, True], "found 2 extra: [null, true]"),
        ({"oneOf": [{"type": ["object"]}, {"not": {"const": None}}]}, {"a": 1}, '{"not": {"const": null}}'),
        ({"contains": {"const": 1}}, [None, False], "[null, false] does not contain"),
    ],
)
def test_what_is_wrong_is_said_in_json(schema, value, said):
    problem = first_problem(schema, value)
    assert problem is None if said is None else said in problem
