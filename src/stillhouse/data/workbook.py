"""Excel workbooks (.xlsx, .xlsm), read sheet by sheet and row by row with openpyxl.

Cells come as the texts that the sheet shows, or a CSV export of it: 1.0 is "1", TRUE is "TRUE", a day is its ISO date,
a number shown with leading zeros has them, and a long number is written out. A formula is the value that Excel computed
last; a cell without one, and one that shows an error, is no value. A value merged over several rows is each row's.
"""

import datetime as dt
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from stillhouse.data.bad_rows import BadRow
from stillhouse.data.table_heads import SAMPLE, find_head
from stillhouse.errors import DatasetError, MissingExtraError

ENDINGS = (".xlsx", ".xlsm")

# A formula whose value was never computed: programs write these, and Excel computes them when it saves the file.
_UNCOMPUTED = re.compile(rb'<c r="([A-Z]+)([0-9]+)"[^>]*>\s*<f[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>')
_MERGED = re.compile(rb'<mergeCell ref="([A-Z]+)([0-9]+):([A-Z]+)([0-9]+)"')
_OVERLAP = 1 << 16  # bytes that are looked at twice, so that a cell on the border of two parts is seen
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ZEROS = re.compile(r"0{2,}")
_NEVER_COMPUTED = "holds a formula that was never computed; open the workbook in Excel and save it"


class NoValue:
    """A cell that shows something and holds no value; `why` is the end of a sentence about its column."""

    def __init__(self, why: str) -> None:
        self.why = why


def sheet_of(path: Path) -> tuple[Path, str | None]:
    """(the file, the sheet) of `rows.xlsx#Sheet2`; a file whose name holds a # is itself."""
    name, mark, sheet = path.name.partition("#")
    if not mark or path.is_file() or not name.lower().endswith(ENDINGS):
        return path, None
    return path.with_name(name), sheet


def workbook_rows(
    path: Path, sheet: str | None, wanted: Collection[str], note: Callable[[str], None]
) -> tuple[tuple[str, ...], Iterator[tuple[int, Mapping[str, Any] | BadRow]]]:
    """(the columns, the rows with their numbers in the sheet). `sheet` None: the first one that shows any rows.

    Raises DatasetError, and MissingExtraError where openpyxl is not installed.
    """
    book = _open(path)
    shown = [each for each in book.worksheets if each.sheet_state == "visible"] or list(book.worksheets)
    names = [each.title for each in book.worksheets]
    if sheet is not None:
        if sheet not in names:
            raise DatasetError(f"{path}: has no sheet {sheet!r}; its sheets are {', '.join(names) or 'none'}")
        chosen = next(each for each in book.worksheets if each.title == sheet)
        first = _sample(path, chosen)
    else:
        if not shown:
            raise DatasetError(f"{path}: has no sheet of cells; give a workbook with rows")
        for chosen in shown:
            if first := _sample(path, chosen):
                break
        if len(shown) > 1:
            others = ", ".join(each.title for each in shown if each is not chosen)
            note(f"sheet {chosen.title!r} of {path.name} is read; for another ({others}) write {path.name}#SHEET")
    head = find_head([[_shown(cell) for cell in cells] for _, cells in first], wanted)
    for sentence in head.notes:
        note(f"{path.name}: {sentence}")
    start = first[head.place][0] if head.place < len(first) else None
    merged, uncomputed = _marks(book, chosen)
    if merged:
        note(f"{path.name}: a value that is merged over several rows is taken for each of them")

    def rows() -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
        above: dict[int, tuple[Any, int]] = {}  # column -> the value that is merged over rows, and the last of them
        try:
            for number, cells in _cells(path, chosen):
                for column, (value, last) in list(above.items()):
                    if number > last:
                        del above[column]
                    else:
                        _put(cells, column, value)
                for column, last in merged.get(number, ()):
                    if column < len(cells):
                        above[column] = cells[column], last
                if start is None or number < start:
                    continue
                for column in uncomputed.get(number, ()):
                    _put(cells, column, NoValue(_NEVER_COMPUTED))
                if any(map(_filled, cells)):
                    yield number, _row(cells, head.names)
        finally:
            book.close()

    return head.names, rows()


def _put(cells: list[Any], column: int, value: Any) -> None:
    cells += [""] * (column + 1 - len(cells))
    cells[column] = value


