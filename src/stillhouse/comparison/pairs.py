"""The pairs of a comparison: what is shown, on which side, in which order.

A hash of the input and the two answers, in which the systems' names have no part, decides where a pair comes in the
queue. The queue is the same for everyone. The hash, with the name of the person who judges, also decides which answer
stands left. So a person who stops early has judged a random sample of the rows; people who stop at different places
have the first rows in common; and after a crash a person is shown what they would have been shown without it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stillhouse.comparison.answers import Answers
from stillhouse.evaluation.win_rate import Choice
from stillhouse.json_labels import same_json, value_spelled
from stillhouse.records import Example


@dataclass(frozen=True)
class Pair:
    """One row with both answers. `key` names the input and the answers, whichever system gave which.

    `group`: the row's own. Rows that are the same pair have one group: one choice judges them all, and counts as one
    draw.
    """

    example: Example
    a: str | None
    b: str | None
    key: str
    group: str | None = None

    @property
    def settled(self) -> Choice | None:
        """The choice where nobody needs to be asked: equal answers tie, an answer is better than none.

        Texts are equal but for spaces, and JSON objects and lists as values.
        """
        if self.a is None or self.b is None:
            if self.a is None and self.b is None:
                return "both bad"
            return "B" if self.a is None else "A"
        return "tie" if _equal(self.a, self.b) else None

    def a_is_left(self, rater: str = "") -> bool:
        """Whether A's answer stands left, which is drawn anew for every person.

        People who all lean to the left then do not agree for that reason, and favour no system.
        """
        lesser_is_left = int(digest(["side", self.key, *([rater] if rater else [])])[:2], 16) % 2 == 0
        return lesser_is_left == (digest(self.a) < digest(self.b))

    def left(self, rater: str = "") -> str:
        return (self.a if self.a_is_left(rater) else self.b) or ""

    def right(self, rater: str = "") -> str:
        return (self.b if self.a_is_left(rater) else self.a) or ""


def _equal(a: str, b: str) -> bool:
    if all(text.lstrip()[:1] in ("{", "[") and value_spelled(text) is not None for text in (a, b)):
        return same_json(a, b)
    return a.split() == b.split()


def pairs_of(examples: Sequence[Example], a: Answers, b: Answers) -> list[Pair]:
    """The rows that both were asked, in the order in which they are judged."""
    both = [row for row in examples if row.id in a.by_id and row.id in b.by_id]
    keys = [_key(row, a.by_id, b.by_id) for row in both]
    times = Counter(keys)
    pairs = []
    for row, key in zip(both, keys, strict=True):
        same_pair = f"pair {key}" if times[key] > 1 else None
        group = same_pair if row.group is None else row.group
        pairs.append(Pair(row, a.by_id[row.id], b.by_id[row.id], key, group))
    return sorted(pairs, key=lambda pair: digest(["order", pair.key]))


def _key(row: Example, a: Mapping[str, str | None], b: Mapping[str, str | None]) -> str:
    return digest([row.input, sorted([digest(a[row.id]), digest(b[row.id])])])


def digest(value: object) -> str:
    """sha256 (hex) of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
