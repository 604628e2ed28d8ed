"""The few pieces that a plot is made of: escaped tags, scales, ticks, axes, and labels that keep out of one another's way.

Everything is a pure function of its arguments. Colours and type come from the page's style sheet by class name, so one drawing serves light,
dark and print.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

LINE_PX = 14  # from one line of a label to the next
STRIP_PX = 17  # a row of words kept free above the axis
CHAR_PX = 6.8  # mean width of a bold character of the style sheet's sans (Arial's metrics) at 12 px, rounded up: a label is rather wrapped than clipped


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """One element. Children that are not Markup are escaped; `class_` is class, `stroke_width` is stroke-width, None is left out."""
    parts = [
        f" {key.rstrip('_').replace('_', '-')}='{escape(_short(value))}'"
        for key, value in attributes.items()
        if value is not None
    ]
    return Markup(f"<{name}{''.join(parts)}>{''.join(escape(child) for child in children)}</{name}>")


def _short(value: object) -> object:
    """Pixels to a tenth: nobody sees less, and files stay small."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Markup:
    return tag(
        "text", words, x=float(x), y=float(y), class_=class_ or None, text_anchor=anchor if anchor != "start" else None
    )


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
    head = (tag("title", title, id=f"{name}-title"), tag("desc", description, id=f"{name}-desc"))
    labels = f"{name}-title {name}-desc"
    return tag(
        "svg",
        *head,
        *body,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=labels,
        class_="plot",
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """From data to pixels: [low, high] onto [start, end], linear, or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (
            (math.log(self.low), math.log(self.high), math.log(value)) if self.log else (self.low, self.high, value)
        )
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
    kept: list[float] = []
    for tick in sorted(ticks, reverse=True):
        if (
            not kept
            or abs(scale(kept[-1]) - scale(tick)) >= CHAR_PX * (len(label(kept[-1])) + len(label(tick))) / 2 + 8
        ):
            kept.append(tick)
    return kept[::-1]


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
            parts += [
                line(self.left, y, self.right, y, "grid"),
                text(self.left - 6, y + 4, y_label(tick), "tick", "end"),
            ]
        parts.append(line(self.left, self.bottom, self.right, self.bottom, "axis"))
        for tick in x_ticks:
            x = self.x(tick)
            parts += [
                line(x, self.bottom, x, self.bottom + 4, "axis"),
                text(x, self.bottom + 17, x_label(tick), "tick", "middle"),
            ]
        return Markup("").join(parts)

    def titles(self, x_title: str, y_title: str) -> Markup:
        """What the axes are: y above its numbers, where it reads level; x below, at the right end, unless a panel below shares it."""
        below = text(self.right, self.bottom + 34, x_title, "axis-title", "end") if x_title else ""
        return text(2, self.top - 12, y_title, "axis-title") + below


def wrapped(words: str, width_px: float, lines: int = 3) -> list[str]:
    """A label broken into at most `lines` lines of about `width_px`; an ellipsis ends the last one where more would follow."""
    room = max(4, int(width_px / CHAR_PX))
    broken = textwrap.wrap(words, room, break_on_hyphens=False) or [""]
    return broken if len(broken) <= lines else [*broken[: lines - 1], broken[lines - 1][: room - 1].rstrip() + "…"]


def spread(centres: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Move the centres of stacked labels as little as needed so that they do not overlap and lie within [low, high]; order is kept."""
    order = sorted(range(len(centres)), key=lambda index: centres[index])
    moved = list(centres)
    edge = low
    for index in order:  # down the page: nobody above the one before
        moved[index] = max(centres[index], edge + heights[index] / 2)
        edge = moved[index] + heights[index] / 2
    edge = high
    for index in reversed(order):  # and back up from the lower edge
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
        parts.append(
            polyline(
                [(frame.right + 2, label.y), (frame.right + 5, label.y), (x - 2, centre)], f"leader {label.class_}"
            )
        )
        first = centre - LINE_PX * (len(lines) - 1) / 2 + 4
        parts += [text(x, first + LINE_PX * row, words, f"label {label.class_}") for row, words in enumerate(lines)]
    return Markup("").join(parts)


def end_label_width(names: Iterable[str], width: int) -> float:
    """Pixels to keep free at the right for end labels: as much as the longest name needs, at most about a third of the drawing."""
    longest = max((len(name) for name in names), default=0)
    return min(CHAR_PX * longest + 4, 0.3 * width)


def foot_mark(x: float, top: float, frame: Frame, words: str, colour: str, row: int) -> Markup:
    """A drop line from (x, top) to the axis with its words in the given row of the strip above the axis, on the side that has more room."""
    left = x > (frame.left + frame.right) / 2
    label = text(
        x - 6 if left else x + 6,
        frame.bottom - 6 - STRIP_PX * row,
        words,
        f"label halo {colour}",
        "end" if left else "start",
    )
    return line(x, top, x, frame.bottom, f"drop {colour}") + dot(x, top, f"cross {colour}", radius=5) + label


@dataclass(frozen=True, slots=True)
class Box:
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
    """Names beside points (x, y, name, class), each where it covers least of what is there already, then where it is nearest."""
    boxes = list(taken)
    parts = []
    for x, y, words, class_ in points:
        lines = wrapped(words, min(130, 0.36 * (bounds.right - bounds.left)), lines=2)
        wide, high = CHAR_PX * max(map(len, lines)), LINE_PX * len(lines)
        choices = []
        for left in (x + 9, x - 9 - wide, x - wide / 2):
            for away in (0.0, -8 - high / 2, 8 + high / 2, -26 - high / 2, 26 + high / 2):
                box = Box(left, y + away - high / 2, left + wide, y + away + high / 2)
                covered = (
                    4 * (wide * high - box.overlap(bounds))
                    + sum(box.overlap(other) for other in boxes)
                    + 8 * sum(map(box.overlap, taken))
                )
                choices.append(
                    (covered + abs(away) + (20 if abs(away) > 26 else 0), away, box)
                )  # a far label must be worth its leader
        _, away, best = min(choices, key=lambda choice: choice[0])
        boxes.append(best)
        if abs(away) > 26 + high / 2 - 1:
            parts.append(
                line(x, y + (6 if away > 0 else -6), x, best.top if away > 0 else best.bottom, f"leader {class_}")
            )
        anchor, at = (
            ("end", best.right)
            if best.right < x
            else ("start", best.left)
            if best.left > x
            else ("middle", (best.left + best.right) / 2)
        )
        parts += [
            text(at, best.top + 11 + LINE_PX * row, part, f"label {class_}", anchor) for row, part in enumerate(lines)
        ]
    return Markup("").join(parts)
