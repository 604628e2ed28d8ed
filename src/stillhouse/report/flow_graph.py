"""A flow's picture as SVG: what follows stands below, and what repeats has a frame around it.

What runs side by side stands side by side. The picture is a tree, so the layout takes one pass up (how large is each
part) and one down (where does it stand), and no line crosses another. Where the width does not hold the lanes of a fork
or the arms of a branch, they are stacked in a box. Colours come from the style sheet by class name.
"""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.flow.picture import Branch, CallBox, Enclosure, End, Lanes, Picture, PicturePart, Ran
from stillhouse.report.html import sheets
from stillhouse.report.svg import CHAR_PX, LINE_PX, figure, line, polygon, rect, tag, text, wrapped
from stillhouse.report.trace_words import short

WIDE, NARROW = 1100, 366  # pixels of the page's main column and of a telephone
_BOX = 232.0  # greatest width of a box, whatever its words
_LEAST = 96.0
_PAD = 10.0
_EDGE = 2.0
_GAP = 26.0  # space between one part and the next below it
_SIDE = 22.0  # space between two lanes
_BAR = 20.0  # height from the line that lanes hang on down to the lanes
_KINDS = ("step", "model", "decide", "agent", "turn", "tool", "human", "flow")
_OUTCOMES = {
    "failed": "failed",
    "handled": "failed, and was handled",
    "waiting": "waits for a person",
    "unfinished": "did not end",
}


@dataclass(frozen=True)
class _Block:
    """A part with its size; `draw` puts it with its left upper corner at (x, y).

    The lines into it and out of it are at the middle of its width.
    """

    width: float
    height: float
    draw: Callable[[float, float], list[Markup]]
    _: KW_ONLY
    leaves: bool = False  # True for a return, raise or break, which nothing follows
    arrow: bool = True  # whether the line into it has a head; lanes have their own
    through: bool = False  # True for an empty arm, drawn as a line
    # The same block without the line that joins its lanes at the end, for a place where nothing follows.
    unjoined: "_Block | None" = None


def facts(box: CallBox) -> list[str]:
    """What stands below a box's name: its notes, and of a run what it used and how long it took."""
    return [*box.notes, *(_ran(box.ran, timed=box.kind != "human") if box.ran is not None else ())]


def words(box: CallBox) -> list[str]:
    """The facts and, of a call that failed, its error in short: what Mermaid writes into a box."""
    error = None if box.ran is None else box.ran.error
    return [*facts(box), *([] if error is None else [short(error, 100)])]


def _ran(ran: Ran, timed: bool) -> list[str]:
    lines = []
    used = ran.used
    if used.asked:
        tokens, cost = "tokens unknown", "cost unknown" if used.cost_usd is None else numbers.usd(used.cost_usd)
        if used.input_tokens is not None and used.output_tokens is not None:
            tokens = f"{numbers.count(used.input_tokens + used.output_tokens)} tokens"
        lines.append(f"{tokens}, {cost}")
    if timed and ran.outcome != "unfinished":
        median, most = numbers.seconds(ran.p50_s), numbers.seconds(ran.max_s)
        lines.append(median if ran.calls == 1 else f"median {median}, at most {most}")
    if ran.at_once > 1:
        lines.append(f"up to {ran.at_once} at once")
    if ran.outcome != "done":
        several = f"{ran.failed} of {ran.calls} " if ran.calls > 1 and ran.failed else ""
        lines.append(several + _OUTCOMES[ran.outcome])
    return lines


def flow_graph(picture: Picture, width: int = WIDE, name: str = "flow") -> Markup:
    """The drawing, at most `width` pixels wide where its boxes allow. `name` must be unique on the page."""
    room = width - 2 * _EDGE
    parts = [_start(picture, room), *(_part(part, room) for part in picture.parts)]
    whole = _stacked(parts if picture.parts and parts[-1].leaves else [*parts, _dot()])
    wide, high = round(whole.width + 2 * _EDGE), round(whole.height + 2 * _EDGE)
    told = ", then ".join(_in_words(part) for part in picture.parts) or "nothing is drawn"
    return figure(f"{name}-{width}", wide, high, f"The flow {picture.title}", told, *whole.draw(_EDGE, _EDGE))


