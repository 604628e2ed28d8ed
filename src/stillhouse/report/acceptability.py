"""The acceptability curve: how sure it is that an arm is the better buy than the prompt, against what one more correct answer is worth."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.report.svg import (
    STRIP_PX,
    EndLabel,
    Frame,
    Scale,
    apart,
    decade_ticks,
    end_label_width,
    end_labels,
    figure,
    foot_mark,
    line,
    polyline,
    text,
)
from stillhouse.results.money import AnswerWorth

_LEFT, _TOP, _FOOT = 44, 34, 46


def columns(worths: Sequence[AnswerWorth], most: int = 4) -> list[float]:
    """The few worths at which a table gives the shares: powers of ten that the curves span."""
    drawn = [each for each in worths if each.values]
    return (
        decade_ticks(min(each.values[0] for each in drawn), max(each.values[-1] for each in drawn), most)
        if drawn
        else []
    )


def acceptability(worths: Sequence[AnswerWorth], what: str, colours: Mapping[str, str], width: int) -> Markup:
    """One line per arm over a logarithmic axis of worths; rings mark where the choice flips, a level line where neither is the likelier buy."""
    drawn = [each for each in worths if each.values]
    if not drawn:
        return Markup("")
    low, high = min(each.values[0] for each in drawn), max(each.values[-1] for each in drawn)
    inside = [each for each in drawn if each.flips_at is not None and low <= each.flips_at <= high]
    room = end_label_width((each.arm for each in drawn), width)
    bottom = round(min(380, 0.62 * width + 60)) - _FOOT
    x = Scale(low, high, _LEFT + 4, width - room - 18, log=True)
    frame = Frame(_LEFT, width - room - 14, _TOP, bottom, x, Scale(0.0, 1.0, bottom - STRIP_PX * len(inside), _TOP))
    body = [
        frame.grid(
            apart(decade_ticks(low, high), x, dollars),
            [0, 0.25, 0.5, 0.75, 1],
            dollars,
            lambda share: f"{100 * share:g}",
        ),
        frame.titles("worth of one more, US$ (log scale)", "better buy than the prompt, % of draws"),
        line(frame.left, frame.y(0.5), frame.right, frame.y(0.5), "ideal"),
        *(polyline(_places(each, frame, high), f"line {colours.get(each.arm, 'ink')}") for each in drawn),
        *(_flip(each, frame, colours.get(each.arm, "ink"), row) for row, each in enumerate(inside)),
        _yours(next((each.yours for each in drawn if each.yours), None), frame),
        end_labels(
            [EndLabel(each.arm, frame.y(each.shares[-1]), colours.get(each.arm, "ink")) for each in drawn], frame, room
        ),
    ]
    said = " ".join(f"{each.sentence}." for each in drawn)
    return figure(
        f"acceptability-{width}",
        width,
        bottom + _FOOT,
        f"How sure it is which is the better buy, against the worth of one more {what}",
        said,
        *body,
    )


def _places(each: AnswerWorth, frame: Frame, high: float) -> list[tuple[float, float]]:
    """Its line, carried on level to the end of an axis that another arm made longer: beyond its grid a curve does not move any more."""
    points = [(frame.x(value), frame.y(share)) for value, share in zip(each.values, each.shares, strict=True)]
    start, end = points[0], points[-1]
    return [(frame.x(frame.x.low), start[1]), *points, (frame.x(high), end[1])]


def _flip(each: AnswerWorth, frame: Frame, colour: str, row: int) -> Markup:
    assert each.flips_at is not None
    share = share_at(each, each.flips_at)
    mark = foot_mark(frame.x(each.flips_at), frame.y(share), frame, numbers.usd(each.flips_at), colour, row)
    low = frame.x(max(each.low if each.low is not None else frame.x.low, frame.x.low))
    high = frame.x(min(each.high if each.high is not None else frame.x.high, frame.x.high))
    return line(low, frame.bottom, high, frame.bottom, f"span {colour}") + mark


def share_at(each: AnswerWorth, value: float) -> float:
    """The curve at a worth, from the two points of its grid around it; beyond the grid it does not move any more."""
    pairs = list(zip(each.values, each.shares, strict=True))
    before = max((pair for pair in pairs if pair[0] <= value), default=pairs[0])
    after = min((pair for pair in pairs if pair[0] >= value), default=pairs[-1])
    part = 0.0 if after[0] == before[0] else (value - before[0]) / (after[0] - before[0])
    return before[1] + part * (after[1] - before[1])


def _yours(value: float | None, frame: Frame) -> Markup:
    """What the user says an answer is worth, as a line through the plot."""
    if value is None or not frame.x.low <= value <= frame.x.high:
        return Markup("")
    x = frame.x(value)
    left = x > (frame.left + frame.right) / 2
    words = text(
        x - 6 if left else x + 6,
        frame.y(0.86),
        f"yours: {numbers.usd(value)}",
        "label halo",
        "end" if left else "start",
    )
    return line(x, frame.top, x, frame.bottom, "chosen") + words


def dollars(value: float) -> str:
    """A tick's label: a power of ten of dollars, short."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"${value / size:g}{unit}"
    return f"${value:g}" if value >= 1 else f"${value:.12f}".rstrip("0")
