"""The acceptability curve: how sure it is that an arm is the better buy than the prompt, against an answer's worth."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.report import svg
from stillhouse.report.svg import EndLabel, Frame, Scale
from stillhouse.results.money import AnswerWorth

_LEFT, _TOP, _FOOT = 44, 34, 46


def columns(worths: Sequence[AnswerWorth], most: int = 4) -> list[float]:
    """The few worths at which a table gives the shares: powers of ten that the curves span."""
    drawn = [each for each in worths if each.values]
    if not drawn:
        return []
    return svg.decade_ticks(min(each.values[0] for each in drawn), max(each.values[-1] for each in drawn), most)


def acceptability(worths: Sequence[AnswerWorth], what: str, colours: Mapping[str, str], width: int) -> Markup:
    """One line per arm over a logarithmic axis of worths. Rings mark where the choice flips.

    On the level line neither arm nor prompt is the likelier better buy.
    """
    drawn = [each for each in worths if each.values]
    if not drawn:
        return Markup("")
    low, high = min(each.values[0] for each in drawn), max(each.values[-1] for each in drawn)
    inside = [each for each in drawn if each.flips_at is not None and low <= each.flips_at <= high]
    room = svg.end_label_width((each.arm for each in drawn), width)
    bottom = round(min(380, 0.62 * width + 60)) - _FOOT
    x = Scale(low, high, _LEFT + 4, width - room - 18, log=True)
    y = Scale(0.0, 1.0, bottom - svg.STRIP_PX * len(inside), _TOP)
    frame = Frame(_LEFT, width - room - 14, _TOP, bottom, x, y)
    ticks = svg.apart(svg.decade_ticks(low, high), x, svg.tick_usd)
    labels = [EndLabel(each.arm, y(each.shares[-1]), colours.get(each.arm, "ink")) for each in drawn]
    body = [
        frame.grid(ticks, [0, 0.25, 0.5, 0.75, 1], svg.tick_usd, lambda share: f"{100 * share:g}"),
        frame.titles("worth of one more, US$ (log scale)", "better buy than the prompt, % of draws"),
        svg.line(frame.left, y(0.5), frame.right, y(0.5), "ideal"),
        *(svg.polyline(_places(each, frame, high), f"line {colours.get(each.arm, 'ink')}") for each in drawn),
        *(_flip(each, frame, colours.get(each.arm, "ink"), row) for row, each in enumerate(inside)),
        _yours(next((each.yours for each in drawn if each.yours), None), frame),
        svg.end_labels(labels, frame, room),
    ]
    title = f"How sure it is which is the better buy, against the worth of one more {what}"
    told = " ".join(f"{each.sentence}." for each in drawn)
    return svg.figure(f"acceptability-{width}", width, bottom + _FOOT, title, told, *body)


def _places(each: AnswerWorth, frame: Frame, high: float) -> list[tuple[float, float]]:
    """The curve. Where another arm made the axis longer it is carried on level: beyond its grid it does not move."""
    points = [(frame.x(value), frame.y(share)) for value, share in zip(each.values, each.shares, strict=True)]
    start, end = points[0], points[-1]
    return [(frame.x(frame.x.low), start[1]), *points, (frame.x(high), end[1])]


def _flip(each: AnswerWorth, frame: Frame, colour: str, row: int) -> Markup:
    """Where the choice flips, with its interval as a bar on the axis."""
    assert each.flips_at is not None
    at = frame.x(each.flips_at), frame.y(each.share_at(each.flips_at))
    mark = svg.foot_mark(*at, frame, numbers.usd(each.flips_at), colour, row)
    low = frame.x(max(each.low if each.low is not None else frame.x.low, frame.x.low))
    high = frame.x(min(each.high if each.high is not None else frame.x.high, frame.x.high))
    return svg.line(low, frame.bottom, high, frame.bottom, f"span {colour}") + mark


def _yours(value: float | None, frame: Frame) -> Markup:
    """What the user says an answer is worth, as a line through the plot."""
    if value is None or not frame.x.low <= value <= frame.x.high:
        return Markup("")
    x = frame.x(value)
    left = x > (frame.left + frame.right) / 2
    words = svg.beside(x, frame.y(0.86), f"yours: {numbers.usd(value)}", "label halo", left)
    return svg.line(x, frame.top, x, frame.bottom, "chosen") + words
