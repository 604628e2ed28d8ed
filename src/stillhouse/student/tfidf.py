"""TF-IDF of texts over the n-grams of `ngrams`, as scikit-learn's TfidfVectorizer gives it, to the last bit.

Texts repeat their words, and the n-grams of a word are the same wherever it stands: so each is looked up once, and a
text is the joined lookups of its words and the pairs of neighbouring words. scikit-learn asks for every n-gram of every
text in Python: 5 to 20 times as slow (bench/linear.py).
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.utils.sparsefuncs_fast import inplace_csr_row_normalize_l2

from stillhouse.student.ngrams import WORD, grams_of_word

Floats = NDArray[np.float32]
Numbers = NDArray[np.int32]
Row = tuple[Numbers, Numbers]  # the different features of a text, in rising order, and how often each occurs
_MOST_WORDS = 50_000  # whose n-grams are remembered: some 20 MB
_LONGEST_WORD = 40  # characters of a word that is remembered; texts of one endless word would fill the memory
CHOICE = "a"  # marks the n-grams of a choice; those of an input have their field's number


class Lookup:
    """The numbers of a text's features. `number_of` gives a feature's number, or None for one that is not known."""

    def __init__(self, number_of: Callable[[str], int | None]) -> None:
        self._number_of = number_of
        self._remembered = lru_cache(_MOST_WORDS)(self._of_word)

    def fields(self, fields: Sequence[str]) -> Row:
        return _counted([part for at, field in enumerate(fields) for part in self._parts(str(at), field)])

    def choice(self, choice: str, pairs: Iterable[str]) -> Row:
        """Of one (input, choice) pair: the choice's n-grams, and the features of pairs of words."""
        return _counted([*self._parts(CHOICE, choice), self._numbers(pairs)])

    def _parts(self, mark: str, text: str) -> list[Numbers]:
        found = WORD.findall(text.lower())
        parts = [
            self._remembered(mark, word) if len(word) <= _LONGEST_WORD else self._of_word(mark, word) for word in found
        ]
        parts.append(self._numbers(f"{mark}w {first} {second}" for first, second in itertools.pairwise(found)))
        return parts

    def _of_word(self, mark: str, word: str) -> Numbers:
        return self._numbers(f"{mark}{gram}" for gram in grams_of_word(word))

    def _numbers(self, features: Iterable[str]) -> Numbers:
        number_of = self._number_of
        return np.array([number for feature in features if (number := number_of(feature)) is not None], np.int32)


def lookup_in(vocabulary: Sequence[str]) -> Lookup:
    return Lookup({feature: at for at, feature in enumerate(vocabulary)}.get)


def _counted(parts: Sequence[Numbers]) -> Row:
    numbers = np.concatenate(parts) if parts else np.empty(0, np.int32)
    numbers.sort()
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    return numbers[starts], np.diff(starts, append=len(numbers)).astype(np.int32)


def weighted(rows: Sequence[Row], idf: Floats) -> csr_matrix:
    """(rows, features): (1 + ln count) * idf, each row scaled to the length 1."""
    counts = _matrix(rows, len(idf))
    _weigh(counts, idf)
    return counts


def _matrix(rows: Sequence[Row], n_features: int) -> csr_matrix:
    ends = np.cumsum([0, *(len(numbers) for numbers, _ in rows)])
    columns = np.concatenate([np.empty(0, np.int32), *(numbers for numbers, _ in rows)])
    counts = np.concatenate([np.empty(0, np.float32), *(counts for _, counts in rows)], dtype=np.float32)
    return csr_matrix((counts, columns, ends), shape=(len(rows), n_features))


def _weigh(counts: csr_matrix, idf: Floats) -> None:
    np.log(counts.data, counts.data)
    counts.data += 1
    counts.data *= idf[counts.indices]
    inplace_csr_row_normalize_l2(counts)


class Learned:
    """A vocabulary that is made from texts: `rows` are their features under numbers that `fit` replaces."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(lambda: len(self._numbers))
        self.lookup = Lookup(self._numbers.__getitem__)

    @property
    def names(self) -> list[str]:
        return list(self._numbers)

    def fit(self, rows: Sequence[Row], fewest: int, most: int) -> tuple[list[str], Floats, csr_matrix]:
        """(vocabulary in alphabetical order, idf, weighted matrix) of the features that occur in `fewest` rows.

        Of more than `most` such features the commonest are kept.
        """
        counts = _matrix(rows, len(self._numbers))
        n_rows_with = np.bincount(counts.indices, minlength=len(self._numbers))
        names = self.names
        kept = np.array(sorted(np.flatnonzero(n_rows_with >= fewest), key=names.__getitem__), dtype=np.int64)
        if len(kept) > most:
            n_times = np.bincount(counts.indices, counts.data, len(self._numbers))[kept]
            kept = kept[np.sort(np.argsort(-n_times, kind="stable")[:most])]
        counts = csr_matrix(counts[:, kept])
        counts.sort_indices()
        idf = np.log(np.float32(len(rows) + 1) / (n_rows_with[kept].astype(np.float32) + 1)) + np.float32(1)
        _weigh(counts, idf)
        return [names[at] for at in kept], idf, counts
