"""A run's result as one self-contained HTML file, and as a short table for the terminal.

The page loads nothing: styles and drawings are inside, there is no script, and a content security policy says so to the browser. Whatever
came from data or models is escaped by Jinja2's autoescape or by `svg.tag`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import rich.box
from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stillhouse import __version__, numbers
from stillhouse.report import plots
from stillhouse.report.acceptability import acceptability, columns, share_at
from stillhouse.report.comparison_plot import both_cuts
from stillhouse.report.comparison_terminal import comparison_text, shown_check
from stillhouse.results.money import BreakEven
from stillhouse.results.result import Arm, Curve, LearningCurves, Result, from_dict

SERIES = 6  # colours of the style sheet, told apart by readers with any of the common colour vision deficiencies


def render(result: Result | Mapping[str, Any]) -> str:
    """The page. Takes a `Result`, or what `result.json` holds; raises UserError where that is not one."""
    if not isinstance(result, Result):
        result = from_dict(result)
    colours = series_colours(result)
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            result=result,
            colours=colours,
            drawings=_drawings(result, colours),
            key_arms=key_arms(result),
            unpriced=[cost.name for cost in result.money.lines if cost.fixed_usd is None or cost.usd_per_call is None]
            if result.money
            else [],
            range=_score_range(result),
            win_rate_drawings=[both_cuts(found, f"win-rate-{number}") for number, found in enumerate(result.win_rates)],
            shown_check=shown_check,
            reference=_reference(result),
            interval_bar=plots.interval_bar,
            key_even=_key_even(result),
            worth_columns=columns(result.money.worth) if result.money else [],
            acceptable=share_at,
            version=__version__,
        )
    )


def terminal(result: Result, report: Path | None = None) -> RenderableType:
    """The short table for the end of a command, made for 80 columns: every arm's numbers, the verdict, and where the report lies."""
    rows = [_cells(arm, result.n_test) for arm in result.arms]
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("arm", overflow="fold", min_width=12)
    heading = "win rate" if result.win_rates else result.heading  # whose it is stands above each comparison below
    for index, head in enumerate((heading, "interval, %", "per 1,000 calls", "p50 / p99 latency", "size")):
        table.add_column(
            head, justify="right", min_width=max((len(row[index]) for row in rows), default=0)
        )  # the arm's name wraps, numbers do not
    table.add_column("gate")
    for arm, row in zip(result.arms, rows, strict=True):
        style = "bold" if arm.name == result.chosen else ""
        gate = Text(arm.gate.answer, style=_GATE_STYLES[arm.gate.answer]) if arm.gate else Text("–", style="dim")
        table.add_row(
            Text(arm.name + (" (stand-in)" if arm.stand_in else ""), style=style),
            *(Text(cell, style=style) for cell in row),
            gate,
        )
    lines: list[RenderableType] = [
        Text(f"{numbers.count(result.n_test)} test rows; intervals at 95 % unless marked", style="dim")
    ]
    lines += [Text(result.weak, style="yellow")] if result.weak else []
    lines += [comparison_text(found) for found in result.win_rates]
    lines += [Text(f"{test.name}: {test.arm} {numbers.described(test.score)}") for test in result.other_tests]
    lines += [Text(f"{found.arm}: {found.sentence}") for found in result.step_by_step]
    lines += [Text.assemble("\n", ("Verdict: ", "dim"), (result.verdict.kind, "bold"), ". ", result.verdict.sentence)]
    lines += [Text.assemble(("Buy next: ", "dim"), result.verdict.buy_next)] if result.verdict.buy_next else []
    lines += [Text.assemble(("Money: ", "dim"), even.sentence) for even in _key_even(result)]
    lines += [Text.assemble(("Warning: ", "yellow"), warning) for warning in result.warnings]
    if report is not None:
        lines.append(Text.assemble(("Report: ", "dim"), str(report)))
    return Group(table, *lines)


_GATE_STYLES = {"pass": "green", "fail": "red", "cannot tell": "yellow"}


def _cells(arm: Arm, n_test: int) -> tuple[str, ...]:
    """An arm's numbers for the terminal; what is not marked stands on the `n_test` rows at 95 %."""
    marks = [f"at {numbers.percent(arm.score.level, 0)}"] if arm.score.level != 0.95 else []
    marks += [f"n = {numbers.count(arm.score.n)}"] if arm.score.n != n_test else []
    latency = "/".join(numbers.seconds(value) for value in (arm.latency_p50_s, arm.latency_p99_s) if value is not None)
    return (
        numbers.percent(arm.score.value),
        " ".join([numbers.interval(arm.score), *marks]),
        numbers.usd(arm.cost_usd_per_1000),
        latency or numbers.UNKNOWN,
        numbers.size(arm.size_bytes) if arm.size_bytes is not None else "–",
    )


