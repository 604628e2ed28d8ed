"""What the cells of a column are like, counted over a sample of rows: what `inference` goes by beside names."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.data.row_time import is_time
from stillhouse.data.workbook import NoValue
from stillhouse.json_text import JsonError, read_json

_NUMBER = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:[.,]\d+)?(?:[eE][-+]?\d+)?%?")
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d{2}")  # as Excel shows a long number, and exports it

MOST_CLASSES = 300


@dataclass(frozen=True)
class ColumnFacts:
    """Counts of a column's cells in the sample, empty ones apart; `numbers`, `times` and `objects` are shares."""

    name: str
    n: int  # cells that are not empty
    n_distinct: int
    n_repeating: int  # cells whose value occurs at least twice
    mean_words: float
    longest: int  # characters
    numbers: float
    times: float
    objects: float  # JSON objects or lists, or texts that spell one
    n_rounded: int  # numbers in Excel's scientific notation, whose last digits are lost

    @property
    def is_constant(self) -> bool:
        return self.n_distinct < 2

    @property
    def has_classes(self) -> bool:
        """Few short values, nearly all of which occur again."""
        return (
            2 <= self.n_distinct <= min(MOST_CLASSES, self.n / 2)
            and self.n_repeating >= 0.8 * self.n
            and self.longest <= 120
            and self.mean_words <= 8
            and self.objects < 0.5
        )

    @property
    def is_unique(self) -> bool:
        return 0 < self.n == self.n_distinct

    @property
    def is_text(self) -> bool:
        """Words, of which most cells have their own."""
        own = self.n_distinct > 0.5 * self.n or self.mean_words >= 6
        return self.numbers < 0.5 and self.times < 0.5 and self.objects < 0.5 and own and self.mean_words >= 2


def facts_of(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> list[ColumnFacts]:
    return [_facts(name, [row.get(name) for row in rows]) for name in columns]


def _facts(name: str, cells: Sequence[Any]) -> ColumnFacts:
    values = [cell for cell in cells if not _is_empty(cell)]
    texts = [text_of(cell) for cell in values]
    counts = Counter(text.strip() for text in texts)
    n = len(texts)
    share = 1 / n if n else 0.0
    return ColumnFacts(
        name=name,
        n=n,
        n_distinct=len(counts),
        n_repeating=sum(count for count in counts.values() if count > 1),
        mean_words=sum(len(text.split()) for text in texts) * share,
        longest=max(map(len, texts), default=0),
        numbers=sum(1 for text in texts if is_number(text)) * share,
        times=sum(1 for value in values if is_time(value)) * share,
        objects=sum(1 for value in values if is_object(value)) * share,
        n_rounded=sum(1 for text in texts if _ROUNDED.fullmatch(text.strip())),
    )


def _is_empty(cell: Any) -> bool:
    return cell is None or isinstance(cell, NoValue) or (isinstance(cell, str) and not cell.strip()) or cell == {}


def text_of(cell: Any) -> str:
    return cell if isinstance(cell, str) else str(cell)


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def is_object(value: Any) -> bool:
    """Whether it is an object or a list, or a text that spells one in JSON."""
    if isinstance(value, str):
        if not value.lstrip().startswith(("{", "[")):
            return False
        try:
            value = read_json(value)
        except JsonError:
            return False
    return isinstance(value, dict | list)
