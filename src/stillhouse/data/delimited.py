"""CSV and its kin, read row by row: commas, semicolons, tabs or bars; quotes, newlines in quotes, any line ends.

What parts the cells is read off the first lines. A row that cannot be read is a row by itself: a quote that is never
closed takes no other row with it. Python's `csv` does the parsing and not pyarrow's, which knows no line numbers, puts
an end to a file at its first ragged row, or drops that row, and does not read a cell that is longer than its block.
"""

import csv
import itertools
import re
import zlib
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.data.bad_rows import BadRow, CutOff
from stillhouse.data.encodings import DAMAGE, encoding_of, open_bytes, open_text, reason_of
from stillhouse.data.table_heads import SAMPLE, find_head
from stillhouse.data.workbook import NoValue
from stillhouse.errors import DatasetError

Cell = str | NoValue
_MOST_CHARACTERS = 1 << 24  # of one row: beyond that a quote was not closed
_SAMPLE_CHARACTERS = 1 << 18
csv.field_size_limit(max(csv.field_size_limit(), 2 * _MOST_CHARACTERS))  # of the process: cells longer than 128 KiB

_DAMAGED = NoValue("holds bytes that are not text in this file's encoding")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SINGLE = "\x1f"  # a separator that no text holds, for a file of one column
_HINT = re.compile(r'\s*"?sep=(.)"?\s*')  # Excel's first line


@dataclass(frozen=True)
class Record:
    """One row as it stands on lines `first` to `last`: its cells, or why it has none."""

    first: int
    last: int
    cells: list[str] | BadRow


@dataclass(frozen=True)
class Form:
    """How the cells of a file are parted."""

    delimiter: str
    escape: str | None = None  # what stands before a quote within quotes, where quotes are not doubled
    blanks: bool = False  # whether a blank before a quote is no part of the cell


class _Lines:
    """The lines of a file with their numbers, some of which may be read again. Iterating gives their texts."""

    def __init__(self, lines: Iterable[str], start: int) -> None:
        self._source = enumerate(lines, start)
        self._again: deque[tuple[int, str]] = deque()
        self.held: list[tuple[int, str]] = []  # the lines of the row that is being read
        self._size = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        number, line = self._again.popleft() if self._again else next(self._source)
        self.held.append((number, line))
        self._size += len(line)
        if self._size > _MOST_CHARACTERS and len(self.held) > 1:
            raise csv.Error("too long")
        return line

    def next_row(self) -> None:
        self.held, self._size = [], 0

    def back_to_second(self) -> None:
        """All lines but the first are read again."""
        self._again.extendleft(reversed(self.held[1:]))


def records(lines: Iterable[str], form: Form, start: int = 1) -> Iterator[Record]:
    """The rows that are not blank, with their lines, of which the first is `start`.

    A row that cannot be parsed is one line: the next row begins after it.
    """
    feed = _Lines(lines, start)
    reader = _reader(feed, form)
    while True:
        feed.next_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first, last = feed.held[0][0], feed.held[-1][0]
            yield Record(first, first, BadRow(_why(str(error), first, last)))
            feed.back_to_second()
            reader = _reader(feed, form)
            continue
        if any(cell.strip() for cell in cells):
            yield Record(feed.held[0][0], feed.held[-1][0], cells)


def _reader(lines: Iterator[str], form: Form) -> Iterator[list[str]]:
    how: dict[str, Any] = {"doublequote": form.escape is None, "escapechar": form.escape}
    return csv.reader(lines, delimiter=form.delimiter, strict=True, skipinitialspace=form.blanks, **how)


def _why(error: str, first: int, last: int) -> str:
    if last > first or "unexpected end" in error or "too long" in error:
        return f"opens a quote that is not closed properly (read as far as line {last:,})"
    return "holds a quote within quotes that is not doubled"


def sniff(sample: list[str], *, tabs_first: bool = False) -> Form:
    """How the cells are parted: the sign by which most rows have as many cells as the head, and more than one."""
    best, best_score = Form(_SINGLE), (0.0, 0)
    for delimiter in ("\t", ",", ";", "|") if tabs_first else (",", ";", "\t", "|"):
        escapes = (None, "\\") if any('\\"' in line for line in sample) else (None,)
        blanks = (True, False) if any(f'{delimiter} "' in line for line in sample) else (False,)
        for form in itertools.starmap(Form, itertools.product((delimiter,), escapes, blanks)):
            counts = [
                len(record.cells) if isinstance(record.cells, list) else 0
                for record in itertools.islice(records(iter(sample), form), SAMPLE)
            ]
            if not counts:
                continue
            usual, n = Counter(counts).most_common(1)[0]
            has_head = counts[0] == usual or (usual > 2 and usual in counts[:5]) or (len(counts) > 1 and counts[0] > 1)
            score = (round(n / len(counts), 2), usual)
            if usual > 1 and has_head and score > best_score:
                best, best_score = form, score
    return best


