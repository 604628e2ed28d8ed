"""A run's result as one self-contained HTML file."""

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from stillhouse import __version__
from stillhouse.report import plots
from stillhouse.report.acceptability import acceptability, columns
from stillhouse.report.comparison_plot import comparison_drawing
from stillhouse.report.comparison_terminal import shown_check
from stillhouse.report.html import templates, two_widths
from stillhouse.report.key_arms import PROMPTS, best_prompt
from stillhouse.report.key_tiles import key_tiles, left_out
from stillhouse.report.methods import deciding_tests, interval_methods
from stillhouse.report.svg import SERIES
from stillhouse.results.agreement import agreement_of
from stillhouse.results.learning_curves import Curve, LearningCurves
from stillhouse.results.run_result import Result, from_dict


def render(result: Result | Mapping[str, Any]) -> str:
    """The page. Takes a `Result`, or what `result.json` holds; raises UserError where that is not one."""
    if not isinstance(result, Result):
        result = from_dict(result)
    colours, money, reference = series_colours(result), result.money, best_prompt(result)
    return (
        templates()
        .get_template("result.html.j2")
        .render(
            result=result,
            colours=colours,
            drawings=_drawings(result, colours),
            tiles=key_tiles(result),
            left_out=left_out(result),
            unpriced=[cost.name for cost in money.lines if not cost.known] if money else [],
            worth_columns=columns(money.worth) if money else [],
            win_rate_drawings=[comparison_drawing(w, f"win-rate-{i}") for i, w in enumerate(result.win_rates)],
            shown_check=shown_check,
            interval_bar=plots.interval_bar,
            agreement_of=agreement_of,
            range=_score_range(result),
            methods=interval_methods(result),
            tests=deciding_tests(result),
            reference=None if reference is None else reference.score.value,
            version=__version__,
        )
    )


def series_colours(result: Result) -> dict[str, str]:
    """A class of the style sheet for every system, the same in all plots.

    Prompts are in ink, baselines grey, the others coloured in the order of the arms. The recommended arm comes first,
    so that it gets the accent. From the seventh system on colours repeat; labels still tell them apart.
    """
    fixed = {arm.name: "ink" for arm in result.arms if arm.kind in PROMPTS}
    fixed |= {arm.name: "faint" for arm in result.arms if arm.kind == "baseline"}
    names = [arm.name for arm in result.arms if arm.name not in fixed]
    if result.chosen in names:
        names.sort(key=lambda name: name != result.chosen)
    if result.curves is not None:
        names += [curve.name for curve in result.curves.curves if curve.name not in fixed]
        fixed = {**{level.name: "ink" for level in result.curves.lines}, **fixed}
    if result.money is not None:  # a hosted finetune is only in the table of money
        names += [cost.name for cost in result.money.lines if cost.name not in fixed and cost.known]
    series = {name: f"s{1 + index % SERIES}" for index, name in enumerate(dict.fromkeys(names))}
    return {**fixed, **series}


def _score_range(result: Result) -> tuple[float, float]:
    """The common scale of the table's interval bars."""
    ends = [end for arm in result.arms for end in (arm.score.value, arm.score.low, arm.score.high) if end is not None]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    return (low, high) if high - low > 0.02 else (low - 0.01, high + 0.01)


def _shots(curves: LearningCurves | None) -> LearningCurves | None:
    """The prompt with examples as a curve over their number, with the prompts without as level lines."""
    if curves is None or curves.few_shot is None or not curves.few_shot.points:
        return None
    prompts = tuple(level for level in curves.lines if level.name.startswith("prompt"))
    return LearningCurves((Curve("prompt + examples", curves.few_shot.points, curves.few_shot.n_rows),), prompts)


def _drawings(result: Result, colours: Mapping[str, str]) -> dict[str, Markup]:
    """Every plot by its name in the template, which leaves out the empty ones."""
    curves, shots, heading = result.curves, _shots(result.curves), result.heading
    worths, unit = (result.money.worth, result.money.unit) if result.money else ((), "")
    wide: dict[str, Callable[[int], Markup]] = {
        "curves": lambda width: plots.learning_curves(curves, heading, colours, width),
        "shots": lambda width: plots.learning_curves(shots, heading, colours, width, "examples in the prompt"),
    }
    half: dict[str, Callable[[int], Markup]] = {
        "volume": lambda width: plots.cost_by_volume(result.money, colours, width),
        "worth": lambda width: acceptability(worths, unit, colours, width),
        "cost": lambda width: plots.score_by_cost(result.arms, heading, colours, width),
        "threshold": lambda width: plots.threshold_curve(
            result.threshold_curve, result.cascade, colours, width, right=result.right
        ),
        "reliability": lambda width: plots.reliability(result.reliability, colours, width, right=result.right),
    }
    drawn = {name: two_widths(draw, plots.WIDE, plots.NARROW) for name, draw in wide.items()}
    return drawn | {name: two_widths(draw, plots.HALF, plots.NARROW) for name, draw in half.items()}
