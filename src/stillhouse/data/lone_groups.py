"""Where a part of a split has no rows because rows belong together: a sentence that says so, and what helps."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from stillhouse.records import Example

Parts = Mapping[str, Sequence[Example]]


def groups_in_the_way(rows: Sequence[Example], part: str, split: Callable[[Sequence[Example]], Parts]) -> str | None:
    """The sentence where `part` would have rows if each stood alone; None where groups are not what is in the way."""
    sizes = Counter(row.group for row in rows if row.group is not None)
    if not sizes or not split([replace(row, group=None) for row in rows]).get(part):
        return None
    name, n = sizes.most_common(1)[0]
    n_groups = len(sizes) + sum(row.group is None for row in rows)
    groups = "1 group" if n_groups == 1 else f"{n_groups} groups"
    return (
        f"rows of one group never straddle a split, and the {len(rows)} rows are in {groups}; the largest, "
        f"{name!r:.80}, has {n}: bring rows of more groups, name a file for {part} in [data], or give as `group` what "
        "rows really share, as a conversation, a user or a document (`stillhouse harvest --group-by`)"
    )
