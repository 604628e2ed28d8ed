"""The rows of a data file as they stand in it, with their lines: JSONL, JSON, CSV, Excel, Parquet, Arrow.

What a field means, and whether a row may be used, is `dataset`'s matter. Nothing that one format needs is loaded for
another.
"""

import itertools
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.column_map import ColumnMap, columns_named, parse_map
from stillhouse.data.bad_rows import BadRow, CutOff
from stillhouse.data.chat_rows import chat_column, chat_map, columns_of_chats, unfolded, without_lists
from stillhouse.data.columns import check_columns, is_in_our_form, mapped
from stillhouse.data.delimited import delimited_rows
from stillhouse.data.encodings import DAMAGE, Encoding, open_text, other_than_utf8, reason_of
from stillhouse.data.prompt_frame import framed
from stillhouse.data.workbook import ENDINGS, sheet_of, workbook_rows
from stillhouse.errors import DatasetError
from stillhouse.json_text import JsonError, NotJsonError, list_items, read_json
from stillhouse.jsonl import numbered_lines
from stillhouse.text_files import read_text

Row = Mapping[str, Any] | BadRow
Rows = Iterator[tuple[int, Row]]

_PEEKED = 100  # rows whose fields are looked at before the first is mapped
_JSONL = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_DELIMITED = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz", ".tab.gz")
KINDS = ".jsonl, .jsonl.gz, .csv, .tsv, .xlsx, .parquet, .arrow or .json"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file's rows are read, where its own names and bytes do not tell: `map`, `template`, and so on."""

    columns: ColumnMap = field(default_factory=dict)
    template: str | None = None
    encoding: str | None = None
    delimiter: str | None = None


AS_IT_IS = Reading()


def reading_given(columns: Sequence[str] | None, encoding: str | None) -> Reading | None:
    """What --map and --encoding say; None: neither is given. Raises UserError."""
    if not columns and encoding is None:
        return None
    return Reading(columns=parse_map(columns or ()), encoding=encoding)


@dataclass(frozen=True)
class OpenedFile:
    """A file's rows as it has them. `columns` None: each row names its own fields. `is_texts`: all cells are texts."""

    columns: tuple[str, ...] | None
    rows: Rows
    is_texts: bool = False


def say_nothing(_: str) -> None:
    """Whoever does not want to hear of it."""


def raw_rows(path: Path, reading: Reading = AS_IT_IS, note: Callable[[str], None] = say_nothing) -> Rows:
    """Rows with their line (or row) number and the fields of a row. One that cannot be used comes as the reason.

    `note` is told what was read off the file: encoding, separator, sheet, head. Raises DatasetError.
    """
    opened, columns = open_file(path, reading, note), reading.columns
    if opened.columns is None:
        return _rows_of_objects(path, opened.rows, reading)
    if (chats := chat_column(opened.columns)) is not None and "input" not in opened.columns:
        columns = chat_map(chats, columns)
    if not opened.columns or is_in_our_form(columns, opened.columns):  # no columns: it has no rows either
        columns = {}
    else:
        check_columns(path, columns, opened.columns)
    if not columns and not opened.is_texts:
        return _without_frames(opened.rows, reading.template)
    if opened.columns and not columns and "input" not in opened.columns:
        raise DatasetError(
            f"{path}: has no column `input`, and no map says which it is; give --map input=COLUMN,label=COLUMN, or "
            f"`map` in [data]; its columns are {', '.join(opened.columns)}"
        )
    if not columns:
        return _without_frames(
            ((line, _mapped(row, columns, None, is_table=True)) for line, row in opened.rows), reading.template
        )
    return ((line, _mapped(row, columns, reading.template, is_table=opened.is_texts)) for line, row in opened.rows)


def open_file(path: Path, reading: Reading, note: Callable[[str], None]) -> OpenedFile:
    """The file's rows before any map. `reading.columns` only helps to know a table's head."""
    file, sheet = sheet_of(path)
    name = file.name.lower()
    wanted = {*columns_named(reading.columns), "input"}
    if name.endswith(_JSONL):
        return OpenedFile(None, _unfolded(jsonl_rows(file, reading.encoding, note)))
    if name.endswith(_DELIMITED):
        return OpenedFile(*delimited_rows(file, wanted, reading.encoding, reading.delimiter, note), is_texts=True)
    if name.endswith(ENDINGS):
        return OpenedFile(*workbook_rows(file, sheet, wanted, note), is_texts=True)
    if name.endswith((".parquet", ".arrow", ".feather")):
        columns, rows = _table_rows(file)
        return OpenedFile(columns_of_chats(columns), _unfolded(rows))
    if name.endswith(".json"):
        return OpenedFile(None, _unfolded(_json_rows(file, reading.encoding, note)))
    if name.endswith((".xls", ".xlsb", ".ods", ".numbers")):
        raise DatasetError(f"{path}: {path.suffix} files are not read; save the sheet as .xlsx, or as CSV in UTF-8")
    raise DatasetError(f"{path}: unknown kind of file {path.suffix!r}; use {KINDS}")


