"""How far long work is, phase by phase: one labelled bar on a terminal, and elsewhere a line every ten seconds.

A phase is what a `Progress` calls `what`. Each has its own count, clock and rate, so that one which ends at n of n does
not stop the clock of the next.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stillhouse.numbers import usd
from stillhouse.records import Progress

EVERY_S = 10.0  # seconds between two lines where there is no terminal
WORTH_A_LINE_S = 5.0  # a phase that took so long is told of when it is over
_WINDOW_S = 30.0  # the rate is that of the last seconds ...
_LEAST_SAMPLES = 5  # ... or of so many changes, where they come more slowly
_SAMPLE_S = 0.2
_NARROWEST_BAR, _WIDEST_BAR = 8, 40


class Phase:
    """One phase. Times are seconds of the caller's clock."""

    def __init__(self, progress: Progress, now: float) -> None:
        self.progress, self.began = progress, now
        self._samples = deque([(now, progress.done)])

    def take(self, progress: Progress, now: float) -> None:
        moved = progress.done != self._samples[-1][1]
        self.progress = progress
        if not moved:
            return
        if len(self._samples) > 1 and now - self._samples[-2][0] < _SAMPLE_S:
            self._samples.pop()
        self._samples.append((now, progress.done))
        while len(self._samples) > _LEAST_SAMPLES and now - self._samples[1][0] > _WINDOW_S:
            self._samples.popleft()

    def rate(self, now: float) -> float | None:
        """Units a second of late; None before any two counts differ."""
        (began, before), (_, done) = self._samples[0], self._samples[-1]
        return (done - before) / (now - began) if now > began and done > before else None

    def left_s(self, now: float) -> float | None:
        """Seconds to go at this rate; None: not known."""
        rate, total = self.rate(now), self.progress.total
        return None if rate is None or total is None else max(0, total - self.progress.done) / rate

    def facts(self, now: float) -> list[str]:
        """How far, how long it will take, how quickly it goes, what it has cost: the most wanted first."""
        progress, rate, left = self.progress, self.rate(now), self.left_s(now)
        unit = f" {progress.unit}" if progress.unit else ""
        facts = []
        if progress.total is not None:
            facts.append(f"{progress.done:,} of {progress.total:,}{unit}")
        elif progress.done:
            facts.append(f"{progress.done:,}{unit}")
        if left is not None and left > 0:
            facts.append(f"{clock(left)} left")
        if rate is not None:
            facts.append(pace(rate))
        facts += [usd(progress.cost_usd)] if progress.cost_usd else []
        return [*facts, f"{clock(now - self.began)} so far"]

    def line(self, now: float) -> str:
        note = [self.progress.note] if self.progress.note else []
        return f"{self.progress.what}: {', '.join([*self.facts(now), *note])}"

    def ending(self, now: float) -> str:
        """What is said of it when it is over."""
        progress, unit = self.progress, f" {self.progress.unit}" if self.progress.unit else ""
        done = f"{progress.done:,}{unit}" if progress.done == progress.total else self.facts(now)[0]
        parts = [f"{done} in {clock(now - self.began)}" if progress.total is not None else clock(now - self.began)]
        parts += [usd(progress.cost_usd)] if progress.cost_usd else []
        parts += [progress.note] if progress.note else []
        return f"{progress.what}: {', '.join(parts)}"


def clock(seconds: float) -> str:
    """Seconds as a clock shows them: "0:07", "12:05", "1:02:05"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def pace(rate: float) -> str:
    """Units a second, a minute or an hour: what leaves a number that is easily read."""
    for times, unit in ((1, "second"), (60, "minute")):
        if rate * times >= 1:
            return f"{rate * times:,.0f} a {unit}" if rate * times >= 10 else f"{rate * times:.1f} a {unit}"
    return f"{rate * 3600:.1f} an hour"


class Shown(Protocol):
    """Where phases are shown."""

    def say(self, line: str) -> None: ...

    @contextmanager
    def open(self) -> Iterator[None]: ...

    @contextmanager
    def paused(self) -> Iterator[None]: ...


class Ticker:
    """Takes the ticks of long work, from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self.phase: Phase | None = None
        self.screen: Shown | None = None  # None: nothing is shown

    def __call__(self, progress: Progress) -> None:
        if self.screen is None:
            return
        now = self._clock()
        with self._lock:
            over = self.phase
            if over is not None and over.progress.what == progress.what:
                over.take(progress, now)
                return
            self.phase = Phase(progress, now)
        self._tell(over, now)

    def end(self) -> None:
        """The work is over."""
        with self._lock:
            over, self.phase = self.phase, None
        self._tell(over, self._clock())

    def _tell(self, over: Phase | None, now: float) -> None:
        if over is not None and self.screen is not None and now - over.began >= WORTH_A_LINE_S:
            self.screen.say(over.ending(now))

    def line(self) -> str | None:
        """How far the work is now; None: no phase has begun."""
        with self._lock:
            return None if self.phase is None else self.phase.line(self._clock())

    def facts(self) -> tuple[Progress, list[str]] | None:
        with self._lock:
            return None if self.phase is None else (self.phase.progress, self.phase.facts(self._clock()))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal without the bar, for a question."""
        if self.screen is None:
            yield
            return
        with self.screen.paused():
            yield


class Lines:
    """Where there is no terminal: a line every ten seconds, also while no tick comes."""

    def __init__(self, ticker: Ticker, console: Console, every_s: float = EVERY_S) -> None:
        self._ticker, self._console, self._every_s = ticker, console, every_s
        self._over, self._is_paused = threading.Event(), False

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)

    def beat(self) -> None:
        line = None if self._is_paused else self._ticker.line()
        if line is not None:
            self.say(line)

    @contextmanager
    def open(self) -> Iterator[None]:
        thread = threading.Thread(target=self._beats, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _beats(self) -> None:
        while not self._over.wait(self._every_s):
            self.beat()

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False


class TerminalBar:
    """On a terminal: the phase's name over its bar. What has no room beside the bar is left out, whole."""

    def __init__(self, ticker: Ticker, console: Console) -> None:
        self._ticker, self._console = ticker, console
        self._live = Live(self, console=console, transient=True, refresh_per_second=8)

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False)

    @contextmanager
    def open(self) -> Iterator[None]:
        with self._live:
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        told = self._ticker.facts()
        if told is None:
            return
        progress, facts = told
        width = options.max_width
        notes = progress.note.split(", ") if progress.note else []
        while notes and len(progress.what) + 2 + len(", ".join(notes)) > width:
            notes.pop()
        note = f"  {', '.join(notes)}" if notes else ""
        yield Text.assemble(progress.what, (note, "dim"), no_wrap=True, overflow="ellipsis")
        while len(facts) > 1 and len(_joined(facts)) + _NARROWEST_BAR + 1 > width:
            facts.pop()
        words = _joined(facts)
        bar_width = max(_NARROWEST_BAR, min(_WIDEST_BAR, width - len(words) - 2))
        bar = ProgressBar(progress.total, progress.done, width=bar_width, pulse=progress.total is None)
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_row(bar, Text(words, no_wrap=True, overflow="ellipsis"))
        yield row


def _joined(facts: list[str]) -> str:
    return "  ".join(facts)


@contextmanager
def phases_on(console: Console, *, quiet: bool = False) -> Iterator[Ticker]:
    """A ticker whose phases are shown on this console."""
    ticker = Ticker()
    if quiet:
        yield ticker
        return
    shown = TerminalBar(ticker, console) if console.is_terminal else Lines(ticker, console)
    ticker.screen = shown
    with shown.open():
        try:
            yield ticker
        finally:
            ticker.end()
