"""Near-duplicates by ROUGE-L, as self-instruct and Stanford Alpaca drop them: those with an F of over 0.7.

On ASCII texts the decisions are exactly those of a greedy pass with the `rouge_score` package, which compares every
text with every kept one. Its tokenizer without stemmer is kept, and so is its floating-point F = 2PR / (P + R). Other
scripts, of which it sees nothing, are cut as `stillhouse.words` says.

A prefix filter (Chaudhuri et al. 2006, "A primitive operator for similarity joins") leaves few texts to compare. Two
texts of m and n tokens with F above the threshold have a common subsequence of some least length L. So they share L
tokens. In any fixed order of tokens they then share one of the first m - L + 1 and n - L + 1. With rare tokens first,
hardly any other text does. RapidFuzz's bit-parallel LCS measures those that are left.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from stillhouse.errors import UserError
from stillhouse.words import words

THRESHOLD = 0.7  # the ROUGE-L threshold of Self-Instruct (2212.10560), section 2.2, and of Alpaca's script
_CHARACTERS = 0x110000  # token numbers below this are spelled as characters: RapidFuzz is fastest on str

RowName = str | int


@dataclass(frozen=True, slots=True)
class FilterDecision:
    """What became of a text. `score` and `row` name the kept text that it resembles most.

    They are None for a text that is kept: it was compared with few others.
    """

    kept: bool
    score: float | None = None
    row: RowName | None = None


def f_measure(length: int, m: int, n: int) -> float:
    """ROUGE-L's F of texts of m and n tokens whose longest common subsequence is `length`; 0 for empty texts.

    It is rounded as `rouge_score` rounds it.
    """
    if length == 0:
        return 0.0
    precision, recall = length / m, length / n
    return 2 * precision * recall / (precision + recall)


def rouge_l_keep(texts: Iterable[str], threshold: float = THRESHOLD) -> list[bool]:
    """Which texts a greedy pass keeps: those whose F with every text kept before is at most `threshold`.

    Texts without tokens are kept.
    """
    texts = list(texts)
    rouge = RougeFilter(threshold)
    rouge.expect(texts)
    return [rouge.add(text).kept for text in texts]


def check_threshold(threshold: float) -> None:
    """Raise UserError for a threshold of F that would keep all texts or none."""
    if not 0 <= threshold < 1:
        raise UserError(
            f"a ROUGE-L threshold of {threshold:g} sorts nothing; give one from 0 to below 1 "
            f"({THRESHOLD:g} is Alpaca's)"
        )


class RougeFilter:
    """The texts kept so far, ready to be compared with the next one. `split` makes tokens of a text.

    Memory grows with the number of tokens.
    """

    def __init__(self, threshold: float = THRESHOLD, *, split: Callable[[str], list[str]] = words) -> None:
        check_threshold(threshold)
        self.threshold, self._split = threshold, split
        self._numbers: dict[str, int] = {}  # token -> its number, in order of appearance
        self._ranks: list[int] = []  # number of a token -> its rank, rare tokens first
        # Spelled text -> its place among the kept texts, and its row. Equal texts share the place and row of the first.
        self._rows: dict[Any, tuple[int, RowName]] = {}
        self._count = 0
        # Token -> the texts that have it in their prefix. The partner's length decides which prefix: see `_prefix`.
        self._for_longer: dict[int, list[Any]] = {}  # texts to be met by partners of the same length or longer
        self._for_shorter: dict[int, list[Any]] = {}
        self._prefixes: dict[int, tuple[int, int, int]] = {}
        self._ranked_at = 64  # number of texts from which on the order of tokens is made anew

    def add(self, text: str, row: RowName | None = None) -> FilterDecision:
        """Keep the text, or say which kept one it resembles most (the first of equals).

        `row` names the text; default: the number of texts kept before it.
        """
        tokens = self._split(text)
        if (near := self._closest(tokens)) is not None:
            return near
        self._keep(tokens, row)
        return FilterDecision(kept=True)

    def closest(self, text: str) -> FilterDecision | None:
        """The kept text with the highest F above the threshold; None: there is none."""
        return self._closest(self._split(text))

    def insert(self, text: str, row: RowName | None = None) -> None:
        """Keep the text whatever it resembles."""
        self._keep(self._split(text), row)

    def expect(self, texts: Sequence[str]) -> None:
        """Order the tokens by how many of these texts have them. It changes the speed and no decision."""
        self._rank(Counter(number for text in texts for number in set(self._numbered(self._split(text)))))
        self._ranked_at = max(self._ranked_at, 2 * len(texts))

    def _closest(self, tokens: Sequence[str]) -> FilterDecision | None:
        m = len(tokens)
        if m == 0:
            return None
        numbers = self._numbered(tokens)
        least, shorter, longer = self._prefix(m)
        rare_first = sorted(numbers, key=self._ranks.__getitem__)
        candidates: set[Any] = set()
        for index, prefix in ((self._for_longer, shorter), (self._for_shorter, longer)):
            for number in rare_first[:prefix]:
                if (texts := index.get(number)) is not None:
                    candidates.update(texts)
        if not candidates:
            return None
        spelled = spell(numbers)
        scorer = LCSseq.similarity
        if process.extractOne(spelled, candidates, scorer=scorer, score_cutoff=least) is None:
            return None
        near = process.extract(spelled, candidates, scorer=scorer, score_cutoff=least, limit=None)
        score, _, other = max(
            (f_measure(int(length), m, len(other)), -self._rows[other][0], other) for other, length, _ in near
        )
        return FilterDecision(False, score, self._rows[other][1]) if score > self.threshold else None

    def _keep(self, tokens: Sequence[str], row: RowName | None) -> None:
        numbers = self._numbered(tokens)
        spelled = spell(numbers)
        if tokens and spelled not in self._rows:
            self._rows[spelled] = (self._count, self._count if row is None else row)
            self._post(numbers, spelled)
        self._count += 1
        if self._count >= self._ranked_at:
            self._rank(Counter(number for spelled in self._rows for number in set(_numbers(spelled))))
            self._ranked_at = 2 * self._count

    def _post(self, numbers: Sequence[int], spelled: Any) -> None:
        _, to_shorter, to_longer = self._prefix(len(numbers))
        rare_first = sorted(numbers, key=self._ranks.__getitem__)
        for index, prefix in ((self._for_longer, to_longer), (self._for_shorter, to_shorter)):
            for number in set(rare_first[:prefix]):
                index.setdefault(number, []).append(spelled)

    def _numbered(self, tokens: Sequence[str]) -> list[int]:
        numbers = []
        for token in tokens:
            if (number := self._numbers.get(token)) is None:
                number = self._numbers[token] = len(self._ranks)
                self._ranks.append(-number)  # until the next ranking a new token ranks as rarer than all known ones
            numbers.append(number)
        return numbers

    def _prefix(self, m: int) -> tuple[int, int, int]:
        """For m tokens: least common subsequence that can pass, prefix for shorter partners, prefix for longer ones.

        "To pass" is to have an F above the threshold. A shorter partner needs the least, for it may lie in the text as
        a whole. A partner of m tokens or more needs at least what one of exactly m tokens needs.
        """
        if (known := self._prefixes.get(m)) is None:
            start = max(1, int(self.threshold * m / (2 - self.threshold)) - 1)
            least = next((length for length in range(start, m + 1) if f_measure(length, m, length) > self.threshold), m)
            start = max(1, int(self.threshold * m) - 1)
            equal = next((length for length in range(start, m + 1) if f_measure(length, m, m) > self.threshold), m)
            known = self._prefixes[m] = (least, m - least + 1, m - equal + 1)
        return known

    def _rank(self, frequency: Mapping[Any, int]) -> None:
        """Order the tokens anew, by how many texts have them, and the index by that order."""
        by_number = [0] * len(self._ranks)
        for number, count in frequency.items():
            by_number[number] = count
        for rank, number in enumerate(sorted(range(len(by_number)), key=by_number.__getitem__)):
            self._ranks[number] = rank
        self._for_longer, self._for_shorter = {}, {}
        for spelled in self._rows:
            self._post(_numbers(spelled), spelled)


def spell(numbers: Sequence[int]) -> Any:
    """The tokens as something hashable that RapidFuzz compares: a str with one character for each token.

    Where there are more different tokens than characters, it is a tuple of the numbers.
    """
    return "".join(map(chr, numbers)) if max(numbers, default=0) < _CHARACTERS else tuple(numbers)


def _numbers(spelled: Any) -> list[int]:
    return list(map(ord, spelled)) if isinstance(spelled, str) else list(spelled)