def _unfolded(rows: Rows) -> Rows:
    return ((line, row if isinstance(row, BadRow) else unfolded(row)) for line, row in rows)


def _mapped(row: Row, columns: ColumnMap, template: str | None, *, is_table: bool) -> Row:
    if isinstance(row, BadRow):
        return row
    try:
        fields = mapped(without_lists(row), columns, is_table=is_table)
    except BadRow as problem:
        return problem
    if columns.get("label") == "output":
        fields = _answered_by_model(fields)
    if template is None or not isinstance(text := fields.get("input"), str):
        return fields
    if (inner := framed(text, template)) is None:
        return BadRow("its input does not have around it what `template` in [data] says")
    return {**fields, "input": inner}


def _without_frames(rows: Rows, template: str | None) -> Rows:
    """Rows in our own form, in some of which inputs are whole prompts."""
    for line, row in rows:
        if template is None or isinstance(row, BadRow) or not isinstance(text := row.get("input"), str):
            yield line, row
        else:
            yield line, {**row, "input": framed(text, template) or text}


def _rows_of_objects(path: Path, rows: Rows, reading: Reading) -> Rows:
    """The rows of JSON: chats and Alpaca's as well where no map says otherwise."""
    first = list(itertools.islice(rows, _PEEKED))
    present: dict[str, None] = {}
    for _, row in first:
        if not isinstance(row, BadRow):
            present |= dict.fromkeys(row)
    columns, rows = reading.columns, itertools.chain(first, rows)
    if (chats := chat_column(present)) is not None:
        columns = chat_map(chats, columns)
    if not columns:
        return _without_frames(map(_alpaca_row, rows), reading.template)
    return _mapped_objects(
        path, rows, columns, present, reading.template, optional=() if chats is None else columns_of_chats([chats])
    )


def _mapped_objects(
    path: Path,
    rows: Rows,
    columns: ColumnMap,
    present: dict[str, None],
    template: str | None,
    optional: Collection[str],
) -> Rows:
    """JSON's rows name their fields one by one, so a column that no row has is known at the end.

    One that the input needs, and none of the first rows has, is refused at once. `optional`: columns that no
    row need have.
    """
    if present and not is_in_our_form(columns, present):
        check_columns(path, {name: named for name, named in columns.items() if name == "input"}, list(present))
    wanted, used = {column for column in columns_named(columns) if column not in optional}, False
    for line, row in rows:
        if isinstance(row, BadRow) or is_in_our_form(columns, row):
            yield from _without_frames(iter([(line, row)]), template)
            continue
        used = True
        if wanted:
            wanted.difference_update(row)
            if len(present) < _PEEKED:
                present |= dict.fromkeys(row)
        yield line, _mapped(row, columns, template, is_table=False)
    if used and wanted:
        missing = {field: named for field, named in columns.items() if wanted & set(columns_named({field: named}))}
        check_columns(path, missing, [column for column in present if column not in wanted])


_NO_TEXT = re.compile("[\udc80-\udcff]")  # what stands for bytes that are no UTF-8
_TORN = " (the last line is cut off: the writer was stopped in the middle)"


def _no_object(row: Any) -> BadRow:
    return BadRow(f"a row must be a JSON object, this is {kind_of(row)}")


def jsonl_rows(path: Path, encoding: str | None = None, note: Callable[[str], None] = say_nothing) -> Rows:
    """The objects of JSONL, in UTF-8 unless its mark or the user says otherwise."""
    if (other := other_than_utf8(path, encoding)) is not None:
        note(other.note or "")
        yield from _jsonl_of_text(path, other)
        return
    line = 0
    try:
        for line, text in numbered_lines(path):
            yield line, _read_row(text, "" if text.endswith(b"\n") else _TORN)
    except DatasetError as refusal:
        yield line + 1, CutOff(refusal, line)


def _jsonl_of_text(path: Path, encoding: Encoding) -> Rows:
    line = 0
    try:
        with open_text(path, encoding) as file:
            for line, text in enumerate(file, start=1):
                if DAMAGE in text:
                    yield line, BadRow(f"holds bytes that are no {encoding.codec}")
                elif text.strip():
                    yield line, _read_row(text, "" if text.endswith(("\n", "\r")) else _TORN)
    except (OSError, EOFError, zlib.error) as error:
        refusal = f"{path}: cannot be read to its end ({reason_of(error)}); copy or make the file again"
        yield line + 1, CutOff(DatasetError(refusal), line)


