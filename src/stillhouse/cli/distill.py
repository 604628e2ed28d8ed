"""`stillhouse distill` and `stillhouse advise`: from a task to a verdict."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillhouse.cli.console import emit_json, out, progress_bar, say_rows
from stillhouse.cli.options import (
    AcceptTerms,
    AsJson,
    Buying,
    DropOverlap,
    Rows,
    Runs,
    SkipBad,
    Store,
    TaskFile,
    Teacher,
    command,
)
from stillhouse.cli.terms import once_confirmed
from stillhouse.errors import UserError

if TYPE_CHECKING:
    from stillhouse.commands.verdict_run import VerdictRun
    from stillhouse.experiment.looks import Plan


@dataclass(frozen=True, kw_only=True)
class Measuring(Buying):
    """What `distill` and `advise` share: what may be paid, where things go, which rows count."""

    store: Store = None
    runs: Runs = Path("runs")
    skip_bad: SkipBad = False
    drop_overlap: DropOverlap = False
    accept_terms: AcceptTerms = False

    def again(self, data: Path | None, teacher: str | None) -> list[str]:
        """The options that the next command needs, too, to ask the same teacher on the same rows."""
        given = {
            "--data": data,
            "--teacher": teacher,
            "--store": self.store,
            "--runs": None if self.runs == Path("runs") else self.runs,
            "--max-usd": self.max_usd,
            "--price-in": self.price_in,
            "--price-out": self.price_out,
        }
        flags = {"--unpriced": self.unpriced, "--skip-bad": self.skip_bad}
        valued = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        valued += [word for price in self.price or () for word in ("--price", price)]
        return [*valued, *(name for name, is_set in flags.items() if is_set)]

    def verdict(
        self,
        command: "Callable[..., VerdictRun]",
        target: Path,
        data: Path | None,
        teacher: str | None,
        settings: dict[str, Any],
        plan: "Plan",
        **options: Any,
    ) -> "VerdictRun":
        """Run the command on the task with the bar on, after a word on how many rows the gate takes."""
        from stillhouse.commands.step_task import task_of

        task = task_of(target, data)
        with progress_bar() as tick:
            session = self.session(task, tick, teacher=teacher, store=self.store, **settings)
            say_rows(task, self.skip_bad, session, plan)
            confirmed = once_confirmed(command, self.accept_terms, tick)
            rows = {"skip_bad": self.skip_bad, "drop_overlap": self.drop_overlap}
            return confirmed(task, session, runs=self.runs, **rows, **options)


@command
def distill(
    task: TaskFile,
    *,
    data: Rows = None,
    teacher: Teacher = None,
    seed: Annotated[int, typer.Option(help="decides order and initial weights")] = 0,
    advice: Annotated[Path | None, typer.Option(help="an advise run whose learning curves go into the report")] = None,
    all_students: Annotated[
        bool, typer.Option("--all", help="train every student of the ladder, also after one has passed")
    ] = False,
    measuring: Measuring,
    as_json: AsJson = False,
) -> None:
    """Train students, measure them against the prompt on held-out rows, and write card and report. Exit code 1: none
    may be served.
    """
    from stillhouse.commands.distill import distill as run
    from stillhouse.experiment.looks import Plan

    plan = Plan(seeds=[seed], advice=advice, drop_overlap=measuring.drop_overlap)
    done = measuring.verdict(run, task, data, teacher, {}, plan, seed=seed, advice=advice, all_students=all_students)
    _show(done, as_json)
    if not done.serves:
        raise typer.Exit(1)
    if as_json:
        return
    if done.serve_command is not None:
        out.print(f"next: {done.serve_command}", markup=False)
    else:
        out.print("next: name a `model` in [teacher] and distill again: the teacher's answers came with the rows")


@command
def advise(
    task: TaskFile,
    *,
    data: Rows = None,
    teacher: Teacher = None,
    seeds: Annotated[int, typer.Option(help="trainings per size, at least 3")] = 5,
    sizes: Annotated[
        str | None, typer.Option(help="training sizes, as in 64,256,1024; default: doubling, 0.71 of all rows, and all")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="trainings at a time, each with one thread; default: one per core")
    ] = None,
    max_shots: Annotated[
        int | None,
        typer.Option(min=0, help="most examples tried in the prompt; default: what fits, 32 without --max-usd"),
    ] = None,
    measuring: Measuring,
    as_json: AsJson = False,
) -> None:
    """Learning curves, the crossover with the prompt, the money: one verdict."""
    from stillhouse.cli.curve_sentences import crossover_lines, few_shot_lines
    from stillhouse.commands.advise import advise as run
    from stillhouse.experiment.looks import Plan

    settings = {"max_shots": max_shots}
    asked = _numbers(sizes)
    options = {"seeds": seeds, "sizes": asked, "workers": workers}
    plan = Plan(seeds=range(seeds), sizes=asked, with_shots=True, drop_overlap=measuring.drop_overlap)
    done = measuring.verdict(run, task, data, teacher, settings, plan, **options)
    _show(done, as_json)
    if not as_json:
        for line in [*crossover_lines(done.result.curves), *few_shot_lines(done)]:
            out.print(line, markup=False)
        again = measuring.again(data, teacher)
        out.print(f"next: {shlex.join(['stillhouse', 'distill', str(task), *again, '--advice', str(done.folder)])}")


def _numbers(sizes: str | None) -> list[int] | None:
    if sizes is None:
        return None
    try:
        return [int(part) for part in sizes.split(",")]
    except ValueError:
        raise UserError(f"--sizes {sizes}: give whole numbers with commas between, as in 64,256,1024") from None


def _show(done: "VerdictRun", as_json: bool) -> None:
    from stillhouse.report.result_terminal import terminal
    from stillhouse.results.run_result import to_dict

    if as_json:
        run = {"run": str(done.folder), "report": str(done.report)}
        emit_json({**run, "serves": done.serves, "result": to_dict(done.result)})
        return
    out.print(terminal(done.result, done.report))
