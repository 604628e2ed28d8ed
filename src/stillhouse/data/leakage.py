"""The leak rule: which texts count as the same row, and that no held-out row was trained on.

Everything that compares rows asks `words.normalise`: the splits, the search for copies, the screen between a teacher
and its data, and the harvest of traces. A near copy is no leak: it is counted, and the report warns of it.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stillhouse.errors import LeakageError
from stillhouse.records import Example
from stillhouse.words import normalise, units

NEAR = 0.9  # Jaccard similarity of three-word shingles from which two texts count as near copies
_SHINGLE_WORDS = 3


def check_leakage(train: Iterable[Example], held_out: Iterable[Example], where: str = "train and test") -> None:
    """Raise LeakageError where a held-out row's id, group or text is also in training."""
    ids, groups, id_of_text = set(), set(), {}
    for row in train:
        ids.add(row.id)
        groups.add(row.group)
        id_of_text[normalise(row.text)] = row.id
    leaks = []
    for row in held_out:
        if (twin := id_of_text.get(normalise(row.text))) is not None:
            leaks.append(f"row {row.id!r} has the same input as training row {twin!r}")
        elif row.id in ids:
            leaks.append(f"the id {row.id!r} is in both")
        elif row.group is not None and row.group in groups:
            leaks.append(f"row {row.id!r} belongs to group {row.group!r}, which is in training")
    if leaks:
        more = f" (and {len(leaks) - 1} more)" if len(leaks) > 1 else ""
        raise LeakageError(
            f"{where} overlap: {leaks[0]}{more}; "
            "remove such rows from one of the two, for numbers on rows that were trained on mean nothing"
        )


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
