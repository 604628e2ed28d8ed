"""A student's answer as the structured output that an agent asks for.

JSON stays as it stands; a text or a class goes into the one field that there is.
"""

import json
from collections.abc import Mapping
from typing import Any

from stillhouse.task import Output

Schema = Mapping[str, Any]


class Refused(Exception):
    """Why a student cannot answer this request, in the words that follow "cannot answer:"."""


def fill(schema: Schema, answer: str, output: Output) -> Any:
    """JSON for `schema` (that of an object) from a student's answer. Raises Refused.

    pydantic-ai always asks for an object. One that stands for a `Literal`, an `int` or a list has a single property,
    which holds it.
    """
    if output != "json":
        return {_only_text(schema): answer}
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        raise Refused(f"the answer is not JSON: {answer[:100]!r}") from None
    names = list(schema.get("properties", {}))
    if len(names) == 1 and not (isinstance(value, dict) and names[0] in value):
        return {names[0]: value}
    return value


def choices_of(schema: Schema) -> tuple[str, ...] | None:
    """The texts that the schema's only field may be.

    None where there are several fields, or where the field is no choice among texts.
    """
    properties = schema.get("properties", {})
    if len(properties) != 1:
        return None
    field = _resolved(schema, next(iter(properties.values())))
    values = field.get("enum", [field["const"]] if "const" in field else None)
    return tuple(values) if values is not None and all(isinstance(value, str) for value in values) else None


def _only_text(schema: Schema) -> str:
    properties = schema.get("properties", {})
    if len(properties) != 1:
        fields = ", ".join(properties) or "(none)"
        raise Refused(f"its answer is one text, and the output has the fields {fields}; ask it for a str or one field")
    ((name, field),) = properties.items()
    if choices_of(schema) is None and _resolved(schema, field).get("type") != "string":
        raise Refused(f"its answer is a text, and the output's field {name} is none; ask it for a str or a Literal")
    return str(name)


def _resolved(schema: Schema, field: Schema) -> Schema:
    """The field's own schema, where it is named by reference."""
    name = str(field.get("$ref", "")).removeprefix("#/$defs/")
    resolved: Schema = schema.get("$defs", {}).get(name, field)
    return resolved
