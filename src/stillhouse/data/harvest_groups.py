"""Which harvested rows belong together, so that no split tears them apart: by what they share, else by run or item.

Rows share a conversation, a user or a document where a field of that name, in the input or in what the run was started
with, has the same value; and where one call was shown another's input or answer, as the turns of a conversation are.
The calls of a run belong together, too, unless it went through items: it was started with a list, made many calls
that share nothing, or was about several users. Then each item stands alone; what was called in the body of one
outermost step is one item.

A field that is the same in all rows parts nothing, and is left out. Values stand in a group's name as a digest: they
may name a person.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stillhouse.errors import UserError

if TYPE_CHECKING:
    from stillhouse.data.harvest import Traced

MANY_ITEMS = 10  # a run with so many calls that share nothing went through items, whatever it was started with
BY_RUN, BY_CALL = "run", "call"
_SHARED = re.compile(
    r"(conversation|thread|session|chat|dialog|dialogue|user|customer|client|account|author|patient|document|doc)"
    r"([_ -]?(id|key|no|number|uuid))?",
    re.IGNORECASE,
)
_TOLD = 20  # characters from which on a text that comes again is no coincidence
_LOOKS_BACK = 50  # earlier calls of the run whose texts are looked for


@dataclass(frozen=True)
class Where:
    """Where a call stands: `given`, what its run was started with; `outermost`, the step call in whose body it lies."""

    given: Any = None
    outermost: str | None = None


NOWHERE = Where()


def groups_of(calls: Sequence["Traced"], by: str | None = None) -> list[str | None]:
    """The group of each call. `by`: a field, "run", or "call" for none; None: as the module says.

    Raises UserError where no call has that field.
    """
    if by == BY_CALL:
        return [None] * len(calls)
    if by == BY_RUN:
        return [call.run for call in calls]
    shared = [dict(_fields(call)) for call in calls]
    if by is not None:
        if not any(by in fields for fields in shared):
            known = ", ".join(sorted({name for fields in shared for name in fields})) or "none"
            raise UserError(f"--group-by {by}: no call has such a field; give one of: {known}, run, call")
        return [
            _named(by, fields[by]) if by in fields else call.run for call, fields in zip(calls, shared, strict=True)
        ]
    return _joined(calls, _that_part(shared))


def _joined(calls: Sequence["Traced"], shared: Sequence[Mapping[str, str]]) -> list[str | None]:
    """The groups by all that calls share."""
    sets = _Sets(len(calls))
    of_run: dict[str, list[int]] = defaultdict(list)
    for at, call in enumerate(calls):
        of_run[call.run].append(at)
    for run in of_run.values():
        _join_items(sets, calls, run)
        roots = {sets.root(at) for at in run}
        items = len(roots) > 1 and (_is_list(calls[run[0]].where.given) or _differ([shared[at] for at in run]))
        if len(roots) < MANY_ITEMS and not items:
            sets.join(run)
    own = [sets.root(at) for at in range(len(calls))]
    n_of_run = {run: len({own[at] for at in members}) for run, members in of_run.items()}
    names: dict[int, str] = {}
    for at, call in enumerate(calls):
        whole = n_of_run[call.run] == 1
        names.setdefault(own[at], call.run if whole else f"{call.run} {_digest(calls[own[at]].key)}")
    by_value: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, fields in enumerate(shared):
        for field in fields.items():
            by_value[field].append(at)
    for (name, value), members in by_value.items():
        sets.join(members)
        names[sets.root(members[0])] = _named(name, value)
    return [names[sets.root(at)] for at in range(len(calls))]


def _join_items(sets: "_Sets", calls: Sequence["Traced"], run: Sequence[int]) -> None:
    """Join the calls of one run that one outermost step made, and those that were shown what another asked or said."""
    outermost: dict[str, int] = {}
    told: list[tuple[int, tuple[str, ...]]] = []
    for at in sorted(run, key=lambda at: calls[at].created):
        call = calls[at]
        if call.where.outermost is not None:
            sets.join([outermost.setdefault(call.where.outermost, at), at])
        text = _text(call.input)
        for earlier, texts in told[-_LOOKS_BACK:]:
            if any(told_text in text for told_text in texts):
                sets.join([earlier, at])
        told.append((at, tuple(part for part in (text, call.output) if len(part) >= _TOLD)))


def _fields(call: "Traced") -> Iterator[tuple[str, str]]:
    """The fields of the call's input and of what its run was started with, also of objects in these."""
    for source in (call.where.given, call.input):
        for outer, value in source.items() if isinstance(source, Mapping) else ():
            yield str(outer), _canonical(value)
            if isinstance(value, Mapping):
                yield from ((str(name), _canonical(inner)) for name, inner in value.items())


def _that_part(shared: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Of each call's fields those that name what rows share, where they have more than one value."""
    values: dict[str, set[str]] = defaultdict(set)
    for fields in shared:
        for name, value in fields.items():
            if _SHARED.fullmatch(name):
                values[name].add(value)
    parting = {name for name, of_name in values.items() if len(of_name) > 1}
    return [
        {name: value for name, value in fields.items() if name in parting and value not in ("null", '""')}
        for fields in shared
    ]


def _differ(of_run: Sequence[Mapping[str, str]]) -> bool:
    """Whether the calls are about more than one conversation, user or document."""
    names = {name for fields in of_run for name in fields}
    return any(len({fields[name] for fields in of_run if name in fields}) > 1 for name in names)


def _is_list(given: Any) -> bool:
    """Whether the run was started with several items."""
    values = given.values() if isinstance(given, Mapping) else [given]
    return any(isinstance(value, list) and len(value) > 1 for value in values)


def _text(value: Any) -> str:
    """All texts in an input, one a line."""
    if isinstance(value, str):
        return value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return "\n".join(text for part in parts if (text := _text(part)))


def _named(field: str, value: str) -> str:
    return f"{field} {_digest(value)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


class _Sets:
    """Numbers that are joined into sets; a set is known by its least number."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, at: int) -> int:
        while self._parent[at] != at:
            self._parent[at] = self._parent[self._parent[at]]
            at = self._parent[at]
        return at

    def join(self, members: Sequence[int]) -> None:
        roots = sorted({self.root(at) for at in members})
        for root in roots[1:]:
            self._parent[root] = roots[0]
