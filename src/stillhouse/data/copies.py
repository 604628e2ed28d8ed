"""Copies: rows of one input, and what they are.

In a file of rows they are mistakes of whoever made the file: a row measured twice is no new evidence, and rows of one
input belong into one split. In traffic they are draws like all others: an input that every third call brings weighs a
third. Which of the two holds is the task's to say (`copies` in `[data]`). Where it does not, what passes has to pass
both ways: an intersection-union test (Berger 1982, Technometrics 24:295), so nothing is corrected for it.

Two rows have one input where `words.normalise` makes their texts the same. Where each row has choices of its own, these
are part of what is asked: rows of one text and other choices stay together, and are counted one by one.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from stillhouse.records import Example
from stillhouse.words import normalise

CopyRule = Literal["traffic", "files"] | None
ALL_ROWS, UNSEEN, ONCE = "all rows", "inputs not seen in training", "each input counted once"


@dataclass(frozen=True)
class Reading:
    """One way to count the rows that measure: the id of every row that counts, and the group that it counts in."""

    name: str
    groups: Mapping[str, str | None]


def readings(
    draws: Sequence[Example], trained_texts: Collection[str], once: Sequence[Example] | None
) -> tuple[Reading, ...]:
    """The ways in which these rows count; none where there is only one, and it is the rows as they are.

    `draws`: rows as traffic has them. `trained_texts`: normalised, of rows that are trained on. `once`: the rows with
    each input counted once; None: they need not pass that way.
    """
    unseen = [row for row in draws if normalise(row.text) not in trained_texts]
    ways = [(ALL_ROWS, draws), (UNSEEN, unseen), *([(ONCE, once)] if once is not None else [])]
    different: list[Reading] = []
    for name, rows in ways:
        groups = {row.id: row.group for row in rows}
        if all(groups != reading.groups for reading in different):
            different.append(Reading(name, groups))
    return tuple(different) if len(different) > 1 else ()


def repeats_in_words(rows: Sequence[Example], once: Sequence[Example], part: str) -> str:
    """How many rows repeat the input of an earlier one, and how often the most frequent input comes.

    Where none does, the rows that are not `once` among the part's: what they repeat is in another part.
    """
    counts = Counter(map(_asked, rows))
    most = max(counts.values(), default=0)
    if most <= 1:
        held = {row.id for row in once}
        n_apart = sum(row.id not in held for row in rows)
        have = "has" if n_apart == 1 else "have"
        return f"{n_apart or 'some'} of {len(rows)} {part} rows {have} the input of a row in another part of the file"
    repeats = f"{len(rows) - len(counts)} of {len(rows)} {part} rows repeat the input of another"
    return f"{repeats}, the most frequent one {most} times"


def _asked(row: Example) -> tuple[str, tuple[str, ...] | None]:
    """What is asked, as it is compared."""
    return normalise(row.text), row.choices


@dataclass(frozen=True)
class Distinct:
    """Rows to measure on.

    `n_dropped` rows repeated another row whole. `n_linked` rows share an input with a row that has another label.
    `kept_for`: the id of every row that was left out -> the id of the row that it repeats.
    """

    rows: list[Example]
    n_dropped: int
    n_linked: int
    kept_for: Mapping[str, str] = field(default_factory=dict)

    def said_of(self, part: str) -> list[str]:
        """A sentence for each count that is not zero."""
        total = len(self.rows) + self.n_dropped
        sentences = []
        if self.n_dropped:
            sentences.append(
                f"{self.n_dropped} of {total} {part} rows repeat the input and label of another and were left out: "
                "a copy is no new evidence"
            )
        if self.n_linked:
            sentences.append(
                f"{self.n_linked} of {total} {part} rows have the input of another row and a different label; "
                "rows of one input count as one draw"
            )
        return sentences


def distinct(examples: Sequence[Example]) -> Distinct:
    """Rows to measure on, without copies, which would narrow every interval.

    A row with the input and the labels of an earlier one is dropped. Rows with the same input and other labels stay, in
    one group. Which label is right is not ours to guess, and they are one draw of the inputs all the same.
    """
    first_of: dict[tuple[object, ...], Example] = {}
    kept_for = {}
    for example in examples:
        first = first_of.setdefault((_asked(example), example.label, example.teacher_label), example)
        if first is not example:
            kept_for[example.id] = first.id
    rows = list(first_of.values())
    n_of_input = Counter(map(_asked, rows))
    has_twin = [n_of_input[_asked(row)] > 1 for row in rows]
    keys = group_keys(rows)
    first_id: dict[str, str] = {}  # key of a group that has a twin -> the id of its first row
    for row, key, is_twin in zip(rows, keys, has_twin, strict=True):
        if is_twin:
            first_id.setdefault(key, row.id)
    linked = [
        replace(row, group=f"rows with the input of {first_id[key]}") if key in first_id else row
        for row, key in zip(rows, keys, strict=True)
    ]
    return Distinct(linked, len(examples) - len(rows), sum(has_twin), kept_for)


def group_keys(examples: Sequence[Example]) -> list[str]:
    """One key per row; rows that must stay together have the same one.

    Two rows stay together where they share a group or a text, and also where a chain of such rows joins them.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    texts = [f"text\0{normalise(example.text)}" for example in examples]
    for example, text in zip(examples, texts, strict=True):
        if example.group is not None:
            parent[root(text)] = root(f"group\0{example.group}")
    return [root(text) for text in texts]


def row_keys(examples: Sequence[Example]) -> list[str]:
    """One key per row, the same for rows of a group: what stays together where repeats are draws like all others."""
    return [f"row\0{row.id}" if row.group is None else f"group\0{row.group}" for row in examples]
