"""The few pieces that a plot is made of: escaped tags, scales, ticks, axes, and labels that do not overlap.

Everything is a pure function of its arguments. Colours and type come from the page's style sheet by class name, so one
drawing serves light, dark and print.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from stillhouse.clean_text import xml_text

LINE_PX = 14  # pixels from one line of a label to the next
SERIES = 6  # number of the style sheet's colours that readers with any common colour vision deficiency can tell apart
STRIP_PX = 17  # height of a row kept free above the axis for words
# Mean width of a bold character of the style sheet's sans (Arial's metrics) at 12 px. It is rounded up, so that a label
# that is a little too long is wrapped and not clipped.
CHAR_PX = 6.8


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """One element. Children that are not Markup are escaped, and cleaned of what XML forbids.

    `class_` is written class, `stroke_width` stroke-width; an attribute of None is left out.
    """
    known = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    parts = [f" {key}='{_escaped(_to_a_tenth(value))}'" for key, value in known.items()]
    return Markup(f"<{name}{''.join(parts)}>{''.join(map(_escaped, children))}</{name}>")


def _escaped(value: object) -> Markup:
    return value if isinstance(value, Markup) else escape(xml_text(str(value)))


def _to_a_tenth(value: object) -> object:
    """Pixels to a tenth: nobody sees less, and files stay small."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Markup:
    where = None if anchor == "start" else anchor
    return tag("text", words, x=float(x), y=float(y), class_=class_ or None, text_anchor=where)


def beside(x: float, y: float, words: str, class_: str, left: bool, gap: float = 6) -> Markup:
    """Words at the left or at the right of an upright line at `x`."""
    return text(x - gap, y, words, class_, "end") if left else text(x + gap, y, words, class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, *children: str) -> Markup:
    return tag("rect", *children, x=float(x), y=float(y), width=max(0.0, width), height=max(0.0, height), class_=class_)


