"""Redaction: what is taken out of the rows that are made of traces, before they are written.

Nothing is redacted unless the user names a hook (`harvest --redact module:function`). The hook gets a copy of each row
as it would be written, without its id, and returns the row that is written. Its changes to `input`, `label`,
`teacher_label` and `group` count; the id is made of the redacted input. Traces themselves stay as they are in the
store. Where a hook fails, or gives back what is no row, nothing at all is written.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stillhouse.data.dataset import to_row
from stillhouse.errors import UserError
from stillhouse.records import Example

# Takes a row as it would be written, and returns the row that is written.
Redact = Callable[[dict[str, Any]], dict[str, Any]]


def redacted(example: Example, redact: Redact | None) -> Example:
    """The example as the hook leaves it; without a hook, as it is. Raises UserError where the hook fails."""
    if redact is None:
        return example
    row = to_row(example)
    del row["id"]
    try:
        new_row = redact(copy.deepcopy(row))
    except Exception as error:  # the user's own code may raise anything
        raise UserError(
            f"the redaction hook failed ({type(error).__name__}: {error}); "
            "nothing was written: mend it and harvest again"
        ) from None
    problem = _not_a_row(new_row)
    if problem is not None:
        raise UserError(f"the redaction hook gave back {problem}; it must return the row; nothing was written")
    return replace(
        example,
        input=new_row["input"],
        label=new_row.get("label"),
        teacher_label=new_row["teacher_label"],
        group=new_row.get("group"),
    )


def _not_a_row(value: Any) -> str | None:
    """What is wrong with what a hook gave back; None: it is a row."""
    if not isinstance(value, dict):
        return f"{type(value).__name__} and no row"
    text = value.get("input")
    if not isinstance(text, str | dict) or not text:
        return "a row without `input`"
    if not isinstance(value.get("teacher_label"), str):
        return "a row whose `teacher_label` is no text"
    if not isinstance(value.get("label"), str | None) or not isinstance(value.get("group"), str | None):
        return "a row whose `label` or `group` is no text"
    return None
