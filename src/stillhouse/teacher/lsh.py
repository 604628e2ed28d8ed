"""Near-duplicates in sets beyond a million texts: MinHash proposes, ROUGE-L decides.

MinHash over the words of a text (Broder 1997), in 25 bands of 5 hashes (locality-sensitive hashing, Indyk and Motwani
1998), proposes few of the kept texts. A text is dropped where its F with one of these is above the threshold, as in
`filters`. So nothing is dropped that is not near, but some near texts are missed. Texts whose words have a Jaccard
similarity of 0.5 are proposed with a probability of 0.55; at 0.6 it is 0.87, at 0.7 it is 0.99.

Words are of any script, unlike the tokens of `rouge_score`. The hashing is the library rensa's.
"""

from typing import Any

import rensa
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from stillhouse.teacher.filters import (
    THRESHOLD,
    FilterDecision,
    RowName,
    check_threshold,
    f_measure,
    spell,
)
from stillhouse.words import units

_BANDS, _PER_BAND, _SEED = 25, 5, 1
_UNUSED = 0.5  # rensa demands a threshold of similarity, which our queries do not use


class LshFilter:
    """The texts kept so far, some 2 kB each; the same methods and decisions as `RougeFilter`."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        check_threshold(threshold)
        self.threshold = threshold
        self._index = rensa.RMinHashLSH(threshold=_UNUSED, num_perm=_BANDS * _PER_BAND, num_bands=_BANDS)
        self._numbers: dict[str, int] = {}
        self._spelled: list[Any] = []
        self._rows: list[RowName] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, text: str, row: RowName | None = None) -> FilterDecision:
        """Keep the text, or say which kept one it resembles most (the first of equals). Without words it is kept."""
        text_words = units(text)
        if (near := self._closest(text_words)) is not None:
            return near
        self._keep(text_words, row)
        return FilterDecision(kept=True)

    def closest(self, text: str) -> FilterDecision | None:
        """Of the kept texts that MinHash proposes, the one with the highest F; None: none is above the threshold."""
        return self._closest(units(text))

    def insert(self, text: str, row: RowName | None = None) -> None:
        """Keep the text whatever it resembles."""
        self._keep(units(text), row)

    def _closest(self, text_words: list[str]) -> FilterDecision | None:
        m = len(text_words)
        if m == 0 or not (proposed := self._index.query(_sketch(text_words))):
            return None
        # Words that the other text must share to reach the threshold in the best case: it lies in this one whole.
        least = max(1, int(self.threshold * m / (2 - self.threshold)))
        others = [self._spelled[place] for place in proposed]
        near = process.extract(
            self._spell(text_words), others, scorer=LCSseq.similarity, score_cutoff=least, limit=None
        )
        score, place = max(
            ((f_measure(int(length), m, len(other)), -proposed[at]) for other, length, at in near), default=(0.0, 0)
        )
        return FilterDecision(False, score, self._rows[-place]) if score > self.threshold else None

    def _keep(self, text_words: list[str], row: RowName | None) -> None:
        place = len(self._rows)
        if text_words:
            self._index.insert(place, _sketch(text_words))
        self._spelled.append(self._spell(text_words))
        self._rows.append(place if row is None else row)

    def _spell(self, text_words: list[str]) -> Any:
        return spell([self._numbers.setdefault(word, len(self._numbers)) for word in text_words])


def _sketch(text_words: list[str]) -> rensa.RMinHash:
    sketch = rensa.RMinHash(num_perm=_BANDS * _PER_BAND, seed=_SEED)
    sketch.update(text_words)
    return sketch
