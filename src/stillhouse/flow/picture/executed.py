"""The picture of a run: the branches it took, its loops folded, what each step used, and the call that failed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from stillhouse.flow.paths import as_branch, is_one_word
from stillhouse.flow.picture import CallBox, CallOutcome, Enclosure, End, Lanes, Picture, PicturePart, Ran
from stillhouse.flow.trace import (
    Fork,
    Group,
    Loop,
    Node,
    Trace,
    TracePart,
    answer_of,
    failing,
    folded,
    percentile,
    used,
)

MOST_CHOICES = 4
UNDRAWN = ("value",)  # kinds of calls that are not drawn: flow.now and its like
_WORST: Sequence[CallOutcome] = ("failed", "waiting", "unfinished", "handled", "done")

# How a run's picture ends, where the run did not end as it should.
_ENDS = {
    "failed": "failed",
    "waiting": "waits",
    "running": "not ended",
    "killed": "killed",
    "cancelled": "cancelled",
}


def executed(trace: Trace) -> Picture:
    """The run as a picture. Calls stand side by side where they overlapped in time (see `flow.trace`)."""
    stopped = _ENDS.get(trace.run.status)
    parts = _parts(trace.roots, failing(trace))
    return Picture(trace.run.flow, parts if stopped is None else (*parts, End(stopped)), (f"run {trace.run.run}",))


def _parts(nodes: Sequence[Node], culprit: Node | None) -> tuple[PicturePart, ...]:
    drawn = [node for node in nodes if node.row.kind not in UNDRAWN]
    return tuple(_part(part, culprit) for part in folded(drawn))


def _part(part: TracePart, culprit: Node | None) -> PicturePart:
    if isinstance(part, Group):
        return _box(part, culprit)
    if isinstance(part, Loop):
        body = tuple(_part(inner, culprit) for inner in part.body)
        at_once = f", up to {part.at_once} at once" if part.at_once > 1 else ""
        return Enclosure(f"{part.times:,} times{at_once}", body)
    assert isinstance(part, Fork)
    return Lanes(tuple(tuple(_part(inner, culprit) for inner in branch) for branch in part.branches))


def _box(group: Group, culprit: Node | None) -> CallBox:
    children = [child for node in group.calls for child in node.children]
    children.sort(key=lambda node: node.row.started)
    inside = _turns(children, culprit) if group.first.row.kind == "agent" else _parts(children, culprit)
    return CallBox(group.first.name, group.first.row.kind, tuple(_notes(group)), inside, _ran(group, culprit))


def _turns(children: Sequence[Node], culprit: Node | None) -> tuple[PicturePart, ...]:
    """An agent's turns, and the tools that it called in any of them, as one loop.

    Which tool was called in which turn is told by the trace alone.
    """
    turns = tuple(node for node in children if node.row.kind == "turn")
    tools: dict[str, list[Node]] = {}
    for node in children:
        if node.row.kind not in (*UNDRAWN, "turn"):
            tools.setdefault(node.name, []).append(node)
    boxes = [_box(Group(tuple(calls)), culprit) for calls in tools.values()]
    tool_parts: list[PicturePart] = list(boxes)
    if len(boxes) > 1:
        tool_parts = [Lanes(tuple((box,) for box in boxes))]
    if not turns:
        return tuple(tool_parts)
    title = f"{len(turns)} turn{'' if len(turns) == 1 else 's'}"
    return (Enclosure(title, (_box(Group(turns), culprit), *tool_parts)),)


def _ran(group: Group, culprit: Node | None) -> Ran:
    calls = group.calls
    took = sorted(node.row.seconds for node in calls)
    failed = [node for node in calls if node.state == "failed"]
    shown = max(failed, key=lambda node: _outcome(node, culprit) == "failed", default=None)
    error = None if shown is None else shown.row.error
    if shown is not None and any(child.row.error == error for child in shown.children):
        error = None  # the error is shown with the inner call, where it came from
    return Ran(
        calls=len(calls),
        at_once=group.at_once,
        failed=len(failed),
        used=used(inner.row for node in calls for inner in node.walk()),
        p50_s=percentile(took, 0.5),
        max_s=took[-1],
        outcome=min((_outcome(node, culprit) for node in calls), key=_WORST.index),
        error=error,
    )


def _outcome(node: Node, culprit: Node | None) -> CallOutcome:
    if node.state != "failed":
        return node.state
    return "failed" if any(inner is culprit for inner in node.walk()) else "handled"


def _notes(group: Group) -> Iterable[str]:
    kind = group.first.row.kind
    if kind == "human":
        for node in group.calls:
            answered = "" if node.state == "waiting" else f" → {answer_of(node)}"
            yield f"{node.facts.get('question', '')}{answered}"
    models = Counter(str(node.facts["model"]) for node in group.calls if "model" in node.facts)
    yield from models
    if kind in ("decide", "model"):
        yield from _taken(group.calls)


def _taken(calls: Sequence[Node]) -> Iterable[str]:
    """Which way the calls went: of one decision the option and its probability, of several how often each option."""
    words = [(as_branch(answer_of(node)), node) for node in calls]
    answers = [(answer, node) for answer, node in words if answer is not None and is_one_word(answer)]
    if len(answers) == 1:
        answer, node = answers[0]
        confidence = node.facts.get("confidence")
        yield f"→ {answer}" if confidence is None else f"→ {answer}, {confidence:.0%} sure"
        return
    counted = Counter(answer for answer, _ in answers).most_common()
    yield from (f"→ {answer} × {n}" for answer, n in counted[:MOST_CHOICES])
    if len(counted) > MOST_CHOICES:
        yield f"and {len(counted) - MOST_CHOICES} other answers"