def polyline(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    return tag("polyline", points=_pairs(points), class_=class_)


def polygon(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    return tag("polygon", points=_pairs(points), class_=class_)


def _pairs(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def dot(x: float, y: float, class_: str, tip: str = "", radius: float = 3.5) -> Markup:
    """A marker; `tip` shows when the pointer rests on it."""
    return tag("circle", *([tag("title", tip)] if tip else []), cx=float(x), cy=float(y), r=radius, class_=class_)


def figure(name: str, width: int, height: int, title: str, description: str, *body: str) -> Markup:
    """The drawing as a whole. `name` must be unique on the page: the title and the description are found by it."""
    inside = (tag("title", title, id=f"{name}-title"), tag("desc", description, id=f"{name}-desc"), *body)
    size = {"viewBox": f"0 0 {width} {height}", "width": width, "height": height}
    return tag("svg", *inside, **size, role="img", aria_labelledby=f"{name}-title {name}-desc", class_="plot")


@dataclass(frozen=True, slots=True)
class Scale:
    """From data to pixels: [low, high] onto [start, end], linear, or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most about `most` round numbers (1, 2, 2.5, 5 times a power of ten) inside [low, high]."""
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def decade_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Powers of ten inside [low, high], every second or third one where they would be too many."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [10.0**power for power in range(first, last + 1, step)]


def apart(ticks: Sequence[float], scale: Scale, label: Callable[[float], str]) -> list[float]:
    """The ticks whose labels do not touch, kept from the high end: the largest size is the one that matters."""

    def touch(one: float, other: float) -> bool:
        return abs(scale(one) - scale(other)) < CHAR_PX * (len(label(one)) + len(label(other))) / 2 + 8

    kept: list[float] = []
    for tick in sorted(ticks, reverse=True):
        if not kept or not touch(kept[-1], tick):
            kept.append(tick)
    return kept[::-1]


def tick_count(value: float) -> str:
    """1000 -> "1k": ticks have no room for words."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def tick_usd(value: float) -> str:
    """1000 -> "$1k", 0.001 -> "$0.001"."""
    return f"${tick_count(value)}" if value >= 1 else f"${value:.12f}".rstrip("0")


@dataclass(frozen=True, slots=True)
class Frame:
    """A plotting area: the pixels of its edges and the two scales on it."""

    left: float
    right: float
    top: float
    bottom: float
    x: Scale
    y: Scale

    def grid(
        self,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        x_label: Callable[[float], str],
        y_label: Callable[[float], str],
    ) -> Markup:
        """Hairlines across at the y ticks, short ones below the x ticks, and their numbers."""
        parts = []
        for tick in y_ticks:
            y = self.y(tick)
            parts.append(line(self.left, y, self.right, y, "grid"))
            parts.append(text(self.left - 6, y + 4, y_label(tick), "tick", "end"))
        parts.append(line(self.left, self.bottom, self.right, self.bottom, "axis"))
        for tick in x_ticks:
            x = self.x(tick)
            parts.append(line(x, self.bottom, x, self.bottom + 4, "axis"))
            parts.append(text(x, self.bottom + 17, x_label(tick), "tick", "middle"))
        return Markup("").join(parts)

    def titles(self, x_title: str, y_title: str) -> Markup:
        """What the axes are: y above its numbers, x below at the right end, or "" where a panel below shares it."""
        below = text(self.right, self.bottom + 34, x_title, "axis-title", "end") if x_title else ""
        return text(2, self.top - 12, y_title, "axis-title") + below


def wrapped(words: str, width_px: float, lines: int = 3) -> list[str]:
    """A label broken into at most `lines` lines of about `width_px`. An ellipsis says that there was more."""
    room = max(4, int(width_px / CHAR_PX))
    broken = textwrap.wrap(words, room, break_on_hyphens=False) or [""]
    return broken if len(broken) <= lines else [*broken[: lines - 1], broken[lines - 1][: room - 1].rstrip() + "…"]


def spread(centres: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """The centres of stacked labels, moved as little as needed so that none overlap and all lie within [low, high].

    Their order is kept.
    """
    order = sorted(range(len(centres)), key=lambda index: centres[index])
    moved = list(centres)
    edge = low
    for index in order:  # go down the page, and put each label below the one before
        moved[index] = max(centres[index], edge + heights[index] / 2)
        edge = moved[index] + heights[index] / 2
    edge = high
    for index in reversed(order):  # then go back up from the lower edge
        moved[index] = min(moved[index], edge - heights[index] / 2)
        edge = moved[index] - heights[index] / 2
    return moved


@dataclass(frozen=True, slots=True)
class EndLabel:
    """A name to set at the right of a line that ends at `y`."""

    words: str
    y: float
    class_: str


def end_labels(labels: Sequence[EndLabel], frame: Frame, width_px: float) -> Markup:
    """Names beside the ends of their lines, spread out, with a short leader where one had to move."""
    texts = [wrapped(label.words, width_px) for label in labels]
    heights = [LINE_PX * len(lines) + 3.0 for lines in texts]
    centres = spread([label.y for label in labels], heights, frame.top - 8, frame.bottom + 8)
    parts = []
    for label, lines, centre in zip(labels, texts, centres, strict=True):
        x = frame.right + 12
        leader = [(frame.right + 2, label.y), (frame.right + 5, label.y), (x - 2, centre)]
        parts.append(polyline(leader, f"leader {label.class_}"))
        first = centre - LINE_PX * (len(lines) - 1) / 2 + 4
        parts += [text(x, first + LINE_PX * row, words, f"label {label.class_}") for row, words in enumerate(lines)]
    return Markup("").join(parts)


def end_label_width(names: Iterable[str], width: int) -> float:
    """Pixels to keep free at the right for end labels: what the longest name needs, but no more than 0.3 of `width`."""
    longest = max((len(name) for name in names), default=0)
    return min(CHAR_PX * longest + 4, 0.3 * width)


def foot_mark(x: float, top: float, frame: Frame, words: str, colour: str, row: int) -> Markup:
    """A drop line from (x, top) to the axis, with its words beside it on the side that has more room.

    The words stand in the strip that is kept free above the axis, in the given row from its foot.
    """
    left = x > (frame.left + frame.right) / 2
    label = beside(x, frame.bottom - 6 - STRIP_PX * row, words, f"label halo {colour}", left)
    return line(x, top, x, frame.bottom, f"drop {colour}") + dot(x, top, f"cross {colour}", radius=5) + label


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The shared area in square pixels."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, wide) * max(0.0, high)


def point_labels(points: Sequence[tuple[float, float, str, str]], taken: Sequence[Box], bounds: Box) -> Markup:
    """Names beside points (x, y, name, class): each as near as it can be without covering what is there already."""
    boxes = list(taken)
    parts = []
    for x, y, words, class_ in points:
        lines = wrapped(words, min(130, 0.36 * (bounds.right - bounds.left)), lines=2)
        wide, high = CHAR_PX * max(map(len, lines)), LINE_PX * len(lines)
        choices = []
        for left in (x + 9, x - 9 - wide, x - wide / 2):
            for away in (0.0, -8 - high / 2, 8 + high / 2, -26 - high / 2, 26 + high / 2):
                box = Box(left, y + away - high / 2, left + wide, y + away + high / 2)
                covered = 4 * (wide * high - box.overlap(bounds)) + 8 * sum(map(box.overlap, taken))
                covered += sum(map(box.overlap, boxes))
                # A label far from its point needs a leader line, and so must be worth one.
                far = 20 if abs(away) > 26 else 0
                choices.append((covered + abs(away) + far, away, box))
        _, away, best = min(choices, key=lambda choice: choice[0])
        boxes.append(best)
        if abs(away) > 26 + high / 2 - 1:
            start, end = (y + 6, best.top) if away > 0 else (y - 6, best.bottom)
            parts.append(line(x, start, x, end, f"leader {class_}"))
        if best.right < x:
            anchor, at = "end", best.right
        elif best.left > x:
            anchor, at = "start", best.left
        else:
            anchor, at = "middle", (best.left + best.right) / 2
        for row, part in enumerate(lines):
            parts.append(text(at, best.top + 11 + LINE_PX * row, part, f"label {class_}", anchor))
    return Markup("").join(parts)
