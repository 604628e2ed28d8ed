r"""Regular expressions from task files and schemas, on an engine whose time grows with the text alone.

Python's `re` backtracks: `(a+)+b` spins for ever on fifty letters, and the text that it meets here is a model's reply.
RE2 (Cox 2010, "Regular Expression Matching in the Wild") cannot. It has no look-around, no backreferences, no atomic
groups, no inline `x`, `a` or `u` flags and no repeat above 1,000; such a pattern is refused when the task is loaded.

What a pattern means is as in Python, with two exceptions: `\b` looks at ASCII letters, and `$` is the very end.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

_MEMORY = 4 << 20  # bytes of one compiled pattern; bounds its states, and by them the work on each character
_SPACE = [(0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)]
_SPACE += [(0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)]
_NO_LEAST = re.compile(r",\d*\}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _ranges(pairs: list[tuple[int, int]]) -> str:
    return "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in pairs)


def _others(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What lies between the ranges, from 0 to the last character."""
    ends = [(-1, -1), *pairs, (0x110000, 0x110000)]
    return [(before[1] + 1, after[0] - 1) for before, after in itertools.pairwise(ends)]


# RE2's own \d, \w and \s are ASCII; Python's are not. Written to stand within [...].
_CLASSES = {
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "w": r"\p{L}\p{N}_",
    "W": r"\p{M}\p{S}\p{Z}\p{C}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}\x{203f}\x{2040}\x{2054}\x{fe33}\x{fe34}\x{ff3f}",
    "s": _ranges(_SPACE),
    "S": _ranges(_others(_SPACE)),
}


class PatternError(ValueError):
    """Why a text is no pattern that can be used here, without its remedy."""


class Match(Protocol):
    def start(self, group: int = 0) -> int: ...
    def __getitem__(self, group: int) -> str | None: ...


class Pattern:
    """A compiled pattern. `groups`: how many it has."""

    def __init__(self, pattern: str, *, dot_all: bool, ignore_case: bool) -> None:
        import re2

        options = re2.Options()
        options.max_mem, options.log_errors = _MEMORY, False
        options.dot_nl, options.case_sensitive = dot_all, not ignore_case
        self._compiled = re2.compile(_translated(pattern), options)
        self.groups: int = self._compiled.groups

    def search(self, text: str) -> Match | None:
        """The first match. Half a surrogate pair is no character: it counts as the mark of an unreadable one."""
        match: Match | None = self._compiled.search(_SURROGATE.sub("\ufffd", text))
        return match


@functools.lru_cache(maxsize=256)
def compiled(pattern: str, *, dot_all: bool = False, ignore_case: bool = False) -> Pattern:
    """Raises PatternError for what is no regular expression, and for what RE2 does not know."""
    import re2

    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(f"not a regular expression ({error})") from None
    try:
        return Pattern(pattern, dot_all=dot_all, ignore_case=ignore_case)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
        raise PatternError(
            f"not a pattern whose time is bounded ({reason}): it may have no look-around, no backreference, "
            "no atomic group and no repeat above 1,000"
        ) from None
    except UnicodeEncodeError:
        raise PatternError("it holds half of a surrogate pair, which is no character") from None


def _translated(pattern: str) -> str:
    r"""The pattern in RE2's notation: classes for all of Unicode, `\Z`, `\u`, and `[` within a class."""
    parts, in_class, at = [], False, 0
    while at < len(pattern):
        sign = pattern[at]
        after = pattern[at + 1 : at + 2]
        at += 1
        if sign == "\\":
            at += 1
            if after in _CLASSES:
                parts.append(_CLASSES[after] if in_class else f"[{_CLASSES[after]}]")
            elif after in ("u", "U"):
                n_digits = 4 if after == "u" else 8
                parts.append(rf"\x{{{pattern[at : at + n_digits]}}}")
                at += n_digits
            elif in_class and after == "b":
                parts.append(r"\x08")
            else:
                parts.append(r"\z" if after == "Z" else sign + after)
        elif in_class:
            parts.append(r"\[" if sign == "[" else sign)
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
            # A bracket that comes first is one of the class's own characters.
            first = next(start for start in ("^]", "]", "^", "") if pattern.startswith(start, at))
            parts.append("[" + first.replace("]", r"\]"))
            at += len(first)
        elif sign == "{" and _NO_LEAST.match(pattern, at):  # Python reads {,3} as {0,3}, and RE2 as these very signs
            parts.append("{0")
        else:
            parts.append(sign)
    return "".join(parts)


# Schemas

OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")  # their keys are names
OF_VALUES = ("const", "enum", "default", "examples")  # what they hold is data


def check_schema_patterns(schema: Any) -> None:
    """Raises PatternError for the first pattern in a JSON schema that cannot be used."""
    if {"unevaluatedProperties", "patternProperties"} <= _keys(schema):  # a `$ref` may join what stands apart
        raise PatternError("`unevaluatedProperties` and `patternProperties` in one schema; use `additionalProperties`")
    for pattern in _schema_patterns(schema):
        try:
            compiled(pattern)
        except PatternError as error:
            raise PatternError(f"pattern {pattern!r}: {error}") from None


def _schema_patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for part in schema:
            yield from _schema_patterns(part)
    if not isinstance(schema, Mapping):
        return
    if isinstance(schema.get("pattern"), str):
        yield schema["pattern"]
    for key, value in schema.items():
        if key in OF_SCHEMAS and isinstance(value, Mapping):
            if key == "patternProperties":
                yield from value
            for part in value.values():
                yield from _schema_patterns(part)
        elif key not in OF_VALUES:
            yield from _schema_patterns(value)


def _keys(value: Any) -> set[str]:
    """Every key in a JSON value, however deep."""
    if isinstance(value, Mapping):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


@functools.lru_cache(maxsize=1)
def schema_validator() -> Any:
    """jsonschema's validator of draft 2020-12, its patterns on the bounded engine."""
    import jsonschema

    def fits(pattern: str, text: str) -> bool:
        return compiled(pattern).search(text) is not None

    def pattern(validator: Any, wanted: str, instance: Any, _schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "string") and not fits(wanted, instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {wanted!r}")

    def pattern_properties(validator: Any, by_pattern: Mapping[str, Any], instance: Any, _: Any) -> Iterator[Any]:
        if validator.is_type(instance, "object"):
            for wanted, schema in by_pattern.items():
                for name, value in instance.items():
                    if fits(wanted, name):
                        yield from validator.descend(value, schema, path=name, schema_path=wanted)

    def additional_properties(validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        if not validator.is_type(instance, "object"):
            return
        named, wanted = schema.get("properties", {}), schema.get("patternProperties", {})
        others = [name for name in instance if name not in named and not any(fits(each, name) for each in wanted)]
        if validator.is_type(allowed, "object"):
            for name in others:
                yield from validator.descend(instance[name], allowed, path=name)
        elif not allowed and others:
            listed = ", ".join(map(repr, sorted(others)))
            single = len(others) == 1
            yield jsonschema.ValidationError(
                f"{listed} {'does' if single else 'do'} not match any of the regexes: "
                + ", ".join(map(repr, sorted(wanted)))
                if wanted
                else f"Additional properties are not allowed ({listed} {'was' if single else 'were'} unexpected)"
            )

    bounded = {
        "pattern": pattern,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
    }
    return jsonschema.validators.extend(jsonschema.Draft202012Validator, bounded)
