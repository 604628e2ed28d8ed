"""Near-duplicates by MinHash (Broder 1997), for what ROUGE-L cannot see: the same sentences in another order.

It is approximate, unlike `filters`. Two texts whose three-word shingles have a Jaccard similarity of 0.7 are compared
with a probability of 0.99, at 0.8 of 0.9999 (25 bands of 5 hashes). The similarity is then an estimate from 125 hashes,
with a standard error of 0.04. The hashing is the library rensa's.

Time grows with the number of texts while few of them share shingles. Where most do, as in made-up texts of a few words,
it grows with the square of that number. For sets beyond a million texts there is `lsh`.
"""

import rensa

from stillhouse.errors import UserError
from stillhouse.teacher.filters import FilterDecision, RowName
from stillhouse.words import units

THRESHOLD = 0.7
SHINGLE = 3  # words in a shingle
_HASHES, _BANDS, _SEED = 125, 25, 1


def shingles(text: str) -> list[str]:
    """Runs of three words of any script, without case. A shorter text is one shingle; an empty one has none."""
    text_words = units(text)
    if not text_words:
        return []
    starts = range(max(1, len(text_words) - SHINGLE + 1))
    return [" ".join(text_words[start : start + SHINGLE]) for start in starts]


class MinHashFilter:
    """The texts kept so far, about 3 kB of memory each. A decision's score is an estimate of Jaccard's similarity."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        if not 0 < threshold <= 1:
            raise UserError(f"a MinHash threshold of {threshold:g} sorts nothing; give one above 0, up to 1")
        self.threshold = threshold
        self._index = rensa.RMinHashLSH(threshold=threshold, num_perm=_HASHES, num_bands=_BANDS)
        self._sketches: list[rensa.RMinHash | None] = []
        self._rows: list[RowName] = []

    def closest(self, text: str) -> FilterDecision | None:
        """The kept text with the highest estimate of at least the threshold (the first of equals).

        None: there is none, or the text has no words.
        """
        sketch = _sketch(text)
        if sketch is None:
            return None
        near = [(sketch.jaccard(self._sketches[place]), -place) for place in self._index.query(sketch)]
        score, place = max(near, default=(0.0, 0))
        return FilterDecision(False, score, self._rows[-place]) if near and score >= self.threshold else None

    def insert(self, text: str, row: RowName | None = None) -> None:
        """Keep the text whatever it resembles."""
        sketch, place = _sketch(text), len(self._rows)
        if sketch is not None:
            self._index.insert(place, sketch)
        self._sketches.append(sketch)
        self._rows.append(place if row is None else row)


def _sketch(text: str) -> "rensa.RMinHash | None":
    """The MinHash sketch of a text; None for a text without words."""
    text_shingles = shingles(text)
    if not text_shingles:
        return None
    sketch = rensa.RMinHash(num_perm=_HASHES, seed=_SEED)
    sketch.update(text_shingles)
    return sketch
