"""`report`: the page of a run directory, of a run of a flow, or of a test of one, written again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.commands.runs import read_trace
from stillhouse.commands.runs import to_json as trace_to_json
from stillhouse.errors import UserError
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.trace import Trace
from stillhouse.report.comparison_page import render_comparison
from stillhouse.report.result_page import render
from stillhouse.report.run_page import render_run
from stillhouse.report.test_page import render_test
from stillhouse.results.comparison import ComparisonResult, is_comparison, load_comparison
from stillhouse.results.comparison import to_dict as comparison_to_dict
from stillhouse.results.flow_test import FlowResult, load_tested, to_json
from stillhouse.results.run_result import Result, load_result, to_dict
from stillhouse.runs import write_atomic


@dataclass(frozen=True)
class WrittenReport:
    """A page, what it shows, and the same facts for machines."""

    page: Path
    shown: Result | ComparisonResult | FlowResult | Trace
    facts: dict[str, Any]


def report(run: Path, *, out: Path | None = None, store: Path | str | None = None) -> WrittenReport:
    """Write the report of `run`: a run of `distill`, `advise` or `compare`, the id of a flow's run, or a tests-N.json.

    `out` default: `report.html` in the run, RUN.html of a flow's run, tests-N.html beside a test. `store`: the journal
    of a flow's run. Raises UserError where there is no such run.
    """
    if store is not None or not run.exists():
        return _of_flow(str(run), out, store)
    if is_comparison(run):
        comparison = load_comparison(run)
        page = _written(out or run / "report.html", render_comparison(comparison))
        return WrittenReport(page, comparison, comparison_to_dict(comparison))
    if run.suffix == ".json" and run.name != "result.json":
        tested = load_tested(run)
        return WrittenReport(_written(out or run.with_suffix(".html"), render_test(tested)), tested, to_json(tested))
    result = load_result(run)
    folder = run if run.is_dir() else run.parent
    return WrittenReport(_written(out or folder / "report.html", render(result)), result, to_dict(result))


def _of_flow(run: str, out: Path | None, store: Path | str | None) -> WrittenReport:
    if store is None and not DEFAULT_STORE.is_file():
        raise UserError(
            f"{run}: no such run directory, and no journal is here to look for a flow's run in; "
            "give one of runs/*, or --store"
        )
    trace = read_trace(run, store or DEFAULT_STORE)
    return WrittenReport(_written(out or Path(f"{run}.html"), render_run(trace)), trace, trace_to_json(trace))


def _written(page: Path, html: str) -> Path:
    write_atomic(page, html)
    return page
