"""`stillhouse run` and `stillhouse runs`."""

import asyncio
import json
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, err, out
from stillhouse.cli.options import AsJson
from stillhouse.errors import UserError

Journal = Annotated[Path, typer.Option("--store", help="the journal's file")]


@app.command()
def run(
    target: Annotated[str, typer.Argument(help="FILE.py:FLOW or MODULE:FLOW")],
    given: Annotated[str, typer.Option("--input", help="the flow's arguments, a JSON object")] = "{}",
    run_id: Annotated[str | None, typer.Option("--run-id", help="the same id goes on with a killed run, and returns a finished one; default: a new id")] = None,
    store: Journal = Path("stillhouse.db"),
    as_json: AsJson = False,
) -> None:
    """Run a flow; killed at any moment, the same command with the same id goes on where it was."""
    from pydantic_core import to_jsonable_python

    from stillhouse.jobs.run import run as execute

    done = asyncio.run(execute(target, given=_object(given), run_id=run_id, store=store))
    if done.failure is not None:
        traceback.print_exception(done.failure)
        kept = done.report.ran.total() + done.report.replayed.total()
        err.print(f"stillhouse: the run {done.run} failed; its {kept} finished steps are kept: mend the cause and go on with --run-id {done.run}", markup=False)
        raise typer.Exit(1)
    result = to_jsonable_python(done.result)
    if done.report.changed:
        err.print(f"run again because they were edited: {_counted(done.report.changed)}")
    if done.report.unused:
        err.print(f"journaled answers that nothing asked for (drifted arguments, or an edited flow): {_counted(done.report.unused)}")
    if as_json:
        emit_json({"run": done.run, "result": result})
        return
    out.print_json(data=result)
    err.print(f"run {done.run}: {done.report.ran.total()} steps ran, {done.report.replayed.total()} were in the journal")


@app.command()
def runs(store: Journal = Path("stillhouse.db"), as_json: AsJson = False) -> None:
    """List the runs of a journal, newest first."""
    import time

    from stillhouse.jobs.run import runs as listed

    found = listed(store)
    if as_json:
        emit_json([{"run": row.run, "flow": row.flow, "status": row.status, "steps": n, "created": row.created, "error": row.error} for row, n in found])
        return
    for row, n in found:
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created))
        out.print(f"{row.run}  {row.flow}  {row.status}  {n} steps  {began}{f'  {row.error}' if row.error else ''}", markup=False)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"--input {text}: not valid JSON ({error}); give an object, as in '{{\"n\": 3}}'") from None
    if not isinstance(value, dict):
        raise UserError(f"--input {text}: give an object of the flow's arguments, as in '{{\"n\": 3}}'")
    return value


def _counted(counts: Any) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
