"""Near-duplicates in sets beyond a million texts: MinHash proposes, ROUGE-L decides.

MinHash over the words of a text (Broder 1997), in 25 bands of 5 hashes (locality-sensitive hashing, Indyk and Motwani 1998), names few of the kept texts as
candidates; what is dropped has an F above the threshold with one of them, as in `filters`. So nothing is dropped that is not near, but near texts are
missed: those with a Jaccard similarity of words of 0.5 are proposed with a probability of 0.55, at 0.6 of 0.87, at 0.7 of 0.99. Words are of any script, unlike
the tokens of `rouge_score`. The hashing is the library rensa's.
"""

from pathlib import Path
from typing import Any

import rensa
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from stillhouse.errors import UserError
from stillhouse.teacher.filters import THRESHOLD, Verdict, f_measure, spell, words
from stillhouse.teacher.kept_file import KeptFile, Row

_BANDS, _PER_BAND, _SEED = 25, 5, 1


class LshFilter:
    """The texts kept so far, some 2 kB each; the same methods, verdicts and `state` file as `RougeFilter`."""

    def __init__(self, threshold: float = THRESHOLD, *, state: str | Path | None = None) -> None:
        if not 0 <= threshold < 1:
            raise UserError(
                f"a ROUGE-L threshold of {threshold:g} sorts nothing; give one from 0 to below 1 ({THRESHOLD:g} is Alpaca's)"
            )
        self.threshold = threshold
        self._index = rensa.RMinHashLSH(
            threshold=0.5, num_perm=_BANDS * _PER_BAND, num_bands=_BANDS
        )  # its threshold is not used by queries
        self._numbers: dict[str, int] = {}
        self._spelled: list[Any] = []
        self._rows: list[Row] = []
        self._file: KeptFile | None = None
        if state is not None:
            self._file = KeptFile(Path(state), "minhash", threshold)
            for row, words in self._file.read():
                self._index_words(words, row)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, text: str, row: Row | None = None) -> Verdict:
        """Keep the text, or say which kept one it resembles most (the first of equals). A text without words is kept."""
        found = words(text)
        if (near := self._closest(found)) is not None:
            return near
        self._keep(found, row)
        return Verdict(kept=True)

    def closest(self, text: str) -> Verdict | None:
        """Of the kept texts that MinHash proposes, the one with the highest F above the threshold; None: there is none."""
        return self._closest(words(text))

    def insert(self, text: str, row: Row | None = None) -> None:
        """Keep the text whatever it resembles."""
        self._keep(words(text), row)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _closest(self, found: list[str]) -> Verdict | None:
        m = len(found)
        if m == 0 or not (proposed := self._index.query(_sketch(found))):
            return None
        least = max(
            1, int(self.threshold * m / (2 - self.threshold))
        )  # of a common subsequence: the partner may lie in the text as a whole
        others = [self._spelled[place] for place in proposed]
        near = process.extract(self._spell(found), others, scorer=LCSseq.similarity, score_cutoff=least, limit=None)
        score, place = max(
            ((f_measure(int(length), m, len(other)), -proposed[at]) for other, length, at in near), default=(0.0, 0)
        )
        return Verdict(False, score, self._rows[-place]) if score > self.threshold else None

    def _keep(self, found: list[str], row: Row | None) -> None:
        row = len(self._rows) if row is None else row
        if self._file is not None:
            self._file.append(row, found)
        self._index_words(found, row)

    def _index_words(self, found: list[str], row: Row) -> None:
        if found:
            self._index.insert(len(self._rows), _sketch(found))
        self._spelled.append(self._spell(found))
        self._rows.append(row)

    def _spell(self, found: list[str]) -> Any:
        return spell([self._numbers.setdefault(word, len(self._numbers)) for word in found])


def _sketch(found: list[str]) -> rensa.RMinHash:
    sketch = rensa.RMinHash(num_perm=_BANDS * _PER_BAND, seed=_SEED)
    sketch.update(found)
    return sketch
