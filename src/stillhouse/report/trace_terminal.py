"""`stillhouse runs` and `stillhouse runs show`: the runs of a journal as a table, one run as a tree of its calls."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import rich.box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.console import Group as Lines
from rich.table import Table
from rich.text import Text

from stillhouse import numbers
from stillhouse.flow.trace import Trace, Used, busy_s, calls_of, failing
from stillhouse.report.trace_rows import TraceRow, TraceRows
from stillhouse.report.trace_words import NOTHING, SHORT, cost, joined, plural, short, tokens
from stillhouse.results.verdict import called
from stillhouse.store.journal import RunRow

_LEAST_ABOUT = 12  # columns for what a run asks or failed with
ROOMY = 100  # terminal width, in columns, from which on models and tokens are shown too
_MARKS = {  # a run's status or a call's outcome -> a character and its style
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "handled": ("✗", "yellow"),
    "waiting": ("?", "yellow"),
    "unfinished": ("…", "yellow"),
    "running": ("…", "cyan"),
    "killed": ("✗", "red"),
    "stopped": ("-", "dim"),
    "queued": ("·", "dim"),
    "cancelled": ("-", "dim"),
}


class Listed(Protocol):
    """A run in the list."""

    @property
    def row(self) -> RunRow: ...
    @property
    def shown(self) -> str: ...
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
    table = _RunsTable(listed, now())
    if not n_older:
        return table
    return Lines(table, Text(f"and {n_older} older; see them with --last {n_older + len(listed)}", style="dim"))


class _RunsTable:
    """What a run asks or failed with stands beside it where there is room, else below it."""

    def __init__(self, listed: Sequence[Listed], now: float) -> None:
        self._listed, self._now = listed, now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        rows = [self._cells(each) for each in self._listed]
        heads = ("run", "flow", "status", ">steps", ">age", ">cost")
        columns = zip(heads, zip(*rows, strict=True), strict=True)
        widths = [max(len(head.removeprefix(">")), *(cell.cell_len for cell in cells)) for head, cells in columns]
        if sum(widths) + 2 * len(widths) + _LEAST_ABOUT > options.max_width:
            for each, row in zip(self._listed, rows, strict=True):
                run, flow, status, steps, old, paid = row
                yield Text.assemble(run, "  ", flow, "  ", status)
                yield Text.assemble("  steps ", steps, "  age ", old, "  cost ", paid, style="dim")
                yield from (Text(f"  {line}", style=_MARKS[each.row.status][1]) for line in _about(each))
            return
        table = _table(*heads)
        table.add_column("", ratio=1)
        for column, width in zip(table.columns, widths, strict=False):
            column.min_width = width  # an id that is cut cannot be typed, and no word is cut either
        for each, row in zip(self._listed, rows, strict=True):
            style = _MARKS[each.row.status][1]
            about = Lines(*(Text(line, style=style, no_wrap=True, overflow="ellipsis") for line in _about(each)))
            table.add_row(*row, about)
        yield table

    def _cells(self, each: Listed) -> list[Text]:
        mark, style = _MARKS[each.row.status]
        amounts = (str(each.finished), age(self._now - each.row.created), cost(each.used) or NOTHING)
        status = Text(f"{mark} {each.row.status}", style=style)
        return [Text(each.shown, style="bold"), Text(each.row.flow), status, *map(Text, amounts)]


class OfCommand(Protocol):
    """A run of a command that has a folder."""

    @property
    def folder(self) -> Path: ...
    @property
    def command(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def created(self) -> float | None: ...
    @property
    def verdict(self) -> str | None: ...
    @property
    def chosen(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


def command_runs_table(
    listed: Sequence[OfCommand], n_older: int = 0, now: Callable[[], float] = time.time
) -> RenderableType:
    """The runs of commands, newest first, with what each found or failed with."""
    table = _table("run", "command", "status", ">age")
    table.add_column("", ratio=1)
    table.columns[0].min_width = max(len(each.folder.name) for each in listed)
    for each in listed:
        mark, style = _MARKS.get(each.status, ("…", "yellow"))
        found = _found(each)
        about = Text(each.error or found, style=style if each.error else "", no_wrap=True, overflow="ellipsis")
        cells = (NOTHING if each.created is None else age(now() - each.created), about)
        table.add_row(
            Text(each.folder.name, style="bold"), each.command, Text(f"{mark} {each.status}", style=style), *cells
        )
    if not n_older:
        return table
    return Lines(table, Text(f"and {n_older} older; see them with --last {n_older + len(listed)}", style="dim"))


def _found(run: OfCommand) -> str:
    """What a command's run found: the verdict, and the arm where it does not say it already."""
    if run.status == "killed":
        return "its process is dead; the same command goes on with it"
    verdict = called(run.verdict)
    return verdict if run.chosen in (None, verdict) else f"{verdict}: {run.chosen}"


