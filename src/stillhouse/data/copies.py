"""Copies among the rows of one part: a row measured twice is no new evidence, and rows of one input belong together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.records import Example
from stillhouse.words import normalise


@dataclass(frozen=True)
class Distinct:
    """Rows to measure on.

    `n_dropped` rows repeated another row whole. `n_linked` rows share an input with a row that has another label.
    """

    rows: list[Example]
    n_dropped: int
    n_linked: int

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
    for example in examples:
        what = (normalise(example.text), example.choices, example.label, example.teacher_label)
        first_of.setdefault(what, example)
    rows = list(first_of.values())
    n_of_input = Counter((normalise(row.text), row.choices) for row in rows)
    has_twin = [n_of_input[normalise(row.text), row.choices] > 1 for row in rows]
    keys = group_keys(rows)
    first_id: dict[str, str] = {}  # key of a group that has a twin -> the id of its first row
    for row, key, is_twin in zip(rows, keys, has_twin, strict=True):
        if is_twin:
            first_id.setdefault(key, row.id)
    linked = [
        replace(row, group=f"rows with the input of {first_id[key]}") if key in first_id else row
        for row, key in zip(rows, keys, strict=True)
    ]
    return Distinct(linked, len(examples) - len(rows), sum(has_twin))


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
