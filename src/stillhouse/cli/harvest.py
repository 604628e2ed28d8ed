"""`stillhouse harvest`."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, Journal, command


@command
def harvest(
    runs: Annotated[list[str], typer.Argument(help="run ids, a flow's name, all, or gateway:STEP")],
    step: Annotated[str | None, typer.Option(help="the step whose calls are wanted; not with gateway:STEP")] = None,
    store: Journal = "stillhouse.db",
    to: Annotated[
        Path | None,
        typer.Option("--out", help="the data set; default: steps/STEP/examples.jsonl. task.toml goes beside it"),
    ] = None,
    in_app: Annotated[
        str | None, typer.Option("--app", help="FILE.py:FLOW, where the step's code is; default: what the runs say")
    ] = None,
    since: Annotated[str | None, typer.Option(help="only runs from this date or time on, as in 2026-01-31")] = None,
    redact: Annotated[
        str | None,
        typer.Option(help="module:function that gets every row and returns it without what nobody should read"),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(help="JSONL of run, perhaps step, and ok (true, false) or label: what people said of the answers"),
    ] = None,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="rows that must not come in, as test.jsonl; may be given several times")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(help="rows that belong together: a field of the input, run, or call; default: what they share"),
    ] = None,
    every_call: Annotated[
        bool, typer.Option("--every-call", help="each call is a row, so that inputs weigh as much as they come")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a data set of a step's traces: one row per input, with what the model answered, and where it comes from."""
    from stillhouse.commands.harvest import harvest as run
    from stillhouse.commands.harvest_gateway import PREFIX, harvest_gateway
    from stillhouse.errors import UserError
    from stillhouse.numbers import usd

    if any(name.startswith(PREFIX) for name in runs):
        if len(runs) > 1 or step is not None or in_app is not None:
            raise UserError(f"{' '.join(runs)}: {PREFIX}STEP stands alone, without --step and --app")
        done = harvest_gateway(
            runs[0].removeprefix(PREFIX),
            store=store,
            out=to,
            since=since,
            redact=redact,
            feedback=feedback,
            exclude=exclude or (),
            group_by=group_by,
        )
    elif step is None:
        raise UserError("no step is named; give --step NAME, or gateway:STEP in the place of the runs")
    else:
        done = run(
            runs,
            step=step,
            store=store,
            out=to,
            app=in_app,
            since=since,
            redact=redact,
            feedback=feedback,
            exclude=exclude or (),
            group_by=group_by,
            every_call=every_call,
        )
    made = done.harvest
    if as_json:
        emit_json(
            {
                "out": str(done.out),
                "task": None if done.task_file is None else str(done.task_file),
                "no_task": done.no_task,
                "rows": len(made.examples),
                "gold": made.n_gold,
                "runs": done.n_runs,
                "calls": made.n_calls,
                "merged": made.merged,
                "left_out": dict(made.left_out),
                "failed": done.n_failed,
                "by_students": done.n_by_students,
                "feedback_unused": made.n_feedback_unused,
                "models": dict(done.models),
                "versions": done.n_versions,
                "cost_usd": done.cost_usd,
            }
        )
        return
    models = ", ".join(f"{name} ({n})" for name, n in done.models.items())
    where = "through the gateway" if done.n_runs is None else f"in {done.n_runs} runs"
    out.print(f"{len(made.examples)} rows of {made.n_calls} calls {where}: {done.out}", markup=False)
    versions = f"{done.n_versions} version{'' if done.n_versions == 1 else 's'} of the prompt"
    out.print(f"  answered by {models}, in {versions}, for {usd(done.cost_usd)}", markup=False)
    counts = {
        "merged, of equal input and answer": made.merged,
        **made.left_out,
        "failed": done.n_failed,
        "answered by a student": done.n_by_students,
    }
    for reason, n in counts.items():
        if n:
            out.print(f"  {n} {reason}", markup=False)
    if feedback is not None:
        out.print(
            f"  {made.n_gold} rows have a person's label; {made.n_feedback_unused} words of feedback fit no call",
            markup=False,
        )
    if done.task_file is None:
        out.print(f"  no task.toml: {done.no_task}", markup=False)
    else:
        out.print(f"next: stillhouse advise {done.task_file.parent}", markup=False)
