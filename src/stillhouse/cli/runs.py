"""`stillhouse runs` and `stillhouse runs show`."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, Journal, Runs, command_of

SHOWN = 20  # runs in the table, unless more are asked for

runs_app = typer.Typer(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(runs_app, name="runs")


@runs_app.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    store: Journal = "stillhouse.db",
    runs: Runs = Path("runs"),
    last: Annotated[
        int | None, typer.Option(min=1, help=f"so many, the newest; default: {SHOWN}, and all with --json")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first: of flows, how far they are, what they cost and wait for; of advise and distill, what
    they found.
    """
    if context.invoked_subcommand is not None:
        return
    from stillhouse.commands.runs import list_command_runs, list_runs
    from stillhouse.errors import UserError
    from stillhouse.report.trace_terminal import command_runs_table, runs_table

    most = last or (None if as_json else SHOWN)
    of_commands = list_command_runs(runs)
    try:
        listed, n_older = list_runs(store, most)
    except UserError:
        if not of_commands or store != "stillhouse.db":
            raise
        listed, n_older = [], 0  # no flow ran here, and a command did
    if as_json:
        emit_json(
            [
                {
                    "run": run.row.run,
                    "flow": run.row.flow,
                    "status": run.row.status,
                    "steps": run.finished,
                    "created": run.row.created,
                    "cost_usd": run.used.cost_usd,
                    "asks": list(run.questions),
                    "error": run.row.error,
                }
                for run in listed
            ]
            + [
                {
                    "run": run.folder.name,
                    "command": run.command,
                    "status": run.status,
                    "created": run.created,
                    "verdict": run.verdict,
                    "chosen": run.chosen,
                    "cost_usd": run.cost_usd,
                    "folder": str(run.folder),
                    "error": run.error,
                }
                for run in of_commands[:most]
            ]
        )
        return
    if listed or not of_commands:
        out.print(runs_table(listed, n_older))
    if of_commands:
        out.print(command_runs_table(of_commands[:most], len(of_commands[most or len(of_commands) :])))


@command_of(runs_app)
def show(
    run: Annotated[str, typer.Argument(help="the run's id, or its beginning")],
    store: Journal = "stillhouse.db",
    full: Annotated[bool, typer.Option("--full", help="every call of a loop, and every text whole")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run as a tree of its calls: what each was given and gave, which model answered, what it used, and where
    it failed.
    """
    from stillhouse.commands.run_ids import run_called
    from stillhouse.commands.runs import read_trace, to_json
    from stillhouse.report.trace_terminal import RunTree

    trace = read_trace(run_called(run, store), store)
    if as_json:
        emit_json(to_json(trace))
        return
    out.print(RunTree(trace, full))


@command_of(runs_app)
def cancel(
    run: Annotated[str, typer.Argument(help="the run's id, or its beginning")],
    store: Journal = "stillhouse.db",
    as_json: AsJson = False,
) -> None:
    """Cancel a run: it does not go on. A process that executes it begins no further call; what is under way there ends
    and is kept.
    """
    from stillhouse.commands.run_ids import run_called
    from stillhouse.commands.runs import cancel as cancel_run

    run = run_called(run, store)
    has_ended = cancel_run(run, store=store)
    if as_json:
        emit_json({"run": run, "status": "cancelled", "ended": has_ended})
        return
    rest = "" if has_ended else "; the process that executes it begins no further call"
    out.print(f"the run {run} is cancelled{rest}", markup=False)


@command_of(runs_app)
def prune(
    older_than: Annotated[float, typer.Option(min=0.0, help="days since a run ended")],
    store: Journal = "stillhouse.db",
    as_json: AsJson = False,
) -> None:
    """Take runs that ended so long ago out of the journal. What models answered stays in the store."""
    from datetime import timedelta

    from stillhouse.commands.runs import prune as prune_runs

    gone = prune_runs(timedelta(days=older_than), store=store)
    if as_json:
        emit_json({"runs": gone})
        return
    out.print(f"{len(gone)} run{'' if len(gone) == 1 else 's'} taken out of the journal", markup=False)
