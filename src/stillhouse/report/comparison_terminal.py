"""Two systems judged answer against answer, for the terminal: a bar, the rates, the checks."""

from rich.console import Group, RenderableType
from rich.text import Text

from stillhouse import numbers
from stillhouse.records import Estimate
from stillhouse.report.fitting_table import FittingTable
from stillhouse.results.comparison import Tally, WinRates

BAR = 60  # width of a bar, in characters


def shown_check(what: str, estimate: Estimate) -> str:
    """A check's number: kappa and alpha as they are, shares in percent."""
    if what not in ("kappa", "Krippendorff's alpha"):
        return f"{numbers.percent(estimate.value)} {numbers.interval(estimate)}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f} no interval"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def comparison_text(win_rates: WinRates) -> RenderableType:
    """The comparison for 80 columns of a terminal: heading, the bar, every rate, the checks, what has to be said."""
    lines: list[RenderableType] = [
        Text(win_rates.heading[0].upper() + win_rates.heading[1:], style="bold"),
        Text(f"{win_rates.sentence}."),
        Text(bar(win_rates.tally)),
        _rates(win_rates),
        *([_checks(win_rates)] if win_rates.checks else []),
        *(Text(note, style="dim") for note in win_rates.notes),
    ]
    if win_rates.weak:
        weak = [
            f"{each.metric} {numbers.described(each.a)} of {win_rates.a}, {numbers.described(each.b)} of {win_rates.b}"
            for each in win_rates.weak
        ]
        lines.append(Text(f"Weak evidence, shared words with the labels: {'; '.join(weak)}", style="dim"))
    if (decided := win_rates.decided) is not None:
        style = {"pass": "green", "fail": "red"}.get(decided.answer, "yellow")
        lines.append(Text.assemble(("Gate: ", "dim"), (decided.sentence, style)))
    return Group(*lines)


def _rates(win_rates: WinRates) -> FittingTable:
    rows = []
    for index, (name, estimate) in enumerate(win_rates.estimates):
        style = "bold" if index == 0 else ""
        cells = (name, numbers.bare(estimate.value), numbers.interval(estimate), numbers.count(estimate.n))
        rows.append([Text(cell, style=style) for cell in cells])
    return FittingTable([f"win rate of {win_rates.a}, by", "%", "interval, %", "n"], rows)


def _checks(win_rates: WinRates) -> FittingTable:
    rows = []
    for what, estimate, read in win_rates.checks:
        note = Text(f"n = {numbers.count(estimate.n)}; {read}", style="dim")
        rows.append([Text(what), Text(shown_check(what, estimate)), note])
    return FittingTable(["", "", ""], rows, wrapping=(0, 2), left=(1, 2), ruled=False)


def bar(tally: Tally) -> str:
    """Wins, ties, both bad, losses as one bar with their counts."""
    parts = [("wins", tally.wins, "█"), ("ties", tally.ties, "▒")]
    parts += [("both bad", tally.both_bad, "·"), ("losses", tally.losses, "░")]
    drawn = "".join(glyph * round(BAR * count / tally.n) for _, count, glyph in parts)
    words = "   ".join(f"{glyph} {name} {numbers.count(count)}" for name, count, glyph in parts)
    return f"{drawn}\n{words}"
