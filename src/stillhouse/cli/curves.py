"""`stillhouse curves`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, command

if TYPE_CHECKING:
    from stillhouse.advice.advantage import Advantage, Ranged


@command
def curves(
    runs: Annotated[Path, typer.Argument(help="CSV, one training run a line: columns arm, n, seed, score")],
    better: Annotated[str, typer.Option(help="the arm whose worth is asked for")],
    worse: Annotated[str, typer.Option(help="the arm that it is held against")],
    protocol: Annotated[
        Literal["ours", "lescao2021"],
        typer.Option(help="ours: means with intervals; lescao2021: as that paper computed it"),
    ] = "ours",
    full_range: Annotated[
        bool,
        typer.Option("--full-range", help="over every score that an arm reaches, not only those that both do: a bound"),
    ] = False,
    window_of: Annotated[
        list[str] | None,
        typer.Option(help="twice: the arms whose common scores are the window; default: the two compared"),
    ] = None,
    at: Annotated[
        float | None,
        typer.Option(help="compare the sizes that the arms need for this score; default: the middle of the window"),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="write the picture here (SVG)")] = None,
    as_json: AsJson = False,
) -> None:
    """How many training rows is one arm worth against another? From anybody's runs: advantage, window, crossover."""
    from stillhouse.commands.curves import curves as run
    from stillhouse.report.advantage import advantage_text

    done = run(
        runs,
        better=better,
        worse=worse,
        protocol=protocol,
        full_range=full_range,
        window_of=window_of or (),
        at=at,
        plot=plot,
    )
    if as_json:
        emit_json({**asdict(done.advantage), "plot": str(plot) if plot else None})
        return
    out.print(advantage_text(done.picture, "mean" if protocol == "ours" else "best so far"))
    if protocol == "ours":
        out.print(
            "the lines are fits that never fall; the numbers are means of the runs, with the fit's band", markup=False
        )
    for line in sentences(done.advantage):
        out.print(line, markup=False)
    if plot is not None:
        out.print(f"picture: {plot}", markup=False)


def sentences(advantage: "Advantage") -> list[str]:
    """The result in words, one fact a line, each with its n. What the numbers hide comes before them."""
    better, worse, (low, high) = advantage.better, advantage.worse, advantage.window
    runs = ", ".join(f"{curve.name} {sum(curve.n_runs)}" for curve in advantage.curves)
    lines = [
        *(f"note: {caution}" for caution in advantage.cautions),
        f"advantage: {advantage.in_words} (protocol {advantage.protocol}; runs: {runs})",
        f"window: scores from {low:.4g} to {high:.4g}" + (", the full range" if advantage.full_range else ""),
    ]
    if advantage.n_hold_outs:
        values = f"{advantage.n_hold_outs} values, each with one run of every arm held out"
        lines.append(f"spread: the standard deviation of {values}")
    if advantage.ratio is not None:
        times = _ranged(advantage.ratio, ".3g", "an unknown number of")
        lines.append(f"ratio: {worse} needs {times} times the rows of {better}, on average over the window")
    if (at := advantage.at) is not None:
        outside = "rows outside the sizes tried"
        first, second = (_ranged(n, ",.0f", outside) for n in (at.better_n, at.worse_n))
        needs = f"{better} needs {first}{' rows' if at.better_n.value is not None else ''}, {worse} {second}"
        lines.append(f"at a score of {at.score:.4g}: {needs}; ratio {_ranged(at.ratio, '.3g', 'unknown')}")
    crossover, interval = advantage.crossover, ""
    if crossover.level is not None:
        least = _end(crossover.low, "below the smallest", ",.0f")
        interval = f" [{least}, {_end(crossover.high, 'beyond the largest', ',.0f')}]"
    others = [note for note in advantage.notes if note not in advantage.cautions]
    return [*lines, f"crossover: {crossover.sentence}{interval}", *(f"note: {note}" for note in others)]


def _ranged(number: "Ranged", form: str, unknown: str) -> str:
    value = unknown if number.value is None else f"{number.value:{form}}"
    if number.low is None and number.high is None:
        return value
    return f"{value} [{_end(number.low, 'below the smallest', form)}, {_end(number.high, 'beyond the largest', form)}]"


def _end(value: float | None, otherwise: str, form: str) -> str:
    return otherwise if value is None else f"{value:{form}}"
