"""A run's trace as a tree of calls: what each used, which one failed, and how it is told briefly.

Pure functions over the journal's rows. Which calls ran side by side is read from their times, because the journal knows
parents but no branches. Calls that overlapped stand in different branches; a call goes on with the branch whose last
call ended latest before it began.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from stillhouse.flow.paths import answer_of as answer_of_row
from stillhouse.flow.paths import as_branch
from stillhouse.store.journal import RunRow, StepRow, key_id

# waiting: the call waits for a person; unfinished: the process died in the call's body, so its row is missing
State = Literal["done", "failed", "waiting", "unfinished"]
LONGEST_BODY = 8  # calls in one turn of a loop; a longer turn is not recognised as one
MOST_BRANCHES = 6  # most branches of different steps shown side by side; more calls are grouped by step instead
CLOCK_S = 2e-4  # a call's start and its length are measured by two clocks: an overlap this short is none


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
        waits = self.row.kind == "human" or (
            self.row.kind == "flow" and any(child.state == "waiting" for child in self.children)
        )
        return "waiting" if waits else "unfinished"

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
    """What calls used, summed. A sum with an unknown part is None.

    Where no model was asked, `asked` is 0 and nothing was used.
    """

    asked: int = 0  # number of calls that asked a model
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cost_usd: float | None = 0.0
    stored_usd: float = 0.0  # of the cost, what was paid for earlier: the answers came out of the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All calls of one step.

    Latencies are nearest-rank percentiles over the `calls`, each with the calls in its body; None where none ended.
    """

    name: str
    kind: str
    models: tuple[str, ...]
    calls: int
    failed: int
    retried: int  # number of calls that took more than one try
    used: Used
    seconds: float  # sum of the calls' seconds
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
    """The tree.

    Where the process died in a call's body, the call has no row of its own. It stands in the tree as unfinished, with
    the calls that ended in it.
    """
    inside: dict[str | None, list[StepRow]] = {}
    known = {key_id(row.key) for row in rows}
    for row in rows:
        inside.setdefault(row.frame or row.parent, []).append(row)
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
    return StepRow(
        key=(step, args_hash, int(nth)),
        kind="step",
        parent=None,
        version="",
        arguments="{}",
        output=None,
        error=None,
        started=started,
        seconds=max(child.started + child.seconds for child in children) - started,
        attempts=1,
    )


def calls_of(rows: Iterable[StepRow]) -> list[StepRow]:
    """The rows without those of flows inside the flow, which are frames around calls and no calls."""
    return [row for row in rows if row.kind != "flow"]


def used(rows: Iterable[StepRow]) -> Used:
    """What these calls used.

    A row holds its own model calls only, and not those of the calls in its body. So all rows can be summed, and nothing
    counts twice.
    """
    asked, stored_usd = 0, 0.0
    sums: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    for row in rows:
        if row.facts is None or "model" not in row.facts:
            continue
        asked += 1
        stored_usd += row.facts.get("stored_usd") or 0.0
        for name, before in sums.items():
            value = row.facts.get(name)
            sums[name] = None if before is None or value is None else before + value
    return Used(asked, **sums, stored_usd=stored_usd)


def totals(rows: Sequence[StepRow]) -> list[Total]:
    """One line per step, in the order in which they first began."""
    by_name: dict[str, list[StepRow]] = {}
    for row in calls_of(rows):
        by_name.setdefault(row.key[0], []).append(row)
    return [_total(name, calls) for name, calls in by_name.items()]