def _read_row(text: str | bytes, torn: str = "") -> Row:
    """One row, or why it is none. `torn`: what to say of a text that breaks off."""
    if isinstance(text, str) and _NO_TEXT.search(text):
        return BadRow("not valid JSON: not UTF-8")
    try:
        row = read_json(text, finite=False, exact=True)  # `_check_json` names the field
    except NotJsonError as error:
        return BadRow(f"not valid JSON: {error}{torn}")
    except JsonError as error:
        return BadRow(f"holds {error}")
    return row if isinstance(row, dict) else _no_object(row)


def _json_rows(path: Path, encoding: str | None, note: Callable[[str], None]) -> Rows:
    """A list of rows, ours or Alpaca's {instruction, input, output}. JSONL under this name is read as what it is."""
    if (other := other_than_utf8(path, encoding)) is not None:
        note(other.note or "")
        with open_text(path, other) as file:
            text = file.read()
    else:
        text = read_text(path, "give a list of rows, or JSONL with one row a line", DatasetError, kept=True)
    if not text.lstrip().startswith("["):
        if _is_jsonl(text):
            note(f"{path.name} holds one object a line and is read as JSONL")
            yield from jsonl_rows(path, encoding)
            return
        raise DatasetError(
            f"{path}: must hold a list of rows, this is {_kind_of_text(text)}; "
            "give Alpaca's list of instruction, input, output, or JSONL with one row a line"
        )
    number = 0
    try:
        for number, item in enumerate(list_items(text), start=1):
            yield number, _read_row(item)
    except NotJsonError as error:
        refusal = f"{path}: not valid JSON ({error}); give a list of rows, or JSONL with one row a line"
        yield number + 1, CutOff(DatasetError(refusal), number)


def _is_jsonl(text: str) -> bool:
    """Whether the first line is an object by itself, and another line follows."""
    first, _, rest = text.lstrip().partition("\n")
    return bool(rest.strip()) and not isinstance(_read_row(first), BadRow)


def _kind_of_text(text: str) -> str:
    try:
        return kind_of(read_json(text))
    except JsonError as error:
        return f"not valid JSON ({error})"


def _alpaca_row(numbered: tuple[int, Row]) -> tuple[int, Row]:
    return numbered[0], _from_alpaca(numbered[1])


def _answered_by_model(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its output as the teacher's label where a model generated it: that is no gold."""
    if "lineage" not in row or "label" not in row:
        return row
    label = row["label"]
    return {**{key: value for key, value in row.items() if key != "label"}, "teacher_label": label}


def _from_alpaca(row: Row) -> Row:
    if isinstance(row, BadRow) or not ("instruction" in row and "output" in row):
        return row
    rest = {key: value for key, value in row.items() if key not in ("instruction", "input", "output")}
    text = {"instruction": row["instruction"], "input": row["input"]} if row.get("input") else row["instruction"]
    return _answered_by_model({**rest, "input": text, "label": row["output"]})


def _table_rows(path: Path) -> tuple[tuple[str, ...], Rows]:
    """(the columns, the rows) of a Parquet or Arrow file."""
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    def refusal(error: Exception) -> DatasetError:
        reason = str(error).partition("\n")[0]
        return DatasetError(f"{path}: cannot be read as {path.suffix} ({reason}); write the file again")

    try:
        if path.suffix.lower() == ".parquet":
            file = pyarrow.parquet.ParquetFile(path)
            names, batches = file.schema_arrow.names, file.iter_batches(1000)
        else:
            table = pyarrow.feather.read_table(path)
            names, batches = table.schema.names, table.to_batches(1000)
    except (pa.ArrowException, OSError) as error:
        raise refusal(error) from None
    if len(set(names)) < len(names):
        raise DatasetError(f"{path}: has two columns of one name; rename one")

    def rows() -> Rows:
        number = 0
        try:
            for batch in batches:
                for row in _rows_of(batch):
                    number += 1
                    yield number, row
        except (pa.ArrowException, OSError) as error:
            raise refusal(error) from None

    return tuple(names), rows()


def _rows_of(batch: Any) -> Iterator[Row]:
    """The rows of a part of a table. What Python cannot hold, such as a date after the year 9999, spoils its row."""
    try:
        rows: list[Any] = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = [_row_at(batch, number) for number in range(batch.num_rows)]
    for row in rows:
        # A field that is null counts as absent, and so does NaN, which tables have in its place.
        if isinstance(row, BadRow):
            yield row
        else:
            yield {key: value for key, value in row.items() if value is not None and value == value}


def _row_at(batch: Any, number: int) -> Any:
    try:
        return batch.slice(number, 1).to_pylist()[0]
    except (ValueError, OverflowError) as error:
        return BadRow(f"holds a value that cannot be read ({str(error).partition(chr(10))[0]})")


def kind_of(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