def delimited_rows(
    path: Path, wanted: Collection[str], encoding: str | None, delimiter: str | None, note: Callable[[str], None]
) -> tuple[tuple[str, ...], Iterator[tuple[int, "Mapping[str, Cell] | BadRow"]]]:
    """(the columns, the rows with their lines: the cells that are not empty by column, or why there are none).

    `wanted`: names that a head is known by. `note` is told what was read off the file. Raises DatasetError.
    """
    _refuse_workbook(path)
    found = encoding_of(path, encoding)
    if found.note:
        note(found.note)
    plain_name = path.name.lower().removesuffix(".gz")
    with open_text(path, found) as file:
        sample = _first_lines(path, file)
    hint = _HINT.fullmatch(sample[0]) if sample else None
    if delimiter is not None:
        form = Form(delimiter)
    else:
        form = Form(hint[1]) if hint else sniff(sample, tabs_first=plain_name.endswith((".tsv", ".tab")))
        usual = "\t" if plain_name.endswith((".tsv", ".tab")) else ","
        if form.delimiter not in (usual, _SINGLE):
            note(f"the cells of {path.name} are parted by {_NAMES.get(form.delimiter, repr(form.delimiter))}")
    first = [
        record
        for record in itertools.islice(records(sample[1:], form, 2) if hint else records(sample, form), SAMPLE)
        if isinstance(record.cells, list)
    ]
    head = find_head([record.cells for record in first if isinstance(record.cells, list)], wanted)
    for sentence in head.notes:
        note(f"{path.name}: {sentence}")
    above = first[head.place - 1].last if head.place else int(hint is not None)  # lines before the rows

    def rows() -> Iterator[tuple[int, Mapping[str, Cell] | BadRow]]:
        line = above
        with open_text(path, found) as text:
            try:
                for record in records(itertools.islice(text, above, None), form, above + 1):
                    line = record.last
                    yield record.first, _row(record, head.names)
            except (OSError, EOFError, zlib.error) as error:
                refusal = f"{path}: cannot be read to its end ({reason_of(error)}); copy or make the file again"
                yield line + 1, CutOff(DatasetError(refusal), line)

    return head.names, rows()


def _first_lines(path: Path, file: Iterable[str]) -> list[str]:
    lines, size = [], 0
    try:
        for line in file:
            lines.append(line)
            size += len(line)
            if size > _SAMPLE_CHARACTERS or len(lines) >= 4 * SAMPLE:
                break
    except (OSError, EOFError, zlib.error):
        pass  # what can be read is read, and whoever reads on says where it ends
    return lines


def _row(record: Record, names: tuple[str, ...]) -> Mapping[str, Cell] | BadRow:
    cells = record.cells
    if isinstance(cells, BadRow):
        return cells
    if len(cells) != len(names) and not (len(cells) > len(names) and not any(cells[len(names) :])):
        span = f" (lines {record.first:,} to {record.last:,} are one row)" if record.last > record.first else ""
        s = "" if len(cells) == 1 else "s"
        return BadRow(f"has {len(cells)} cell{s} where the head has {len(names)}{span}")
    if cells[0].strip()[:200] == names[0][:200] and tuple(" ".join(cell.split()) for cell in cells) == names:
        return BadRow("repeats the head")
    return {
        name: _DAMAGED if DAMAGE in cell else cell for name, cell in zip(names, cells, strict=False) if cell.strip()
    }


def _refuse_workbook(path: Path) -> None:
    try:
        with open_bytes(path) as file:
            head = file.read(8)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({reason_of(error)}); copy or make the file again") from None
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DatasetError(f"{path}: is a workbook and no text; give it the name that ends in .xlsx")
    if head.startswith((b"PAR1", b"ARROW1")):
        raise DatasetError(f"{path}: is a Parquet or Arrow file and no text; give it the name that ends so")
