"""Which types of an answer are choices: a `Literal` of texts, an Enum, bool, and each of these with None beside it.

A model that picks one of few answers is asked for a label, and so is a student. Any other type is JSON.
"""

import enum
import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from stillhouse.labels import labels_problem


def choices_of(annotation: Any) -> Mapping[str, Any] | None:
    """The labels of a choice, each with the value that it stands for, as JSON has it; None where it is no choice.

    A label is the text itself, or the JSON of what is no text: true, 3, null.
    """
    values = _values(annotation)
    if values is None:
        return None
    labels = {value if isinstance(value, str) else json.dumps(value): value for value in values}
    if len(labels) < len(values) or labels_problem(labels):
        return None
    return labels if len(labels) > 1 or all(isinstance(value, str) for value in values) else None


def _values(annotation: Any) -> list[Any] | None:
    """What a value of the type can be, where these are few scalars; each once."""
    annotation = getattr(annotation, "__value__", annotation)  # `type Route = Literal[...]`
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        return None if any(type(mark).__name__.endswith("Validator") for mark in marks) else _values(inner)
    if origin is Literal:
        members = get_args(annotation)
        of_texts = all(member is None or isinstance(member, str | enum.Enum) for member in members)
        return _scalars(members) if of_texts else None
    if origin in (Union, types.UnionType):
        parts = [_values(part) for part in get_args(annotation)]
        known = [part for part in parts if part is not None]
        return _scalars([value for part in known for value in part]) if len(known) == len(parts) else None
    if annotation is None or annotation is type(None):
        return [None]
    if annotation is bool:
        return [True, False]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum) and not issubclass(annotation, enum.Flag):
        return _scalars(list(annotation)) or None
    return None


def _scalars(members: Any) -> list[Any] | None:
    """The members as JSON has them, each once, or None: `Literal[True]` and `Literal[1]` are two."""
    values: list[Any] = []
    for member in members:
        value = member.value if isinstance(member, enum.Enum) else member
        if value is not None and type(value) not in (str, int, bool):
            return None
        if not any(type(value) is type(other) and value == other for other in values):
            values.append(value)
    return values
