"""`stillhouse label`."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillhouse.cli.console import emit_json, out, progress_bar, say_rows
from stillhouse.cli.options import (
    AcceptTerms,
    AsJson,
    Buying,
    Columns,
    EncodingName,
    SkipBad,
    Store,
    TaskFile,
    Teacher,
    command,
)
from stillhouse.cli.terms import once_confirmed
from stillhouse.event_loop import result_of
from stillhouse.numbers import usd

if TYPE_CHECKING:
    from stillhouse.commands.label import LabelledFile


@command
def label(
    task: TaskFile,
    *,
    data: Annotated[Path | None, typer.Option(help="rows to label; default: every file that the task names")] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="where the labelled rows go; default: teacher.jsonl beside the task")
    ] = None,
    teacher: Teacher = None,
    columns: Columns = None,
    encoding: EncodingName = None,
    rationales: Annotated[
        bool | None, typer.Option("--rationales/--no-rationales", help="ask for reasons before the answer")
    ] = None,
    buying: Buying,
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
    store: Store = None,
    skip_bad: SkipBad = False,
    accept_terms: AcceptTerms = False,
    as_json: AsJson = False,
) -> None:
    """Ask the teacher for labels (and rationales). Run again, it goes on: what was answered is never paid again.

    The first Ctrl-C or SIGTERM waits a few seconds for the calls in flight and stores their answers, the second
    leaves at once; how many were left, and may be paid again, is said. Twenty rows go ahead to tell what the rest
    will cost; then you are asked, unless --yes or a cap says so already. Teachers that bill nothing need no
    consent.
    """
    from stillhouse.commands.label import label as run
    from stillhouse.commands.step_task import names_a_step, task_of
    from stillhouse.data.raw_rows import reading_given
    from stillhouse.errors import UserError

    if data is None and (columns or encoding):
        raise UserError("--map and --encoding go with --data; for the task's own files write them into [data]")
    reading = reading_given(columns, encoding)

    target = task_of(task, data) if names_a_step(task) else task
    settings: dict[str, Any] = {"rationales": rationales, "concurrency": concurrency}
    settings |= {"requests_per_minute": rpm, "tokens_per_minute": tpm}
    with progress_bar() as tick:
        session = buying.session(target, tick, teacher=teacher, store=store, **settings)
        if data is None:  # rows of a file that the user named are not the task's test rows
            say_rows(target, skip_bad, session)
        work = once_confirmed(lambda *arguments, **options: result_of(run(*arguments, **options)), accept_terms, tick)
        done = work(target, session, data=data, out=to, batch=batch, reading=reading, skip_bad=skip_bad)
    nothing = bool(done.report.n) and not done.report.labelled
    if as_json:
        emit_json(
            {
                "out": str(done.out),
                "card": str(done.card),
                "skipped": done.skipped,
                "cut": done.cut,
                "read": done.notes,
                **asdict(replace(done.report, generated={})),
                "generated": [
                    {"by": by, "licence": terms, "rows": n} for (by, terms), n in done.report.generated.items()
                ],
            }
        )
    else:
        _print(done, batch)
    if nothing:
        raise typer.Exit(1)  # the reasons are printed already
    if not as_json:
        again = {"--data": data if names_a_step(task) else None, "--teacher": teacher, "--store": store}
        options = [word for name, value in again.items() if value is not None for word in (name, str(value))]
        out.print(f"next: stillhouse {shlex.join(['distill', str(task), *options, *['--skip-bad'] * skip_bad])}")


def _print(done: "LabelledFile", batch: bool) -> None:
    from stillhouse.teacher.card import agreement

    report = done.report
    stand_in = " (a stand-in, not a model)" if report.stand_in else ""
    out.print(f"{report.labelled} of {report.n} rows labelled by {report.teacher}{stand_in}: {done.out}")
    if report.lenient:
        out.print(f"  {report.lenient} of them recovered from a near form of what was asked for")
    if report.sent_back:
        out.print(f"  {report.sent_back} replies sent back for repair, {report.repaired} labels came of it")
    for feature, count in report.lacking.items():
        out.print(f"  {count} asked without {feature}: the endpoint does not have it")
    if report.n_without_reasons:
        said = (
            f"{report.n_without_reasons} labels without a rationale, though one was asked for (`no_rationale` of a row)"
        )
        out.print(f"  {said}", soft_wrap=True, highlight=False)
    if report.gold is not None:
        out.print(f"  {agreement(report.gold)}", soft_wrap=True, highlight=False)
        if report.gold.score < report.gold.n:
            out.print(f"  the rows where it does not: {done.out.with_suffix('.differs.jsonl')}", soft_wrap=True)
    for (by, terms), count in report.generated.items():
        out.print(f"  {count} inputs were generated by {by} ({terms})", soft_wrap=True, highlight=False)
    for note in report.notes:
        out.print(f"  note: {note}")
    for reason, count in report.rejected.items():
        out.print(f"  {count} rejected: {reason}")
    n_replied = sum(report.rejected.values()) - report.n_unanswered
    if report.n_unanswered:
        out.print(f"  run again, this asks {report.n_unanswered} of the rejected rows again: they have no answer")
    if n_replied:
        one = "the reply to the rejected row is kept: run again, this reads it"
        many = f"the replies to {n_replied} rejected rows are kept: run again, this reads them"
        out.print(f"  {one if n_replied == 1 else many} and asks nobody")
    for doubt, count in report.usage_doubts.items():
        out.print(f"  {count} answers with token counts that do not add up, priced by their dearest reading: {doubt}")
    if report.n_cost_unknown:
        counted = "no usable token counts came, and a cap counts their worst case"
        out.print(f"  {report.n_cost_unknown} answers whose cost is not known: {counted}")
    for note in done.notes:
        out.print(f"  {note}")
    for cut in done.cut:
        out.print(f"  {cut}", soft_wrap=True, highlight=False, markup=False)
    if done.skipped:
        out.print(f"  {done.skipped} broken rows left out")
    paid = f"nothing paid; {report.price_snapshot or 'a model'} would have cost" if report.stand_in else "paid now:"
    out.print(f"  {report.from_store} answered from the store, {paid} {usd(report.cost_usd)}")
    if batch and report.n_live:
        dear = f"{report.n_live} calls one by one at the full price (the pilot, repairs): {usd(report.live_usd)}"
        cheap = f"{report.batched} answers came in batches at half the price"
        out.print(f"  {cheap}, {dear}", soft_wrap=True, highlight=False)
    out.print(f"  where they come from, and under which licence: {done.card}")
