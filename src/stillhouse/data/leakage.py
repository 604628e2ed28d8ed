"""The leak rule: which texts count as the same row, and that no held-out row was trained on.

Everything that compares rows asks `words.normalise`: the splits, the search for copies, the screen between a teacher
and its data, and the harvest of traces. A near copy is no leak: it is counted, and the report warns of it.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stillhouse.data.dataset import is_made_id
from stillhouse.errors import LeakageError
from stillhouse.records import Example
from stillhouse.words import normalise, units

NEAR = 0.9  # Jaccard similarity of three-word shingles from which two texts count as near copies
_SHINGLE_WORDS = 3


class _Rows:
    """Rows by what makes another row overlap with them.

    `repeats`: an equal input is no overlap, as in traffic. Nor is then an id that was made from the input.
    """

    def __init__(self, rows: Iterable[Example], *, repeats: bool) -> None:
        self._repeats = repeats
        self._ids, self._groups, self._id_of_text = set[str](), set[str](), dict[str, str]()
        for row in rows:
            self._ids.add(row.id)
            if row.group is not None:
                self._groups.add(row.group)
            if not repeats:
                self._id_of_text[normalise(row.text)] = row.id

    def overlap(self, row: Example) -> str | None:
        """What the row shares with these; None: nothing."""
        if (twin := self._id_of_text.get(normalise(row.text))) is not None:
            return f"row {row.id!r} has the same input as training row {twin!r}"
        if row.id in self._ids and not (self._repeats and is_made_id(row.id)):
            return f"the id {row.id!r} is in both"
        if row.group is not None and row.group in self._groups:
            return f"row {row.id!r} belongs to group {row.group!r}, which is in training"
        return None


def check_leakage(
    train: Iterable[Example], held_out: Iterable[Example], where: str = "train and test", *, repeats: bool = False
) -> None:
    """Raise LeakageError where a held-out row's id, group or text is also in training.

    `repeats`: equal texts may be on both sides, as in traffic.
    """
    known = _Rows(train, repeats=repeats)
    leaks = [leak for row in held_out if (leak := known.overlap(row)) is not None]
    if leaks:
        more = f" (and {len(leaks) - 1} more)" if len(leaks) > 1 else ""
        raise LeakageError(
            f"{where} overlap: {leaks[0]}{more}; "
            "remove such rows from one of the two, for numbers on rows that were trained on mean nothing "
            "(--drop-overlap of `distill` and `advise` takes them out of training"
            + ("" if repeats else '; copies = "traffic" in [data] is for repeats that the app\'s traffic has')
            + ")"
        )


def without_overlap(train: Sequence[Example], held_out: Iterable[Example], *, repeats: bool) -> list[Example]:
    """The rows that may be trained on: those that `check_leakage` would not refuse beside these held-out rows."""
    known = _Rows(held_out, repeats=repeats)
    return [row for row in train if known.overlap(row) is None]


@dataclass(frozen=True)
class NearCopy:
    """A test row and the training row that it nearly repeats."""

    test_id: str
    train_id: str
    similarity: float


def near_copies(train: Sequence[Example], test: Sequence[Example], threshold: float = NEAR) -> list[NearCopy]:
    """Test rows that share at least `threshold` (Jaccard) of their three-word shingles with some training row.

    The result is exact. Prefix filtering makes it fast (Chaudhuri et al. 2006, "A primitive operator for similarity
    joins"): two sets that similar share one of their rarest shingles, so only rows that share one are compared.
    """
    train_shingles = [_shingles(row.text) for row in train]
    test_shingles = [_shingles(row.text) for row in test]
    frequency = Counter(shingle for shingles in (*train_shingles, *test_shingles) for shingle in shingles)

    def prefix(shingles: frozenset[str]) -> list[str]:
        # Floats put 0.9 * 30 a hair above 27, and ceil would make 28 of that.
        least_shared = math.ceil(threshold * len(shingles) - 1e-9)
        rarest_first = sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))
        return rarest_first[: len(shingles) - least_shared + 1]

    index: dict[str, list[int]] = defaultdict(list)
    for number, shingles in enumerate(train_shingles):
        for shingle in prefix(shingles):
            index[shingle].append(number)
    copies = []
    for row, shingles in zip(test, test_shingles, strict=True):
        best = NearCopy(row.id, "", 0.0)
        for number in {number for shingle in prefix(shingles) for number in index.get(shingle, ())}:
            other = train_shingles[number]
            similarity = len(shingles & other) / len(shingles | other)
            if similarity > best.similarity:
                best = NearCopy(row.id, train[number].id, similarity)
        if best.similarity >= threshold:
            copies.append(best)
    return copies


def _shingles(text: str) -> frozenset[str]:
    """Runs of three words, in scripts without spaces of three characters; a shorter text is one shingle."""
    words = units(text)
    starts = range(max(1, len(words) - _SHINGLE_WORDS + 1))
    return frozenset(" ".join(words[start : start + _SHINGLE_WORDS]) for start in starts)
