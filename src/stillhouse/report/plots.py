"""The plots of the report: each takes values and gives one SVG drawing, or an empty string where there is nothing to draw.

Every plot is drawn for a width in CSS pixels, so that its type keeps its size; the page asks for a wide and a narrow one. `colours` maps a
system's name to a class of the style sheet. What a plot shows is also on the page as a table: the drawing is never the only place of a number.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.records import Estimate
from stillhouse.report.svg import (
    STRIP_PX,
    Box,
    EndLabel,
    Frame,
    Scale,
    apart,
    decade_ticks,
    dot,
    end_label_width,
    end_labels,
    figure,
    foot_mark,
    line,
    linear_ticks,
    point_labels,
    polygon,
    polyline,
    rect,
    tag,
    text,
)
from stillhouse.results.money import BreakEven, CostLine, Money
from stillhouse.results.result import (
    Arm,
    Cascade,
    Crossover,
    Curve,
    LearningCurves,
    Reliability,
    ReliabilityBin,
    ThresholdCurve,
    ThresholdPoint,
)

WIDE, HALF, NARROW = 700, 520, 344
_LEFT, _TOP, _FOOT = 44, 34, 46  # room for the y numbers, for the y title, for the x numbers and title
_NONE = Markup("")

Colours = Mapping[str, str]


def learning_curves(
    data: LearningCurves, heading: str, colours: Colours, width: int = WIDE, against: str = "training rows"
) -> Markup:
    """Score against training size (log2): mean over seeds with its band, every seed as a faint dot, the prompts as level lines, n* on the axis.

    `against` names the axis where it is not training rows.
    """
    curves = [curve for curve in data.curves if curve.points]
    if not curves:
        return _NONE
    sizes = sorted(
        {point.n for curve in curves for point in curve.points} | {curve.ahead.n for curve in curves if curve.ahead}
    )
    low, high = (sizes[0], sizes[-1]) if len(sizes) > 1 else (sizes[0] / 2, sizes[0] * 2)
    room = end_label_width([*(curve.name for curve in curves), *(level.name for level in data.lines)], width)
    bottom = round(min(400, 0.66 * width + 40)) - _FOOT
    x = Scale(low, high, _LEFT + 8, width - room - 18, log=True)
    y = _score_scale(_curve_values(curves, data), _TOP, bottom - STRIP_PX * len(data.crossovers))
    frame = Frame(_LEFT, width - room - 14, _TOP, bottom, x, y)
    labels = [EndLabel(level.name, y(level.score.value), colours.get(level.name, "ink")) for level in data.lines]
    labels += [EndLabel(curve.name, y(curve.points[-1].mean), colours.get(curve.name, "s1")) for curve in curves]
    body = [
        frame.grid(apart(sizes, x, numbers.count), linear_ticks(y.low, y.high), numbers.count, _axis_percent),
        frame.titles(f"{against} (log scale)", f"{heading}, %"),
        *(_level_line(level.score, level.name, frame, colours.get(level.name, "ink")) for level in data.lines),
        *(_curve(curve, frame, colours.get(curve.name, "s1")) for curve in curves),
        *(
            _crossover(crossover, data, frame, colours.get(crossover.curve, "s1"), row)
            for row, crossover in enumerate(data.crossovers)
        ),
        end_labels(labels, frame, room),
    ]
    unit = "rows" if against == "training rows" else against
    said = [
        f"{curve.name}: {'; '.join(f'{numbers.percent(point.mean)} at {numbers.count(point.n)} {unit}' for point in curve.points)}."
        for curve in curves
    ]
    said += [f"{level.name}: {numbers.described(level.score)}." for level in data.lines]
    name = "curves" if against == "training rows" else "examples"
    return figure(
        f"{name}-{width}", width, bottom + _FOOT, f"Learning curves: {heading} against {against}", " ".join(said), *body
    )


def _curve_values(curves: Sequence[Curve], data: LearningCurves) -> list[float]:
    values = [
        value
        for curve in curves
        for point in curve.points
        for value in (point.mean, point.low, point.high, *point.scores)
        if value is not None
    ]
    values += [value for curve in curves if curve.ahead for value in (curve.ahead.low, curve.ahead.high)]
    return values + [
        value
        for level in data.lines
        for value in (level.score.value, level.score.low, level.score.high)
        if value is not None
    ]


def _score_scale(values: Sequence[float], top: float, bottom: float) -> Scale:
    """Scores from a little below the least to a little above the greatest, never outside 0..1 and never flatter than two points."""
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), 0.01)
    return Scale(max(0.0, low - pad), min(1.0, high + pad), bottom, top)


def _axis_percent(value: float) -> str:
    return f"{100 * value:.1f}".removesuffix(".0")


def _level_line(score: Estimate, name: str, frame: Frame, colour: str) -> Markup:
    y = frame.y(score.value)
    parts = [line(frame.left, y, frame.right, y, f"level {colour}")]
    if score.low is not None and score.high is not None:
        tip = tag("title", f"{name}: {numbers.described(score)}")
        parts.insert(
            0,
            rect(
                frame.left,
                frame.y(score.high),
                frame.right - frame.left,
                frame.y(score.low) - frame.y(score.high),
                f"band {colour}",
                tip,
            ),
        )
    return _NONE.join(parts)


def _curve(curve: Curve, frame: Frame, colour: str) -> Markup:
    x, y = frame.x, frame.y
    upper = [(x(point.n), y(point.high)) for point in curve.points if point.high is not None and point.low is not None]
    lower = [(x(point.n), y(point.low)) for point in curve.points if point.high is not None and point.low is not None]
    last = curve.points[-1]
    parts = [polygon(upper + lower[::-1], f"band {colour}")] if len(upper) > 1 else []
    if curve.ahead is not None:
        ahead = curve.ahead
        parts.append(
            polygon(
                [(x(last.n), y(last.mean)), (x(ahead.n), y(ahead.high)), (x(ahead.n), y(ahead.low))], f"ahead {colour}"
            )
        )
    parts += [
        dot(x(point.n), y(score), f"seed {colour}", radius=1.8) for point in curve.points for score in point.scores
    ]
    parts.append(polyline([(x(point.n), y(point.mean)) for point in curve.points], f"line {colour}"))
    for point in curve.points:
        band = (
            f" [{numbers.bare(point.low)}, {numbers.bare(point.high)}]"
            if point.low is not None and point.high is not None
            else ""
        )
        seeds = f", {len(point.scores)} seeds" if point.scores else ""
        tip = f"{curve.name}, {numbers.count(point.n)} training rows: {numbers.percent(point.mean)}{band}{seeds}, {numbers.count(curve.n_rows)} test rows"
        parts.append(dot(x(point.n), y(point.mean), f"point {colour}", tip))
    return _NONE.join(parts)


def _crossover(crossover: Crossover, data: LearningCurves, frame: Frame, colour: str, row: int) -> Markup:
    """n* as a drop line from the prompt's level, its interval as a bar on the axis; a censored one only says which side it lies on."""
    measured = [point.n for curve in data.curves for point in curve.points]
    y = frame.bottom - 6 - STRIP_PX * row
    if crossover.censored == ">":
        return text(frame.right - 4, y, f"n* > {numbers.count(max(measured))}", f"label halo {colour}", "end")
    if crossover.censored == "<=":
        return text(frame.left + 4, y, f"n* ≤ {numbers.count(min(measured))}", f"label halo {colour}")
    if crossover.n_star is None:
        return _NONE
    level = next((known.score.value for known in data.lines if known.name == crossover.prompt), None)
    top = frame.top if level is None else frame.y(level)
    mark = foot_mark(
        _inside(crossover.n_star, frame.x), top, frame, f"n* = {numbers.count(crossover.n_star)}", colour, row
    )
    if crossover.low is None or crossover.high is None:
        return mark
    return (
        line(
            _inside(crossover.low, frame.x),
            frame.bottom,
            _inside(crossover.high, frame.x),
            frame.bottom,
            f"span {colour}",
        )
        + mark
    )


