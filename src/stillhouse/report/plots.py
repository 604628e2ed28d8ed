"""The plots of a run's report. Each takes values and gives one SVG drawing, empty where there is nothing to draw.

Every plot is drawn for a width in CSS pixels, so that its type keeps its size. The page asks for a wide and a narrow
one. `colours` maps a system's name to a class of the style sheet. What a plot shows is also on the page as a table:
the drawing is never the only place of a number.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from stillhouse import numbers
from stillhouse.records import Estimate
from stillhouse.report import svg
from stillhouse.report.svg import Box, EndLabel, Frame, Scale
from stillhouse.results.arms import ArmResult
from stillhouse.results.cascade import CascadePromise, ThresholdCurve, ThresholdPoint
from stillhouse.results.error_analysis import Reliability, ReliabilityBin
from stillhouse.results.learning_curves import Curve, LearningCurves, PromptCrossing
from stillhouse.results.money import BreakEven, CostLine, Money

WIDE, HALF, NARROW = 700, 520, 344
_LEFT, _TOP, _FOOT = 44, 34, 46  # space for the y numbers, for the y title, and for the x numbers and title
_NONE = Markup("")

Colours = Mapping[str, str]


def learning_curves(
    data: LearningCurves | None, heading: str, colours: Colours, width: int = WIDE, against: str = "training rows"
) -> Markup:
    """Score against training size (log2), with n* marked on the axis.

    Of each student: the mean over seeds with its band, and every seed as a faint dot. Prompts are level lines.
    `against` names the axis where it is not training rows.
    """
    curves = [curve for curve in data.curves if curve.points] if data else []
    if data is None or not curves:
        return _NONE
    measured = {point.n for curve in curves for point in curve.points}
    sizes = sorted(measured | {curve.ahead.n for curve in curves if curve.ahead})
    low, high = (sizes[0], sizes[-1]) if len(sizes) > 1 else (sizes[0] / 2, sizes[0] * 2)
    room = svg.end_label_width([*(curve.name for curve in curves), *(level.name for level in data.lines)], width)
    bottom = round(min(400, 0.66 * width + 40)) - _FOOT
    x = Scale(low, high, _LEFT + 8, width - room - 18, log=True)
    y = _score_scale(_curve_values(curves, data), _TOP, bottom - svg.STRIP_PX * len(data.crossovers))
    frame = Frame(_LEFT, width - room - 14, _TOP, bottom, x, y)
    labels = [EndLabel(level.name, y(level.score.value), colours.get(level.name, "ink")) for level in data.lines]
    labels += [EndLabel(curve.name, y(curve.points[-1].mean), colours.get(curve.name, "s1")) for curve in curves]
    x_ticks, y_ticks = svg.apart(sizes, x, numbers.count), svg.linear_ticks(y.low, y.high)
    body = [
        frame.grid(x_ticks, y_ticks, numbers.count, _axis_percent),
        frame.titles(f"{against} (log scale)", f"{heading}, %"),
        *(_level_line(level.score, level.name, frame, colours.get(level.name, "ink")) for level in data.lines),
        *(_curve(curve, frame, colours.get(curve.name, "s1")) for curve in curves),
        *(
            _crossover(crossover, data, frame, colours.get(crossover.curve, "s1"), row)
            for row, crossover in enumerate(data.crossovers)
        ),
        svg.end_labels(labels, frame, room),
    ]
    of_rows = against == "training rows"
    title = f"Learning curves: {heading} against {against}"
    told = " ".join(_in_words(curves, data, "rows" if of_rows else against))
    return svg.figure(f"{'curves' if of_rows else 'examples'}-{width}", width, bottom + _FOOT, title, told, *body)


def _in_words(curves: Sequence[Curve], data: LearningCurves, unit: str) -> list[str]:
    """The curves and the level lines, for readers who hear the page."""
    points = {
        curve.name: "; ".join(
            f"{numbers.percent(point.mean)} at {numbers.count(point.n)} {unit}" for point in curve.points
        )
        for curve in curves
    }
    levels = [f"{level.name}: {numbers.described(level.score)}." for level in data.lines]
    return [*(f"{name}: {means}." for name, means in points.items()), *levels]


def _curve_values(curves: Sequence[Curve], data: LearningCurves) -> list[float]:
    """All scores that the axis must hold."""
    points = [point for curve in curves for point in curve.points]
    values = [value for point in points for value in (point.mean, point.low, point.high, *point.scores)]
    values += [value for curve in curves if curve.ahead for value in (curve.ahead.low, curve.ahead.high)]
    values += [value for level in data.lines for value in (level.score.value, level.score.low, level.score.high)]
    return [value for value in values if value is not None]


def _score_scale(values: Sequence[float], top: float, bottom: float) -> Scale:
    """From a little below the least score to a little above the greatest: within 0..1, at least two points high."""
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), 0.01)
    return Scale(max(0.0, low - pad), min(1.0, high + pad), bottom, top)


def _axis_percent(value: float) -> str:
    return f"{100 * value:.1f}".removesuffix(".0")


def _level_line(score: Estimate, name: str, frame: Frame, colour: str) -> Markup:
    """A score as a line across the plot, over its interval as a band."""
    y = frame.y(score.value)
    level = svg.line(frame.left, y, frame.right, y, f"level {colour}")
    if score.low is None or score.high is None:
        return level
    top, bottom = frame.y(score.high), frame.y(score.low)
    tip = svg.tag("title", f"{name}: {numbers.described(score)}")
    return svg.rect(frame.left, top, frame.right - frame.left, bottom - top, f"band {colour}", tip) + level


def _curve(curve: Curve, frame: Frame, colour: str) -> Markup:
    x, y = frame.x, frame.y
    bands = [(point.n, point.low, point.high) for point in curve.points]
    known = [(n, low, high) for n, low, high in bands if low is not None and high is not None]
    upper, lower = [(x(n), y(high)) for n, _, high in known], [(x(n), y(low)) for n, low, _ in known]
    parts = [svg.polygon(upper + lower[::-1], f"band {colour}")] if len(known) > 1 else []
    if (ahead := curve.ahead) is not None:
        last = curve.points[-1]
        wedge = [(x(last.n), y(last.mean)), (x(ahead.n), y(ahead.high)), (x(ahead.n), y(ahead.low))]
        parts.append(svg.polygon(wedge, f"ahead {colour}"))
    seeds = [(point.n, score) for point in curve.points for score in point.scores]
    parts += [svg.dot(x(n), y(score), f"seed {colour}", radius=1.8) for n, score in seeds]
    parts.append(svg.polyline([(x(point.n), y(point.mean)) for point in curve.points], f"line {colour}"))
    for point in curve.points:
        tip = f"{curve.name}, {numbers.count(point.n)} training rows: {numbers.percent(point.mean)}"
        if point.low is not None and point.high is not None:
            tip += f" [{numbers.bare(point.low)}, {numbers.bare(point.high)}]"
        tip += f", {len(point.scores)} seeds" if point.scores else ""
        tip += f", {numbers.count(curve.n_rows)} test rows"
        parts.append(svg.dot(x(point.n), y(point.mean), f"point {colour}", tip))
    return _NONE.join(parts)


def _crossover(crossover: PromptCrossing, data: LearningCurves, frame: Frame, colour: str, row: int) -> Markup:
    """n* as a drop line from the prompt's level, its interval as a bar on the axis.

    Of an n* outside the sizes tried the plot says on which side it lies.
    """
    measured = [point.n for curve in data.curves for point in curve.points]
    y = frame.bottom - 6 - svg.STRIP_PX * row
    if crossover.censored == ">":
        return svg.text(frame.right - 4, y, f"n* > {numbers.count(max(measured))}", f"label halo {colour}", "end")
    if crossover.censored == "<=":
        return svg.text(frame.left + 4, y, f"n* ≤ {numbers.count(min(measured))}", f"label halo {colour}")
    if crossover.n_star is None:
        return _NONE
    x = _inside(crossover.n_star, frame.x)
    level = next((level.score.value for level in data.lines if level.name == crossover.prompt), None)
    top = frame.top if level is None else frame.y(level)
    mark = svg.foot_mark(x, top, frame, f"n* = {numbers.count(crossover.n_star)}", colour, row)
    if crossover.low is None or crossover.high is None:
        return mark
    start, end = _inside(crossover.low, frame.x), _inside(crossover.high, frame.x)
    return svg.line(start, frame.bottom, end, frame.bottom, f"span {colour}") + mark


def _inside(value: float, scale: Scale) -> float:
    """The value's pixel, at the edge for what lies beyond it: an interval may reach further than the sizes tried."""
    return scale(min(max(value, scale.low), scale.high))