def _total(name: str, calls: Sequence[StepRow]) -> Total:
    models = dict.fromkeys(str(call.facts["model"]) for call in calls if call.facts and "model" in call.facts)
    took = sorted(call.seconds for call in calls if call.output is not None or call.error is not None)
    return Total(
        name=name,
        kind=calls[0].kind,
        models=tuple(models),
        calls=len(calls),
        failed=sum(call.error is not None for call in calls),
        retried=sum(call.attempts > 1 for call in calls),
        used=used(calls),
        seconds=sum(took),
        p50_s=percentile(took, 0.5),
        p99_s=percentile(took, 0.99),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values: always one of the values. None where there are no values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def busy_s(rows: Sequence[StepRow]) -> float:
    """Seconds in which any call was under way.

    The time between two sittings of a run, or spent waiting for a person, does not count.
    """
    busy, end = 0.0, -math.inf
    for start, stop in sorted((row.started, row.started + row.seconds) for row in calls_of(rows)):
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return busy


def failing(trace: Trace) -> Node | None:
    """The call that ended a failed run; None where the run did not fail.

    It is the innermost call with the run's own error, else the innermost that failed last.
    """
    if trace.run.status != "failed":
        return None
    innermost = [
        node
        for node in trace.walk()
        if node.state == "failed" and all(child.row.error != node.row.error for child in node.children)
    ]
    same_error = [node for node in innermost if node.row.error == trace.run.error]
    return max(same_error or innermost, key=lambda node: node.ended, default=None)


def answer_of(node: Node) -> Any:
    """What the call gave, as JSON gives it; None where it gave nothing.

    Of a decision that is its option, of an agent's turn the object with its text and its final answer.
    """
    return answer_of_row(node.row)


# Folding


@dataclass(frozen=True, slots=True)
class Group:
    """The calls of one step at one place of the flow. `at_once`: at most so many ran at the same time."""

    calls: tuple[Node, ...]
    at_once: int = 1

    @property
    def first(self) -> Node:
        return self.calls[0]


@dataclass(frozen=True, slots=True)
class Loop:
    """A part that ran `times` times, the last time perhaps not to its end. With `at_once` above 1 it is a fan-out."""

    body: tuple["TracePart", ...]
    times: int
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Fork:
    """Branches that ran side by side."""

    branches: tuple[tuple["TracePart", ...], ...]


TracePart: TypeAlias = Group | Loop | Fork


def folded(nodes: Sequence[Node]) -> tuple[TracePart, ...]:
    """Sibling calls as a sequence of parts, with equal ones folded.

    Parts are equal that have the same steps; their arguments and answers may differ.
    """
    parts: list[TracePart] = []
    for together in _overlapping(nodes):
        parts.extend([Group((together[0],))] if len(together) == 1 else _side_by_side(together))
    return tuple(_looped(parts))


def calls_in(part: TracePart) -> list[Node]:
    """All calls of a part, in the order in which they began."""
    calls = part.calls if isinstance(part, Group) else [node for piece in _pieces(part) for node in calls_in(piece)]
    return sorted(calls, key=lambda node: node.row.started)


def _pieces(part: Loop | Fork) -> list[TracePart]:
    return list(part.body) if isinstance(part, Loop) else [piece for branch in part.branches for piece in branch]


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


def _side_by_side(nodes: Sequence[Node]) -> list[TracePart]:
    branches = [_looped([Group((node,)) for node in branch]) for branch in _branches(nodes)]
    # Branches of the same steps are put together, by the names of the steps: the times of short calls do not show well
    # which calls belong to one turn of a fan-out.
    kinds: list[list[list[TracePart]]] = []
    for branch in sorted(branches, key=lambda branch: -len(_names(branch))):
        alike = next((kind for kind in kinds if _names(branch) <= _names(kind[0])), None)
        kinds.append([branch]) if alike is None else alike.append(branch)
    different = [part for kind in kinds for part in _fanned(kind)]
    if len(different) > MOST_BRANCHES:
        return [Fork(tuple((group,) for group in _by_name(nodes)))]
    different.sort(key=lambda branch: calls_in(branch[0])[0].row.started)
    return different[0] if len(different) == 1 else [Fork(tuple(tuple(branch) for branch in different))]


def _names(branch: Sequence[TracePart]) -> set[str]:
    return {node.name for part in branch for node in calls_in(part)}


def _by_name(nodes: Sequence[Node]) -> list[Group]:
    by_name: dict[str, list[Node]] = {}
    for node in nodes:
        by_name.setdefault(node.name, []).append(node)
    return [_grouped(calls) for calls in by_name.values()]


def _branches(nodes: Sequence[Node]) -> list[list[Node]]:
    """The calls in branches.

    In a branch the next call begins as soon as the last one has ended. So a call goes to the branch whose last call
    ended latest before it.
    """
    branches: list[list[Node]] = []
    for node in nodes:
        free = [branch for branch in branches if branch[-1].ended <= node.row.started + CLOCK_S]
        if free:
            max(free, key=lambda branch: branch[-1].ended).append(node)
        else:
            branches.append([node])
    return branches


def _fanned(branches: Sequence[list[TracePart]]) -> list[list[TracePart]]:
    """Branches of the same steps as one fan-out of several turns. Only two, that are not quite alike, stay two."""
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
    """How many calls were under way at the same time. Calls too short for the clocks are taken to have run alone."""
    spans = [(node.row.started + CLOCK_S, node.ended) for node in calls if node.ended > node.row.started + CLOCK_S]
    moments = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most, now = 1, 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def _looped(parts: Sequence[TracePart]) -> list[TracePart]:
    """Consecutive repetitions folded, the shortest first.

    So an inner loop is one part already when the outer loop is looked for.
    """
    folded_parts = list(parts)
    for length in range(1, LONGEST_BODY + 1):
        if 2 * length <= len(folded_parts):
            folded_parts = _looped_by(folded_parts, length)
    return folded_parts


def _looped_by(parts: Sequence[TracePart], length: int) -> list[TracePart]:
    labels = [_label(part) for part in parts]
    folded_parts: list[TracePart] = []
    start = 0
    while start < len(parts):
        end = start + length
        # A last turn of the loop that ended early counts as a turn too.
        while end < len(parts) and labels[end] == labels[end - length]:
            end += 1
        if end - start < 2 * length:
            folded_parts.append(parts[start])
            start += 1
            continue
        turn = tuple(_merged(parts[start + place : end : length]) for place in range(length))
        single = length == 1 and not isinstance(turn[0], Fork)
        folded_parts.append(turn[0] if single else Loop(turn, math.ceil((end - start) / length)))
        start = end
    return folded_parts


def _label(part: TracePart) -> Any:
    if isinstance(part, Group):
        return part.first.name, part.first.row.kind
    if isinstance(part, Loop):
        return "loop", _labels(part.body)
    return "fork", tuple(sorted(map(repr, map(_labels, part.branches))))


def _labels(parts: Sequence[TracePart]) -> tuple[Any, ...]:
    return tuple(_label(part) for part in parts)


def _merged(parts: Sequence[TracePart]) -> TracePart:
    """Several parts of the same steps as one part."""
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


def _columns(bodies: Iterable[Sequence[TracePart]]) -> tuple[TracePart, ...]:
    return tuple(_merged(column) for column in zip(*bodies, strict=True))


def choices(calls: Iterable[Node]) -> Counter[str]:
    """How often which option was taken, of decisions and of model steps that answer with one word."""
    answers = [as_branch(answer_of(call)) for call in calls]
    return Counter(answer for answer in answers if answer is not None)