def _inside(value: float, scale: Scale) -> float:
    """Its pixel, at the edge for what lies beyond it: an interval may reach further than the sizes tried."""
    return scale(min(max(value, scale.low), scale.high))


def cost_by_volume(money: Money, colours: Colours, width: int = HALF) -> Markup:
    """Total cost against the number of calls, both logarithmic, with the break-even points. Lines with an unknown or a zero cost are not drawn."""
    drawn = [
        cost
        for cost in money.lines
        if cost.fixed_usd is not None and cost.usd_per_call is not None and cost.fixed_usd + cost.usd_per_call > 0
    ]
    if not drawn:
        return _NONE
    evens = [even for even in money.break_even if even.calls and even.arm in {cost.name for cost in drawn}]
    low, high = _decades([1e3, 1e6, *(factor * even.calls for even in evens if even.calls for factor in (0.1, 10))])
    cheapest, dearest = _decades(
        [value for cost in drawn for calls in (low, high) if (value := total_usd(cost, calls)) > 0]
    )
    room = end_label_width((cost.name for cost in drawn), width)
    bottom = round(min(380, 0.62 * width + 60)) - _FOOT
    left, right = _LEFT + 12, width - room - 18
    scale = Scale(cheapest, dearest, bottom - STRIP_PX * len(evens), _TOP, log=True)
    frame = Frame(left, right, _TOP, bottom, Scale(low, high, left, right, log=True), scale)
    labels = [EndLabel(cost.name, frame.y(total_usd(cost, high)), colours.get(cost.name, "ink")) for cost in drawn]
    body = [
        frame.grid(apart(decade_ticks(low, high), frame.x, _short), decade_ticks(cheapest, dearest), _short, _dollars),
        frame.titles("calls (log scale)", "total cost, US$ (log scale)"),
        *(_cost_line(cost, frame, colours.get(cost.name, "ink")) for cost in drawn),
        *(_break_even(even, drawn, frame, colours.get(even.arm, "ink"), row) for row, even in enumerate(evens)),
        end_labels(labels, frame, room),
    ]
    said = [
        f"{cost.name}: {numbers.usd(cost.fixed_usd)} once and {numbers.usd(cost.usd_per_call)} per call."
        for cost in drawn
    ]
    said += [even.sentence for even in money.break_even]
    return figure(
        f"volume-{width}", width, bottom + _FOOT, "Total cost against the number of calls", " ".join(said), *body
    )


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten around the values, at least one decade."""
    low, high = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
    return 10.0**low, 10.0 ** max(high, low + 1)


def _break_even(even: BreakEven, drawn: Sequence[CostLine], frame: Frame, colour: str, row: int) -> Markup:
    cost = next(cost for cost in drawn if cost.name == even.arm)
    assert even.calls is not None
    return foot_mark(
        frame.x(even.calls),
        frame.y(total_usd(cost, even.calls)),
        frame,
        f"{numbers.count(even.calls)} calls",
        colour,
        row,
    )


def total_usd(cost: CostLine, calls: float) -> float:
    assert cost.fixed_usd is not None and cost.usd_per_call is not None
    again = cost.renewal_usd * (calls // cost.renewal_calls) if cost.renewal_usd and cost.renewal_calls else 0.0
    return cost.fixed_usd + cost.usd_per_call * calls + again


def _cost_line(cost: CostLine, frame: Frame, colour: str) -> Markup:
    low, high, steps = math.log10(frame.x.low), math.log10(frame.x.high), 240 if cost.renewal_calls else 60
    volumes = [10 ** (low + (high - low) * step / steps) for step in range(steps + 1)]
    return polyline(
        [(frame.x(calls), frame.y(total_usd(cost, calls))) for calls in volumes if total_usd(cost, calls) > 0],
        f"line {colour}",
    )


def _short(value: float) -> str:
    """1000 -> "1k": ticks have no room for words."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _dollars(value: float) -> str:
    return f"${_short(value)}" if value >= 1 else f"${value:.12f}".rstrip("0")