def _about(listed: Listed) -> list[str]:
    """What a run waits for, or failed with."""
    if listed.row.status == "waiting":
        return [f"asks: {question}" for question in listed.questions]
    if listed.row.status == "killed":
        return ["its process is dead; `stillhouse resume` goes on with it"]
    return [listed.row.error] if listed.row.error else []


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{max(0.0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


@dataclass(frozen=True)
class RunTree:
    """A run: its totals, its calls as a tree, and what to do next. `full`: nothing is folded and nothing is cut."""

    trace: Trace
    full: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield from _head(self.trace, self.full)
        most = 100_000 if self.full else SHORT
        rows = TraceRows(self.trace, fold=not self.full, most=most, whole_models=self.full).rows()
        if rows:
            yield self._tree(rows, options.max_width)
        yield from _foot(self.trace)

    def _tree(self, rows: Sequence[TraceRow], width: int) -> Table:
        asked, roomy = self.trace.used.asked > 0, width >= ROOMY
        columns = [">tokens", ">cost", "model"] if asked and roomy else [">cost"] if asked else []
        table = _table("call", ">took", *columns)
        for column, ratio in (("given", 2), ("gave", 3)):
            table.add_column(column, ratio=ratio, overflow="fold")
        for guide, below, row in _guided(rows):
            answer = self._answer(row)
            name = Lines(Text.assemble((guide, "dim"), _name(row)), *[Text(below, style="dim")] * (len(answer) - 1))
            cells = {">tokens": row.tokens, ">cost": row.cost, "model": row.model}
            amounts = [cells[column] for column in columns]
            table.add_row(name, row.took, *amounts, self._line(row.given), Lines(*answer))
        return table

    def _answer(self, row: TraceRow) -> list[Text]:
        """What the call gave or failed with, and the notes on it, a line each."""
        style = _MARKS[row.outcome][1] if row.outcome else ""
        notes = [self._line(note, "dim") for note in row.notes]
        if row.error is None:
            return [self._line(row.gave, style if row.outcome == "waiting" else ""), *notes]
        went_on = ", and the flow went on" if row.outcome == "handled" else ""
        return [self._line(f"{row.error}{went_on}", style), *notes]

    def _line(self, words: str, style: str = "") -> Text:
        if self.full:
            return Text(words, style=style, overflow="fold")
        return Text(words, style=style, no_wrap=True, overflow="ellipsis")


def _name(row: TraceRow) -> Text:
    if not row.outcome:
        return Text(row.name, style="italic")
    mark, style = _MARKS[row.outcome]
    name = (row.name, "bold red" if row.outcome == "failed" else "bold")
    return Text.assemble((f"{mark} ", style), name, (f" {row.kind}" if row.kind else "", "dim"))


def _guided(rows: Sequence[TraceRow], before: str = "", top: bool = True) -> Iterator[tuple[str, str, TraceRow]]:
    """Each row with the branches of the tree before its first line, and before those below it."""
    for place, row in enumerate(rows):
        last = place + 1 == len(rows)
        after = "" if top else f"{before}{'   ' if last else '│  '}"
        yield "" if top else f"{before}{'└─ ' if last else '├─ '}", f"{after}{'│' if row.inside else ''}", row
        yield from _guided(row.inside, after, top=False)


def _table(*columns: str) -> Table:
    """A table over the terminal's whole width. A column whose name begins with ">" is set flush right."""
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
    calls, worked = plural(len(calls_of(trace.rows)), "call"), numbers.seconds(busy_s(trace.rows))
    amounts = joined([calls, worked, f"{tokens(spent)} tokens" if spent.asked else "", cost(spent)])
    status = (f"{mark} {run.status}", f"bold {style}")
    yield Text.assemble(status, "  ", (run.run, "bold"), f"  flow {run.flow}  ", (amounts, "dim"))
    yield Text.assemble(("input   ", "dim"), short(json.loads(run.input), most))
    if run.result is not None:
        yield Text.assemble(("result  ", "dim"), short(json.loads(run.result), most))


def _foot(trace: Trace) -> Iterator[Text]:
    """How it ended, and what to do about it."""
    run, culprit = trace.run, failing(trace)
    if run.error is not None:
        where = "" if culprit is None else f" in {culprit.name}"
        yield Text.assemble((f"failed{where}: ", "bold red"), (run.error, "red"))
        yield Text(f"mend the cause, then: stillhouse resume {run.run}", style="dim")
    if run.status == "killed":
        yield Text("its process ended before the run did", style="red")
        yield Text(f"go on with: stillhouse resume {run.run}", style="dim")
    if run.status == "waiting":
        for question in trace.questions:
            yield Text.assemble(("asks: ", "bold yellow"), question)
        yield Text(f"answer it with: stillhouse answer {run.run} ANSWER", style="dim")