def cost_by_volume(money: Money | None, colours: Colours, width: int = HALF) -> Markup:
    """Total cost against the number of calls, both logarithmic, with the break-even points.

    Lines with an unknown or a zero cost are not drawn.
    """
    drawn = [cost for cost in money.lines if cost.known and cost.total_usd(1) > 0] if money else []
    if money is None or not drawn:
        return _NONE
    evens = [even for even in money.break_even if even.calls and even.arm in {cost.name for cost in drawn}]
    around = [factor * even.calls for even in evens if even.calls for factor in (0.1, 10)]
    low, high = _decades([1e3, 1e6, *around])
    totals = [cost.total_usd(calls) for cost in drawn for calls in (low, high)]
    cheapest, dearest = _decades([total for total in totals if total > 0])
    room = svg.end_label_width((cost.name for cost in drawn), width)
    bottom = round(min(380, 0.62 * width + 60)) - _FOOT
    left, right = _LEFT + 12, width - room - 18
    x = Scale(low, high, left, right, log=True)
    y = Scale(cheapest, dearest, bottom - svg.STRIP_PX * len(evens), _TOP, log=True)
    frame = Frame(left, right, _TOP, bottom, x, y)
    labels = [EndLabel(cost.name, y(cost.total_usd(high)), colours.get(cost.name, "ink")) for cost in drawn]
    x_ticks = svg.apart(svg.decade_ticks(low, high), x, svg.tick_count)
    body = [
        frame.grid(x_ticks, svg.decade_ticks(cheapest, dearest), svg.tick_count, svg.tick_usd),
        frame.titles("calls (log scale)", "total cost, US$ (log scale)"),
        *(_cost_line(cost, frame, colours.get(cost.name, "ink")) for cost in drawn),
        *(_break_even(even, drawn, frame, colours.get(even.arm, "ink"), row) for row, even in enumerate(evens)),
        svg.end_labels(labels, frame, room),
    ]
    prices = [(cost.name, numbers.usd(cost.fixed_usd), numbers.usd(cost.usd_per_call)) for cost in drawn]
    told = [f"{name}: {once} once and {per_call} per call." for name, once, per_call in prices]
    told += [even.sentence for even in money.break_even]
    title = "Total cost against the number of calls"
    return svg.figure(f"volume-{width}", width, bottom + _FOOT, title, " ".join(told), *body)


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten around the values, at least one decade."""
    low, high = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
    return 10.0**low, 10.0 ** max(high, low + 1)


def _break_even(even: BreakEven, drawn: Sequence[CostLine], frame: Frame, colour: str, row: int) -> Markup:
    assert even.calls is not None
    cost = next(cost for cost in drawn if cost.name == even.arm)
    x, y = frame.x(even.calls), frame.y(cost.total_usd(even.calls))
    return svg.foot_mark(x, y, frame, f"{numbers.count(even.calls)} calls", colour, row)


def _cost_line(cost: CostLine, frame: Frame, colour: str) -> Markup:
    low, high = math.log10(frame.x.low), math.log10(frame.x.high)
    steps = 240 if cost.renewal_calls else 60  # a line with steps needs more points
    volumes = [10 ** (low + (high - low) * step / steps) for step in range(steps + 1)]
    totals = [(calls, cost.total_usd(calls)) for calls in volumes]
    return svg.polyline([(frame.x(calls), frame.y(usd)) for calls, usd in totals if usd > 0], f"line {colour}")


def score_by_cost(arms: Sequence[ArmResult], heading: str, colours: Colours, width: int = HALF) -> Markup:
    """Score, with its interval, against cost per 1,000 calls (log).

    Arms that cost nothing, and arms whose price is unknown, stand in columns of their own at the left.
    """
    if not arms:
        return _NONE
    costs = [arm.cost_usd_per_1000 for arm in arms]
    special = [name for name, cost in (("unknown", None), ("$0", 0)) if cost in costs]
    columns = {name: _LEFT + 34 + 60.0 * index for index, name in enumerate(special)}
    priced = [cost for cost in costs if cost]
    low, high = _decades(priced) if priced else (0.1, 10.0)
    bottom = round(min(380, 0.62 * width + 60)) - _FOOT
    values = [value for arm in arms for value in (arm.score.value, arm.score.low, arm.score.high) if value is not None]
    x = Scale(low, high, _LEFT + (60 * len(columns) + 30 if columns else 16), width - 28, log=True)
    y = _score_scale(values, _TOP + 24, bottom)  # 24: above the best arm there is room for its name
    frame = Frame(_LEFT, width - 12, _TOP, bottom, x, y)
    across = [x(cost) if cost else columns["unknown" if cost is None else "$0"] for cost in costs]
    places = [(at, y(arm.score.value)) for at, arm in zip(across, arms, strict=True)]
    names = [(*at, arm.name, f"halo {colours.get(arm.name, 'ink')}") for at, arm in zip(places, arms, strict=True)]
    points = [Box(at - 5, height - 5, at + 5, height + 5) for at, height in places]
    ticks = svg.apart(svg.decade_ticks(low, high), x, svg.tick_usd) if priced else []
    divide = [svg.line(x.start - 26, _TOP, x.start - 26, bottom, "divide")] if columns and priced else []
    body = [
        frame.grid(ticks, svg.linear_ticks(y.low, y.high), svg.tick_usd, _axis_percent),
        frame.titles("US$ per 1,000 calls (log scale)", f"{heading}, %"),
        *(svg.text(at, bottom + 17, name, "tick", "middle") for name, at in columns.items()),
        *divide,
        svg.point_labels(names, points, Box(_LEFT, _TOP - 14, width, bottom)),
        # The points come after the names, so that no name's halo hides one.
        *(
            _scored(arm.score, at, frame, colours.get(arm.name, "ink"), arm.name)
            for at, arm in zip(places, arms, strict=True)
        ),
    ]
    prices = [(arm.name, numbers.described(arm.score), numbers.usd(arm.cost_usd_per_1000)) for arm in arms]
    told = " ".join(f"{name}: {score}, {usd} per 1,000 calls." for name, score, usd in prices)
    title = f"{heading.capitalize()} against cost per 1,000 calls"
    return svg.figure(f"cost-{width}", width, bottom + _FOOT, title, told, *body)


def _scored(score: Estimate, at: tuple[float, float], frame: Frame, colour: str, what: str) -> Markup:
    """A score as a dot, with its interval, where it has one, as a whisker."""
    x, y = at
    dot = svg.dot(x, y, f"point {colour}", f"{what}: {numbers.described(score)}", radius=4.5)
    if score.low is None or score.high is None:
        return dot
    return svg.line(x, frame.y(score.low), x, frame.y(score.high), f"whisker {colour}") + dot


def threshold_curve(
    curve: ThresholdCurve | None,
    cascade: CascadePromise | None,
    colours: Colours,
    width: int = HALF,
    *,
    right: str = "right",
) -> Markup:
    """Two panels over one axis: what the cascade gets right, and what it costs, at each confidence threshold.

    `right`: what an answer that scores is called; without gold labels it is no more than the teacher's.
    The cost is in dollars where every point has one, and else the share of calls that the teacher still answers.
    """
    if curve is None or not curve.points:
        return _NONE
    points = sorted(curve.points, key=lambda point: point.threshold)
    parts = ((curve.student, curve.student_accuracy), (curve.teacher, curve.teacher_accuracy))
    alone = [(name, accuracy) for name, accuracy in parts if accuracy is not None]
    height = round(min(420, 0.7 * width + 110))
    bottom, middle = height - _FOOT, _TOP + 0.56 * (height - _FOOT - _TOP)
    room = svg.end_label_width((name for name, _ in alone), width)
    x = Scale(0.0, 1.0, _LEFT, width - room - 18)
    accuracies = [point.accuracy for point in points] + [accuracy for _, accuracy in alone]
    y = _score_scale(accuracies, _TOP, middle - 20)
    costs, most, title, label = _costs(points)
    upper = Frame(_LEFT, x.end, _TOP, middle - 20, x, y)
    lower = Frame(_LEFT, x.end, middle + 26, bottom, x, Scale(0.0, most, bottom, middle + 26))
    colour = colours.get(curve.arm, "s3")
    scored = [(x(point.threshold), y(point.accuracy)) for point in points]
    spent = [(x(point.threshold), lower.y(cost)) for point, cost in zip(points, costs, strict=True)]
    body = [
        upper.grid([], svg.linear_ticks(y.low, y.high, 5), _plain, _axis_percent),
        upper.titles("", f"{right}, %"),
        lower.grid([0, 0.25, 0.5, 0.75, 1], svg.linear_ticks(0, most, 3), _plain, label),
        lower.titles("confidence threshold", title),
        *(
            svg.line(upper.left, y(accuracy), upper.right, y(accuracy), f"level {colours.get(name, 'ink')}")
            for name, accuracy in alone
        ),
        svg.polyline(scored, f"line {colour}"),
        svg.polyline(spent, f"line {colour}"),
        _chosen(cascade, upper, lower),
        _best_of_both(curve, upper, colour, right),
        svg.end_labels([EndLabel(name, y(value), colours.get(name, "ink")) for name, value in alone], upper, room),
    ]
    if len(points) == 1:  # a line of one point cannot be seen
        body += [svg.dot(*at, f"point {colour}") for at in (scored[0], spent[0])]
    heading = "The cascade against its threshold"
    return svg.figure(f"threshold-{width}", width, height, heading, _threshold_in_words(curve, points, right), *body)


def _threshold_in_words(curve: ThresholdCurve, points: Sequence[ThresholdPoint], right: str) -> str:
    """The curve's ends and its best point, for readers who hear the page."""
    told = []
    for point in (points[0], points[-1]):
        score, kept = numbers.percent(point.accuracy), numbers.percent(point.share_kept)
        told.append(f"at {point.threshold:.2f} {score} {right} with {kept} kept")
    if (best := curve.best_of_both) is not None:
        told.append(f"best at {best.threshold:.2f}, {numbers.percent(best.accuracy)} {right}, above both of its parts")
    return f"{numbers.count(curve.n)} rows: {'; '.join(told)}."


