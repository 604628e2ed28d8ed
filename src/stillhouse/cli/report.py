"""`stillhouse report`: of a run directory, of a run of a flow, or of a test of one."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, command


@command
def report(
    run: Annotated[
        Path, typer.Argument(help="a run of distill, advise or compare, the id of a flow's run, or a tests-N.json")
    ],
    to: Annotated[
        Path | None, typer.Option("--out", help="the HTML file; default: report.html in the run, RUN.html of a flow's")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", help="of a flow's run the journal: a file, or postgresql://...; default: stillhouse.db"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's report: one HTML file that opens anywhere."""
    from stillhouse.commands.report import report as write
    from stillhouse.report.comparison_terminal import comparison_text
    from stillhouse.report.result_terminal import terminal
    from stillhouse.results.comparison import ComparisonResult
    from stillhouse.results.run_result import Result

    written = write(run, out=to, store=store)
    if as_json:
        emit_json({"report": str(written.page), "result": written.facts})
    elif isinstance(written.shown, Result):
        out.print(terminal(written.shown, written.page))
    elif isinstance(written.shown, ComparisonResult):
        out.print(comparison_text(written.shown.comparison))
        out.print(f"Report: {written.page}", markup=False)
    else:
        out.print(str(written.page), markup=False)
