"""Which column of a file is which field of a row: `map` in `[data]`, and `--map` on the command line, as a value.

A field that the map does not name is the column of its own name, as in JSONL; a field that it maps to "" has none.
"""

import csv
import difflib
from collections.abc import Mapping, Sequence

from stillhouse.errors import UserError

FIELDS = ("id", "input", "label", "teacher_label", "teacher_rationale", "teacher_scores", "choices", "group")
MORE_FIELDS = ("time", "rationale")  # that Stillhouse reads where a row has them
_SEVERAL = ("input", "choices")

SLOT = "{input}"  # where the input stands in a `template`

ColumnMap = Mapping[str, str | tuple[str, ...]]


def parse_map(texts: Sequence[str]) -> dict[str, str | tuple[str, ...]]:
    """`input=title,body,label=category` as a map; what has no = goes on with the field before. Raises UserError."""
    found: dict[str, list[str]] = {}
    field = None
    for text in texts:
        for part in next(csv.reader([text], skipinitialspace=True), []):
            name, sign, column = part.partition("=")
            if sign:
                field = name.strip()
                found.setdefault(field, [])
            elif field is None:
                raise UserError(f"--map {text}: give FIELD=COLUMN, as in input=text,label=category")
            found[field].append((column if sign else part).strip())
    columns: dict[str, str | tuple[str, ...]] = {
        field: named[0] if len(named) == 1 else tuple(named) for field, named in found.items()
    }
    if (problem := map_problem(columns)) is not None:
        raise UserError(f"--map {' '.join(texts)}: {problem}")
    return columns


def map_problem(columns: ColumnMap) -> str | None:
    """What is wrong with a map, as half a sentence; None: nothing."""
    known = (*FIELDS, *MORE_FIELDS)
    for field, named in columns.items():
        if not field:
            return "a field has no name; give FIELD=COLUMN"
        if field not in known and (near := difflib.get_close_matches(field, known, 1, 0.75)):
            return f"{field!r} is no field of a row; did you mean {near[0]!r}?"
        if isinstance(named, tuple):
            if field not in _SEVERAL:
                return f"{field!r} takes one column, not {len(named)} ({', '.join(named)})"
            if not all(named) or len(set(named)) < len(named):
                return f"{field!r} names a column twice, or one without a name ({', '.join(named)})"
    if columns.get("input") == "":
        return "a row needs an input; name its column"
    return None


def template_problem(template: str) -> str | None:
    """What is wrong with a template, as half a sentence; None: nothing."""
    n = template.count(SLOT)
    return None if n == 1 else f"must hold {SLOT} once, where the input stands; it holds it {n} times"


def columns_named(columns: ColumnMap) -> dict[str, str]:
    """Column -> the field that is taken from it."""
    named = {}
    for field, of_field in columns.items():
        for column in (of_field,) if isinstance(of_field, str) else of_field:
            if column:
                named[column] = field
    return named
