"""`stillhouse report`."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="a run of distill or advise")],
    to: Annotated[Path | None, typer.Option("--out", help="the HTML file; default: report.html in the run")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's report again: one HTML file that opens anywhere."""
    from stillhouse.report.page import render, terminal
    from stillhouse.report.result import load_result, to_dict
    from stillhouse.runs import write_atomic

    result = load_result(run)
    page = to or (run if run.is_dir() else run.parent) / "report.html"
    write_atomic(page, render(result))
    if as_json:
        emit_json({"report": str(page), "result": to_dict(result)})
    else:
        out.print(terminal(result, page))