def _costs(points: Sequence[ThresholdPoint]) -> tuple[list[float], float, str, Callable[[float], str]]:
    """What the lower panel shows, the top of its scale, its title, and how its numbers are written."""
    known = [point.cost_usd_per_1000 for point in points if point.cost_usd_per_1000 is not None]
    if len(known) == len(points) and max(known) > 0:
        return known, max(known), "US$ per 1,000 calls", numbers.usd
    return [1 - point.share_kept for point in points], 1.0, "calls to the teacher, %", _axis_percent


def _best_of_both(curve: ThresholdCurve, frame: Frame, colour: str, right: str) -> Markup:
    """The point at which the cascade is best, where that is better than both of its parts."""
    best = curve.best_of_both
    if best is None:
        return _NONE
    x, y = frame.x(best.threshold), frame.y(best.accuracy)
    tip = f"threshold {best.threshold:.3g}: {numbers.percent(best.accuracy)} {right}"
    tip += f", {numbers.percent(best.share_kept)} kept, {numbers.count(curve.n)} rows"
    left = x > (frame.left + frame.right) / 2
    name = svg.beside(x, y - 7, "beats both", f"label halo {colour}", left, gap=9)
    return svg.dot(x, y, f"cross {colour}", tip, radius=5) + name


def _chosen(cascade: CascadePromise | None, upper: Frame, lower: Frame) -> Markup:
    """The threshold that keeps its promise, as a line through both panels."""
    if cascade is None or cascade.threshold is None:
        return _NONE
    x = _inside(cascade.threshold, upper.x)
    words = svg.beside(x, lower.top + 12, f"chosen: {cascade.threshold:.3g}", "label halo", cascade.threshold > 0.5)
    return svg.line(x, upper.top, x, lower.bottom, "chosen") + words


