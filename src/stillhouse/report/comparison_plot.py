"""The drawing of a comparison: how the rows fell, and every win rate with its interval against one half."""

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.report import svg
from stillhouse.report.html import two_widths
from stillhouse.report.plots import NARROW, WIDE
from stillhouse.report.svg import Scale
from stillhouse.results.comparison import WinRates

_EDGE, _BAR_TOP, _BAR = 4, 22, 30
_ROW, _FOOT = 40, 44


def comparison_drawing(win_rates: WinRates, name: str = "win-rate") -> Markup:
    """The plot in two widths. `name` tells drawings on one page apart."""
    return two_widths(lambda width: comparison_plot(win_rates, width, name), WIDE, NARROW)


def comparison_plot(win_rates: WinRates, width: int = WIDE, name: str = "win-rate") -> Markup:
    """A bar of how the rows fell, and below it a line for each win rate."""
    top = _BAR_TOP + _BAR + 46
    bottom = top + _ROW * len(win_rates.estimates)
    x = Scale(0.0, 1.0, _EDGE + 14, width - _EDGE - 18)
    body = [_tally(win_rates, width), *_axis(win_rates, x, top, bottom)]
    for index, (what, estimate) in enumerate(win_rates.estimates):
        y = top + _ROW * index + 26
        colour = "s1" if index == 0 else "faint"
        if estimate.low is not None and estimate.high is not None:
            body.append(svg.line(x(estimate.low), y, x(estimate.high), y, f"whisker {colour}"))
        tip = f"{what}: {numbers.described(estimate)}"
        body.append(svg.dot(x(estimate.value), y, f"point {colour}", tip, radius=4.5))
        words = f"{numbers.bare(estimate.value)} {numbers.interval(estimate)}, n = {numbers.count(estimate.n)}"
        label = f"{what}: {words}"
        # Where the numbers do not fit into the bar, the table beside the plot has them.
        if svg.CHAR_PX * len(label) >= width:
            label = svg.wrapped(what, width - 2 * _EDGE, lines=1)[0]
        body.append(svg.text(_EDGE, y - 11, label, f"label halo {colour}"))
    told = [f"{part}: {numbers.count(count)}" for part, count, _ in _parts(win_rates)]
    told += [f"{what}: {numbers.described(estimate)}" for what, estimate in win_rates.estimates]
    return svg.figure(f"{name}-{width}", width, bottom + _FOOT, win_rates.sentence, ". ".join(told) + ".", *body)


def _axis(win_rates: WinRates, x: Scale, top: float, bottom: float) -> list[Markup]:
    """The axis of win rates, the line at one half, and the gate's margin as a shade."""
    parts = [svg.line(x.start, bottom, x.end, bottom, "axis"), svg.line(x(0.5), top - 8, x(0.5), bottom, "reference")]
    if win_rates.decided is not None:
        least = x(0.5 - win_rates.decided.margin)
        parts.append(svg.rect(least, top - 8, x(0.5) - least, bottom - top + 8, "window"))
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(svg.line(x(tick), bottom, x(tick), bottom + 4, "axis"))
        parts.append(svg.text(x(tick), bottom + 17, f"{100 * tick:.0f}", "tick", "middle"))
    parts.append(svg.text(x.end, bottom + 34, "win rate, %", "axis-title", "end"))
    return parts


def _parts(win_rates: WinRates) -> list[tuple[str, int, str]]:
    """The parts of the bar from left to right: (name, rows, colour)."""
    tally = win_rates.tally
    return [
        ("A wins", tally.wins, "s1"),
        ("ties", tally.ties, "faint"),
        ("both bad", tally.both_bad, "ink"),
        ("B wins", tally.losses, "s2"),
    ]


def _tally(win_rates: WinRates, width: int) -> Markup:
    """One bar of all rows. Each part has its words above it where they fit, and in the table in any case."""
    left, parts = float(_EDGE), []
    taken = 0.0  # pixels from the left that the words above the bar have used
    for name, count, colour in _parts(win_rates):
        wide = (width - 2 * _EDGE) * count / win_rates.tally.n
        parts.append(svg.rect(left, _BAR_TOP, max(0.0, wide - 1.5), _BAR, f"bar {colour}"))
        words = f"{name} {numbers.count(count)}"
        needed = svg.CHAR_PX * len(words)
        if colour == "s2":  # the bar's last part has words that end at the bar's right end
            start = width - _EDGE - needed
            fits = start >= taken and start + needed <= width
        else:
            start = max(left, taken)
            fits = start <= left + wide and start + needed <= left + max(wide, needed)
        if count and fits:
            at, anchor = (width - _EDGE, "end") if colour == "s2" else (start, "start")
            parts.append(svg.text(at, _BAR_TOP - svg.LINE_PX / 2, words, f"label {colour}", anchor))
            taken = start + needed + 12
        left += wide
    return Markup("").join(parts)
