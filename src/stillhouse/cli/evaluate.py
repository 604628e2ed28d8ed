"""`stillhouse evaluate`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stillhouse.cli.console import emit_json, out, progress_bar
from stillhouse.cli.options import AsJson, Buying, Columns, EncodingName, SkipBad, Store, command
from stillhouse.errors import UserError

if TYPE_CHECKING:
    from stillhouse.commands.evaluate import Evaluated
    from stillhouse.data.raw_rows import Reading
    from stillhouse.task import Task


@command
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="a run's or student's folder, cascade:RUN, recorded:FILE, openai:NAME, http://host/v1#NAME, ..."
        ),
    ],
    data: Annotated[Path, typer.Argument(help="rows with labels")],
    *,
    task: Annotated[Path | None, typer.Option(help="task.toml: for prompted models, and where queries are run")] = None,
    rows: Annotated[Path | None, typer.Option("--out", help="write every row's answer and score here (JSONL)")] = None,
    columns: Columns = None,
    encoding: EncodingName = None,
    buying: Buying,
    store: Store = None,
    skip_bad: SkipBad = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="measure rows that the student learned from as well, and say so")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure any model on any rows, with intervals.

    A model that bills is asked twenty rows first; then you are told what the rest will cost, and asked.
    """
    from stillhouse.commands.evaluate import evaluate as run
    from stillhouse.data.raw_rows import reading_given
    from stillhouse.task import load_task

    reading = reading_given(columns, encoding)
    of_task = load_task(task) if task is not None else None
    if of_task is not None and of_task.metric == "win_rate":
        if rows is not None:
            raise UserError(
                f'--out {rows}: with metric = "win_rate" the rows are in the run\'s comparisons.jsonl; leave --out away'
            )
        _against_teacher(model, data, of_task, buying, store, reading, skip_bad, as_json)
        return
    with progress_bar() as tick:
        session = buying.session(of_task, tick, teacher=None, store=store)
        measured = run(model, data, session, task=of_task, out=rows, reading=reading, skip_bad=skip_bad, anyway=anyway)
    _show(measured, as_json)


def _against_teacher(
    model: str,
    data: Path,
    task: "Task",
    buying: Buying,
    store: str | None,
    reading: "Reading | None",
    skip_bad: bool,
    as_json: bool,
) -> None:
    """A win rate needs two: the model against the task's teacher. Exit code 1 where the gate does not pass."""
    from stillhouse.cli.compare import end, show
    from stillhouse.commands.compare import against_teacher

    with progress_bar() as tick:
        session = buying.session(task, tick, teacher=None, store=store)
        done = against_teacher(model, data, task, session, reading=reading, skip_bad=skip_bad)
    show(done, as_json, gate=True)
    end(done)


def _show(measured: "Evaluated", as_json: bool) -> None:
    from stillhouse.numbers import described, seconds, usd
    from stillhouse.task import WEAK_METRICS

    summary = measured.summary
    if as_json:
        facts = {"model": measured.model, "metric": measured.metric, "scored_against": measured.scored_against}
        emit_json({**facts, **asdict(summary), "paid_usd": measured.paid_usd, "warnings": measured.warnings})
        return
    what = measured.metric.replace("_", " ")
    if measured.scored_against == "teacher":
        what = "agreement with the teacher"
    out.print(f"{measured.model}: {what} {described(summary.score)}, {summary.n_failed} without an answer")
    if measured.metric in WEAK_METRICS:
        out.print(f"  {WEAK_METRICS[measured.metric]}", markup=False)
    if summary.macro_f1 is not None:
        out.print(f"  macro F1 {summary.macro_f1:.3f} (n = {summary.score.n:,})")
    if summary.latency_p50_s is not None and summary.latency_p99_s is not None:
        out.print(f"  latency p50 {seconds(summary.latency_p50_s)}, p99 {seconds(summary.latency_p99_s)}")
    out.print(f"  cost per 1,000 calls: {usd(summary.cost_usd_per_1000)}, paid now: {usd(measured.paid_usd)}")
    for warning in measured.warnings:
        out.print(f"  {warning}")
