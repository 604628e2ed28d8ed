"""What was generated as one self-contained HTML file: how much was kept and why not the rest, and how varied it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from stillhouse import __version__, numbers
from stillhouse.report.page import templates
from stillhouse.report.sunburst import sunburst
from stillhouse.report.svg import Frame, Scale, dot, figure, line, linear_ticks, polyline, rect

HALF, NARROW = 520, 328
_LEFT, _TOP, _FOOT, _HEIGHT = 50, 30, 46, 270


@dataclass(frozen=True)
class Spread:
    """Shares of two sets over bins. `edges` has one more than the bins; `others` None: there is nothing to compare with."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    n: int
    others: tuple[float, ...] | None = None
    n_others: int = 0


@dataclass(frozen=True)
class DiversityPage:
    """The page's facts. `verbs`: (verb, texts, (object, texts) pairs); empty with `no_verbs` saying why."""

    title: str
    teacher: str
    stand_in: bool
    kept: int
    wanted: int
    asked: int
    calls: int
    cost_usd: float | None
    stopped: str | None
    dropped: tuple[tuple[str, int], ...]
    filters: tuple[tuple[str, int, int], ...]  # (name, proposals that came to it, proposals that went on), in order
    held_out: int
    curve: tuple[tuple[int, int], ...]
    lengths: Spread
    nearest: Spread | None
    made_from: str  # "seeds" or "training rows"
    verbs: tuple[tuple[str, int, tuple[tuple[str, int], ...]], ...] = ()
    verb_notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def render_diversity(page: DiversityPage) -> str:
    """The HTML."""
    nearest = page.nearest
    return (
        templates()
        .get_template("diversity.html.j2")
        .render(
            page=page,
            drawings={
                "verbs": _both(
                    lambda width: sunburst("verbs", "Root verbs and their direct objects", page.verbs, width), 560
                ),
                "lengths": _both(
                    lambda width: histogram("lengths", "Words per text", "words", page.lengths, width, numbers.count)
                ),
                "nearest": _both(
                    lambda width: histogram("nearest", "Similarity to the nearest", "ROUGE-L", nearest, width, _tenth)
                )
                if nearest
                else "",
                "curve": _both(lambda width: acceptance("curve", page.curve, width)),
            },
            version=__version__,
        )
    )


def _both(draw: Callable[[int], Markup], wide: int = HALF) -> Markup:
    wider = draw(wide)
    return (
        Markup("<div class='wide'>{}</div><div class='narrow'>{}</div>").format(wider, draw(NARROW))
        if wider
        else Markup("")
    )


def histogram(name: str, title: str, x_title: str, spread: Spread, width: int, label: Callable[[float], str]) -> Markup:
    """Bars for the set, a stepped line for what it is compared with; both as shares, for their sizes differ."""
    most = max((*spread.shares, *(spread.others or ())), default=0.0) or 1.0
    bottom = _HEIGHT - _FOOT
    x, y = Scale(spread.edges[0], spread.edges[-1], _LEFT, width - 10), Scale(0, most * 1.05, bottom, _TOP)
    frame = Frame(_LEFT, width - 10, _TOP, bottom, x, y)
    body = [
        frame.grid(
            linear_ticks(x.low, x.high, 6 if width > NARROW else 4),
            linear_ticks(0, y.high, 4),
            label,
            lambda value: numbers.percent(value, 0),
        )
    ]
    body.append(frame.titles(x_title, "share of the rows"))
    bins = list(zip(spread.edges, spread.edges[1:], strict=False))
    for (low, high), share in zip(bins, spread.shares, strict=True):
        tip = f"{label(low)} to {label(high)}: {numbers.percent(share, 1)}"
        body.append(
            rect(
                x(low) + 1,
                y(share),
                x(high) - x(low) - 2,
                bottom - y(share),
                "bar s1",
                Markup("<title>{}</title>").format(tip),
            )
        )
    if spread.others is not None:
        steps = [
            (x(edge), y(share)) for (low, high), share in zip(bins, spread.others, strict=True) for edge in (low, high)
        ]
        body.append(polyline(steps, "thin ink"))
    said = ", ".join(
        f"{label(low)} to {label(high)}: {numbers.percent(share, 1)}"
        for (low, high), share in zip(bins, spread.shares, strict=True)
    )
    return figure(f"{name}-{width}", width, _HEIGHT, title, said, *body)


def acceptance(name: str, curve: Sequence[tuple[int, int]], width: int) -> Markup:
    """Kept share of each call's proposals, with the mean of ten calls as a line."""
    if len(curve) < 2:
        return Markup("")
    bottom = _HEIGHT - _FOOT
    x, y = Scale(1, len(curve), _LEFT + 6, width - 16), Scale(0, 1, bottom, _TOP)
    frame = Frame(_LEFT, width - 10, _TOP, bottom, x, y)
    ticks = [tick for tick in linear_ticks(1, len(curve), 5) if tick == int(tick)]
    body = [
        frame.grid(ticks, [0, 0.25, 0.5, 0.75, 1], numbers.count, lambda value: numbers.percent(value, 0)),
        frame.titles("call", "kept of asked"),
    ]
    body += [
        dot(x(call), y(kept / asked), "seed s1", f"call {call}: {kept} of {asked}", 2.5)
        for call, (asked, kept) in enumerate(curve, start=1)
    ]
    windows = [curve[max(0, end - 10) : end] for end in range(1, len(curve) + 1)]
    mean = [
        (x(end), y(sum(kept for _, kept in part) / sum(asked for asked, _ in part)))
        for end, part in enumerate(windows, start=1)
    ]
    body += [polyline(mean, "line s1"), line(frame.left, y(0.05), frame.right, y(0.05), "ideal")]
    said = "; ".join(f"call {call}: {kept} of {asked}" for call, (asked, kept) in enumerate(curve, start=1))
    return figure(f"{name}-{width}", width, _HEIGHT, "Acceptance", said, *body)


def _tenth(value: float) -> str:
    return f"{value:.1f}"