def score_by_cost(arms: Sequence[Arm], heading: str, colours: Colours, width: int = HALF) -> Markup:
    """Score, with its interval, against cost per 1,000 calls (log). Arms that cost nothing or whose price is unknown stand in columns of their own."""
    if not arms:
        return _NONE
    costs = [arm.cost_usd_per_1000 for arm in arms]
    apart_names = [name for name, kind in (("unknown", None), ("$0", 0)) if kind in costs]
    columns = {name: _LEFT + 34 + 60.0 * index for index, name in enumerate(apart_names)}
    priced = [cost for cost in costs if cost]
    low, high = _decades(priced) if priced else (0.1, 10.0)
    bottom = round(min(380, 0.62 * width + 60)) - _FOOT
    values = [value for arm in arms for value in (arm.score.value, arm.score.low, arm.score.high) if value is not None]
    x = Scale(low, high, _LEFT + (60 * len(columns) + 30 if columns else 16), width - 28, log=True)
    frame = Frame(
        _LEFT, width - 12, _TOP, bottom, x, _score_scale(values, _TOP + 24, bottom)
    )  # 24: the best arm's name has room above it
    ticks = apart(decade_ticks(low, high), x, _dollars) if priced else []
    places = [
        (x(cost) if cost else columns["unknown" if cost is None else "$0"], frame.y(arm.score.value))
        for arm, cost in zip(arms, costs, strict=True)
    ]
    names = [(*at, arm.name, f"halo {colours.get(arm.name, 'ink')}") for at, arm in zip(places, arms, strict=True)]
    body = [
        frame.grid(ticks, linear_ticks(frame.y.low, frame.y.high), _dollars, _axis_percent),
        frame.titles("US$ per 1,000 calls (log scale)", f"{heading}, %"),
        *(text(at, bottom + 17, name, "tick", "middle") for name, at in columns.items()),
        *([line(x.start - 26, _TOP, x.start - 26, bottom, "divide")] if columns and priced else []),
        point_labels(
            names, [Box(at - 5, y - 5, at + 5, y + 5) for at, y in places], Box(_LEFT, _TOP - 14, width, bottom)
        ),
        *(
            _scored(arm.score, at, frame, colours.get(arm.name, "ink"), arm.name)
            for at, arm in zip(places, arms, strict=True)
        ),  # no halo hides a point
    ]
    said = (
        f"{arm.name}: {numbers.described(arm.score)}, {numbers.usd(arm.cost_usd_per_1000)} per 1,000 calls."
        for arm in arms
    )
    return figure(
        f"cost-{width}",
        width,
        bottom + _FOOT,
        f"{heading.capitalize()} against cost per 1,000 calls",
        " ".join(said),
        *body,
    )


