"""`stillhouse runs` and `stillhouse runs show`: the runs of a journal as a table, one run as a tree of its calls."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import rich.box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.console import Group as Lines
from rich.table import Table
from rich.text import Text

from stillhouse import numbers
from stillhouse.flow.trace import Trace, Used, busy_s, failing
from stillhouse.report.trace_rows import Row, Rows
from stillhouse.report.trace_words import NOTHING, SHORT, cost, joined, plural, short, tokens
from stillhouse.store.journal import RunRow

ROOMY = 100  # columns from which on models and tokens are shown too
_MARKS = {
    **{
        "done": ("✓", "green"),
        "failed": ("✗", "red"),
        "handled": ("✗", "yellow"),
        "waiting": ("?", "yellow"),
        "unfinished": ("…", "yellow"),
    },
    **{"running": ("…", "cyan"), "queued": ("·", "dim")},
}


class Listed(Protocol):
    """A run in the list."""

    @property
    def row(self) -> RunRow: ...
    @property
    def finished(self) -> int: ...
    @property
    def used(self) -> Used: ...
    @property
    def questions(self) -> Sequence[str]: ...


def runs_table(listed: Sequence[Listed], n_older: int = 0, now: Callable[[], float] = time.time) -> RenderableType:
    """The runs, newest first, with what each waits for or failed with."""
    if not listed:
        return Text("no runs yet", style="dim")
    table = _table("run", "flow", "status", ">steps", ">age", ">cost")
    table.add_column("", ratio=1)
    for one in listed:
        row = one.row
        mark, style = _MARKS[row.status]
        said = (
            [f"asks: {question}" for question in one.questions]
            if row.status == "waiting"
            else [row.error]
            if row.error
            else []
        )
        about = Lines(*(Text(line, style=style, no_wrap=True, overflow="ellipsis") for line in said))
        cells = (str(one.finished), age(now() - row.created), cost(one.used) or NOTHING)
        table.add_row(
            Text(row.run, style="bold"), Text(row.flow), Text(f"{mark} {row.status}", style=style), *cells, about
        )
    return Lines(
        table,
        *([Text(f"and {n_older} older; see them with --last {n_older + len(listed)}", style="dim")] if n_older else []),
    )


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{max(0.0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


@dataclass(frozen=True)
class RunTree:
    """A run: its totals, its calls as a tree, and what to do next. `full` neither folds nor cuts."""

    trace: Trace
    full: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield from _head(self.trace, self.full)
        rows = Rows(self.trace, fold=not self.full, most=100_000 if self.full else SHORT, whole_models=self.full).rows()
        if rows:
            yield self._tree(rows, options.max_width)
        yield from _foot(self.trace)

    def _tree(self, rows: Sequence[Row], width: int) -> Table:
        asked, roomy = self.trace.used.asked > 0, width >= ROOMY
        table = _table(
            "call",
            ">took",
            *([">tokens"] if asked and roomy else []),
            *([">cost"] if asked else []),
            *(["model"] if asked and roomy else []),
        )
        for column, ratio in (("given", 2), ("gave", 3)):
            table.add_column(column, ratio=ratio, overflow="fold")
        for guide, below, row in _guided(rows):
            said = self._said(row)
            name = Lines(Text.assemble((guide, "dim"), _name(row)), *[Text(below, style="dim")] * (len(said) - 1))
            amounts = [
                *([row.tokens] if asked and roomy else []),
                *([row.cost] if asked else []),
                *([row.model] if asked and roomy else []),
            ]
            table.add_row(name, row.took, *amounts, self._line(row.given), Lines(*said))
        return table

    def _said(self, row: Row) -> list[Text]:
        style = _MARKS[row.outcome][1] if row.outcome else ""
        lines = [self._line(row.gave, style if row.outcome == "waiting" else "")] if row.error is None else []
        if row.error is not None:
            lines.append(
                self._line(f"{row.error}{', and the flow went on' if row.outcome == 'handled' else ''}", style)
            )
        return lines + [self._line(note, "dim") for note in row.notes]

    def _line(self, words: str, style: str = "") -> Text:
        return (
            Text(words, style=style, overflow="fold")
            if self.full
            else Text(words, style=style, no_wrap=True, overflow="ellipsis")
        )


def _name(row: Row) -> Text:
    if not row.outcome:
        return Text(row.name, style="italic")
    mark, style = _MARKS[row.outcome]
    return Text.assemble(
        (f"{mark} ", style),
        (row.name, "bold red" if row.outcome == "failed" else "bold"),
        (f" {row.kind}" if row.kind else "", "dim"),
    )


def _guided(rows: Sequence[Row], before: str = "", top: bool = True) -> Iterator[tuple[str, str, Row]]:
    """Each row with the branches of the tree before its first line, and before those below it."""
    for place, row in enumerate(rows):
        last = place + 1 == len(rows)
        after = "" if top else f"{before}{'   ' if last else '│  '}"
        yield "" if top else f"{before}{'└─ ' if last else '├─ '}", f"{after}{'│' if row.inside else ''}", row
        yield from _guided(row.inside, after, top=False)


def _table(*columns: str) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for column in columns:
        table.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=column != "model",
            overflow="ellipsis",
        )
    return table


def _head(trace: Trace, full: bool) -> Iterator[Text]:
    run, spent, most = trace.run, trace.used, 100_000 if full else 200
    mark, style = _MARKS[run.status]
    amounts = joined(
        [
            plural(len(trace.rows), "call"),
            numbers.seconds(busy_s(trace.rows)),
            f"{tokens(spent)} tokens" if spent.asked else "",
            cost(spent),
        ]
    )
    yield Text.assemble(
        (f"{mark} {run.status}", f"bold {style}"), "  ", (run.run, "bold"), f"  flow {run.flow}  ", (amounts, "dim")
    )
    yield Text.assemble(("input   ", "dim"), short(json.loads(run.input), most))
    if run.result is not None:
        yield Text.assemble(("result  ", "dim"), short(json.loads(run.result), most))


def _foot(trace: Trace) -> Iterator[Text]:
    """How it ended, and what to do about it."""
    run, culprit = trace.run, failing(trace)
    if run.error is not None:
        yield Text.assemble(
            (f"failed{'' if culprit is None else f' in {culprit.name}'}: ", "bold red"), (run.error, "red")
        )
        yield Text(f"mend the cause, then: stillhouse resume {run.run}", style="dim")
    if run.status == "waiting":
        for question in trace.questions:
            yield Text.assemble(("asks: ", "bold yellow"), question)
        yield Text(f"answer it with: stillhouse answer {run.run} ANSWER", style="dim")
