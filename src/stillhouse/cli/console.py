"""What all commands share: the progress bar on stderr, and facts as text or as one JSON object on stdout."""

import contextlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.json import JSON
from rich.segment import Segment

from stillhouse.clean_text import terminal_json, terminal_text
from stillhouse.cli.phases import Ticker, phases_on

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

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich prints. On a terminal lines break between words, and a command to be copied does not break at all.

        Elsewhere each line is printed as it is, where that is asked for.
        """
        if not self.is_terminal:
            super().print(*objects, **options)
            return
        for stays_whole, group in _parted(objects, self.width):
            super().print(*group, **(options | {"soft_wrap": stays_whole}))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:  # rich's own, such as those of the progress bar
                yield segment
            else:
                yield Segment(terminal_text(segment.text), segment.style)


def _parted(objects: Sequence[Any], width: int) -> Iterator[tuple[bool, Sequence[Any]]]:
    """What is printed at once, with whether it stays on its line: a command or JSON to be copied, a long path."""
    if len(objects) != 1 or not isinstance(objects[0], str):
        yield any(isinstance(each, JSON) for each in objects), objects
        return

    def stays_whole(line: str) -> bool:
        return line.startswith(COMMAND) or any(len(word) > width for word in line.split(" "))

    for is_whole, lines in itertools.groupby(objects[0].split("\n"), stays_whole):
        yield is_whole, ["\n".join(lines)]


COMMAND = "next: "  # how a line begins that holds a command
err = PlainConsole(stderr=True)
out = PlainConsole(soft_wrap=True, highlight=False)


@contextlib.contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Ticker]:
    """What is being done on stderr, phase by phase: how far, the time left, the rate, the cost so far."""
    with phases_on(err, quiet=quiet) as tick:
        yield tick


def say_rows(task: "Path | Task", skip_bad: bool, session: "Session", plan: "Plan | None" = None) -> None:
    """The test rows that the gate takes, on stderr, before anything is bought."""
    from stillhouse.experiment.rows_needed import rows_plan

    rows = rows_plan(task, session, plan=plan, skip_bad=skip_bad)
    for line in rows.lines:
        err.print(line, soft_wrap=True, highlight=False)


def emit_json(value: Any) -> None:
    """One JSON object on stdout, at once: a server's reader waits for it."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write(f"{terminal_json(written)}\n")
    sys.stdout.flush()
