"""A trace as rows to be shown: one for a call, one for many equal ones, one for what repeats. The terminal and the page show the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from stillhouse import numbers
from stillhouse.flow.trace import Fork, Group, Loop, Node, Part, Trace, calls_in, choices, failing, folded, used
from stillhouse.report.trace_words import SHORT, cost, gave, given, joined, model_word, tokens, tries

UNFOLDED = 3  # so many repetitions are shown one by one
Outcome = Literal[
    "done", "failed", "handled", "waiting", "unfinished", ""
]  # handled: it failed, and the run went on; "" of rows that are no calls


@dataclass(frozen=True)
class Row:
    """What is shown of a call, or of several. `node` is the call where it is one; `gave` of a failed one is empty, and `error` says how it failed."""

    name: str
    kind: str = ""  # where the name does not say it
    outcome: Outcome = ""
    took: str = ""
    tokens: str = ""
    cost: str = ""
    model: str = ""
    given: str = ""
    gave: str = ""
    error: str | None = None
    notes: Sequence[str] = ()
    inside: Sequence["Row"] = ()
    node: Node | None = None


@dataclass
class Rows:
    """Makes the rows of one trace. `most` is the length of a value; `each` how many calls of a folded group are there too, besides those that failed."""

    trace: Trace
    fold: bool = True
    most: int = SHORT
    each: int = 0
    room: int = 1_000_000  # calls in all
    left_out: int = 0  # calls that had no room
    whole_models: bool = False
    _culprit: Node | None = field(init=False)

    def __post_init__(self) -> None:
        self._culprit = failing(self.trace)

    def rows(self) -> list[Row]:
        return self._children(self.trace.roots)

    def _children(self, nodes: Sequence[Node]) -> list[Row]:
        return [row for part in folded(nodes) for row in self._part(part)] if self.fold else self._calls(nodes)

    def _calls(self, nodes: Sequence[Node]) -> list[Row]:
        shown = nodes[: max(0, self.room)]
        self.left_out += sum(1 for node in nodes[len(shown) :] for _ in node.walk())
        self.room -= len(shown)
        return [self._call(node) for node in shown]

    def _part(self, part: Part) -> list[Row]:
        match part:
            case Group():
                return self._calls(part.calls) if len(part.calls) <= UNFOLDED else [self._repeated(part)]
            case Loop() if part.times <= UNFOLDED:
                return self._calls(calls_in(part))
            case Loop():
                title = (
                    f"{numbers.count(part.times)} times{f', up to {part.at_once} at once' if part.at_once > 1 else ''}"
                )
                return [Row(title, inside=[row for one in part.body for row in self._part(one)])]
            case Fork():
                lanes = [[row for one in branch for row in self._part(one)] for branch in part.branches]
                return [
                    Row(
                        "side by side",
                        inside=[lane[0] if len(lane) == 1 else Row("branch", inside=lane) for lane in lanes if lane],
                    )
                ]

    def _call(self, node: Node) -> Row:
        spent = used(inner.row for inner in node.walk())
        silent = node.state in ("waiting", "unfinished") or node.row.kind in ("value", "human")
        model = str(node.facts.get("model", ""))
        error = node.row.error
        if error is not None and node.row.attempts > 1:
            error += f" (after {node.row.attempts} tries)"
        return Row(
            node.name,
            _kind(node),
            self._outcome(node),
            "" if silent else numbers.seconds(node.row.seconds),
            tokens(spent),
            cost(spent),
            model if self.whole_models else model_word(model),
            given(node, self.most),
            "" if error is not None else gave(node, self.most),
            error,
            tries(node),
            self._children(node.children),
            node,
        )

    def _repeated(self, group: Group) -> Row:
        calls, first = group.calls, group.first
        bad = [node for node in calls if node.state != "done"]
        spent = used(inner.row for node in calls for inner in node.walk())
        models = dict.fromkeys(str(node.facts["model"]) for node in calls if "model" in node.facts)
        inside = self._calls([node for place, node in enumerate(calls) if place < self.each or node in bad])
        if not self.each:
            children = [child for node in calls for child in node.children]
            inside = [*self._children(sorted(children, key=lambda node: node.row.started)), *inside]
        elif len(inside) < len(calls):
            inside.append(Row(f"and {numbers.count(len(calls) - len(inside))} more"))
        example = given(first, self.most)
        return Row(
            f"{first.name} × {numbers.count(len(calls))}",
            _kind(first),
            self._outcome(bad[0]) if bad else "done",
            numbers.seconds(sum(node.row.seconds for node in calls)),
            tokens(spent),
            cost(spent),
            ", ".join(model if self.whole_models else model_word(model) for model in models),
            f"{example}, …" if example else "",
            self._sample(group),
            inside=inside,
        )

    def _sample(self, group: Group) -> str:
        """What stands for all the answers: how often which short one, or the first."""
        counted = choices(group.calls)
        told = len(counted) <= UNFOLDED and all(len(answer) <= 20 for answer in counted)
        answers = (
            ", ".join(f"{answer} × {n}" for answer, n in counted.most_common())
            if counted and told
            else f"{gave(group.first, self.most)}, …"
        )
        failed, retried = (
            sum(node.state == "failed" for node in group.calls),
            sum(node.row.attempts > 1 for node in group.calls),
        )
        counts = [f"{failed} failed" if failed else "", f"{retried} tried again" if retried else ""]
        return joined([answers, *counts, f"up to {group.at_once} at once" if group.at_once > 1 else ""])

    def _outcome(self, node: Node) -> Outcome:
        handled = node.state == "failed" and all(inner is not self._culprit for inner in node.walk())
        return "handled" if handled else node.state


def _kind(node: Node) -> str:
    kind = node.row.kind
    return "" if kind == "step" or kind in node.name else kind
