"""A run of a flow as one self-contained HTML file.

How it ended, what it did as a graph, when, totals by step, and every call with what it was given and gave.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from stillhouse import __version__
from stillhouse.flow.picture.executed import executed
from stillhouse.flow.trace import Node, Trace, busy_s, failing, totals
from stillhouse.report.flow_graph import NARROW, WIDE, flow_graph
from stillhouse.report.html import templates, two_widths
from stillhouse.report.timeline import one_row_per_step, timeline
from stillhouse.report.trace_rows import TraceRows
from stillhouse.report.trace_words import NOTHING, cost, plural, short, tokens, told

MOST_CALLS = 600  # most calls on the page; `stillhouse runs show RUN --json` has all
MOST_TEXT = 20_000  # characters of one argument, output or error
EACH = 40  # calls of a folded group that the page shows one by one
_HEADLINE = 220  # most characters of the headline


@dataclass(frozen=True)
class _Cut:
    """A text as the page shows it."""

    text: str
    more: int  # number of characters that were cut off


def render_run(trace: Trace) -> str:
    """The page."""
    run = trace.run
    rows = TraceRows(trace, each=EACH, room=MOST_CALLS, whole_models=True)

    def graph(width: int) -> Markup:
        return flow_graph(executed(trace), width, "graph")

    return (
        templates()
        .get_template("run.html.j2")
        .render(
            run=run,
            trace=trace,
            spent=trace.used,
            busy_s=busy_s(trace.rows),
            culprit=failing(trace),
            began=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.created)),
            headline=_headline(trace),
            given=_pretty(run.input),
            result=None if run.result is None else _pretty(run.result),
            models=sorted(run.facts.get("models", {}).items()),
            totals=totals(trace.rows),
            one_row_per_step=one_row_per_step(trace),
            rows=rows.rows(),
            left_out=rows,
            drawings={
                "graph": two_widths(graph, WIDE, NARROW) if trace.rows else "",
                "timeline": two_widths(lambda width: timeline(trace, width), WIDE, NARROW),
            },
            arguments=lambda node: _pretty(node.row.arguments),
            output=lambda node: _pretty(node.row.output),
            facts=_facts,
            tokens=tokens,
            cost=lambda used: cost(used) or NOTHING,
            plural=plural,
            version=__version__,
        )
    )


def _headline(trace: Trace) -> str:
    """What matters most: the error, the question, the result."""
    run = trace.run
    if run.error is not None:
        return short(run.error, _HEADLINE)
    if run.status == "waiting" and trace.questions:
        return short(trace.questions[0], _HEADLINE)
    if run.result is not None:
        return told(json.loads(run.result), _HEADLINE)
    if run.status == "running":
        return "It was running when this page was written."
    return "The process that ran it ended before the run did." if run.status == "killed" else run.status


def _pretty(text: str) -> _Cut:
    """JSON to be read: a text as itself, anything else indented."""
    value: Any = json.loads(text)
    whole = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return _Cut(whole[:MOST_TEXT], max(0, len(whole) - MOST_TEXT))


_SHOWN_ELSEWHERE = ("model", "input_tokens", "output_tokens", "cost_usd", "failures", "question")


def _facts(node: Node) -> list[tuple[str, str]]:
    """What else the journal knows of a call."""
    facts = [("model", str(node.facts["model"]))] if "model" in node.facts else []
    facts += [("tries", str(node.row.attempts))] if node.row.attempts > 1 else []
    others = {name: value for name, value in node.facts.items() if name not in _SHOWN_ELSEWHERE}
    facts += [(name.replace("_", " "), short(value, 400)) for name, value in others.items()]
    return [*facts, ("journal key", "/".join(map(str, node.row.key)))]
