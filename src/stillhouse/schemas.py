"""A task's JSON schema (2020-12): checked once where it is loaded, with bounded work on whatever a reply holds.

A schema that leads round to itself without going into the value, such as `{"$ref": "#"}`, has no end and is refused; so
is one that refers to what is not in its file: nothing is fetched. A schema that calls itself for a part of the value is
fine, but with `anyOf` its work may double with each level of a reply: after `MOST_STEPS` checks the reply is refused.

Where jsonschema and exact arithmetic differ, arithmetic wins: 19.99 is a multiple of 0.01.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from fractions import Fraction
from typing import Any

from stillhouse.json_text import WrittenFloat
from stillhouse.patterns import OF_SCHEMAS, OF_VALUES, PatternError, check_schema_patterns, schema_validator

MOST_STEPS = 50_000  # checks of one value; a large honest reply takes some thousands
# The keywords whose schemas hold for the very value that their own schema holds for.
_SAME = ("allOf", "anyOf", "oneOf")
_SAME_SINGLE = ("not", "if", "then", "else")
_MOST_PARTS = 100  # parts of a value, or of a keyword's, that are looked for in a message
_PRIVATE = 0xF0000  # where Unicode's second area of private use begins: no message has these characters
_left: ContextVar[list[int]] = ContextVar("checks left")


class SchemaProblem(ValueError):
    """What is wrong with a schema, without its remedy."""


class _TooMuch(Exception):
    """A value takes more checks than it may."""


def check_schema(schema: Any) -> None:
    """Raises SchemaProblem for what is no JSON schema, or none that can be used here; PatternError for its patterns."""
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise SchemaProblem(f"not a JSON schema ({error.message.partition(chr(10))[0][:200]})") from None
    except RecursionError:
        raise SchemaProblem("not a JSON schema (nested too deep)") from None
    check_schema_patterns(schema)
    if _has_circle(_same_value(schema)):
        raise SchemaProblem("it refers to itself without end: a `$ref` leads back to its own schema for the same value")


def first_problem(schema: Mapping[str, Any], value: Any) -> str | None:
    """What keeps the value from fitting the schema, and where; None: it fits."""
    left = _left.set([MOST_STEPS])
    try:
        problem = next(_validator(json.dumps(schema)).iter_errors(value), None)
        if problem is None:
            return None
        place = ".".join(map(str, problem.absolute_path)) or "the value"
        return f"{place}: {_in_json(problem):.120}"
    except _TooMuch:
        return f"the value: more than {MOST_STEPS:,} checks would be needed"
    except RecursionError:
        return "the value: nested too deep for the schema"
    except PatternError as error:
        return f"the value: {error}"
    finally:
        _left.reset(left)


def _in_json(problem: Any) -> str:
    """What is wrong, in JSON's words: it is sent back to the model, which was asked for JSON and not for Python."""
    message: str = problem.message
    whole = [problem.instance, problem.validator_value]
    parts = [part for value in whole if isinstance(value, list) for part in (*value, value[1:])]
    written = {repr(value): value for value in (*whole, *parts[:_MOST_PARTS]) if not isinstance(value, str)}
    marks = {text: chr(_PRIVATE + place) for place, text in enumerate(sorted(written, key=len, reverse=True))}
    for text, mark in marks.items():  # the longest first: a list before the values in it
        message = message.replace(text, mark)
    for text, mark in marks.items():
        message = message.replace(mark, json.dumps(written[text], ensure_ascii=False, default=str))
    return message


