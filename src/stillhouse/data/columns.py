"""A file's rows with the fields that a map gives them (`column_map`).

A column whose name is a field's, and whose field is taken from elsewhere, is kept as "NAME (column)". A file in which
no column of the map is found, but `input` is, has our own names already: harvested rows beside a spreadsheet.
"""

import datetime as dt
import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from stillhouse.column_map import FIELDS, MORE_FIELDS, ColumnMap, columns_named
from stillhouse.data.bad_rows import BadRow
from stillhouse.data.workbook import NoValue
from stillhouse.errors import DatasetError
from stillhouse.json_text import JsonError, read_json

_OURS_ALONE = ("provenance", "lineage")  # what we write into rows; a table's column of that name is something else


def is_in_our_form(columns: ColumnMap, present: Collection[str]) -> bool:
    """Whether a file with these columns, or such a row, has our own names, so that no map is needed."""
    return not columns or ("input" in present and not any(column in present for column in columns_named(columns)))


def check_columns(path: Path, columns: ColumnMap, present: Sequence[str]) -> None:
    """Raise DatasetError for a column that the file does not have."""
    for column, field in columns_named(columns).items():
        if column not in present:
            near = difflib.get_close_matches(column, present, 1, 0.7)
            perhaps = f" (did you mean {near[0]!r}?)" if near else ""
            raise DatasetError(
                f"{path}: has no column {column!r} for `{field}`{perhaps}; its columns are {', '.join(present)}"
            )


def mapped(row: Mapping[str, Any], columns: ColumnMap, *, is_table: bool) -> dict[str, Any]:
    """The row with the map's fields. `is_table`: its cells are texts, of which some stand for other values.

    Raises BadRow for a cell that has no value where one is wanted.
    """
    fields: dict[str, Any] = {}
    used = columns_named(columns)
    for field, named in columns.items():
        if isinstance(named, tuple):
            values = {column: _usable(row.get(column), column) for column in named}
            if field == "choices":
                fields[field] = [_text(value) for value in values.values() if value is not None]
            elif any(value is not None for value in values.values()):
                fields[field] = {column: "" if value is None else value for column, value in values.items()}
        elif named and (value := _usable(row.get(named), named)) is not None:
            fields[field] = value
    if "input" in columns and "input" not in fields:
        named = columns["input"]
        which = f"column {named!r}" if isinstance(named, str) else f"columns {', '.join(named)}"
        raise BadRow(f"`input` is empty ({which})")
    for column, value in row.items():
        if column in used:
            continue
        ours = column in columns or (is_table and column in _OURS_ALONE)
        if column in (*FIELDS, *MORE_FIELDS) and not ours:
            fields[column] = _usable(value, column)
        elif not isinstance(value, NoValue):
            fields[f"{column} (column)" if ours else column] = value
    if isinstance(fields.get("input"), int | float | Decimal | dt.date | dt.time | bool):
        fields["input"] = _text(fields["input"])
    return _typed(fields) if is_table else fields


def _usable(value: Any, column: str) -> Any:
    """The value of a cell that is wanted; None: it is empty."""
    if isinstance(value, NoValue):
        raise BadRow(f"column {column!r} {value.why}")
    return None if value is None or (isinstance(value, str) and not value.strip()) else value


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """A table's texts as what their fields are. Blanks around a label, an id or a group are the table's own."""
    for field in ("id", "label", "teacher_label", "group"):
        if isinstance(text := fields.get(field), str):
            fields[field] = text.strip()
    if isinstance(text := fields.get("teacher_scores"), str):
        fields["teacher_scores"] = _json_or(text)
    if isinstance(text := fields.get("choices"), str):
        value = _json_or(text)
        fields["choices"] = value if isinstance(value, list) else [part.strip() for part in text.split("|")]
    return fields


def _json_or(text: str) -> Any:
    """The value that the text spells, or the text."""
    try:
        return read_json(text)
    except JsonError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value if isinstance(value, str) else str(value)
