"""Where a table's rows begin and what its columns are called, from its first records. For CSV and Excel alike.

The first record with as many cells as most have is the head: lines above it are a title. It is no head where it looks
like the rows below: numbers above numbers, a sentence above sentences, or a value that its column repeats. Then columns
are called column1, column2 and so on.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

SAMPLE = 200  # records that are looked at

_NUMBER = re.compile(r"[-+]?\d[\d.,' ]*(?:[eE][-+]?\d+)?%?")
_SENTENCE = 6  # words; a head may be long, too, but then what stands below it is seldom as long
_TITLE = 3  # columns below a title; of two columns nearly all rows have to be full, or it may be a head


@dataclass(frozen=True)
class Head:
    """`names` of the columns, each once; `place`: records before the first row; `notes`: what was decided here."""

    names: tuple[str, ...]
    place: int
    notes: tuple[str, ...] = ()
    made: bool = False  # whether the table has no head, and the names were made


def find_head(records: Sequence[Sequence[str]], wanted: Collection[str] = ()) -> Head:
    """The head among the first records, none of which is blank. `wanted`: names that a head is known by."""
    if not records:
        return Head((), 0)
    place = _first_full(records, wanted)
    first, rest = records[place], records[place + 1 :]
    notes = []
    if place:
        s = "" if place == 1 else "s"
        notes.append(f"{place} line{s} above the head passed over ({_short(' '.join(records[0]))})")
    known = any(_name(cell) in wanted for cell in first)
    if not known and _looks_like_a_row(first, rest):
        width = Counter(map(len, records[place:])).most_common(1)[0][0]
        names = tuple(f"column{number}" for number in range(1, width + 1))
        notes.append(f"there is no head: the columns are called {names[0]} to {names[-1]}")
        return Head(names, place, tuple(notes), made=True)
    names, said = _different([_name(cell) for cell in first])
    return Head(names, place + 1, (*notes, *said))


def _first_full(records: Sequence[Sequence[str]], wanted: Collection[str]) -> int:
    filled = [sum(1 for cell in record if cell.strip()) for record in records]
    usual = Counter(map(len, records)).most_common(1)[0][0]
    most = max(filled)
    for place, record in enumerate(records[:20]):
        if any(_name(cell) in wanted for cell in record):
            return place
        below = filled[place + 1 :]
        fuller = len(below) >= 2 and sum(1 for n in below if n >= 2) >= 0.9 * len(below)
        is_title = filled[place] == 1 and bool(record[0].strip()) and (most >= _TITLE or fuller)
        if not is_title and len(record) >= min(usual, len(records[0]) if place == 0 else usual):
            return place
    return 0


def _name(cell: str) -> str:
    return " ".join(cell.split())


def _different(cells: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The names with each one once; a sentence for each that occurs twice."""
    names: list[str] = []
    notes = []
    for number, cell in enumerate(cells, start=1):
        name, n = cell or f"column{number}", 1
        while name in names:
            n += 1
            name = f"{cell} ({n})"
        if n > 1:
            notes.append(f"a column {cell!r} is there already: the next one is called {name!r}")
        names.append(name)
    return tuple(names), notes


def _looks_like_a_row(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    rows = [row for row in rest if len(row) == len(first) and list(row) != list(first)]
    if not rows:
        return False
    for place, cell in enumerate(first):
        text, below = cell.strip(), [row[place].strip() for row in rows if row[place].strip()]
        if not text or not below:
            continue
        if _NUMBER.fullmatch(text) and sum(1 for other in below if _NUMBER.fullmatch(other)) > 0.8 * len(below):
            return True
        words = sum(len(other.split()) for other in below) / len(below)
        if len(text.split()) >= _SENTENCE and words >= len(text.split()) / 2:
            return True
        if below.count(text) >= 2 and len(set(below)) <= max(2, len(below) // 2):
            return True
    return False


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
