"""A trace as rows to be shown: one for a call, one for many equal calls, one for what repeats.

The terminal and the page show the same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from stillhouse import numbers
from stillhouse.flow.trace import Fork, Group, Loop, Node, Trace, TracePart, calls_in, choices, failing, folded, used
from stillhouse.report.trace_words import SHORT, cost, gave, given, joined, model_word, tokens, tries

UNFOLDED = 3  # most repetitions that are shown one by one

# "handled": the call failed, and the run went on. "": the row stands for no call.
Outcome = Literal["done", "failed", "handled", "waiting", "unfinished", ""]


@dataclass(frozen=True, kw_only=True)
class TraceRow:
    """What is shown of a call, or of several. `node`: the call, where the row is about one alone.

    Of a failed call `gave` is empty, and `error` says how it failed.
    """

    name: str
    kind: str = ""  # the call's kind, where the name does not say it
    outcome: Outcome = ""
    took: str = ""
    tokens: str = ""
    cost: str = ""
    model: str = ""
    given: str = ""
    gave: str = ""
    error: str | None = None
    notes: Sequence[str] = ()
    inside: Sequence["TraceRow"] = ()
    node: Node | None = None


@dataclass(kw_only=True)
class TraceRows:
    """Makes the rows of one trace."""

    trace: Trace = field(kw_only=False)
    fold: bool = True
    most: int = SHORT  # most characters of one value
    each: int = 0  # calls of a folded group that are shown inside the group, beside those that failed
    room: int = 1_000_000  # most calls shown in all
    left_out: int = 0  # calls for which there was no room
    whole_models: bool = False  # whether models are shown by their whole names
    _culprit: Node | None = field(init=False)

    def __post_init__(self) -> None:
        self._culprit = failing(self.trace)

    def rows(self) -> list[TraceRow]:
        return self._children(self.trace.roots)

    def _children(self, nodes: Sequence[Node]) -> list[TraceRow]:
        return self._parts(folded(nodes)) if self.fold else self._calls(nodes)

    def _calls(self, nodes: Sequence[Node]) -> list[TraceRow]:
        shown = nodes[: max(0, self.room)]
        self.left_out += sum(1 for node in nodes[len(shown) :] for _ in node.walk())
        self.room -= len(shown)
        return [self._call(node) for node in shown]

    def _part(self, part: TracePart) -> list[TraceRow]:
        match part:
            case Group():
                return self._calls(part.calls) if len(part.calls) <= UNFOLDED else [self._repeated(part)]
            case Loop() if part.times <= UNFOLDED:
                return self._calls(calls_in(part))
            case Loop():
                at_once = f", up to {part.at_once} at once" if part.at_once > 1 else ""
                return [TraceRow(name=f"{numbers.count(part.times)} times{at_once}", inside=self._parts(part.body))]
            case Fork():
                lanes = [lane for branch in part.branches if (lane := self._parts(branch))]
                inside = [lane[0] if len(lane) == 1 else TraceRow(name="branch", inside=lane) for lane in lanes]
                return [TraceRow(name="side by side", inside=inside)]

    def _parts(self, parts: Sequence[TracePart]) -> list[TraceRow]:
        return [row for part in parts for row in self._part(part)]

    def _call(self, node: Node) -> TraceRow:
        spent = used(inner.row for inner in node.walk())
        silent = node.state in ("waiting", "unfinished") or node.row.kind in ("value", "human")
        model = str(node.facts.get("model", ""))
        error = node.row.error
        if error is not None and node.row.attempts > 1:
            error += f" (after {node.row.attempts} tries)"
        return TraceRow(
            name=node.name,
            kind=_kind(node),
            outcome=self._outcome(node),
            took="" if silent else numbers.seconds(node.row.seconds),
            tokens=tokens(spent),
            cost=cost(spent),
            model=model if self.whole_models else model_word(model),
            given=given(node, self.most),
            gave="" if error is not None else gave(node, self.most),
            error=error,
            notes=tries(node),
            inside=self._children(node.children),
            node=node,
        )

    def _repeated(self, group: Group) -> TraceRow:
        calls, first = group.calls, group.first
        bad = [node for node in calls if node.state != "done"]
        spent = used(inner.row for node in calls for inner in node.walk())
        models = dict.fromkeys(str(node.facts["model"]) for node in calls if "model" in node.facts)
        inside = self._calls([node for place, node in enumerate(calls) if place < self.each or node in bad])
        if not self.each:
            children = [child for node in calls for child in node.children]
            inside = [*self._children(sorted(children, key=lambda node: node.row.started)), *inside]
        elif len(inside) < len(calls):
            inside.append(TraceRow(name=f"and {numbers.count(len(calls) - len(inside))} more"))
        example = given(first, self.most)
        return TraceRow(
            name=f"{first.name} × {numbers.count(len(calls))}",
            kind=_kind(first),
            outcome=self._outcome(bad[0]) if bad else "done",
            took=numbers.seconds(sum(node.row.seconds for node in calls)),
            tokens=tokens(spent),
            cost=cost(spent),
            model=", ".join(model if self.whole_models else model_word(model) for model in models),
            given=f"{example}, …" if example else "",
            gave=self._sample(group),
            inside=inside,
        )

    def _sample(self, group: Group) -> str:
        """What stands for all the answers: how often each came where they are few and short, or else the first."""
        counted = choices(group.calls)
        few = len(counted) <= UNFOLDED and all(len(answer) <= 20 for answer in counted)
        if counted and few:
            answers = ", ".join(f"{answer} × {n}" for answer, n in counted.most_common())
        else:
            answers = f"{gave(group.first, self.most)}, …"
        failed = sum(node.state == "failed" for node in group.calls)
        retried = sum(node.row.attempts > 1 for node in group.calls)
        counts = [f"{failed} failed" if failed else "", f"{retried} tried again" if retried else ""]
        return joined([answers, *counts, f"up to {group.at_once} at once" if group.at_once > 1 else ""])

    def _outcome(self, node: Node) -> Outcome:
        handled = node.state == "failed" and all(inner is not self._culprit for inner in node.walk())
        return "handled" if handled else node.state


def _kind(node: Node) -> str:
    kind = node.row.kind
    return "" if kind == "step" or kind in node.name else kind