def _scored(score: Estimate, at: tuple[float, float], frame: Frame, colour: str, what: str) -> Markup:
    """A score as a dot, with its interval, where it has one, as a whisker."""
    x, y = at
    whisker = _NONE
    if score.low is not None and score.high is not None:
        whisker = line(x, frame.y(score.low), x, frame.y(score.high), f"whisker {colour}")
    return whisker + dot(x, y, f"point {colour}", f"{what}: {numbers.described(score)}", radius=4.5)


def threshold_curve(curve: ThresholdCurve, cascade: Cascade | None, colours: Colours, width: int = HALF) -> Markup:
    """Two panels over one axis: what the cascade gets right, and what it costs, at each confidence threshold.

    The cost is in dollars where every point has one, and else the share of calls that the teacher still answers.
    """
    if not curve.points:
        return _NONE
    points = sorted(curve.points, key=lambda point: point.threshold)
    alone = [
        (name, value)
        for name, value in ((curve.student, curve.student_accuracy), (curve.teacher, curve.teacher_accuracy))
        if value is not None
    ]
    height = round(min(420, 0.7 * width + 110))
    bottom, middle = height - _FOOT, _TOP + 0.56 * (height - _FOOT - _TOP)
    room = end_label_width((name for name, _ in alone), width)
    x = Scale(0.0, 1.0, _LEFT, width - room - 18)
    right_answers = _score_scale(
        [point.accuracy for point in points] + [value for _, value in alone], _TOP, middle - 20
    )
    upper = Frame(_LEFT, x.end, _TOP, middle - 20, x, right_answers)
    costs, most, title, label = _costs(points)
    lower = Frame(_LEFT, x.end, middle + 26, bottom, x, Scale(0.0, most, bottom, middle + 26))
    colour = colours.get(curve.arm, "s3")
    body = [
        upper.grid([], linear_ticks(right_answers.low, right_answers.high, 5), _plain, _axis_percent),
        upper.titles("", "right, %"),
        lower.grid([0, 0.25, 0.5, 0.75, 1], linear_ticks(0, most, 3), _plain, label),
        lower.titles("confidence threshold", title),
        *(
            line(upper.left, upper.y(value), upper.right, upper.y(value), f"level {colours.get(name, 'ink')}")
            for name, value in alone
        ),
        polyline([(x(point.threshold), upper.y(point.accuracy)) for point in points], f"line {colour}"),
        polyline(
            [(x(point.threshold), lower.y(cost)) for point, cost in zip(points, costs, strict=True)], f"line {colour}"
        ),
        _chosen(cascade, upper, lower),
        _best_of_both(curve, upper, colour),
        end_labels([EndLabel(name, upper.y(value), colours.get(name, "ink")) for name, value in alone], upper, room),
    ]
    if len(points) == 1:  # a line of one point cannot be seen
        at = x(points[0].threshold)
        body += [dot(at, upper.y(points[0].accuracy), f"point {colour}"), dot(at, lower.y(costs[0]), f"point {colour}")]
    said = "; ".join(
        f"at {point.threshold:.2f} {numbers.percent(point.accuracy)} right with {numbers.percent(point.share_kept)} kept"
        for point in (points[0], points[-1])
    )
    if best := curve.best_of_both:
        said += f"; best at {best.threshold:.2f}, {numbers.percent(best.accuracy)} right, above both of its parts"
    return figure(
        f"threshold-{width}",
        width,
        height,
        "The cascade against its threshold",
        f"{numbers.count(curve.n)} rows: {said}.",
        *body,
    )


