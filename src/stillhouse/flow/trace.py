"""A run's trace as a tree of calls: what each used, which one failed, and how it is told briefly, with repetitions folded.

Pure functions over the journal's rows. Which calls ran side by side is read from their times, for the journal knows parents but no branches: calls that
overlapped stand in branches, and a call goes on with the branch that ended last before it began.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from stillhouse.store.journal import RunRow, StepRow, key_id

State = Literal[
    "done", "failed", "waiting", "unfinished"
]  # waiting: for a person; unfinished: its row is missing, for the process died in its body
LONGEST_BODY = 8  # calls in one turn of a loop that is still recognised as one
MOST_BRANCHES = 6  # side by side; more different ones than these are told step by step
CLOCK_S = 2e-4  # two clocks measure a call (when it began, how long it took): an overlap this short is none


@dataclass(frozen=True, slots=True)
class Node:
    """One call and the calls in its body, in the order in which they began."""

    row: StepRow
    children: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        return self.row.key[0]

    @property
    def state(self) -> State:
        if self.row.error is not None:
            return "failed"
        if self.row.output is not None:
            return "done"
        return "waiting" if self.row.kind == "human" else "unfinished"

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.row.facts or {}

    @property
    def ended(self) -> float:
        return self.row.started + self.row.seconds

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Used:
    """What calls used, summed. A sum with an unknown part is None; where no model was asked, `asked` is 0 and nothing was used."""

    asked: int = 0  # calls that asked a model
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cost_usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Total:
    """All calls of one step. Latencies are nearest-rank percentiles over the `calls`, each with the calls in its body; None where none ended."""

    name: str
    kind: str
    models: tuple[str, ...]
    calls: int
    failed: int
    retried: int  # calls that took more than one try
    used: Used
    seconds: float  # sum over the calls
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Trace:
    """One run. `rows` are the journal's, in the order in which they began; `run.result` is whole."""

    run: RunRow
    rows: tuple[StepRow, ...]
    roots: tuple[Node, ...]

    def walk(self) -> Iterator[Node]:
        for root in self.roots:
            yield from root.walk()

    @property
    def used(self) -> Used:
        return used(self.rows)

    @property
    def questions(self) -> list[str]:
        """What the run asks a person, in the order in which it was asked."""
        return [
            str((row.facts or {}).get("question", ""))
            for row in self.rows
            if row.kind == "human" and row.output is None
        ]


def trace(run: RunRow, rows: Sequence[StepRow]) -> Trace:
    """The tree. A call whose own row is missing (the process died in its body) stands there unfinished, with the calls that ended in it."""
    inside: dict[str | None, list[StepRow]] = {}
    known = {key_id(row.key) for row in rows}
    for row in rows:
        inside.setdefault(row.parent, []).append(row)
    lost = [
        _lost(parent, children) for parent, children in inside.items() if parent is not None and parent not in known
    ]
    tops = sorted([*inside.get(None, []), *lost], key=lambda row: row.started)
    return Trace(run, tuple(rows), tuple(_node(row, inside) for row in tops))


def _node(row: StepRow, inside: Mapping[str | None, list[StepRow]]) -> Node:
    return Node(row, tuple(_node(child, inside) for child in inside.get(key_id(row.key), ())))


def _lost(parent: str, children: Sequence[StepRow]) -> StepRow:
    step, args_hash, nth = parent.rsplit("/", 2)
    started = min(child.started for child in children)
    seconds = max(child.started + child.seconds for child in children) - started
    return StepRow(
        key=(step, args_hash, int(nth)),
        kind="step",
        parent=None,
        version="",
        arguments="{}",
        output=None,
        error=None,
        started=started,
        seconds=seconds,
        attempts=1,
    )


def used(rows: Iterable[StepRow]) -> Used:
    """What these calls used. Each row holds its own model calls only, so rows are summed with those of their bodies and nothing counts twice."""
    asked = 0
    sums: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    for row in rows:
        if row.facts is None or "model" not in row.facts:
            continue
        asked += 1
        for name, before in sums.items():
            value = row.facts.get(name)
            sums[name] = None if before is None or value is None else before + value
    return Used(asked, **sums)


def totals(rows: Sequence[StepRow]) -> list[Total]:
    """One line per step, in the order in which they first began."""
    by_name: dict[str, list[StepRow]] = {}
    for row in rows:
        by_name.setdefault(row.key[0], []).append(row)
    return [_total(name, calls) for name, calls in by_name.items()]


