"""The pairs of a comparison: what is shown, on which side, in which order. Decided by a hash of the texts, so it is the same in every sitting.

A hash of the input and the two answers, without regard to whose they are, decides which answer stands left (with the name of who judges) and where the pair
comes in the queue, which is the same for everyone. So a sitting that ends early has judged a random sample of the rows, people who stop at different places
have the first rows in common, and a sitting that goes on after a crash shows what it would have shown.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stillhouse.comparison.answers import Answers
from stillhouse.evaluation.win_rate import Choice
from stillhouse.records import Example


@dataclass(frozen=True)
class Pair:
    """One row with both answers. `key` names input and answers whoever gave them; `settled`: nobody needs to be asked.

    `group`: the row's own, or what rows have in common that are the same pair: one choice judges them all, and counts as one draw.
    """

    example: Example
    a: str | None
    b: str | None
    key: str
    group: str | None = None

    @property
    def settled(self) -> Choice | None:
        """Equal answers tie; an answer is better than none; none on both sides is both bad."""
        if self.a is None or self.b is None:
            return "both bad" if self.a is None and self.b is None else "B" if self.a is None else "A"
        return "tie" if self.a.split() == self.b.split() else None

    def a_is_left(self, rater: str = "") -> bool:
        """Each person has sides of their own: a lean that people share then makes them neither agree nor favour a system."""
        one, other = digest(self.a), digest(self.b)
        return (int(digest(["side", self.key, *([rater] if rater else [])])[:2], 16) % 2 == 0) == (one < other)

    def left(self, rater: str = "") -> str:
        return (self.a if self.a_is_left(rater) else self.b) or ""

    def right(self, rater: str = "") -> str:
        return (self.b if self.a_is_left(rater) else self.a) or ""


def pairs_of(examples: Sequence[Example], a: Answers, b: Answers) -> list[Pair]:
    """The rows that both were asked, in the order in which they are judged."""
    both = [row for row in examples if row.id in a.by_id and row.id in b.by_id]
    keys = [_key(row, a.by_id, b.by_id) for row in both]
    times = Counter(keys)
    groups = [
        row.group if row.group is not None else f"pair {key}" if times[key] > 1 else None
        for row, key in zip(both, keys, strict=True)
    ]
    pairs = [
        Pair(row, a.by_id[row.id], b.by_id[row.id], key, group)
        for row, key, group in zip(both, keys, groups, strict=True)
    ]
    return sorted(pairs, key=lambda pair: digest(["order", pair.key]))


def _key(row: Example, a: Mapping[str, str | None], b: Mapping[str, str | None]) -> str:
    return digest([row.input, sorted([digest(a[row.id]), digest(b[row.id])])])


def digest(value: object) -> str:
    """sha256 (hex) of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