def flow_svg(picture: Picture, width: int = WIDE) -> str:
    """The drawing as a file of its own, with its style sheet, light and dark."""
    drawn = flow_graph(picture, width)
    rules = sheets("colours.css", "flow.css") + "svg{background:var(--paper)}"
    style = Markup("<style>{}</style>").format(Markup(rules))
    opened = drawn.replace(Markup("<svg "), Markup("<svg xmlns='http://www.w3.org/2000/svg' "), 1)
    head, _, rest = opened.partition(">")
    return f"{head}>{style}{rest}\n"


def _in_words(part: PicturePart) -> str:
    """The part in words, for readers who hear the page."""
    match part:
        case CallBox():
            times = "" if part.ran is None or part.ran.calls == 1 else f" {part.ran.calls} times"
            outcome = "" if part.ran is None or part.ran.outcome == "done" else f" ({part.ran.outcome})"
            return f"{part.name}{times}{outcome}"
        case Enclosure():
            return f"{part.title}: {', '.join(map(_in_words, part.body))}"
        case Lanes():
            return " beside ".join(", ".join(map(_in_words, lane)) or "nothing" for lane in part.lanes)
        case Branch():
            return " or ".join(f"{arm.label}: {', '.join(map(_in_words, arm.body)) or 'go on'}" for arm in part.arms)
        case End():
            return part.word


# Parts


def _part(part: PicturePart, room: float) -> _Block:
    match part:
        case CallBox():
            return _box(part, room)
        case Enclosure():
            return _framed(_Words([part.title], "frame-title"), _sequence(part.body, room - 2 * _PAD), "frame", room)
        case Lanes():
            return _beside([("", lane) for lane in part.lanes], room, "side by side")
        case Branch():
            return _beside([(arm.label, arm.body) for arm in part.arms], room, "one of")
        case End():
            return _end(part)


def _end(end: End) -> _Block:
    wide = CHAR_PX * len(end.word) + 20

    def draw(x: float, y: float) -> list[Markup]:
        return [_round(x, y, wide, 22, "mark", 11), text(x + wide / 2, y + 15, end.word, "note", "middle")]

    return _Block(wide, 22, draw, leaves=True)


def _sequence(parts: Sequence[PicturePart], room: float) -> _Block:
    if not parts:
        return _Block(0, 0, lambda x, y: [], through=True)
    return _stacked([_part(part, room) for part in parts])


@dataclass(frozen=True)
class _Words:
    """Lines of one class; `after` follows the last of them, in the class of notes."""

    lines: Sequence[str]
    class_: str
    after: str = ""

    @property
    def wide(self) -> float:
        return max((CHAR_PX * (len(words) + len(self.after) + 1) for words in self.lines), default=0.0)


def _box(box: CallBox, room: float) -> _Block:
    widest = min(_BOX, room) - 2 * _PAD
    name = box.name if box.ran is None or box.ran.calls == 1 else f"{box.name} × {numbers.count(box.ran.calls)}"
    error = [] if box.ran is None or box.ran.error is None else wrapped(box.ran.error, widest, lines=4)
    kind = box.kind if box.kind in _KINDS else "step"
    words = [
        _Words(wrapped(name, widest, lines=2), "name", "" if kind == "step" or kind in box.name else kind),
        _Words([part for note in facts(box) for part in wrapped(note, widest, lines=3)], "note"),
        _Words(error, "error"),
    ]
    class_ = f"node {kind}{'' if box.ran is None or box.ran.outcome == 'done' else f' {box.ran.outcome}'}"
    if box.inside:
        return _framed_by(words, _sequence(box.inside, room - 2 * _PAD), class_, room)
    wide = max(_LEAST, max(each.wide for each in words) + 2 * _PAD)
    high = LINE_PX * sum(len(each.lines) for each in words) + 14.0

    def draw(x: float, y: float) -> list[Markup]:
        return [
            _round(x, y, wide, high, class_),
            rect(x, y + 6, 3, high - 12, f"stripe {kind}"),
            *_written(words, x + wide / 2, y, "middle"),
        ]

    return _Block(wide, high, draw)