def _row(cells: list[Any], names: tuple[str, ...]) -> Mapping[str, Any] | BadRow:
    if any(map(_filled, cells[len(names) :])):
        return BadRow(f"has a cell beyond the {len(names)} columns of the head")
    if tuple(" ".join(_shown(cell).split()) for cell in cells) == names:
        return BadRow("repeats the head")
    return {name: cell for name, cell in zip(names, cells, strict=False) if _filled(cell)}


def _filled(cell: Any) -> bool:
    return isinstance(cell, NoValue) or bool(cell.strip())


def _shown(cell: Any) -> str:
    return "" if isinstance(cell, NoValue) else cell


def _open(path: Path) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError(
            f"{path}: a workbook is read with openpyxl, which is not installed; pip install 'stillhouse[tables]', "
            "or save the sheet as CSV in UTF-8"
        ) from None
    try:
        return openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # whatever a broken archive, or XML that is none, makes of openpyxl
        locked = path.open("rb").read(4) == b"\xd0\xcf\x11\xe0" if path.is_file() else False
        why = "it is locked by a password, or in Excel's old format" if locked else _reason(error)
        raise DatasetError(f"{path}: cannot be read as a workbook ({why}); save it again as .xlsx, or as CSV") from None


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:100] or type(error).__name__


def _sample(path: Path, sheet: Any) -> list[tuple[int, list[Any]]]:
    """The first rows that are not blank."""
    found = []
    for number, cells in _cells(path, sheet):
        if any(map(_filled, cells)):
            found.append((number, cells))
            if len(found) >= SAMPLE:
                break
    return found


def _cells(path: Path, sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """The sheet's rows with their numbers, whatever size the file claims to have."""
    sheet.reset_dimensions()
    try:
        for number, row in enumerate(sheet.iter_rows(), start=1):
            yield number, [_value(cell) for cell in row]
    except (zipfile.BadZipFile, zlib.error, SyntaxError, ValueError, KeyError, OSError) as error:
        why = _reason(error)
        raise DatasetError(f"{path}: cannot be read to its end ({why}); save it again as .xlsx, or as CSV") from None


def _value(cell: Any) -> Any:
    """The text that the sheet shows, or NoValue."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        if cell.data_type == "e":
            return NoValue(f"holds Excel's error {value}")
        return _ESCAPED.sub(lambda sign: chr(int(sign[1], 16)), value) if "_x" in value else value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, cell.number_format)
    if isinstance(value, dt.datetime):
        whole_day = value.time() == dt.time() and "h" not in (cell.number_format or "").lower()
        return value.date().isoformat() if whole_day else value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _number(value: float, form: str | None) -> str:
    if isinstance(value, int) or value.is_integer():
        digits = str(int(value))
        return digits.zfill(len(form)) if form and _ZEROS.fullmatch(form) and value >= 0 else digits
    return format(Decimal(repr(value)), "f")


def _marks(book: Any, sheet: Any) -> tuple[dict[int, list[tuple[int, int]]], dict[int, list[int]]]:
    """What openpyxl does not tell when it streams, read off the sheet's XML in one pass.

    First row -> (column, last row) of what is merged over rows, and row -> the columns of formulas without a value.
    """
    merged: dict[int, list[tuple[int, int]]] = {}
    uncomputed: dict[int, list[int]] = {}
    with book._archive.open(sheet._worksheet_path) as xml:
        for part in _overlapping(xml):
            for found in _MERGED.finditer(part):
                first, over = int(found[2]), (_column(found[1]), int(found[4]))
                if over[1] > first and over not in merged.setdefault(first, []):
                    merged[first].append(over)
            for found in _UNCOMPUTED.finditer(part):
                columns = uncomputed.setdefault(int(found[2]), [])
                if (column := _column(found[1])) not in columns:
                    columns.append(column)
    return merged, uncomputed


def _overlapping(file: IO[bytes]) -> Iterator[bytes]:
    end = b""
    while part := file.read(1 << 20):
        yield end + part
        end = part[-_OVERLAP:]


def _column(letters: bytes) -> int:
    """The column's place from 0: A is 0, AA is 26."""
    place = 0
    for letter in letters:
        place = 26 * place + letter - 64
    return place - 1
