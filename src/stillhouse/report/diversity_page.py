"""What was generated as one self-contained HTML file: how much was kept and why not the rest, and how varied it is."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from stillhouse import __version__, numbers
from stillhouse.report import svg
from stillhouse.report.html import templates, two_widths
from stillhouse.report.sunburst import sunburst
from stillhouse.report.svg import Frame, Scale
from stillhouse.results.diversity import Diversity, Histogram

RINGS, HALF, NARROW = 560, 520, 328
_LEFT, _TOP, _FOOT, _HEIGHT = 50, 30, 46, 270


def render_diversity(diversity: Diversity) -> str:
    """The HTML."""
    return (
        templates()
        .get_template("diversity.html.j2")
        .render(page=diversity, drawings=_drawings(diversity), version=__version__)
    )


def _drawings(diversity: Diversity) -> dict[str, Markup]:
    """Every plot by its name in the template, which leaves out the empty ones."""

    def verbs(width: int) -> Markup:
        return sunburst("verbs", "Root verbs and their direct objects", diversity.verbs, width)

    def lengths(width: int) -> Markup:
        return histogram("lengths", "Words per text", "words", diversity.lengths, width, numbers.count)

    def nearest(width: int) -> Markup:
        return histogram("nearest", "Similarity to the nearest", "ROUGE-L", diversity.nearest, width, _tenth)

    def curve(width: int) -> Markup:
        return acceptance("curve", diversity.curve, width)

    return {
        "verbs": two_widths(verbs, RINGS, NARROW),
        "lengths": two_widths(lengths, HALF, NARROW),
        "nearest": two_widths(nearest, HALF, NARROW),
        "curve": two_widths(curve, HALF, NARROW),
    }


def histogram(
    name: str, title: str, x_title: str, data: Histogram | None, width: int, label: Callable[[float], str]
) -> Markup:
    """Bars for the set, a stepped line for what it is compared with. Both as shares, for their sizes differ."""
    if data is None:
        return Markup("")
    most = max((*data.shares, *(data.others or ())), default=0.0) or 1.0
    bottom = _HEIGHT - _FOOT
    x, y = Scale(data.edges[0], data.edges[-1], _LEFT, width - 10), Scale(0, most * 1.05, bottom, _TOP)
    frame = Frame(_LEFT, width - 10, _TOP, bottom, x, y)
    x_ticks = svg.linear_ticks(x.low, x.high, 6 if width > NARROW else 4)
    body = [frame.grid(x_ticks, svg.linear_ticks(0, y.high, 4), label, _whole_percent)]
    body.append(frame.titles(x_title, "share of the rows"))
    bins = list(zip(data.edges, data.edges[1:], strict=False))
    tips = []
    for (low, high), share in zip(bins, data.shares, strict=True):
        tip = f"{label(low)} to {label(high)}: {numbers.percent(share, 1)}"
        tips.append(tip)
        left, wide = x(low) + 1, x(high) - x(low) - 2
        body.append(svg.rect(left, y(share), wide, bottom - y(share), "bar s1", svg.tag("title", tip)))
    if data.others is not None:
        shares = zip(bins, data.others, strict=True)
        body.append(svg.polyline([(x(edge), y(share)) for ends, share in shares for edge in ends], "thin ink"))
    return svg.figure(f"{name}-{width}", width, _HEIGHT, title, ", ".join(tips), *body)


def acceptance(name: str, curve: Sequence[tuple[int, int]], width: int) -> Markup:
    """The share kept of each call's proposals, with the mean of ten calls as a line."""
    if len(curve) < 2:
        return Markup("")
    bottom = _HEIGHT - _FOOT
    x, y = Scale(1, len(curve), _LEFT + 6, width - 16), Scale(0, 1, bottom, _TOP)
    frame = Frame(_LEFT, width - 10, _TOP, bottom, x, y)
    ticks = [tick for tick in svg.linear_ticks(1, len(curve), 5) if tick == int(tick)]
    body = [frame.grid(ticks, [0, 0.25, 0.5, 0.75, 1], numbers.count, _whole_percent)]
    body.append(frame.titles("call", "kept of asked"))
    tips, mean = [], []
    for call, (asked, kept) in enumerate(curve, start=1):
        tips.append(f"call {call}: {kept} of {asked}")
        body.append(svg.dot(x(call), y(kept / asked), "seed s1", tips[-1], 2.5))
        last = curve[max(0, call - 10) : call]
        mean.append((x(call), y(sum(kept for _, kept in last) / sum(asked for asked, _ in last))))
    body.append(svg.polyline(mean, "line s1"))
    body.append(svg.line(frame.left, y(0.05), frame.right, y(0.05), "ideal"))
    return svg.figure(f"{name}-{width}", width, _HEIGHT, "Acceptance", "; ".join(tips), *body)


def _whole_percent(value: float) -> str:
    return numbers.percent(value, 0)


def _tenth(value: float) -> str:
    return f"{value:.1f}"
