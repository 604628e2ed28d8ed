"""Two rings: the inner one parted by a first name, the outer one by a second name within the first.

Drawn so for the root verbs and objects of self-instruct's data.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.report.svg import SERIES, figure, tag

_HOLE, _RING = 0.2, 0.58  # where the inner ring begins and where the outer ring begins, as shares of the radius
_CHARACTER = 0.64  # width over height of a mean bold character


def sunburst(name: str, title: str, parts: Sequence[tuple[str, int, Sequence[tuple[str, int]]]], width: int) -> Markup:
    """`parts`: (first name, count, its (second name, count) pairs).

    Where a part counts more than its pairs do together, the rest of it stays empty in the outer ring.
    """
    total = sum(count for _, count, _ in parts)
    if not total:
        return Markup("")
    radius = width / 2 - 4
    hole, ring = _HOLE * radius, _RING * radius
    centre = width / 2
    body, angle = [], -math.pi / 2
    for place, (first, count, seconds) in enumerate(parts):
        end = angle + 2 * math.pi * count / total
        colour = f"s{1 + place % SERIES}"
        tip = f"{first}: {numbers.count(count)}"
        body.append(_arc(centre, angle, end, hole, ring, f"arc inner {colour}", tip))
        body.append(_label(centre, angle, end, hole, ring, first, "label"))
        start = angle
        for second, part in seconds:
            stop = start + 2 * math.pi * part / total
            tip = f"{first} {second}: {numbers.count(part)}"
            body.append(_arc(centre, start, stop, ring, radius, f"arc outer {colour}", tip))
            body.append(_label(centre, start, stop, ring, radius, second, "tick dark"))
            start = stop
        angle = end
    told = "; ".join(f"{first} {count} ({_listed(seconds)})" for first, count, seconds in parts)
    return figure(f"{name}-{width}", width, width, title, told, *body)


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts)


def _point(centre: float, angle: float, radius: float) -> str:
    return f"{centre + radius * math.cos(angle):.1f} {centre + radius * math.sin(angle):.1f}"


def _arc(centre: float, start: float, end: float, inner: float, outer: float, class_: str, tip: str) -> Markup:
    end = min(end, start + 2 * math.pi - 1e-4)  # an arc of a whole turn would be drawn as nothing
    large = int(end - start > math.pi)
    out = f"L{_point(centre, start, outer)}A{outer:.1f} {outer:.1f} 0 {large} 1 {_point(centre, end, outer)}"
    back = f"L{_point(centre, end, inner)}A{inner:.1f} {inner:.1f} 0 {large} 0 {_point(centre, start, inner)}"
    path = f"M{_point(centre, start, inner)}{out}{back}Z"
    return tag("path", tag("title", tip), d=path, class_=class_)


def _label(centre: float, start: float, end: float, inner: float, outer: float, words: str, class_: str) -> Markup:
    """A name along the radius, turned so that it can be read. Empty where the arc is too narrow for a line."""
    size = 11.0
    middle, at = (start + end) / 2, (inner + outer) / 2
    if (end - start) * at < size + 3:
        return Markup("")
    room = int((outer - inner - 8) / (_CHARACTER * size))
    shown = words if len(words) <= room else words[: max(1, room - 1)] + "…"
    turned = math.degrees(middle)
    if math.cos(middle) < 0:
        turned += 180
    x, y = _point(centre, middle, at).split()
    return tag(
        "text",
        shown,
        class_=class_,
        text_anchor="middle",
        dominant_baseline="central",
        transform=f"translate({x} {y}) rotate({turned:.1f})",
    )
