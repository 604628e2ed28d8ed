"""`stillhouse report`: of a run directory, of a run of a flow, or of a test of one."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson
from stillhouse.errors import UserError


@app.command()
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
    if store is not None or not run.exists():
        _of_flow(str(run), to, store, as_json)
        return
    from stillhouse.report.compare_page import is_comparison

    if is_comparison(run):
        _of_comparison(run, to, as_json)
        return
    if run.suffix == ".json" and run.name != "result.json":
        _of_test(run, to, as_json)
        return
    from stillhouse.report.page import render, terminal
    from stillhouse.results.result import load_result, to_dict
    from stillhouse.runs import write_atomic

    result = load_result(run)
    page = to or (run if run.is_dir() else run.parent) / "report.html"
    write_atomic(page, render(result))
    if as_json:
        emit_json({"report": str(page), "result": to_dict(result)})
    else:
        out.print(terminal(result, page))


def _of_comparison(run: Path, to: Path | None, as_json: bool) -> None:
    from stillhouse.report.compare_page import load_comparison, render_comparison, to_dict
    from stillhouse.report.comparison import comparison_text
    from stillhouse.runs import write_atomic

    result = load_comparison(run)
    page = to or run / "report.html"
    write_atomic(page, render_comparison(result))
    if as_json:
        emit_json({"report": str(page), "result": to_dict(result)})
    else:
        out.print(comparison_text(result.comparison))
        out.print(f"Report: {page}", markup=False)


def _of_flow(run: str, to: Path | None, store: str | None, as_json: bool) -> None:
    from stillhouse.commands.runs import read_trace, to_json
    from stillhouse.report.run_page import render_run
    from stillhouse.runs import write_atomic

    if store is None and not Path("stillhouse.db").is_file():
        raise UserError(
            f"{run}: no such run directory, and no journal is here to look for a flow's run in; give one of runs/*, or --store"
        )
    found = read_trace(run, store or "stillhouse.db")
    page = to or Path(f"{run}.html")
    write_atomic(page, render_run(found))
    if as_json:
        emit_json({"report": str(page), "result": to_json(found)})
    else:
        out.print(str(page), markup=False)


def _of_test(file: Path, to: Path | None, as_json: bool) -> None:
    from stillhouse.report.test_page import render_test
    from stillhouse.results.tested import load_tested, to_json
    from stillhouse.runs import write_atomic

    tested = load_tested(file)
    page = to or file.with_suffix(".html")
    write_atomic(page, render_test(tested))
    if as_json:
        emit_json({"report": str(page), "result": to_json(tested)})
    else:
        out.print(str(page), markup=False)
