"""Whether a JSON value fits a JSON schema (draft 2020-12), and what keeps it from fitting."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from stillhouse.errors import TaskFileError
from stillhouse.patterns import schema_validator


def schema_problem(schema: Mapping[str, Any], value: Any) -> str | None:
    """The first thing that keeps the value from fitting, with its place in the value; None: it fits.

    Raises TaskFileError where the schema refers to something outside of itself: nothing is fetched.
    """
    import referencing.exceptions

    try:
        problem = next(_validator(json.dumps(schema)).iter_errors(value), None)
    except referencing.exceptions.Unresolvable as error:
        raise TaskFileError(
            f"json_schema: refers to {error.ref!r}, which is not in the file; put it under `$defs`"
        ) from None
    except (RecursionError, ArithmeticError) as error:
        return f"the value: it cannot be checked ({error})"
    if problem is None:
        return None
    place = ".".join(map(str, problem.absolute_path)) or "the value"
    return f"{place}: {_in_json(problem):.120}"


def _in_json(problem: Any) -> str:
    """What is wrong, in JSON's words: it is sent back to the model, which was asked for JSON and not for Python."""
    message: str = problem.message
    for value in (problem.instance, problem.validator_value):
        if not isinstance(value, str):
            message = message.replace(repr(value), json.dumps(value, ensure_ascii=False, default=str))
    return message


@functools.lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    import referencing

    return schema_validator()(json.loads(schema), registry=referencing.Registry())
