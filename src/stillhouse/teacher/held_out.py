"""The rows that a generated row must not resemble: validation, calibration and test.

A set that was made with them in it measures nothing. There are three comparisons, for each sees what the others miss.
The same words, whatever case, spacing and punctuation. ROUGE-L over words of any script: words changed or put in
between. MinHash: parts in another order.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from stillhouse.errors import LeakageError
from stillhouse.records import Example
from stillhouse.teacher.filters import THRESHOLD, RougeFilter
from stillhouse.teacher.minhash import MinHashFilter
from stillhouse.words import normalise, units

NAMED = 10  # most pairs named in one message


@dataclass(frozen=True, slots=True)
class Resemblance:
    """`how` is "exact", "rouge-l" or "minhash", and `score` is on it; `part` and `row` name the held-out row."""

    how: str
    score: float
    part: str
    row: str


class HeldOut:
    """The held-out rows of a task, by part."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._exact: dict[str, int] = {}
        self._rouge, self._minhash = RougeFilter(threshold, split=units), MinHashFilter()
        self._names: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._names)

    def include(self, part: str, rows: Iterable[Example]) -> None:
        """Take rows in; a row that resembles another held-out one counts as well."""
        for row in rows:
            number = len(self._names)
            self._names.append((part, row.id))
            self._exact.setdefault(normalise(row.text), number)
            self._rouge.insert(row.text, number)
            self._minhash.insert(row.text, number)

    def resembles(self, text: str) -> Resemblance | None:
        """Which held-out row the text resembles, and by which comparison; None: none."""
        if (number := self._exact.get(normalise(text))) is not None:
            return Resemblance("exact", 1.0, *self._names[number])
        for how, near in (("rouge-l", self._rouge.closest(text)), ("minhash", self._minhash.closest(text))):
            if near is not None and near.score is not None:
                return Resemblance(how, near.score, *self._names[int(near.row or 0)])
        return None

    def refuse(self, rows: Iterable[Example], where: str) -> None:
        """Raise LeakageError where rows resemble held-out ones; it names them, of many the first ten."""
        copies = [(row.id, near) for row in rows if (near := self.resembles(row.text)) is not None]
        if not copies:
            return
        named = "; ".join(
            f"{id_!r} resembles {near.part} row {near.row!r} ({near.how}, {near.score:.2f})"
            for id_, near in copies[:NAMED]
        )
        more = f"; and {len(copies) - NAMED} more" if len(copies) > NAMED else ""
        what = f"{len(copies)} generated rows resemble held-out ones"
        if len(copies) == 1:
            what = "a generated row resembles a held-out one"
        raise LeakageError(
            f"{where}: {what}: {named}{more}; take such rows out, for numbers on rows that were trained on mean nothing"
        )
