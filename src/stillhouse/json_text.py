"""JSON that comes from outside, read in one place: files, rows, models' answers, endpoints' bodies.

Python's reader takes more than JSON has, and dies of some of what JSON has. What holds here:

- Text is UTF-8; a byte order mark before it is no part of it.
- Nothing is nested more than 100 deep: what walks through a value later calls itself once a level.
- A number is finite, and 0 only where it is written so: NaN, Infinity, 1e999 and 1e-999 are refused. A whole number has
  4,300 digits at most, as Python writes no more of them.
- A key stands once in an object: which of two values is meant is not ours to guess.
- No text holds half of a surrogate pair, which no file and no request can hold.

`read_body` is for an endpoint's envelope, which is paid for and not ours to mend: there the last of two equal keys
counts, as for every client, a whole number of more digits is NaN, and numbers and texts are checked by whoever uses
them.
"""

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pydantic_core import from_json

MOST_DEPTH = 100
_TOO_DEEP = f"lists and objects nested more than {MOST_DEPTH} deep"
MOST_DIGITS = 4_300  # of a whole number: Python writes no more
# What may be too large or too small for a float: only then does each number take the slow way.
_LARGE = re.compile(r"[eE][-+]?\d{3}|\d{300}")
_ZERO = re.compile(r"-?0(?:\.0+)?(?:[eE].+)?")
_LONG = re.compile(r"\d{15}")  # what may be too large for a count
_INEXACT = re.compile(r"\d[eE][+-]?\d|\d{15}")  # what may be a number with a point that a float cannot hold exactly
_WHOLE_FLOATS = 2.0**53  # from here on a float has no fraction, and not every whole number
_SIGNS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)  # whole texts, and what parts values
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """What a text holds that cannot be used here, without its remedy."""


class NotJsonError(JsonError):
    """The text is not written as JSON is, or it is cut off."""


class _TooManyDigits(JsonError):
    """A whole number that Python does not read."""


class WrittenFloat(float):
    """A number with a point or an exponent, so large that a float is not exact: with its exact value.

    Whoever knows nothing of it has the float.
    """

    exact: Decimal


def read_json(text: str | bytes, *, finite: bool = True, most: int | None = None, exact: bool = False) -> Any:
    """The value. Raises JsonError.

    With `finite=False`, NaN and Infinity are the caller's to refuse, by their names. `most`: no whole number is larger.
    `exact`: numbers beyond 2^53 that have a point or an exponent are each a `WrittenFloat`, and 1e999 is one too.
    """
    text, numbers = _decoded(text), {}
    if finite:
        numbers = {"parse_constant": _no_constant, "parse_float": _finite if _LARGE.search(text) else None}
    if exact and _INEXACT.search(text):
        numbers["parse_float"] = _written
    if most is not None and _LONG.search(text):
        numbers["parse_int"] = functools.partial(_at_most, most)
    value = _parsed(text, object_pairs_hook=_without_twins, **numbers)
    if _SURROGATE.search(text) and not _is_text(json.dumps(value, ensure_ascii=False)):
        raise JsonError("half of a surrogate pair (\\ud800 to \\udfff), which is no text")
    return value


def exact_json(value: Any) -> str:
    """The value as JSON with sorted keys; numbers that no float holds have all the digits they were written with."""
    if not holds_inexact(value):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name, ensure_ascii=False)}: {exact_json(value[name])}" for name in sorted(value))
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(exact_json, value))}]"
    text = f"{value.exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def holds_inexact(value: Any) -> bool:
    """Whether a number in the value was written with digits that its float does not have."""
    if isinstance(value, dict | list):
        return any(map(holds_inexact, value.values() if isinstance(value, dict) else value))
    return isinstance(value, WrittenFloat) and Decimal(float(value)) != value.exact