def _plain(value: float) -> str:
    return f"{value:g}"


def reliability(data: Reliability | None, colours: Colours, width: int = HALF, *, right: str = "right") -> Markup:
    """How often the student is right against how sure it was, bin by bin with intervals, and before calibration.

    Below: how many rows each bin holds. `right`: as in `threshold_curve`.
    """
    bins = [each for each in data.bins if each.accuracy.n] if data else []
    if data is None or not bins:
        return _NONE
    before = [each for each in data.before if each.accuracy.n]
    height = round(min(420, 0.7 * width + 110))
    bottom, most = height - _FOOT, max(each.accuracy.n for each in bins)
    x = Scale(0.0, 1.0, _LEFT, width - 18)
    upper = Frame(_LEFT, x.end, _TOP, bottom - 84, x, Scale(0.0, 1.0, bottom - 84, _TOP))
    lower = Frame(_LEFT, x.end, bottom - 40, bottom, x, Scale(0.0, float(most), bottom, bottom - 40))
    colour = colours.get(data.arm, "s1")
    quarters = [0, 0.25, 0.5, 0.75, 1]
    body = [
        upper.grid([], quarters, _plain, _axis_percent),
        upper.titles("", f"{right}, %"),
        lower.grid(quarters, [0, most], _axis_percent, numbers.count),
        lower.titles("confidence, %", "rows"),
        svg.line(x(0), upper.y(0), x(1), upper.y(1), "ideal"),
        *([_uncalibrated(before, upper)] if before else []),
        svg.polyline(_places(bins, upper), f"thin {colour}"),
    ]
    for each, at in zip(bins, _places(bins, upper), strict=True):
        y = lower.y(each.accuracy.n)
        body.append(svg.rect(x(each.low) + 1, y, x(each.high) - x(each.low) - 2, bottom - y, f"bar {colour}"))
        body.append(
            _scored(each.accuracy, at, upper, colour, f"confidence {numbers.percent(each.confidence)}, {right}")
        )
    told = [
        *_bins_in_words("Confidence", bins, right),
        *_bins_in_words("Before calibration, confidence", before, right),
    ]
    title = f"Reliability of the confidence of {data.arm}"
    return svg.figure(f"reliability-{width}", width, height, title, " ".join(told), *body)


