"""`stillhouse label`."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, out, progress_bar, say_rows
from stillhouse.cli.options import TaskFile, Unpriced, Yes
from stillhouse.cli.terms import AcceptTerms, once_confirmed
from stillhouse.numbers import usd


@app.command()
def label(
    task: TaskFile,
    data: Annotated[Path | None, typer.Option(help="rows to label; default: every file that the task names")] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="where the labelled rows go; default: teacher.jsonl beside the task")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="the model to ask; default: the one that the task file names")
    ] = None,
    rationales: Annotated[
        bool | None, typer.Option("--rationales/--no-rationales", help="ask for reasons before the answer")
    ] = None,
    max_usd: Annotated[float | None, typer.Option(help="never spend more than this")] = None,
    price_in: Annotated[
        float | None, typer.Option(help="US$ per million input tokens, where no table knows the model")
    ] = None,
    price_out: Annotated[float | None, typer.Option(help="US$ per million output tokens")] = None,
    unpriced: Unpriced = False,
    yes: Yes = False,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="ask the provider's batch API, at half the price, within a day; stopped, it goes on"
        ),
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="calls under way at most; default: 32, more while that slows nothing down")
    ] = None,
    rpm: Annotated[
        float | None, typer.Option(min=0.01, help="requests per minute; default: learned from the endpoint")
    ] = None,
    tpm: Annotated[
        float | None, typer.Option(min=1, help="tokens per minute, in and out; default: learned from the endpoint")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="where paid replies are kept; default: stillhouse.db beside the task")
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave broken rows out and count them")] = False,
    accept_terms: AcceptTerms = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Ask the teacher for labels (and rationales). Stop it at any moment and run it again: nothing is paid twice.

    Twenty rows go ahead to tell what the rest will cost; then you are asked, unless --yes or a cap says so already. Teachers that bill nothing need no consent.
    """
    from stillhouse.cli.consent import CommandLine
    from stillhouse.commands.label import label as run
    from stillhouse.commands.step_task import names_a_step, task_of
    from stillhouse.task import Task, load_task

    settings = {"rationales": rationales, "max_usd": max_usd, "price_in": price_in, "price_out": price_out}
    settings |= {"concurrency": concurrency, "requests_per_minute": rpm, "tokens_per_minute": tpm}
    asked = task_of(task, data) if names_a_step(task) else task
    loaded = (asked if isinstance(asked, Task) else load_task(asked)).with_teacher(
        **{name: value for name, value in settings.items() if value is not None}
    )
    if data is None:  # rows of another file are no test rows of the task
        say_rows(loaded, skip_bad)
    with progress_bar() as tick:
        consent = CommandLine(tick, yes=yes, max_usd=loaded.teacher.max_usd, unpriced=unpriced)
        work = once_confirmed(lambda asked, **options: asyncio.run(run(asked, **options)), accept_terms, tick)
        done = work(
            loaded,
            data=data,
            out=to,
            teacher=teacher,
            store=store,
            skip_bad=skip_bad,
            on_progress=tick,
            consent=consent,
            batch=batch,
        )
    if as_json:
        emit_json({"out": str(done.out), "card": str(done.card), "skipped": done.skipped, **asdict(done.report)})
        raise typer.Exit(1 if done.report.n and not done.report.labelled else 0)
    report = done.report
    out.print(
        f"{report.labelled} of {report.n} rows labelled by {report.teacher}{' (a stand-in, not a model)' if report.stand_in else ''}: {done.out}"
    )
    if report.lenient:
        out.print(f"  {report.lenient} of them recovered from a near form of what was asked for")
    if report.sent_back:
        out.print(f"  {report.sent_back} replies sent back for repair, {report.repaired} labels came of it")
    for feature, count in report.lacking.items():
        out.print(f"  {count} asked without {feature}: the endpoint does not have it")
    for note in report.notes:
        out.print(f"  note: {note}")
    for reason, count in report.rejected.items():
        out.print(f"  {count} rejected: {reason}")
    paid = f"nothing paid; {report.price_snapshot or 'a model'} would have cost" if report.stand_in else "paid now:"
    if done.skipped:
        out.print(f"  {done.skipped} broken rows left out")
    out.print(f"  {report.from_store} answered from the store, {paid} {usd(report.cost_usd)}")
    if batch and report.n_live:
        dear = f"{report.n_live} calls one by one at the full price (the pilot, repairs): {usd(report.live_usd)}"
        out.print(
            f"  {report.batched} answers came in batches at half the price, {dear}", soft_wrap=True, highlight=False
        )
    out.print(f"  where they come from, and under which licence: {done.card}")
    if report.n and not report.labelled:
        raise typer.Exit(1)  # the reasons stand above
    out.print(f"next: stillhouse distill {task}")
