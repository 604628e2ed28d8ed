"""Two learning curves and the data advantage between them: as an SVG drawing, and as text for the terminal.

What is drawn comes as values: the runs, the curves as the protocol reads them, and for every score of the window
the two sizes that are compared.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from stillhouse import numbers
from stillhouse.report import svg
from stillhouse.report.fitting_table import FittingTable
from stillhouse.report.svg import EndLabel, Frame, Scale

_LEFT, _TOP, _FOOT = 50, 34, 46
_COLOURS = ("s1", "s2")
_GLYPHS = ("●", "○")
PLOT_WIDTH = 64  # characters


@dataclass(frozen=True)
class DrawnCurve:
    """One arm. `runs`: (n, score) of each; `path`: the line, finely: a fit that never falls.

    `measured`: (n, score, low, high) at each size, `low` and `high` None where there is no band.
    """

    name: str
    runs: tuple[tuple[int, float], ...]
    measured: tuple[tuple[int, float, float | None, float | None], ...]
    path: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class AdvantagePicture:
    """`between`: (score, size of the first curve, size of the second) over the window, ascending.

    `n_star`: where the curves cross, with its interval.
    """

    title: str
    curves: tuple[DrawnCurve, DrawnCurve]
    window: tuple[float, float]
    between: tuple[tuple[float, float, float], ...]
    n_star: float | None = None
    n_low: float | None = None
    n_high: float | None = None


def advantage_plot(picture: AdvantagePicture, width: int = 700, name: str = "advantage") -> Markup:
    """Score against training rows (log scale). The area between the curves over the window is shaded.

    The advantage is the mean width of that area. `name` tells drawings on one page apart.
    """
    values = [score for curve in picture.curves for _, score in curve.runs]
    values += [
        value for curve in picture.curves for point in curve.measured for value in point[1:] if value is not None
    ]
    sizes = sorted({n for curve in picture.curves for n, *_ in curve.measured})
    room = svg.end_label_width((curve.name for curve in picture.curves), width)
    bottom = round(min(400, 0.66 * width + 40)) - _FOOT
    x = Scale(sizes[0], sizes[-1] if len(sizes) > 1 else 2 * sizes[0], _LEFT + 8, width - room - 18, log=True)
    pad = 0.06 * (max(values) - min(values)) or 0.01
    y = Scale(min(values) - pad, max(values) + pad, bottom - svg.STRIP_PX, _TOP)
    frame = Frame(_LEFT, width - room - 14, _TOP, bottom, x, y)
    low, high = picture.window
    left_edge = [(x(first), y(score)) for score, first, _ in picture.between]
    right_edge = [(x(second), y(score)) for score, _, second in picture.between]
    coloured = list(zip(picture.curves, _COLOURS, strict=True))
    labels = [EndLabel(curve.name, y(curve.path[-1][1]), colour) for curve, colour in coloured]
    x_ticks, y_ticks = svg.apart(sizes, x, numbers.count), svg.linear_ticks(y.low, y.high)
    body = [
        svg.rect(frame.left, y(high), frame.right - frame.left, y(low) - y(high), "window"),
        frame.grid(x_ticks, y_ticks, numbers.count, _plain),
        frame.titles("training rows (log scale)", "score"),
        svg.polygon([*right_edge, *reversed(left_edge)], "between"),
        *(_drawn(curve, frame, colour) for curve, colour in coloured),
        *_crossing(picture, frame),
        svg.text(frame.left + 6, y(high) + 16, "window", "tick"),
        svg.end_labels(labels, frame, room),
    ]
    return svg.figure(f"{name}-{width}", width, bottom + _FOOT, picture.title, _in_words(picture), *body)


def _in_words(picture: AdvantagePicture) -> str:
    """The picture for readers who hear the page."""
    low, high = picture.window
    sentences = []
    for curve in picture.curves:
        points = [f"{_plain(score)} at {numbers.count(n)} rows" for n, score, *_ in curve.measured]
        sentences.append(f"{curve.name}: {'; '.join(points)}.")
    return " ".join([*sentences, f"Window: scores from {_plain(low)} to {_plain(high)}."])


def _drawn(curve: DrawnCurve, frame: Frame, colour: str) -> Markup:
    x, y = frame.x, frame.y
    banded = [(n, low, high) for n, _, low, high in curve.measured if low is not None and high is not None]
    band = [(x(n), y(high)) for n, _, high in banded] + [(x(n), y(low)) for n, low, _ in reversed(banded)]
    parts = [svg.polygon(band, f"band {colour}")] if len(banded) > 1 else []
    parts += [svg.dot(x(n), y(score), f"seed {colour}", radius=1.8) for n, score in curve.runs]
    parts.append(svg.polyline([(x(n), y(score)) for n, score in curve.path], f"line {colour}"))
    for n, score, *_ in curve.measured:
        tip = f"{curve.name}, {numbers.count(n)} training rows: {_plain(score)}"
        parts.append(svg.dot(x(n), y(score), f"point {colour}", tip))
    return Markup("").join(parts)


def _crossing(picture: AdvantagePicture, frame: Frame) -> list[Markup]:
    if picture.n_star is None:
        return []

    def on_axis(n: float) -> float:
        """The size, or the axis's end: a crossing may lie just outside the sizes, and 0 has no place on a log axis."""
        return min(max(n, frame.x.low), frame.x.high)

    path, shown = picture.curves[0].path, on_axis(picture.n_star)
    score = min(path, key=lambda point: abs(math.log(point[0] / shown)))[1]
    words = f"n* = {numbers.count(picture.n_star)}"
    mark = svg.foot_mark(frame.x(shown), frame.y(score), frame, words, "ink", 0)
    if picture.n_low is None and picture.n_high is None:
        return [mark]
    low, high = on_axis(picture.n_low or frame.x.low), on_axis(picture.n_high or frame.x.high)
    return [svg.line(frame.x(low), frame.bottom, frame.x(high), frame.bottom, "span ink"), mark]