def _costs(points: Sequence[ThresholdPoint]) -> tuple[list[float], float, str, Callable[[float], str]]:
    """What the lower panel shows, the top of its scale, its title, and how its numbers are written."""
    dollars = [point.cost_usd_per_1000 for point in points]
    known = [cost for cost in dollars if cost is not None]
    if len(known) == len(points) and max(known) > 0:
        return known, max(known), "US$ per 1,000 calls", numbers.usd
    return [1 - point.share_kept for point in points], 1.0, "calls to the teacher, %", _axis_percent


def _best_of_both(curve: ThresholdCurve, frame: Frame, colour: str) -> Markup:
    """The point at which the cascade is best, where that is better than both of its parts."""
    best = curve.best_of_both
    if best is None:
        return _NONE
    x, y = frame.x(best.threshold), frame.y(best.accuracy)
    tip = f"threshold {best.threshold:.3g}: {numbers.percent(best.accuracy)} right, {numbers.percent(best.share_kept)} kept, {numbers.count(curve.n)} rows"
    left = x > (frame.left + frame.right) / 2
    name = text(x - 9 if left else x + 9, y - 7, "beats both", f"label halo {colour}", "end" if left else "start")
    return dot(x, y, f"cross {colour}", tip, radius=5) + name


def _chosen(cascade: Cascade | None, upper: Frame, lower: Frame) -> Markup:
    """The threshold that keeps its promise, as a line through both panels."""
    if cascade is None or cascade.threshold is None:
        return _NONE
    x = _inside(cascade.threshold, upper.x)
    left = cascade.threshold > 0.5
    words = text(
        x - 6 if left else x + 6,
        lower.top + 12,
        f"chosen: {cascade.threshold:.3g}",
        "label halo",
        "end" if left else "start",
    )
    return line(x, upper.top, x, lower.bottom, "chosen") + words


