"""What all commands share: the progress bar on stderr, and facts as text or as one JSON object on stdout."""

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.segment import Segment

from stillhouse.clean_text import terminal_json, terminal_text
from stillhouse.numbers import usd
from stillhouse.records import Progress

if TYPE_CHECKING:
    from stillhouse.experiment.looks import Plan
    from stillhouse.session import Session
    from stillhouse.task import Task


class PlainConsole(Console):
    """A console on which text is text: no markup, no emoji codes, and no control character reaches the terminal.

    Most of what commands print quotes rows, notes, models and endpoints. Styles are set by `rich.text.Text`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:  # rich's own, such as those of the progress bar
                yield segment
            else:
                yield Segment(terminal_text(segment.text), segment.style)


err = PlainConsole(stderr=True)
out = PlainConsole(soft_wrap=True, highlight=False)


class Ticker:
    """Moves the bar. It draws ten times a second at most: a fast job must not spend its time on drawing."""

    def __init__(self, bar: Bar) -> None:
        self._bar, self._shown, self._drawn_at = bar, bar.add_task("", total=None), 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._bar.disable or (now - self._drawn_at < 0.1 and progress.done != progress.total):
            return
        self._drawn_at = now
        cost = "" if not progress.cost_usd else f"  {usd(progress.cost_usd)}"
        self._bar.update(self._shown, description=progress.what + cost, completed=progress.done, total=progress.total)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal without the bar, for a question."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


@contextlib.contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Ticker]:
    """A bar with what is being done, how far, the cost so far and the time left.

    Off a terminal there is none: nothing but the lines that commands print.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        yield Ticker(bar)


def say_rows(task: "Path | Task", skip_bad: bool, session: "Session", plan: "Plan | None" = None) -> None:
    """The test rows that the gate takes, on stderr, before anything is bought."""
    from stillhouse.experiment.rows_needed import rows_plan

    rows = rows_plan(task, session, plan=plan, skip_bad=skip_bad)
    err.print(rows.sentence, soft_wrap=True, highlight=False, markup=False)


def emit_json(value: Any) -> None:
    """One JSON object on stdout, at once: a server's reader waits for it."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write(f"{terminal_json(written)}\n")
    sys.stdout.flush()