def read_body(raw: str | bytes) -> Any:
    """The value of an endpoint's body. Raises JsonError for what is no JSON, or nested too deep."""
    try:
        value = from_json(raw)  # as Python's reader reads it, where it reads it at all, in a third of the time
    except ValueError:
        return _parsed_body(raw.decode("utf-8-sig", errors="replace") if isinstance(raw, bytes) else raw)
    n_parts = raw.count(b"[") + raw.count(b"{") if isinstance(raw, bytes) else raw.count("[") + raw.count("{")
    if n_parts > MOST_DEPTH and is_too_deep(value):
        raise JsonError(_TOO_DEEP)
    return value


def _parsed_body(text: str) -> Any:
    try:
        return _parsed(text)
    except _TooManyDigits:
        return _parsed(text, parse_int=_or_nan)


def list_items(text: str) -> Iterator[str]:
    """The texts of a list's items, each to be read by itself: so one that is no JSON leaves the others whole.

    Raises NotJsonError where the list does not end, or something follows it.
    """
    depth, start = 0, 0
    for sign in _SIGNS.finditer(text):
        mark, at = sign[0], sign.start()
        if mark in "[{":
            depth += 1
            start = at + 1 if depth == 1 else start
        elif mark == "," and depth == 1:
            yield text[start:at]
            start = at + 1
        elif mark in "]}":
            depth -= 1
            if depth == 0:
                if text[start:at].strip():
                    yield text[start:at]
                if text[at + 1 :].strip():
                    raise NotJsonError(f"more behind the end of the list (char {at + 1})")
                return
    raise NotJsonError("the list has no end: the file is cut off")


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        if not _is_text(text):
            raise JsonError("half of a surrogate pair, which is no text")
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not UTF-8 (byte {error.start})") from None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@functools.lru_cache(maxsize=16)
def _decoder(**how: Any) -> json.JSONDecoder:
    return json.JSONDecoder(**how)  # made once for each way to read: making one takes longer than reading a row


def _parsed(text: str, **how: Any) -> Any:
    try:
        value = _decoder(**how).decode(text)
    except JsonError:
        raise
    except RecursionError:
        raise JsonError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise NotJsonError(str(error)) from None
    except ValueError:  # Python's own bound, in its own words: they name a function of Python's
        raise _TooManyDigits(f"a number of more than {MOST_DIGITS:,} digits") from None
    if text.count("[") + text.count("{") > MOST_DEPTH and is_too_deep(value):
        raise JsonError(_TOO_DEEP)
    return value


def is_too_deep(value: Any) -> bool:
    """Whether objects and lists stand in one another more than 100 times. Goes level by level, and never recurses."""
    level = [value]
    for _ in range(MOST_DEPTH):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [child for part in parts for child in part]
    return any(isinstance(part, dict | list) for part in level)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise JsonError(f"the key {twice[:100]!r} twice in one object")
    return value


def _no_constant(name: str) -> Any:
    raise JsonError(f"{name}, which is no number of JSON")


def _finite(text: str) -> float:
    if abs(value := float(text)) == float("inf"):
        raise JsonError("a number too large to be held")
    return _not_vanished(text, value)


def _not_vanished(text: str, value: float) -> float:
    if value == 0 and _ZERO.fullmatch(text) is None:
        raise JsonError("a number too small to be held")
    return value


def _written(text: str) -> float:
    value = float(text)
    if abs(value) < _WHOLE_FLOATS:
        return _not_vanished(text, value)
    written = WrittenFloat(value)
    try:
        written.exact = Decimal(text)
    except ArithmeticError:  # an exponent of very many digits
        raise JsonError("a number too large to be held") from None
    is_whole = written.exact.adjusted() < MOST_DIGITS and written.exact == written.exact.to_integral_value()
    if abs(value) == float("inf") and not is_whole:
        raise JsonError("a number too large to be held")
    return written


def _or_nan(text: str) -> int | float:
    """NaN is no count, no index and no id, and arguments that hold it are refused: nobody takes it for a number."""
    return int(text) if len(text) <= MOST_DIGITS else float("nan")


def _at_most(most: int, text: str) -> int:
    if len(text) > MOST_DIGITS or abs(value := int(text)) > most:
        raise JsonError(f"a whole number beyond {most:,}")
    return value
