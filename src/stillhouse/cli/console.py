"""What all commands share: the progress bar on stderr, and facts as text or as one JSON object on stdout."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from stillhouse.records import Progress

if TYPE_CHECKING:
    from stillhouse.task import Task

err = Console(stderr=True)
out = Console(soft_wrap=True, highlight=False)


@contextlib.contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """A bar with what is being done, how far, the cost so far and the time left. Not a terminal: nothing but the lines that commands print."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        shown = bar.add_task("", total=None)

        def tick(progress: Progress) -> None:
            cost = "" if not progress.cost_usd else f"  ${progress.cost_usd:.4f}"
            bar.update(shown, description=progress.what + cost, completed=progress.done, total=progress.total)

        yield tick


def say_rows(task: "Path | Task", skip_bad: bool) -> None:
    """The test rows that the gate takes, on stderr, before anything is bought."""
    from stillhouse.jobs.rows_plan import rows_plan

    err.print(rows_plan(task, skip_bad=skip_bad).sentence, soft_wrap=True, highlight=False)


def emit_json(value: Any) -> None:
    """One JSON object on stdout, at once: a server's reader waits for it."""
    json.dump(value, sys.stdout, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write("\n")
    sys.stdout.flush()


def money(usd: float | None) -> str:
    """Dollars with as many digits as they need; unknown stays unknown."""
    return "unknown" if usd is None else f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"
