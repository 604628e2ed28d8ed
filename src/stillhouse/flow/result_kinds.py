"""A step's result is of the kind that its annotation says: true is not 1, "3" is not 3.

Pydantic takes one for the other, also where it is strict and the annotation is a `Literal`. The annotation's own JSON
schema tells them apart. Where an annotation has validators of its own, they decide alone.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from stillhouse.json_text import JsonError, read_json
from stillhouse.patterns import PatternError
from stillhouse.schemas import SchemaProblem, check_schema, first_problem

_OWN_VALIDATORS = re.compile(r"'function-(before|wrap|plain)'")


def schema_of(adapter: TypeAdapter[Any]) -> Mapping[str, Any] | None:
    """The schema that tells results of this type from others; None where there is none to go by."""
    if _OWN_VALIDATORS.search(str(adapter.core_schema)):
        return None
    try:
        schema = adapter.json_schema()
        check_schema(schema)
    except (PydanticInvalidForJsonSchema, PydanticUserError, PatternError, SchemaProblem):
        return None
    return schema


def kind_problem(schema: Mapping[str, Any], output: str) -> str | None:
    """What is wrong with a result, given as JSON; None: nothing that tells kinds apart."""
    try:
        return first_problem(schema, read_json(output))
    except JsonError:
        return None


def scalars(adapter: TypeAdapter[Any]) -> Callable[[Any], bool] | None:
    """Whether a value is one of the numbers or truth values that the annotation names; None: it names other things.

    Quick, for steps that are called often. Texts alone are told apart by Pydantic.
    """
    if _OWN_VALIDATORS.search(str(adapter.core_schema)):
        return None
    try:
        schema = adapter.json_schema()
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        return None
    named = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if named is not None:
        if all(isinstance(each, str) for each in named):
            return None
        return lambda value: any(
            value == each and (value is True) == (each is True) and (value is False) == (each is False)
            for each in named
        )
    kind = schema.get("type")
    if kind == "boolean":
        return lambda value: isinstance(value, bool)
    if kind in ("integer", "number"):
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    return None
