"""`stillhouse distill` and `stillhouse advise`: from a task to a verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, out, progress_bar, say_rows
from stillhouse.cli.options import (
    AsJson,
    MaxUsd,
    PriceIn,
    PriceOut,
    Rows,
    Runs,
    SkipBad,
    Store,
    TaskFile,
    Teacher,
    Unpriced,
    Yes,
)
from stillhouse.cli.terms import AcceptTerms, once_confirmed
from stillhouse.errors import UserError

if TYPE_CHECKING:
    from stillhouse.commands.distill import Finished


@app.command()
def distill(
    task: TaskFile,
    data: Rows = None,
    teacher: Teacher = None,
    seed: Annotated[int, typer.Option(help="decides order and initial weights")] = 0,
    advice: Annotated[Path | None, typer.Option(help="an advise run whose learning curves go into the report")] = None,
    all_students: Annotated[
        bool, typer.Option("--all", help="train every student of the ladder, also after one has passed")
    ] = False,
    max_usd: MaxUsd = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    unpriced: Unpriced = False,
    yes: Yes = False,
    store: Store = None,
    runs: Runs = Path("runs"),
    skip_bad: SkipBad = False,
    accept_terms: AcceptTerms = False,
    as_json: AsJson = False,
) -> None:
    """Train students, measure them against the prompt on held-out rows, and write card and report. Exit code 1: none may be served."""
    from stillhouse.cli.consent import CommandLine, cap_of
    from stillhouse.commands.distill import distill as run
    from stillhouse.commands.step_task import task_of

    asked = task_of(task, data)
    say_rows(asked, skip_bad)
    with progress_bar() as tick:
        done = once_confirmed(run, accept_terms, tick)(
            asked,
            teacher=teacher,
            settings={"max_usd": max_usd, "price_in": price_in, "price_out": price_out},
            store=store,
            runs=runs,
            seed=seed,
            advice=advice,
            all_students=all_students,
            skip_bad=skip_bad,
            on_progress=tick,
            consent=CommandLine(tick, yes=yes, max_usd=cap_of(asked, max_usd), unpriced=unpriced),
        )
    _show(done, as_json)
    if not done.serves:
        raise typer.Exit(1)
    if not as_json:
        out.print(
            f"next: stillhouse serve {done.folder}{' --cascade' if done.result.verdict.kind == 'cascade' else ''}"
        )


@app.command()
def advise(
    task: TaskFile,
    data: Rows = None,
    teacher: Teacher = None,
    seeds: Annotated[int, typer.Option(help="trainings per size, at least 3")] = 5,
    sizes: Annotated[
        str | None, typer.Option(help="training sizes, as in 64,256,1024; default: doubling up to all rows")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="trainings at a time, each with one thread; default: one per core")
    ] = None,
    max_shots: Annotated[
        int | None,
        typer.Option(min=0, help="most examples tried in the prompt; default: what fits, 32 without --max-usd"),
    ] = None,
    max_usd: MaxUsd = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    unpriced: Unpriced = False,
    yes: Yes = False,
    store: Store = None,
    runs: Runs = Path("runs"),
    skip_bad: SkipBad = False,
    accept_terms: AcceptTerms = False,
    as_json: AsJson = False,
) -> None:
    """Learning curves, the crossover with the prompt, the money: one verdict."""
    from stillhouse.cli.consent import CommandLine, cap_of
    from stillhouse.commands.advise import advise as run
    from stillhouse.commands.step_task import task_of

    asked = task_of(task, data)
    say_rows(asked, skip_bad)
    with progress_bar() as tick:
        done = once_confirmed(run, accept_terms, tick)(
            asked,
            teacher=teacher,
            settings={"max_usd": max_usd, "price_in": price_in, "price_out": price_out, "max_shots": max_shots},
            store=store,
            runs=runs,
            seeds=seeds,
            sizes=_numbers(sizes),
            workers=workers,
            skip_bad=skip_bad,
            on_progress=tick,
            consent=CommandLine(tick, yes=yes, max_usd=cap_of(asked, max_usd), unpriced=unpriced),
        )
    _show(done, as_json)
    if not as_json:
        for line in [*crossovers(done), *few_shot(done)]:
            out.print(line, markup=False)
        out.print(f"next: stillhouse distill {task} --advice {done.folder}")


def _numbers(sizes: str | None) -> list[int] | None:
    if sizes is None:
        return None
    try:
        return [int(part) for part in sizes.split(",")]
    except ValueError:
        raise UserError(f"--sizes {sizes}: give whole numbers with commas between, as in 64,256,1024") from None


def _show(done: "Finished", as_json: bool) -> None:
    from stillhouse.report.result_terminal import terminal
    from stillhouse.results.run_result import to_dict

    if as_json:
        facts: dict[str, Any] = {
            "run": str(done.folder),
            "report": str(done.report),
            "serves": done.serves,
            "result": to_dict(done.result),
        }
        emit_json(facts)
        return
    out.print(terminal(done.result, done.report))


def few_shot(done: "Finished") -> list[str]:
    """What examples in the prompt brought, what bounded them, and what prompted finetuning is worth: a sentence each."""
    from stillhouse.experiment.arms import slug

    curves = done.result.curves
    if curves is None:
        return []
    found = curves.few_shot
    lines = []
    if found is not None and found.points:
        scores = ", ".join(f"{point.mean:.1%} with {point.n}" for point in found.points)
        lines.append(
            f"examples in the prompt: {scores} (means of {len(found.points[0].scores)} draws, n = {found.n_rows:,})"
        )
    lines += [f"note: {note}" for note in (found.notes if found is not None else ())]
    if done.result.verdict.kind == "few-shot":
        chosen = next(arm for arm in done.result.arms if arm.name == done.result.chosen)
        file = done.folder / "arms" / f"{slug(chosen.name)}-0" / "examples.jsonl"
        lines.append(f"its {chosen.n_shots} examples are in {file}: name it as `examples` in [teacher]")
    return [*lines, *(pair.sentence for pair in curves.worth)]


def crossovers(done: "Finished") -> list[str]:
    """One sentence per learning curve: how many labels it takes to meet the prompt."""
    found = done.result.curves.crossovers if done.result.curves else ()
    lines = []
    for one in found:
        sizes = (
            next(curve.points for curve in done.result.curves.curves if curve.name == one.curve)
            if done.result.curves
            else ()
        )
        at = {
            "<=": f"at or below {sizes[0].n:,}",
            ">": f"beyond {sizes[-1].n:,}",
            None: f"at about {one.n_star:,.0f}" if one.n_star is not None else "",
        }[one.censored]
        low = "the smallest size" if one.low is None else f"{one.low:,.0f}"
        high = "beyond the largest" if one.high is None else f"{one.high:,.0f}"
        lines.append(
            f"{one.curve} meets the {one.prompt} {at} labels [{low}, {high}] ({one.n_seeds} seeds, n = {one.n_rows:,})"
        )
    return lines