def _places(bins: Sequence[ReliabilityBin], frame: Frame) -> list[tuple[float, float]]:
    """The points of the bins, for each bin: mean confidence across, share right up."""
    return [(frame.x(each.confidence), frame.y(each.accuracy.value)) for each in bins]


def _bins_in_words(what: str, bins: Sequence[ReliabilityBin], right: str) -> list[str]:
    """The bins for readers who hear the page."""
    return [f"{what} {numbers.percent(each.confidence)}: {right} {numbers.described(each.accuracy)}." for each in bins]


def _uncalibrated(bins: Sequence[ReliabilityBin], frame: Frame) -> Markup:
    """The same rows by their confidence before calibration: open rings on a dashed line, named once at the top left."""
    places = _places(bins, frame)
    tips = [f"before calibration, confidence {numbers.percent(each.confidence)}" for each in bins]
    rings = [svg.dot(*at, "cross faint", tip) for at, tip in zip(places, tips, strict=True)]
    key = svg.dot(frame.left + 12, frame.top + 12, "cross faint")
    key += svg.text(frame.left + 22, frame.top + 16, "before calibration", "label halo")
    return _NONE.join([svg.polyline(places, "level faint open"), *rings, key])


def interval_bar(
    score: Estimate, low: float, high: float, colour: str, reference: float | None = None, width: int = 104
) -> Markup:
    """A score and its interval on the common scale low..high, small enough for a table cell.

    The number stands beside it, so it is hidden from readers who hear the page.
    """
    x = Scale(low, high, 5, width - 5)
    parts = [svg.line(x(reference), 1, x(reference), 17, "reference")] if reference is not None else []
    if score.low is not None and score.high is not None:
        parts.append(svg.line(x(score.low), 9, x(score.high), 9, f"whisker {colour}"))
    parts.append(svg.dot(x(score.value), 9, f"point {colour}", radius=3.5))
    box = f"0 0 {width} 18"
    return svg.tag("svg", *parts, viewBox=box, width=width, height=18, aria_hidden="true", class_="plot cell")
