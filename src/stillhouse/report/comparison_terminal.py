"""Two systems judged answer against answer, for the terminal: a bar, the rates, the checks. `comparison_plot` draws them for the page."""

import rich.box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stillhouse import numbers
from stillhouse.records import Estimate
from stillhouse.results.comparison import Tally, WinRates

BAR = 60  # characters


def shown_check(what: str, estimate: Estimate) -> str:
    """A check's number: kappa and alpha as they are, shares in percent."""
    if what not in ("kappa", "Krippendorff's alpha"):
        return f"{numbers.percent(estimate.value)} {numbers.interval(estimate)}"
    ends = (
        "no interval" if estimate.low is None or estimate.high is None else f"[{estimate.low:.2f}, {estimate.high:.2f}]"
    )
    return f"{estimate.value:.2f} {ends}"


def comparison_text(found: WinRates) -> RenderableType:
    """For a terminal of 80 columns: the heading, the bar, every rate, the checks, what has to be said."""
    rates = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    rates.add_column(Text(f"win rate of {found.a}, by"), overflow="fold")
    for head in ("%", "interval, %", "n"):
        rates.add_column(head, justify="right", no_wrap=True)
    for index, (name, estimate) in enumerate(found.estimates):
        cells = (numbers.bare(estimate.value), numbers.interval(estimate), numbers.count(estimate.n))
        rates.add_row(Text(name), *cells, style="bold" if index == 0 else "")
    checks = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for what, estimate, read in found.checks:
        checks.add_row(
            Text(what), Text(shown_check(what, estimate)), Text(f"n = {numbers.count(estimate.n)}; {read}", style="dim")
        )
    weak = [f"{one.metric} {numbers.described(one.a)} and {numbers.described(one.b)}" for one in found.weak]
    lines = [Text(note, style="dim") for note in found.notes]
    lines += [Text(f"Weak evidence, shared words with the labels: {'; '.join(weak)}", style="dim")] if weak else []
    gate: list[Text] = []
    if (decided := found.decided) is not None:
        gate.append(
            Text.assemble(
                ("Gate: ", "dim"), (decided.sentence, {"pass": "green", "fail": "red"}.get(decided.answer, "yellow"))
            )
        )
    top = [Text(found.heading[0].upper() + found.heading[1:], style="bold"), Text(f"{found.sentence}.")]
    return Group(*top, Text(bar(found.tally)), rates, *([checks] if found.checks else []), *lines, *gate)


def bar(tally: Tally) -> str:
    """Wins, ties, both bad, losses as one bar with their counts."""
    parts = [
        ("wins", tally.wins, "█"),
        ("ties", tally.ties, "▒"),
        ("both bad", tally.both_bad, "·"),
        ("losses", tally.losses, "░"),
    ]
    drawn = "".join(glyph * round(BAR * number / tally.n) for _, number, glyph in parts)
    words = "   ".join(f"{glyph} {name} {numbers.count(number)}" for name, number, glyph in parts)
    return f"{drawn}\n{words}"
