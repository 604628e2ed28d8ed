"""The JSON schema of an answer as structured output takes it.

Its root has to be an object, every object in it closed, and every property required. An answer that is no object (a
list, a number) stands in one, under `answer`.
"""

from typing import Any

from stillhouse.json_labels import canonical_text
from stillhouse.json_text import JsonError, read_json

ANSWER = "answer"


def strict_schema(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema for the request; None where anything is an answer."""
    if not schema:
        return None
    if is_object(schema):
        strict: dict[str, Any] = _closed(schema)
        return strict
    answer = {name: value for name, value in schema.items() if name != "$defs"}
    root = {"type": "object", "properties": {ANSWER: answer}} | (
        {"$defs": schema["$defs"]} if "$defs" in schema else {}
    )
    wrapped: dict[str, Any] = _closed(root)
    return wrapped


def is_object(schema: dict[str, Any]) -> bool:
    """Whether the answer is an object by itself."""
    return schema.get("type") == "object"


def unwrapped(output: str) -> str | None:
    """The answer in the object around it, as JSON; None where the text is no such object."""
    try:
        value = read_json(output)
    except JsonError:
        return None
    return canonical_text(value[ANSWER]) if isinstance(value, dict) and list(value) == [ANSWER] else None


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {name: _closed(value) for name, value in part.items() if name != "default"}
    if closed.get("type") == "object" and "properties" in closed:
        closed |= {"additionalProperties": False, "required": list(closed["properties"])}
    return closed