def _framed_by(words: Sequence[_Words], inner: _Block, class_: str, room: float) -> _Block:
    """A box around what its body calls, its own words above."""
    inner = inner.unjoined or inner
    wide = min(room, max(inner.width, max(each.wide for each in words)) + 2 * _PAD)
    head = LINE_PX * sum(len(each.lines) for each in words) + 14.0

    def draw(x: float, y: float) -> list[Markup]:
        left = x + (wide - inner.width) / 2
        return [
            _round(x, y, wide, head + inner.height + _PAD, class_ + " around"),
            rect(x, y + 6, 3, head + inner.height + _PAD - 12, f"stripe {class_.split()[1]}"),
            *_written(words, x + _PAD, y, "start"),
            *inner.draw(left, y + head),
        ]

    return _Block(wide, head + inner.height + _PAD, draw)


def _framed(words: _Words, inner: _Block, class_: str, room: float) -> _Block:
    """A dashed frame around what repeats, its title above."""
    inner = inner.unjoined or inner
    lines = wrapped(words.lines[0], max(room - 2 * _PAD, _LEAST), lines=2)
    wide = min(room, max(inner.width, max(CHAR_PX * len(words) for words in lines)) + 2 * _PAD)
    head = LINE_PX * len(lines) + 12.0

    def draw(x: float, y: float) -> list[Markup]:
        left = x + (wide - inner.width) / 2
        return [
            _round(x, y, wide, head + inner.height + _PAD, class_),
            *_written([_Words(lines, words.class_)], x + _PAD, y, "start"),
            *inner.draw(left, y + head),
        ]

    return _Block(wide, head + inner.height + _PAD, draw)


def _written(words: Sequence[_Words], x: float, y: float, anchor: str) -> list[Markup]:
    placed = []
    for each in words:
        placed += [(line, "", each.class_) for line in each.lines[:-1]]
        placed += [(line, each.after, each.class_) for line in each.lines[-1:]]
    return [
        _line_of(x, y + 18 + LINE_PX * row, line, after, class_, anchor)
        for row, (line, after, class_) in enumerate(placed)
    ]


def _line_of(x: float, y: float, words: str, after: str, class_: str, anchor: str) -> Markup:
    if not after:
        return text(x, y, words, class_, anchor)
    soft = tag("tspan", f" {after}", class_="kind")
    where = None if anchor == "start" else anchor
    return tag("text", words, soft, x=float(x), y=float(y), class_=class_, text_anchor=where)


def _stacked(blocks: Sequence[_Block]) -> _Block:
    """Blocks one below the other, joined by arrows."""
    wide = max(block.width for block in blocks)
    high = sum(block.height for block in blocks) + _GAP * (len(blocks) - 1)

    def draw(x: float, y: float) -> list[Markup]:
        parts: list[Markup] = []
        middle = x + wide / 2
        for place, block in enumerate(blocks):
            if place and not blocks[place - 1].leaves:
                parts.append(_down(middle, y - _GAP, y, head=block.arrow))
            parts.extend(block.draw(middle - block.width / 2, y))
            y += block.height + _GAP
        return parts

    unjoined = blocks[-1].unjoined
    last = None if unjoined is None else _stacked([*blocks[:-1], unjoined]) if len(blocks) > 1 else unjoined
    return _Block(wide, high, draw, leaves=blocks[-1].leaves, arrow=blocks[0].arrow, unjoined=last)