def standalone(drawing: Markup) -> str:
    """A plot as an SVG file of its own, on paper, with the style sheet's colours and plot rules inside; light or dark as the reader's system is."""
    colours, style = (
        (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
        for name in ("colours.css", "style.css")
    )
    rules = [rule for rule in style.splitlines() if rule.startswith((".plot ", "svg.plot "))]
    inside = "\n".join([colours.rstrip(), *rules, "svg { background: var(--paper); }"])
    head, tail = str(drawing).split(">", 1)
    return f"{head} xmlns='http://www.w3.org/2000/svg'><style>\n{inside}\n</style>{tail}\n"


@cache
def templates() -> jinja2.Environment:
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    amounts = (
        numbers.count,
        numbers.percent,
        numbers.bare,
        numbers.interval,
        numbers.points,
        numbers.usd,
        numbers.seconds,
        numbers.size,
    )
    formats: tuple[Callable[..., str], ...] = (*amounts, numbers.tied, numbers.day)
    environment.filters.update({function.__name__: function for function in formats})
    sheets = {
        "style": ("colours.css", "style.css"),
        "run_style": ("flow.css", "run.css"),
        "blind_style": ("colours.css", "blind.css"),
    }
    for name, files in sheets.items():  # our own files: no escaping inside <style>
        environment.globals[name] = Markup("".join((folder / file).read_text(encoding="utf-8") for file in files))
    return environment


def series_colours(result: Result) -> dict[str, str]:
    """A class of the style sheet for every system, the same in all plots: prompts in ink, baselines grey, the rest in the order of the arms.

    The recommended arm comes first, so that it gets the accent. From the seventh system on colours repeat; labels still tell them apart.
    """
    fixed = {
        arm.name: "ink" if arm.kind in ("prompt", "few-shot") else "faint"
        for arm in result.arms
        if arm.kind in ("prompt", "few-shot", "baseline")
    }
    names = [arm.name for arm in result.arms if arm.name not in fixed]
    if result.chosen in names:
        names.sort(key=lambda name: name != result.chosen)
    if result.curves is not None:
        names += [curve.name for curve in result.curves.curves if curve.name not in fixed]
        fixed = {**{level.name: "ink" for level in result.curves.lines}, **fixed}
    if result.money is not None:  # a hosted finetune is on no table but the money's
        names += [
            cost.name
            for cost in result.money.lines
            if cost.name not in fixed and None not in (cost.fixed_usd, cost.usd_per_call)
        ]
    series = {name: f"s{1 + index % SERIES}" for index, name in enumerate(dict.fromkeys(names))}
    return {**fixed, **series}


def key_arms(result: Result) -> list[Arm]:
    """The arms whose numbers carry the verdict: the best prompt, then the recommended arm or else the best student."""
    prompts = [arm for arm in result.arms if arm.kind in ("prompt", "few-shot")]
    others = [arm for arm in result.arms if arm.kind in ("student", "cascade")]
    key = [max(prompts, key=lambda arm: arm.score.value)] if prompts else []
    chosen = next((arm for arm in others if arm.name == result.chosen), None)
    if chosen is None and others:
        chosen = max(others, key=lambda arm: arm.score.value)
    return key + ([chosen] if chosen else [])


def _key_even(result: Result) -> list[BreakEven]:
    """Whether the arm that the key figures are about pays for itself."""
    names = [arm.name for arm in key_arms(result) if arm.kind in ("student", "cascade")]
    return [even for even in (result.money.break_even if result.money else ()) if even.arm in names]


def _reference(result: Result) -> float | None:
    """The best prompt's score: the line that the table's interval bars are read against."""
    return max((arm.score.value for arm in result.arms if arm.kind in ("prompt", "few-shot")), default=None)


def _score_range(result: Result) -> tuple[float, float]:
    """The common scale of the table's interval bars."""
    values = [
        value for arm in result.arms for value in (arm.score.value, arm.score.low, arm.score.high) if value is not None
    ]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high - low > 0.02 else (low - 0.01, high + 0.01)


def _shots(curves: LearningCurves | None) -> LearningCurves | None:
    """The prompt with examples as a curve over their number, with the prompts without as level lines."""
    if curves is None or curves.few_shot is None or not curves.few_shot.points:
        return None
    prompts = tuple(level for level in curves.lines if level.name.startswith("prompt"))
    return LearningCurves((Curve("prompt + examples", curves.few_shot.points, curves.few_shot.n_rows),), prompts)


def _drawings(result: Result, colours: Mapping[str, str]) -> dict[str, Markup]:
    """Every plot in a wide and a narrow cut; the style sheet shows the one that fits. An empty one is left out by the template."""

    def both(draw: Callable[[int], Markup], wide: int = plots.HALF) -> Markup:
        wider = draw(wide)
        return (
            Markup("<div class='wide'>{}</div><div class='narrow'>{}</div>").format(wider, draw(plots.NARROW))
            if wider
            else Markup("")
        )

    curves, money, threshold, belief = result.curves, result.money, result.threshold_curve, result.reliability
    none, shots = Markup(""), _shots(curves)
    return {
        "shots": both(
            lambda width: plots.learning_curves(shots, result.heading, colours, width, "examples in the prompt"),
            plots.WIDE,
        )
        if shots
        else none,
        "curves": both(lambda width: plots.learning_curves(curves, result.heading, colours, width), plots.WIDE)
        if curves
        else none,
        "volume": both(lambda width: plots.cost_by_volume(money, colours, width)) if money else none,
        "worth": both(lambda width: acceptability(money.worth, money.unit, colours, width)) if money else none,
        "cost": both(lambda width: plots.score_by_cost(result.arms, result.heading, colours, width)),
        "threshold": both(lambda width: plots.threshold_curve(threshold, result.cascade, colours, width))
        if threshold
        else none,
        "reliability": both(lambda width: plots.reliability(belief, colours, width)) if belief else none,
    }
