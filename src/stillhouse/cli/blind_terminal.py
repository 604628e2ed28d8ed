"""Judging in the terminal: the same sitting as on the page.

One key per choice; without a terminal, one word per line.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

if TYPE_CHECKING:
    from stillhouse.comparison.judgements import Side
    from stillhouse.comparison.rating_session import RatingSession, Shown

KEYS = {
    "\x1b[D": "left",
    "\x1bOD": "left",
    "\x1b[C": "right",
    "\x1bOC": "right",
    "t": "tie",
    "b": "both bad",
    "u": "undo",
    "q": "stop",
    "\x03": "stop",
}
SIDES: dict[str, "Side"] = {"left": "left", "right": "right", "tie": "tie", "both bad": "both bad"}
HELP = "← left is better   → right is better   t tie   b both bad   u undo   q stop"


def judge_here(sitting: "RatingSession", console: Console) -> None:
    """Show pairs and take choices until the last one, `stop`, or the end of the input."""
    with _reader() as read:
        while True:
            shown = sitting.shown()
            if shown.item is None:
                console.print(
                    f"All {shown.total:,} pairs are judged."
                    if shown.total
                    else "There is nothing to judge: the answers are the same everywhere."
                )
                return
            console.print(screen(shown, console.width))
            word = read()
            if word in (None, "stop"):
                console.print(f"Stopped: {shown.done:,} of {shown.total:,} judged, all of them saved.")
                return
            if word == "undo":
                console.print("Taken back." if sitting.undo() else "There is nothing to take back.")
            elif (choice := SIDES.get(word or "")) is not None:
                sitting.choose(shown.item, choice)
                console.print(f"Saved: {word}.")
            else:
                console.print(f"{word!r} is no choice: {HELP}", markup=False)


def screen(shown: "Shown", width: int) -> Group:
    """One pair: side by side where there is room, else one above the other."""
    side_by_side = width >= 100
    each = width // 2 - 1 if side_by_side else width
    panels = [
        Panel(Text(answer), title=title, padding=(1, 2), width=each)
        for title, answer in (("LEFT", shown.left), ("RIGHT", shown.right))
    ]
    pair = [Columns(panels)] if side_by_side else panels
    head = [Text(shown.instruction, style="dim")] if shown.instruction else []
    count = Text(
        f"\n{shown.done + 1:,} of {shown.total:,}{f', judged by {shown.rater}' if shown.rater else ''}", style="dim"
    )
    return Group(count, *head, Text(shown.input, style="bold"), *pair, Text(HELP, style="dim"))


@contextlib.contextmanager
def _reader() -> Iterator[Callable[[], str | None]]:
    """What gives the next word: of a key where there is a terminal, else of a line; None at the end."""
    if not sys.stdin.isatty():
        yield lambda: KEYS.get(word := line.strip().lower(), word) if (line := sys.stdin.readline()) else None
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        raw = termios.tcgetattr(fd)
        raw[3] &= ~termios.ISIG  # Ctrl-C arrives as a key, and ends the sitting as `q` does
        termios.tcsetattr(fd, termios.TCSANOW, raw)
        yield lambda: _key(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _key(fd: int) -> str | None:
    pressed = os.read(fd, 8).decode(errors="replace")  # an arrow is three bytes at once
    return KEYS.get(pressed, KEYS.get(pressed.lower(), pressed)) if pressed else None
