"""A label of a task whose output is JSON is a value. In a file it is that value, or a text that spells it.

Everything that compares, shows, sends or learns such a label has its canonical text: keys sorted, no escapes that are
not needed, 2.0 written as 2, and numbers beyond 2^53 with all the digits that they were written with. Equal values
have equal texts. A text that is no JSON is a label only where the schema
allows it as it stands: where a string is asked for, `Porto` needs no quotes, and `2.0` is a text.
"""

import json
from collections.abc import Mapping
from typing import Any

from stillhouse.json_text import JsonError, NotJsonError, WrittenFloat, exact_json, holds_inexact, read_json
from stillhouse.schemas import first_problem


class LabelError(ValueError):
    """Why a label is none, as the end of a sentence, without its remedy."""


def json_label(label: Any, schema: Mapping[str, Any] | None) -> str:
    """The canonical text of a label that is a value, or a text that spells one. Raises LabelError."""
    value, reason = plain_numbers(label), None
    if isinstance(label, str):
        try:
            value = plain_numbers(read_json(label, exact=True))
        except NotJsonError:
            reason = 'which is no JSON; a text stands in quotes, as in "\\"Porto\\""'
        except JsonError as error:
            reason = f"which cannot be used ({error})"
    if reason is None and schema is not None and (problem := first_problem(schema, value)) is not None:
        reason = f"which does not fit the schema ({problem})"
    if reason is None:
        return canonical_text(value)
    if isinstance(label, str) and schema is not None and first_problem(schema, label) is None:
        return canonical_text(label)
    raise LabelError(f"is {spelled(label):.80}, {reason}")


def canonical_text(value: Any) -> str:
    """The one text of a value. Raises LabelError for what JSON cannot hold."""
    try:
        value = plain_numbers(value)
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return exact_json(value) if holds_inexact(value) else text
    except (TypeError, ValueError, RecursionError):
        raise LabelError(f"is {value!r:.80}, which holds a value that is no JSON") from None


def value_spelled(text: str) -> str | None:
    """The canonical text of a text that is JSON; None: it is none."""
    try:
        return canonical_text(read_json(text, exact=True))
    except (JsonError, LabelError):
        return None


def same_json(one: str, other: str) -> bool:
    """Whether both texts are JSON, and the same value."""
    value = value_spelled(one)
    return value is not None and value == value_spelled(other)


def spelled(value: Any) -> str:
    """A value in a sentence about it: as JSON writes it, and a text in single quotes."""
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def plain_numbers(value: Any) -> Any:
    """The value with whole numbers written without a fraction: JSON has one kind of number."""
    if isinstance(value, dict):
        return {name: plain_numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain_numbers(part) for part in value]
    if isinstance(value, WrittenFloat):
        return int(value.exact) if value.exact == value.exact.to_integral_value() else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