def _plain(value: float) -> str:
    return f"{value:.4g}"


def advantage_text(picture: AdvantagePicture, what: str) -> RenderableType:
    """The same for a terminal of 80 columns: a plot in characters, then every size's numbers.

    `what` heads the numbers: means, or the best so far.
    """
    heads = [f"{glyph} {curve.name}, {what}" for curve, glyph in zip(picture.curves, _GLYPHS, strict=True)]
    columns = [{n: _cell(curve, n) for n, *_ in curve.measured} for curve in picture.curves]
    rows = [
        [Text(numbers.count(n)), *(Text(column.get(n, "–")) for column in columns)]
        for n in sorted({*columns[0], *columns[1]})
    ]
    table = FittingTable(["training rows", *heads], rows, wrapping=())
    return Group(_TextPlot([curve.path for curve in picture.curves]), table)


class _TextPlot:
    """`text_plot` as wide as there is room."""

    def __init__(self, paths: Sequence[Sequence[tuple[float, float]]]) -> None:
        self._paths = paths

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        axis = max(map(len, text_plot(self._paths).splitlines())) - PLOT_WIDTH
        width = max(16, min(PLOT_WIDTH, options.max_width - axis))
        yield Text(text_plot(self._paths, width), no_wrap=True)


def _cell(curve: DrawnCurve, n: int) -> str:
    score, low, high = next(point[1:] for point in curve.measured if point[0] == n)
    band = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    runs = sum(size == n for size, _ in curve.runs)
    return f"{score:.3f}{band} ({runs} {'run' if runs == 1 else 'runs'})"


def text_plot(paths: Sequence[Sequence[tuple[float, float]]], width: int = PLOT_WIDTH, height: int = 14) -> str:
    """Lines in characters over a log axis, one glyph each; where two lines share a cell the first is on top."""
    xs, ys = [math.log(n) for path in paths for n, _ in path], [score for path in paths for _, score in path]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    rows = [[" "] * width for _ in range(height)]
    for path, glyph in reversed(list(zip(paths, _GLYPHS, strict=False))):
        for n, score in path:
            column = round((math.log(n) - x0) / ((x1 - x0) or 1.0) * (width - 1))
            row = round((y1 - score) / ((y1 - y0) or 1.0) * (height - 1))
            rows[row][column] = glyph
    labels = [_plain(y1), *[""] * (height - 2), _plain(y0)]
    room = max(map(len, labels))
    drawn = [f"{label:>{room}} │{''.join(cells).rstrip()}" for label, cells in zip(labels, rows, strict=True)]
    first, last = numbers.count(math.exp(x0)), numbers.count(math.exp(x1))
    axis = [
        f"{'':{room}} └{'─' * width}",
        f"{'':{room}}  {first}{last:>{width - len(first)}}",
        f"{'':{room}}  {'training rows (log scale)':>{width}}",
    ]
    return "\n".join([*drawn, *axis])
