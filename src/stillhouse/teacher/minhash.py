"""Near-duplicates by MinHash (Broder 1997), for what ROUGE-L cannot see: the same sentences in another order. Sets beyond a million texts have `lsh`.

Approximate, unlike `filters`: two texts whose three-word shingles have a Jaccard similarity of 0.7 are compared with a probability of 0.99, at 0.8 of 0.9999
(25 bands of 5 hashes), and the similarity is then an estimate from 125 hashes, with a standard error of 0.04. The hashing is the library rensa's. Time grows
with the texts as long as few of them share shingles; where most do, as in made-up texts of a few words, with their square.
"""

import rensa

from stillhouse.errors import UserError
from stillhouse.teacher.filters import Verdict, words
from stillhouse.teacher.kept_file import Row

THRESHOLD = 0.7
SHINGLE = 3  # words
_HASHES, _BANDS, _SEED = 125, 25, 1


def shingles(text: str) -> list[str]:
    """Runs of three words of any script, without case; a shorter text is one shingle."""
    found = words(text)
    return (
        [" ".join(found[start : start + SHINGLE]) for start in range(max(1, len(found) - SHINGLE + 1))] if found else []
    )


class MinHashFilter:
    """The texts kept so far, about 3 kB of memory each. The score of a verdict is an estimate of Jaccard's similarity."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        if not 0 < threshold <= 1:
            raise UserError(f"a MinHash threshold of {threshold:g} sorts nothing; give one above 0, up to 1")
        self.threshold = threshold
        self._index = rensa.RMinHashLSH(threshold=threshold, num_perm=_HASHES, num_bands=_BANDS)
        self._hashes: list[rensa.RMinHash] = []
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def closest(self, text: str) -> Verdict | None:
        """The kept text with the highest estimate of at least the threshold (the first of equals); None: there is none, or the text has no words."""
        hashed = _hashed(text)
        if hashed is None:
            return None
        near = [(hashed.jaccard(self._hashes[place]), -place) for place in self._index.query(hashed)]
        score, place = max(near, default=(0.0, 0))
        return Verdict(False, score, self._rows[-place]) if near and score >= self.threshold else None

    def insert(self, text: str, row: Row | None = None) -> None:
        """Keep the text whatever it resembles."""
        hashed = _hashed(text)
        if hashed is not None:
            self._index.insert(len(self._rows), hashed)
        self._hashes.append(hashed)
        self._rows.append(len(self._rows) if row is None else row)


def _hashed(text: str) -> "rensa.RMinHash | None":
    found = shingles(text)
    if not found:
        return None
    hashed = rensa.RMinHash(num_perm=_HASHES, seed=_SEED)
    hashed.update(found)
    return hashed
