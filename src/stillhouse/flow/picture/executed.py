"""The picture of a run: the branches it took, its loops folded with their counts, what each step used, and the one that failed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from stillhouse.flow.picture import Box, End, Frame, Lanes, Outcome, Part, Picture, Ran
from stillhouse.flow.trace import Fork, Group, Loop, Node, Trace, answer_of, failing, folded, percentile, used
from stillhouse.flow.trace import Part as TracePart

ONE_WORD = 40  # characters: longer answers are no branch's name
MOST_CHOICES = 4
UNDRAWN = ("value",)  # flow.now and its like
_WORST: Sequence[Outcome] = ("failed", "waiting", "unfinished", "handled", "done")


def executed(trace: Trace) -> Picture:
    """The run as a picture. Calls stand side by side where they overlapped in time (see `flow.trace`)."""
    stopped = {"failed": "failed", "waiting": "waits", "running": "not ended"}.get(trace.run.status)
    parts = _parts(trace.roots, failing(trace))
    return Picture(trace.run.flow, parts if stopped is None else (*parts, End(stopped)), (f"run {trace.run.run}",))


def _parts(nodes: Sequence[Node], culprit: Node | None) -> tuple[Part, ...]:
    drawn = [node for node in nodes if node.row.kind not in UNDRAWN]
    return tuple(_part(part, culprit) for part in folded(drawn))


def _part(part: TracePart, culprit: Node | None) -> Part:
    if isinstance(part, Group):
        return _box(part, culprit)
    if isinstance(part, Loop):
        body = tuple(_part(one, culprit) for one in part.body)
        return Frame(f"{part.times:,} times{f', up to {part.at_once} at once' if part.at_once > 1 else ''}", body)
    assert isinstance(part, Fork)
    return Lanes(tuple(tuple(_part(one, culprit) for one in branch) for branch in part.branches))


def _box(group: Group, culprit: Node | None) -> Box:
    children = [child for node in group.calls for child in node.children]
    children.sort(key=lambda node: node.row.started)
    inside = _turns(children, culprit) if group.first.row.kind == "agent" else _parts(children, culprit)
    return Box(group.first.name, group.first.row.kind, tuple(_notes(group)), inside, _ran(group, culprit))


def _turns(children: Sequence[Node], culprit: Node | None) -> tuple[Part, ...]:
    """An agent's turns, and the tools that it called in any of them, as one loop: which tool came in which turn is the trace's to tell."""
    turns = tuple(node for node in children if node.row.kind == "turn")
    tools: dict[str, list[Node]] = {}
    for node in children:
        if node.row.kind not in (*UNDRAWN, "turn"):
            tools.setdefault(node.name, []).append(node)
    boxes = [_box(Group(tuple(calls)), culprit) for calls in tools.values()]
    asked: list[Part] = [_box(Group(turns), culprit)] if turns else []
    called: list[Part] = [boxes[0]] if len(boxes) == 1 else [Lanes(tuple((box,) for box in boxes))] if boxes else []
    return (Frame(f"{len(turns)} turn{'' if len(turns) == 1 else 's'}", (*asked, *called)),) if turns else tuple(called)


def _ran(group: Group, culprit: Node | None) -> Ran:
    calls = group.calls
    took = sorted(node.row.seconds for node in calls)
    failed = [node for node in calls if node.state == "failed"]
    outcome = min((_outcome(node, culprit) for node in calls), key=_WORST.index)
    told = max(failed, key=lambda node: _outcome(node, culprit) == "failed", default=None)
    every = [inner.row for node in calls for inner in node.walk()]
    error = (
        None if told is None or any(child.row.error == told.row.error for child in told.children) else told.row.error
    )  # told where it came from
    return Ran(len(calls), group.at_once, len(failed), used(every), percentile(took, 0.5), took[-1], outcome, error)


def _outcome(node: Node, culprit: Node | None) -> Outcome:
    if node.state != "failed":
        return node.state
    return "failed" if any(inner is culprit for inner in node.walk()) else "handled"


def _notes(group: Group) -> Iterable[str]:
    kind = group.first.row.kind
    if kind == "human":
        yield from (
            f"{node.facts.get('question', '')}{'' if node.state == 'waiting' else f' → {answer_of(node)}'}"
            for node in group.calls
        )
    models = Counter(str(node.facts["model"]) for node in group.calls if "model" in node.facts)
    yield from models
    if kind in ("decide", "model"):
        yield from _taken(group.calls)


def _taken(calls: Sequence[Node]) -> Iterable[str]:
    """Which way: the option and its probability of one decision, how often each of several."""
    said = [
        (answer, node)
        for node in calls
        if isinstance(answer := answer_of(node), str) and len(answer) <= ONE_WORD and not any(map(str.isspace, answer))
    ]
    if len(said) == 1:
        answer, node = said[0]
        confidence = node.facts.get("confidence")
        yield f"→ {answer}" if confidence is None else f"→ {answer}, {confidence:.0%} sure"
        return
    counted = Counter(answer for answer, _ in said).most_common()
    yield from (f"→ {answer} × {n}" for answer, n in counted[:MOST_CHOICES])
    if len(counted) > MOST_CHOICES:
        yield f"and {len(counted) - MOST_CHOICES} other answers"