def _beside(lanes: Sequence[tuple[str, Sequence[PicturePart]]], room: float, what: str) -> _Block:
    """Side by side, hung on a line; where there is no room, one below the other in a box."""
    blocks = [(label, _sequence(lane, room)) for label, lane in lanes]
    columns = [(wrapped(label, max(block.width, 150.0), lines=3) if label else [], block) for label, block in blocks]
    widths = [max([block.width, *(CHAR_PX * len(words) for words in label), 40.0]) for label, block in columns]
    wide = sum(widths) + _SIDE * (len(widths) - 1)
    if wide > room:
        return _boxed([(label, _sequence(lane, room - 2 * _PAD)) for label, lane in lanes], room, what)
    label_high = max(LINE_PX * len(label) for label, _ in columns)
    top = _BAR + label_high + (6 if label_high else 0)
    high = max(block.height for _, block in columns)
    leaves = all(block.leaves for _, block in columns)

    def draw(x: float, y: float, join: bool = not leaves) -> list[Markup]:
        parts: list[Markup] = []
        below = y + top + high + (_BAR - 6 if join else 0)
        left, middles, going = x, [], []
        for (label, block), width in zip(columns, widths, strict=True):
            middle = left + width / 2
            left += width + _SIDE
            middles.append(middle)
            parts.append(_down(middle, y, below if block.through else y + top, head=block.arrow and not block.through))
            parts.extend(block.draw(middle - block.width / 2, y + top))
            if not block.leaves and join:
                going.append(middle)
                if not block.through:
                    parts.append(line(middle, y + top + block.height, middle, below, "arrow"))
            parts.extend(
                text(middle, y + 18 + LINE_PX * row, words, "note halo", "middle") for row, words in enumerate(label)
            )
        parts.append(line(middles[0], y, middles[-1], y, "arrow"))
        if going:
            centre = x + wide / 2
            parts.append(line(min([*going, centre]), below, max([*going, centre]), below, "arrow"))
        return parts

    unjoined = _Block(wide, top + high, lambda x, y: draw(x, y, join=False), leaves=leaves, arrow=False)
    return unjoined if leaves else _Block(wide, top + high + _BAR - 6, draw, arrow=False, unjoined=unjoined)


def _boxed(lanes: Sequence[tuple[str, _Block]], room: float, what: str) -> _Block:
    """Lanes or arms one below the other, a hairline between them."""
    heads = [
        f"{what}: {label}" if label and place == 0 else label or (what if place == 0 else "and")
        for place, (label, _) in enumerate(lanes)
    ]
    titled = [(wrapped(head, room - 2 * _PAD, lines=2), block) for head, (_, block) in zip(heads, lanes, strict=True)]
    widths = [max([block.width, *(CHAR_PX * len(words) for words in label)]) for label, block in titled]
    wide = min(room, max(widths) + 2 * _PAD)
    heights = [LINE_PX * len(label) + 14.0 + block.height + (_PAD if block.height else 0) for label, block in titled]

    def draw(x: float, y: float) -> list[Markup]:
        parts = [_round(x, y, wide, sum(heights), "stack")]
        for place, ((label, block), high) in enumerate(zip(titled, heights, strict=True)):
            if place:
                parts.append(line(x, y, x + wide, y, "hair"))
            parts.extend(_written([_Words(label, "note")], x + _PAD, y, "start"))
            parts.extend(block.draw(x + (wide - block.width) / 2, y + LINE_PX * len(label) + 12))
            y += high
        return parts

    return _Block(wide, sum(heights), draw, leaves=all(block.leaves for _, block in lanes))


# Marks


def _start(picture: Picture, room: float) -> _Block:
    """The flow's name, and below it what is said of it."""
    below = [part for line in picture.lines for part in wrapped(line, min(room, 320.0) - 2 * _PAD, 3)]
    words = [_Words(wrapped(picture.title, min(room, _BOX), 2), "name"), _Words(below, "note")]
    wide = max(each.wide for each in words) + 2 * _PAD
    high = LINE_PX * sum(len(each.lines) for each in words) + 14.0

    def draw(x: float, y: float) -> list[Markup]:
        return [_round(x, y, wide, high, "start", 14), *_written(words, x + wide / 2, y, "middle")]

    return _Block(wide, high, draw)


def _dot() -> _Block:
    return _Block(10, 10, lambda x, y: [tag("circle", cx=float(x + 5), cy=float(y + 5), r=4.5, class_="stop")])


def _round(x: float, y: float, width: float, height: float, class_: str, radius: float = 6) -> Markup:
    return tag("rect", x=float(x), y=float(y), width=float(width), height=float(height), rx=radius, class_=class_)


def _down(x: float, top: float, bottom: float, *, head: bool) -> Markup:
    drawn = line(x, top, x, bottom - (4 if head else 0), "arrow")
    return drawn + polygon([(x - 4, bottom - 7), (x + 4, bottom - 7), (x, bottom)], "head") if head else drawn
