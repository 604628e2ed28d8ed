"""Progress on stderr: a bar per phase on a terminal, a line every ten seconds elsewhere, and nothing that breaks a word."""

import io
import json
import re

import pytest
from rich.console import Console
from rich.text import Text

from mood_task import MOOD
from stillhouse.cli.console import PlainConsole
from stillhouse.cli.phases import Lines, TerminalBar, Ticker
from stillhouse.commands.label import label
from stillhouse.event_loop import result_of
from stillhouse.records import Progress
from stillhouse.report.fitting_table import FittingTable
from stillhouse.session import Session


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def watched(every=Lines):
    clock, written = Clock(), io.StringIO()
    ticker = Ticker(clock)
    ticker.screen = every(ticker, Console(file=written, width=80, force_terminal=False))
    return clock, ticker, written


def test_a_phase_that_ends_at_n_of_n_does_not_stop_the_clock_of_the_next():
    clock, ticker, written = watched()
    ticker(Progress(600, 600, "looking in the store", unit="rows"))
    for done in range(0, 301, 10):
        ticker(Progress(done, 600, "asking", 0.5, "rows"))
        clock.now += 1
    ticker.screen.beat()
    assert written.getvalue() == "asking: 300 of 600 rows, 0:31 left, 9.7 a second, $0.50, 0:31 so far\n"


def test_off_a_terminal_a_line_comes_though_no_tick_does():
    clock, ticker, written = watched()
    ticker(Progress(0, None, "training linear"))
    for _ in range(3):
        clock.now += 10
        ticker.screen.beat()
    assert written.getvalue().splitlines() == [f"training linear: 0:{n}0 so far" for n in (1, 2, 3)]


def test_the_lines_come_by_themselves():
    written = io.StringIO()
    ticker = Ticker()
    lines = Lines(ticker, Console(file=written), every_s=0.01)
    ticker.screen = lines
    ticker(Progress(1, 2, "asking"))
    with lines.open():
        while written.getvalue().count("asking: 1 of 2") < 3:
            pass
    before = written.getvalue()
    lines.beat()
    assert written.getvalue() != before  # by hand; the thread is over


def test_the_rate_is_that_of_the_last_half_minute():
    clock, ticker, written = watched()
    for done in range(0, 1000, 10):  # ten a second at first
        clock.now += 1
        ticker(Progress(done, 2000, "asking"))
    for done in range(991, 1091):  # then one
        clock.now += 1
        ticker(Progress(done, 2000, "asking"))
    ticker.screen.beat()
    assert ", 1.0 a second," in written.getvalue()


def test_a_long_phase_says_what_came_of_it_and_one_that_stopped_early_says_of_how_many():
    clock, ticker, written = watched()
    ticker(Progress(0, 6000, "asking", unit="rows"))
    clock.now = 75
    ticker(Progress(6000, 6000, "asking", 0.21, "rows"))
    ticker(Progress(0, 2200, "training", unit="steps"))
    clock.now = 100
    ticker(Progress(1100, 2200, "training", unit="steps", note="loss 2.1"))
    ticker.end()
    assert written.getvalue().splitlines() == [
        "asking: 6,000 rows in 1:15, $0.21",
        "training: 1,100 of 2,200 steps in 0:25, loss 2.1",
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_the_bar_fits_and_its_facts_are_whole(width):
    clock, ticker = Clock(), Ticker()
    ticker._clock = clock
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bar = TerminalBar(ticker, console)
    ticker.screen = bar
    for done in (0, 123456):
        clock.now += 30
        ticker(Progress(done, 9_000_000, "training encoder:minilm on gold labels", 1.25, "training rows", "loss 0.3"))
    console.print(bar)
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("training encoder:minilm on gold labels  loss 0.3")
    assert "123,456 of 9,000,000 training rows" in second
    assert all(len(line) <= width for line in (first, second))
    kept = second.split("rows", 1)[1].split("  ")
    assert all(re.fullmatch(r" *(|\d[\d:]* left|[\d,]+ a second|\$1.25|\d:\d\d so far) *", fact) for fact in kept), kept


def test_every_phase_of_label_ends_at_its_own_n_of_n(tmp_path):
    (tmp_path / "task.toml").write_text(MOOD + '[teacher]\nmodel = "recorded:answers.jsonl"\n')
    rows = [{"id": f"r{i}", "input": f"day {i}"} for i in range(7)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [{"id": row["id"], "teacher_label": "good"} for row in rows]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    ticks = []
    result_of(
        label(tmp_path / "task.toml", Session(teacher=f"recorded:{tmp_path}/answers.jsonl", on_progress=ticks.append))
    )
    last = {tick.what: (tick.done, tick.total, tick.unit) for tick in ticks}
    assert last == {"reading the recorded answers": (7, 7, "rows")}


WORDS = ["linear on teacher labels (stand-in)", "96.3 %", "[93.5, 98.2]", "$0.0035", "498 µs/28 ms", "cannot tell"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_table_never_breaks_inside_a_word(width):
    heads = ["arm", "accuracy", "interval, %", "per 1,000 calls", "p50 / p99 latency", "gate"]
    table = FittingTable(heads, [[Text(word) for word in WORDS]] * 2, wrapping=(0, 5), left=(5,))
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    shown = {word for line in lines for word in line.split()}
    assert {part for word in [*heads[1:], *WORDS] for part in word.split()} <= shown


@pytest.mark.parametrize("width", [60, 80])
def test_on_a_terminal_sentences_break_between_words_and_commands_do_not(width):
    console = PlainConsole(file=io.StringIO(), width=width, force_terminal=True, color_system=None, soft_wrap=True)
    sentence = "put your prompt into the task as the instruction and then label the rows with it, " * 2
    command = f"next: stillhouse distill {'tickets/' * 12} --advice runs/tickets-advise-1"
    console.print(f"{sentence}\n{command}")
    lines = console.file.getvalue().splitlines()
    assert lines[-1] == command
    assert all(len(line) <= width for line in lines[:-1])
    assert " ".join(" ".join(lines[:-1]).split()) == sentence.strip()


def test_off_a_terminal_lines_stay_whole():
    console = PlainConsole(file=io.StringIO(), width=60, force_terminal=False, soft_wrap=True)
    console.print("word " * 40)
    assert len(console.file.getvalue().splitlines()) == 1