def _same_value(schema: Any) -> dict[int, list[int]]:
    """Each schema within the schema, by its identity: those that hold for the same value as it does."""
    import referencing
    import referencing.exceptions
    from referencing.jsonschema import DRAFT202012

    root, of_schemas = DRAFT202012.create_resource(schema), {id(part) for part in _parts(schema)}
    waiting = [(schema, referencing.Registry().resolver_with_root(root))]
    leads: dict[int, list[int]] = {}
    while waiting:
        part, resolver = waiting.pop()
        if not isinstance(part, dict) or id(part) in leads:
            continue
        resource = DRAFT202012.create_resource(part)
        if part is not schema:
            resolver = resolver.in_subresource(resource)
        targets = [part[name] for name in _SAME_SINGLE if name in part]
        targets += [each for name in _SAME for each in part.get(name, ())]
        targets += part.get("dependentSchemas", {}).values()
        for name in ("$ref", "$dynamicRef"):
            if isinstance(ref := part.get(name), str):
                try:
                    found = resolver.lookup(ref)
                except (referencing.exceptions.Unresolvable, ValueError, LookupError):
                    raise SchemaProblem(
                        f"refers to {ref!r}, which is not in the file; put it under `$defs`: nothing is fetched"
                    ) from None
                if isinstance(found.contents, dict) and id(found.contents) not in of_schemas:
                    raise SchemaProblem(f"refers to {ref!r}, which is a value and no schema; put it under `$defs`")
                targets.append(found.contents)
                waiting.append((found.contents, found.resolver))
        leads[id(part)] = [id(target) for target in targets]
        waiting += [(child.contents, resolver) for child in resource.subresources()]
    return leads


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all objects in it that may be schemas: not what stands where values stand."""
    if isinstance(schema, list):
        for part in schema:
            yield from _parts(part)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in OF_SCHEMAS and isinstance(value, dict):
                for part in value.values():
                    yield from _parts(part)
            elif key not in OF_VALUES:
                yield from _parts(value)


def _has_circle(leads: Mapping[int, list[int]]) -> bool:
    """Whether one can go round. Peels off what leads nowhere, again and again: what is left goes round."""
    waits_for = {part: {target for target in targets if target in leads} for part, targets in leads.items()}
    asked_by: dict[int, list[int]] = {part: [] for part in leads}
    for part, targets in waits_for.items():
        for target in targets:
            asked_by[target].append(part)
    ends = [part for part, targets in waits_for.items() if not targets]
    n_left = len(waits_for)
    while ends:
        target = ends.pop()
        n_left -= 1
        for part in asked_by[target]:
            waits_for[part].discard(target)
            if not waits_for[part]:
                ends.append(part)
    return n_left > 0


@functools.lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    import referencing

    loaded = json.loads(schema)
    for part in _parts(loaded):
        # With a draft named inside, jsonschema would leave our validator, and its bounds, for its own.
        if isinstance(part.get("$schema"), str):
            del part["$schema"]
    return _bounded()(loaded, registry=referencing.Registry())  # an empty registry fetches nothing


@functools.lru_cache(maxsize=1)
def _bounded() -> Any:
    """The validator with exact multiples, quick uniqueness, and a count of its steps."""
    import jsonschema

    def multiple_of(validator: Any, divisor: Any, value: Any, _schema: Any) -> Iterator[Any]:
        if validator.is_type(value, "number") and _exact(value) % _exact(divisor):
            yield jsonschema.ValidationError(f"{value!r} is not a multiple of {divisor!r}")

    def unique_items(validator: Any, wanted: Any, value: Any, _schema: Any) -> Iterator[Any]:
        if wanted and validator.is_type(value, "array") and len(set(map(_form, value))) < len(value):
            yield jsonschema.ValidationError("the list holds an item twice")

    base = schema_validator()
    own = {"multipleOf": multiple_of, "uniqueItems": unique_items}
    return jsonschema.validators.extend(
        base, {name: _counted(check) for name, check in {**base.VALIDATORS, **own}.items()}
    )


def _counted(check: Callable[..., Any]) -> Callable[..., Any]:
    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        left = _left.get()
        left[0] -= 1
        if left[0] < 0:
            raise _TooMuch
        return check(validator, wanted, value, schema)

    return counted


def _exact(number: float) -> Fraction:
    """The number as it was written: 0.01 is a hundredth, and not the nearest binary fraction."""
    if isinstance(number, WrittenFloat):
        return Fraction(number.exact)
    return Fraction(repr(number))


def _form(value: Any) -> str:
    """One text for all values that JSON schema calls equal: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