def _plain(value: float) -> str:
    return f"{value:g}"


def reliability(data: Reliability, colours: Colours, width: int = HALF) -> Markup:
    """How often the student is right against how sure it was, bin by bin with intervals, and before calibration; below, how many rows each bin holds."""
    bins = [each for each in data.bins if each.accuracy.n]
    before = [each for each in data.before if each.accuracy.n]
    if not bins:
        return _NONE
    height = round(min(420, 0.7 * width + 110))
    bottom, most = height - _FOOT, max(each.accuracy.n for each in bins)
    x = Scale(0.0, 1.0, _LEFT, width - 18)
    upper = Frame(_LEFT, x.end, _TOP, bottom - 84, x, Scale(0.0, 1.0, bottom - 84, _TOP))
    lower = Frame(_LEFT, x.end, bottom - 40, bottom, x, Scale(0.0, float(most), bottom, bottom - 40))
    colour = colours.get(data.arm, "s1")
    quarters = [0, 0.25, 0.5, 0.75, 1]
    body = [
        upper.grid([], quarters, _plain, _axis_percent),
        upper.titles("", "right, %"),
        lower.grid(quarters, [0, most], _axis_percent, numbers.count),
        lower.titles("confidence, %", "rows"),
        line(x(0), upper.y(0), x(1), upper.y(1), "ideal"),
        *([_uncalibrated(before, upper)] if before else []),
        polyline([(x(each.confidence), upper.y(each.accuracy.value)) for each in bins], f"thin {colour}"),
    ]
    for each in bins:
        y = lower.y(each.accuracy.n)
        body.append(rect(x(each.low) + 1, y, x(each.high) - x(each.low) - 2, bottom - y, f"bar {colour}"))
        at = x(each.confidence), upper.y(each.accuracy.value)
        body.append(_scored(each.accuracy, at, upper, colour, f"confidence {numbers.percent(each.confidence)}, right"))
    said = [
        f"Confidence {numbers.percent(each.confidence)}: right {numbers.described(each.accuracy)}." for each in bins
    ]
    said += [
        f"Before calibration, confidence {numbers.percent(each.confidence)}: right {numbers.described(each.accuracy)}."
        for each in before
    ]
    return figure(
        f"reliability-{width}", width, height, f"Reliability of the confidence of {data.arm}", " ".join(said), *body
    )


def _uncalibrated(bins: Sequence[ReliabilityBin], frame: Frame) -> Markup:
    """The same rows by their confidence before calibration: open rings on a dashed line, named once, where the plot has room."""
    rings = [
        dot(
            frame.x(each.confidence),
            frame.y(each.accuracy.value),
            "cross faint",
            f"before calibration, confidence {numbers.percent(each.confidence)}",
        )
        for each in bins
    ]
    way = polyline([(frame.x(each.confidence), frame.y(each.accuracy.value)) for each in bins], "level faint open")
    key = dot(frame.left + 12, frame.top + 12, "cross faint") + text(
        frame.left + 22, frame.top + 16, "before calibration", "label halo"
    )
    return _NONE.join([way, *rings, key])


def interval_bar(
    score: Estimate, low: float, high: float, colour: str, reference: float | None = None, width: int = 104
) -> Markup:
    """A score and its interval on the common scale low..high, small enough for a table cell; the number stands beside it, so it is hidden from readers."""
    scale = Scale(low, high, 5, width - 5)
    parts = [line(scale(reference), 1, scale(reference), 17, "reference")] if reference is not None else []
    if score.low is not None and score.high is not None:
        parts.append(line(scale(score.low), 9, scale(score.high), 9, f"whisker {colour}"))
    parts.append(dot(scale(score.value), 9, f"point {colour}", radius=3.5))
    return tag("svg", *parts, viewBox=f"0 0 {width} 18", width=width, height=18, aria_hidden="true", class_="plot cell")