def _total(name: str, calls: Sequence[StepRow]) -> Total:
    models = dict.fromkeys(str(call.facts["model"]) for call in calls if call.facts and "model" in call.facts)
    took = sorted(call.seconds for call in calls if call.output is not None or call.error is not None)
    failed, retried = sum(call.error is not None for call in calls), sum(call.attempts > 1 for call in calls)
    return Total(
        name,
        calls[0].kind,
        tuple(models),
        len(calls),
        failed,
        retried,
        used(calls),
        sum(took),
        percentile(took, 0.5),
        percentile(took, 0.99),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values: one of them, and of few the largest; None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def busy_s(rows: Sequence[StepRow]) -> float:
    """Seconds in which any call was under way: time between two sittings of a run, or waiting for a person, is not among them."""
    busy, end = 0.0, -math.inf
    for start, stop in sorted((row.started, row.started + row.seconds) for row in rows):
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return busy


def failing(found: Trace) -> Node | None:
    """The call that ended a failed run: the innermost one with the run's own error, else the innermost that failed last. None where the run did not fail."""
    if found.run.status != "failed":
        return None
    first = [
        node
        for node in found.walk()
        if node.state == "failed" and all(child.row.error != node.row.error for child in node.children)
    ]
    same = [node for node in first if node.row.error == found.run.error]
    return max(same or first, key=lambda node: node.ended, default=None)


def answer_of(node: Node) -> Any:
    """What the call gave, as JSON gives it; of a decision its option, of an agent's turn its text or final answer; None where it gave nothing."""
    if node.row.output is None:
        return None
    value = json.loads(node.row.output)
    if node.row.kind == "decide" and isinstance(value, dict):
        return value.get("option")
    return value


# Folding


@dataclass(frozen=True, slots=True)
class Group:
    """The calls of one step at one place of the flow; `at_once`: how many ran at the same time at most."""

    calls: tuple[Node, ...]
    at_once: int = 1

    @property
    def first(self) -> Node:
        return self.calls[0]


@dataclass(frozen=True, slots=True)
class Loop:
    """A part that ran `times` times, the last time perhaps not to its end; with `at_once` above 1 a fan-out."""

    body: tuple["Part", ...]
    times: int
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Fork:
    """Branches that ran side by side."""

    branches: tuple[tuple["Part", ...], ...]


Part: TypeAlias = Group | Loop | Fork


def folded(nodes: Sequence[Node]) -> tuple[Part, ...]:
    """Sibling calls as a sequence of parts, with equal ones folded. Equal is what has the same steps: arguments and answers may differ."""
    parts: list[Part] = []
    for together in _overlapping(nodes):
        parts.extend([Group((together[0],))] if len(together) == 1 else _side_by_side(together))
    return tuple(_looped(parts))


def calls_in(part: Part) -> list[Node]:
    """All calls of a part, in the order in which they began."""
    found = list(part.calls) if isinstance(part, Group) else [node for one in _pieces(part) for node in calls_in(one)]
    return sorted(found, key=lambda node: node.row.started)


def _pieces(part: Loop | Fork) -> list[Part]:
    return list(part.body) if isinstance(part, Loop) else [one for branch in part.branches for one in branch]


def _overlapping(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """The calls in groups of those that overlapped, directly or through others."""
    together: list[Node] = []
    end = -math.inf
    for node in sorted(nodes, key=lambda node: node.row.started):
        if together and node.row.started >= end - CLOCK_S:
            yield together
            together = []
            end = -math.inf
        together.append(node)
        end = max(end, node.ended)
    if together:
        yield together


def _side_by_side(nodes: Sequence[Node]) -> list[Part]:
    branches = [_looped([Group((node,)) for node in branch]) for branch in _branches(nodes)]
    kinds: list[
        list[list[Part]]
    ] = []  # branches of the same steps, told by their names: where calls are short the times tell a fan-out's turns badly
    for branch in sorted(branches, key=lambda branch: -len(_names(branch))):
        alike = next((kind for kind in kinds if _names(branch) <= _names(kind[0])), None)
        kinds.append([branch]) if alike is None else alike.append(branch)
    different = [part for kind in kinds for part in _fanned(kind)]
    if len(different) > MOST_BRANCHES:
        return [Fork(tuple((group,) for group in _by_name(nodes)))]
    different.sort(key=lambda branch: calls_in(branch[0])[0].row.started)
    return different[0] if len(different) == 1 else [Fork(tuple(tuple(branch) for branch in different))]


def _names(branch: Sequence[Part]) -> set[str]:
    return {node.name for part in branch for node in calls_in(part)}


def _by_name(nodes: Sequence[Node]) -> list[Group]:
    by_name: dict[str, list[Node]] = {}
    for node in nodes:
        by_name.setdefault(node.name, []).append(node)
    return [_grouped(calls) for calls in by_name.values()]


def _branches(nodes: Sequence[Node]) -> list[list[Node]]:
    """Each call in the branch that ended last before it began: what follows a call in its branch begins at once."""
    branches: list[list[Node]] = []
    for node in nodes:
        free = [branch for branch in branches if branch[-1].ended <= node.row.started + CLOCK_S]
        if free:
            max(free, key=lambda branch: branch[-1].ended).append(node)
        else:
            branches.append([node])
    return branches


def _fanned(branches: Sequence[list[Part]]) -> list[list[Part]]:
    """Branches that may be the turns of one fan-out, as one branch; two that differ in more than their number stay two."""
    if len(branches) == 1:
        return list(branches)
    turns = [
        (branch[0].body, branch[0].times) if len(branch) == 1 and isinstance(branch[0], Loop) else (tuple(branch), 1)
        for branch in branches
    ]
    if len({_labels(body) for body, _ in turns}) == 1:
        body = _columns([body for body, _ in turns])
        times = sum(times for _, times in turns)
    elif len(branches) == 2:
        return list(branches)
    else:
        nodes = sorted(
            (node for branch in branches for part in branch for node in calls_in(part)),
            key=lambda node: node.row.started,
        )
        body = tuple(_by_name(nodes))
        times = max(len(group.calls) for group in body if isinstance(group, Group))
    return [list(body)] if len(body) == 1 and isinstance(body[0], Group) else [[Loop(body, times, len(branches))]]


def _grouped(calls: Sequence[Node]) -> Group:
    return Group(tuple(calls), _at_once(calls))


def _at_once(calls: Sequence[Node]) -> int:
    """How many were under way at the same time, as far as the clocks can tell: of calls shorter than they do, one."""
    spans = [(node.row.started + CLOCK_S, node.ended) for node in calls if node.ended > node.row.started + CLOCK_S]
    moments = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most, now = 1, 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def _looped(parts: Sequence[Part]) -> list[Part]:
    """Consecutive repetitions folded, the shortest first, so that a loop in a loop is one part when the outer one is looked for."""
    found = list(parts)
    for length in range(1, LONGEST_BODY + 1):
        if 2 * length <= len(found):
            found = _looped_by(found, length)
    return found


def _looped_by(parts: Sequence[Part], length: int) -> list[Part]:
    labels = [_label(part) for part in parts]
    found: list[Part] = []
    start = 0
    while start < len(parts):
        end = start + length
        while end < len(parts) and labels[end] == labels[end - length]:  # a last turn that ended early is one too
            end += 1
        if end - start < 2 * length:
            found.append(parts[start])
            start += 1
            continue
        turn = tuple(_merged(parts[start + place : end : length]) for place in range(length))
        single = length == 1 and not isinstance(turn[0], Fork)
        found.append(turn[0] if single else Loop(turn, math.ceil((end - start) / length)))
        start = end
    return found


def _label(part: Part) -> Any:
    if isinstance(part, Group):
        return part.first.name, part.first.row.kind
    if isinstance(part, Loop):
        return "loop", _labels(part.body)
    return "fork", tuple(sorted(map(repr, map(_labels, part.branches))))


def _labels(parts: Sequence[Part]) -> tuple[Any, ...]:
    return tuple(_label(part) for part in parts)


def _merged(parts: Sequence[Part]) -> Part:
    """Parts of one label as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Group):
        return _grouped([node for part in parts if isinstance(part, Group) for node in part.calls])
    if isinstance(first, Loop):
        loops = [part for part in parts if isinstance(part, Loop)]
        return Loop(
            _columns([loop.body for loop in loops]),
            sum(loop.times for loop in loops),
            max(loop.at_once for loop in loops),
        )
    forks = [
        sorted(part.branches, key=lambda branch: repr(_labels(branch))) for part in parts if isinstance(part, Fork)
    ]
    return Fork(tuple(_columns(alike) for alike in zip(*forks, strict=True)))


def _columns(bodies: Iterable[Sequence[Part]]) -> tuple[Part, ...]:
    return tuple(_merged(column) for column in zip(*bodies, strict=True))


def choices(calls: Iterable[Node]) -> Counter[str]:
    """How often which option was taken, of decisions and of model steps that answer with one word."""
    said = [answer_of(call) for call in calls]
    return Counter(answer for answer in said if isinstance(answer, str))
