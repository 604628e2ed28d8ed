"""The rows of a file as a flow's arguments: which column is which parameter, and what a table's texts become.

A parameter takes the column of its name, or the one that a map gives it. Where the flow needs one argument and no
column has its name, the column `input` is it; an `input` that is an object holds the arguments.
"""

import datetime as dt
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from stillhouse.data.bad_rows import BadRow, CutOff
from stillhouse.data.raw_rows import OpenedFile, Reading, open_file
from stillhouse.data.workbook import NoValue
from stillhouse.errors import DatasetError, UserError
from stillhouse.json_text import JsonError, read_json

_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class FlowRow:
    """One row: its line in the file, its fields, and the flow's arguments, both as JSON has them."""

    line: int
    fields: Mapping[str, Any]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class FlowRows:
    """The rows of a file. `unused`: columns that are no argument; `skipped`: broken rows that were left out."""

    rows: tuple[FlowRow, ...]
    unused: tuple[str, ...]
    skipped: int
    notes: tuple[str, ...]  # what was read off the file: encoding, separator, sheet


def flow_rows(
    path: Path,
    function: Callable[..., Any],
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    skip_bad: bool = False,
) -> FlowRows:
    """Read all of the file for this flow's function. `columns`: parameter -> column.

    Raises DatasetError, which names file and line, and UserError where no column is a parameter that has no default.
    """
    notes: list[str] = []
    takes, columns = _Parameters(function), dict(columns or {})
    reading = Reading(columns={name: columns.get(name, name) for name in takes.names}, encoding=encoding)
    opened = open_file(path, reading, notes.append)
    rows, cut, skipped = _read(path, opened, skip_bad)
    if not rows and not skipped:
        raise DatasetError(f"{path}: holds no rows; give a file with a row for each run")
    present = list(dict.fromkeys(column for _, row in rows for column in (opened.columns or row)))
    used = takes.columns(path, columns, present) if rows else {}
    made: list[FlowRow] = []
    for line, row in rows:
        try:
            made.append(FlowRow(line, _plain_row(row), takes.arguments(row, used, is_text=opened.is_texts)))
        except BadRow as problem:
            skipped += _skip(path, line, problem, skip_bad)
    if not made:
        raise DatasetError(f"{path}: none of its {skipped:,} rows can be used; without --skip-bad the first is named")
    unused = tuple(column for column in present if column not in used.values()) if not takes.more else ()
    return FlowRows(tuple(made), unused, skipped, (*dict.fromkeys(notes), *cut))


def _read(path: Path, opened: OpenedFile, skip_bad: bool) -> tuple[list[tuple[int, Mapping[str, Any]]], list[str], int]:
    rows: list[tuple[int, Mapping[str, Any]]] = []
    cut: list[str] = []
    skipped = 0
    for line, row in opened.rows:
        if isinstance(row, CutOff):
            if not skip_bad:
                raise DatasetError(str(row))
            cut.append(f"{row}: the rows up to line {row.line} were read")
        elif isinstance(row, BadRow):
            skipped += _skip(path, line, row, skip_bad)
        else:
            rows.append((line, row))
    return rows, cut, skipped


def _skip(path: Path, line: int, problem: BadRow, skip_bad: bool) -> int:
    if not skip_bad:
        raise DatasetError(f"{path}:{line}: {problem}; mend the row, or leave broken rows out with --skip-bad")
    return 1


class _Parameters:
    """What a flow takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        signature = inspect.signature(function)
        self._written = f"{getattr(function, '__name__', 'the flow')}{signature}"
        parameters = signature.parameters.values()
        self.names = [each.name for each in parameters if each.kind not in _SEVERAL]
        self.more = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
        self._needed = [
            each.name for each in parameters if each.kind not in _SEVERAL and each.default is inspect.Parameter.empty
        ]
        try:
            self._hints = get_type_hints(function, include_extras=True)
        except (NameError, TypeError):  # an annotation that only a type checker reads
            self._hints = {}

    def columns(self, path: Path, given: Mapping[str, str], present: Sequence[str]) -> dict[str, str]:
        """Parameter -> its column. Raises UserError."""
        for name, column in given.items():
            if name not in self.names and not self.more:
                raise UserError(f"--map {name}={column}: {self._written} takes no {name!r}")
            if column not in present:
                raise UserError(f"--map {name}={column}: {path} has no such column; it has {', '.join(present)}")
        folded = {column.casefold().strip(): column for column in reversed(present)}
        used: dict[str, str] = {}
        for name in self.names:
            of_this = given.get(name) or (name if name in present else folded.get(name.casefold()))
            if of_this is not None:
                used[name] = of_this
        if self.more:
            taken = {*used.values()}
            used |= {column: column for column in present if column not in taken}
        missing = [name for name in self._needed if name not in used]
        if missing and "input" in present and "input" not in used.values():
            if len(self._needed) == 1:
                return {**used, self._needed[0]: "input"}
            return {"": "input"}  # an object that holds the arguments, or the row is refused
        if missing:
            raise UserError(
                f"{path}: no column is {' or '.join(map(repr, missing))} of {self._written}; its columns are "
                f"{', '.join(present)}; say which it is with --map {missing[0]}=COLUMN"
            )
        return used

    def arguments(self, row: Mapping[str, Any], used: Mapping[str, str], *, is_text: bool) -> dict[str, Any]:
        """The flow's arguments in this row. Raises BadRow."""
        held = row.get("input")
        alone = next(iter(used)) if list(used.values()) == ["input"] else None
        if isinstance(held, Mapping) and alone is not None and (alone == "" or alone in held):
            row, used, is_text = held, {name: name for name in self.names if name in held}, False
        elif alone == "":
            raise BadRow(f"its `input` is no object with the arguments of {self._written}")
        arguments: dict[str, Any] = {}
        for name, column in used.items():
            value = row.get(column)
            if isinstance(value, NoValue):
                raise BadRow(f"column {column!r} {value.why}")
            if value is None or (is_text and isinstance(value, str) and not value.strip()):
                continue
            arguments[name] = self._value(name, column, value, is_text=is_text)
        for name in self._needed:
            if name not in arguments:
                if used.get(name) is None or not self._takes_none(name):
                    raise BadRow(f"column {used.get(name, name)!r} is empty, and {self._written} needs it")
                arguments[name] = None
        return arguments

    def _takes_none(self, name: str) -> bool:
        try:
            TypeAdapter(self._hints.get(name, str)).validate_python(None)
        except ValidationError:
            return False
        return True

    def _value(self, name: str, column: str, value: Any, *, is_text: bool) -> Any:
        value = _plain(value)
        if name not in self._hints:
            return value
        reader, readings = TypeAdapter(self._hints[name]), [value]
        if is_text and isinstance(value, str):
            readings += _as_json(value)
        problem = ""
        for each in readings:
            try:
                typed = reader.validate_python(each)
            except ValidationError as error:
                problem = problem or error.errors()[0]["msg"]
            else:
                return to_jsonable_python(typed) if is_text else each
        raise BadRow(f"column {column!r} holds {str(value)[:60]!r}, which does not fit {name!r} ({problem})")


def _as_json(text: str) -> Iterator[Any]:
    try:
        yield read_json(text)
    except JsonError:
        return


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: _plain(value) for column, value in row.items() if not isinstance(value, NoValue)}


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value if isinstance(value, str | int | bool | None) else to_jsonable_python(value, fallback=str)
