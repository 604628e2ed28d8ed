"""`stillhouse label`."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, money, out, progress_bar, say_rows
from stillhouse.cli.options import TaskFile


@app.command()
def label(
    task: TaskFile,
    data: Annotated[Path | None, typer.Option(help="rows to label; default: every file that the task names")] = None,
    to: Annotated[Path | None, typer.Option("--out", help="where the labelled rows go; default: teacher.jsonl beside the task")] = None,
    teacher: Annotated[str | None, typer.Option(help="the model to ask; default: the one that the task file names")] = None,
    rationales: Annotated[bool | None, typer.Option("--rationales/--no-rationales", help="ask for reasons before the answer")] = None,
    max_usd: Annotated[float | None, typer.Option(help="never spend more than this")] = None,
    price_in: Annotated[float | None, typer.Option(help="US$ per million input tokens, where no table knows the model")] = None,
    price_out: Annotated[float | None, typer.Option(help="US$ per million output tokens")] = None,
    store: Annotated[Path | None, typer.Option(help="where paid replies are kept; default: stillhouse.db beside the task")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave broken rows out and count them")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Ask the teacher for labels (and rationales). Stop it at any moment and run it again: nothing is paid twice."""
    from stillhouse.jobs.label import label as run
    from stillhouse.jobs.step_task import names_a_step, task_of

    settings = {"rationales": rationales, "max_usd": max_usd, "price_in": price_in, "price_out": price_out}
    asked = task_of(task, data) if names_a_step(task) else task
    if data is None:  # rows of another file are no test rows of the task
        say_rows(asked, skip_bad)
    with progress_bar() as tick:
        done = asyncio.run(run(asked, data=data, out=to, teacher=teacher, settings=settings, store=store, skip_bad=skip_bad, on_progress=tick))
    if as_json:
        emit_json({"out": str(done.out), **asdict(done.report)})
        return
    report = done.report
    out.print(f"{report.labelled} of {report.n} rows labelled by {report.teacher}{' (a stand-in, not a model)' if report.stand_in else ''}: {done.out}")
    for reason, count in report.rejected.items():
        out.print(f"  {count} rejected: {reason}")
    paid = f"nothing paid; {report.price_snapshot or 'a model'} would have cost" if report.stand_in else "paid now:"
    out.print(f"  {report.from_store} answered from the store, {paid} {money(report.cost_usd)}")
    out.print(f"next: stillhouse distill {task}")
