"""When each call of a run ran: a row for each call or, where there are many, for each step.

Long pauses, in which nothing ran, are cut out and marked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.flow.trace import Node, Trace, failing
from stillhouse.report.svg import CHAR_PX, figure, line, linear_ticks, rect, tag, text, wrapped

MOST_ROWS = 32  # most calls that get a row each; with more there is one row per step
_ROW = 19.0
_TOP = 18.0  # pixels above the rows, where the lengths of pauses are written
_KINDS = ("model", "decide", "agent", "tool", "human", "turn")
_CUT = 0.12  # a pause longer than this share of the time in which anything ran is cut out
_BREAK = 18.0  # pixels that stand for a pause that was cut out


@dataclass(frozen=True)
class _Clock:
    """From seconds since 1970 to pixels, with the pauses cut out. `spans` are the stretches that are drawn."""

    spans: Sequence[tuple[float, float]]
    left: float
    right: float

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in self.spans)

    @property
    def px_per_s(self) -> float:
        return (self.right - self.left - _BREAK * (len(self.spans) - 1)) / self.seconds

    def worked(self, seconds: float) -> float:
        """The pixel at which so many seconds had been worked."""
        for start, end in self.spans:
            if seconds <= end - start:
                return self(start + seconds)
            seconds -= end - start
        return self.right

    def __call__(self, moment: float) -> float:
        """The pixel of a moment."""
        x = self.left
        for start, end in self.spans:
            if moment <= end:
                return x + (max(moment, start) - start) * self.px_per_s
            x += (end - start) * self.px_per_s + _BREAK
        return self.right


def one_row_per_step(trace: Trace) -> bool:
    """Whether the calls are so many that a row stands for all calls of a step."""
    return len(_drawn(trace)) > MOST_ROWS


def _drawn(trace: Trace) -> list[Node]:
    """The calls that took time of the machine's."""
    return [node for node in trace.walk() if node.row.kind not in ("value", "human")]


def timeline(trace: Trace, width: int) -> Markup:
    """The drawing; empty where nothing ran."""
    drawn = _drawn(trace)
    if not drawn:
        return Markup("")
    rows = _rows(drawn)
    names = [name for name, _ in rows]
    room = min(CHAR_PX * max(map(len, names)) + 12, 0.34 * width)
    clock = _Clock(_spans(drawn), room, width - 8.0)
    bottom = _TOP + _ROW * len(rows)
    culprit = failing(trace)
    body: list[Markup] = [*_ticks(clock, bottom)]
    for place, (name, nodes) in enumerate(rows):
        y = _TOP + _ROW * place
        body.append(text(room - 8, y + 13, wrapped(name, room - 12, lines=1)[0], "tick", "end"))
        body.extend(_bar(node, clock, y, node is culprit) for node in nodes)
    body.extend(_pauses(clock, bottom))
    told = "; ".join(_in_words(name, nodes, clock.spans[0][0]) for name, nodes in rows[:20])
    return figure(f"timeline-{width}", width, round(bottom + 26), "When each call ran", told, *body)


def _in_words(name: str, nodes: Sequence[Node], began: float) -> str:
    """A row for readers who hear the page."""
    times = [f"{node.row.started - began:.2f} to {node.ended - began:.2f} s" for node in nodes[:3]]
    return f"{name} {', '.join(times)}"


def _rows(nodes: Sequence[Node]) -> list[tuple[str, list[Node]]]:
    if len(nodes) <= MOST_ROWS:
        return [(node.name, [node]) for node in sorted(nodes, key=lambda node: node.row.started)]
    by_name: dict[str, list[Node]] = {}
    for node in sorted(nodes, key=lambda node: node.row.started):
        by_name.setdefault(node.name, []).append(node)
    return [(f"{name} × {len(calls)}" if len(calls) > 1 else name, calls) for name, calls in by_name.items()]


def _spans(nodes: Sequence[Node]) -> list[tuple[float, float]]:
    """The stretches in which anything ran, with the short pauses between them."""
    calls = sorted((node.row.started, max(node.ended, node.row.started + 1e-6)) for node in nodes)
    busy: list[list[float]] = []
    for start, end in calls:
        if busy and start <= busy[-1][1]:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([start, end])
    longest = _CUT * sum(end - start for start, end in busy)
    spans = [busy[0]]
    for start, end in busy[1:]:
        if start - spans[-1][1] <= longest:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    return [(start, end) for start, end in spans]


def _bar(node: Node, clock: _Clock, y: float, fatal: bool) -> Markup:
    start, end = clock(node.row.started), clock(node.ended)
    kind = node.row.kind if node.row.kind in _KINDS else "step"
    state = "failed" if fatal else "handled" if node.state == "failed" else ""
    tip = f"{node.name}: {numbers.seconds(node.row.seconds)}" + (f", {node.row.error}" if node.row.error else "")
    wide = max(end - start, 2.0)
    return rect(start, y + 4, wide, 11, f"run-bar {kind} {state}".rstrip(), tag("title", tip))


def _ticks(clock: _Clock, bottom: float) -> list[Markup]:
    """Seconds of work since the first call."""
    most = max(1, math.floor((clock.right - clock.left) / 80))
    marks = [line(clock.left, bottom, clock.right, bottom, "axis")]
    for tick in linear_ticks(0.0, clock.seconds, most):
        x = clock.worked(tick)
        if x <= clock.right - 20:
            marks.append(line(x, _TOP, x, bottom, "grid"))
            marks.append(text(x, bottom + 16, numbers.seconds(tick) if tick else "0", "tick", "middle"))
    return marks


def _pauses(clock: _Clock, bottom: float) -> list[Markup]:
    marks = []
    for (_, end), (start, _) in zip(clock.spans, clock.spans[1:], strict=False):
        x = clock(end) + _BREAK / 2
        marks += [line(x, _TOP, x, bottom, "pause"), text(x, _TOP - 5, numbers.seconds(start - end), "tick", "middle")]
    return marks
