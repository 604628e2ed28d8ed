"""The drawing of a comparison: how the rows fell, and every win rate with its interval against one half and the gate's margin."""

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.report.plots import NARROW, WIDE
from stillhouse.report.svg import CHAR_PX, LINE_PX, Scale, dot, figure, line, rect, text, wrapped
from stillhouse.results.comparison import WinRates

_EDGE, _BAR_TOP, _BAR = 4, 22, 30
_ROW, _FOOT = 40, 44


def comparison_plot(found: WinRates, width: int = WIDE, name: str = "win-rate") -> Markup:
    """`name` tells drawings on one page apart."""
    rows = found.estimates
    top = _BAR_TOP + _BAR + 46
    bottom = top + _ROW * len(rows)
    x = Scale(0.0, 1.0, _EDGE + 14, width - _EDGE - 18)
    said = [f"{part}: {numbers.count(count)}" for part, count, _ in _parts(found)] + [
        f"{what}: {numbers.described(one)}" for what, one in rows
    ]
    body = [_tally(found, width), *_axis(found, x, top, bottom)]
    for index, (what, estimate) in enumerate(rows):
        y = top + _ROW * index + 26
        colour = "s1" if index == 0 else "faint"
        if estimate.low is not None and estimate.high is not None:
            body.append(line(x(estimate.low), y, x(estimate.high), y, f"whisker {colour}"))
        body.append(dot(x(estimate.value), y, f"point {colour}", f"{what}: {numbers.described(estimate)}", radius=4.5))
        numbered = (
            f"{what}: {numbers.bare(estimate.value)} {numbers.interval(estimate)}, n = {numbers.count(estimate.n)}"
        )
        words = (
            numbered if CHAR_PX * len(numbered) < width else wrapped(what, width - 2 * _EDGE, lines=1)[0]
        )  # the table below has the numbers
        body.append(text(_EDGE, y - 11, words, f"label halo {colour}"))
    return figure(f"{name}-{width}", width, bottom + _FOOT, found.sentence, ". ".join(said) + ".", *body)


def _axis(found: WinRates, x: Scale, top: float, bottom: float) -> list[Markup]:
    parts = [line(x.start, bottom, x.end, bottom, "axis"), line(x(0.5), top - 8, x(0.5), bottom, "reference")]
    if found.decided is not None:
        bar = x(0.5 - found.decided.margin)
        parts += [rect(bar, top - 8, x(0.5) - bar, bottom - top + 8, "window")]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [
            line(x(tick), bottom, x(tick), bottom + 4, "axis"),
            text(x(tick), bottom + 17, f"{100 * tick:.0f}", "tick", "middle"),
        ]
    parts.append(text(x.end, bottom + 34, "win rate, %", "axis-title", "end"))
    return parts


def _parts(found: WinRates) -> list[tuple[str, int, str]]:
    tally = found.tally
    return [
        ("A wins", tally.wins, "s1"),
        ("ties", tally.ties, "faint"),
        ("both bad", tally.both_bad, "ink"),
        ("B wins", tally.losses, "s2"),
    ]


def _tally(found: WinRates, width: int) -> Markup:
    """One bar of all rows; each part has its words above it where they fit, and in the table in any case."""
    left, room, parts, taken = float(_EDGE), width - 2 * _EDGE, [], 0.0
    for name, count, colour in _parts(found):
        wide = room * count / found.tally.n
        parts.append(rect(left, _BAR_TOP, max(0.0, wide - 1.5), _BAR, f"bar {colour}"))
        words = f"{name} {numbers.count(count)}"
        needed = CHAR_PX * len(words)
        last = colour == "s2"
        start = width - _EDGE - needed if last else max(left, taken)
        if (
            count
            and start >= taken
            and start + needed <= (width if last else left + max(wide, needed))
            and (last or start <= left + wide)
        ):
            parts.append(
                text(
                    width - _EDGE if last else start,
                    _BAR_TOP - LINE_PX / 2,
                    words,
                    f"label {colour}",
                    "end" if last else "start",
                )
            )
            taken = start + needed + 12
        left += wide
    return Markup("").join(parts)


def both_cuts(found: WinRates, name: str = "win-rate") -> Markup:
    """The plot in a wide and a narrow cut; the style sheet shows the one that fits."""
    return Markup("<div class='wide'>{}</div><div class='narrow'>{}</div>").format(
        comparison_plot(found, WIDE, name), comparison_plot(found, NARROW, name)
    )
