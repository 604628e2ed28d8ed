"""`stillhouse test`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stillhouse.cli.console import emit_json, err, out, progress_bar
from stillhouse.cli.options import AsJson, Buying, Journal, Runs, command
from stillhouse.cli.run import step_models
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of

if TYPE_CHECKING:
    from stillhouse.commands.test import FlowTestRun
    from stillhouse.flow_tests.traced_cases import Written

CASES = Path("cases")


@command
def test(
    target: Annotated[str | None, typer.Argument(help="FILE.py:FLOW or MODULE:FLOW")] = None,
    *,
    cases: Annotated[Path, typer.Option(help="the folder of case files: STEP.jsonl, paths.jsonl, flow.jsonl")] = CASES,
    from_run: Annotated[
        list[str] | None,
        typer.Option(help="make cases of this traced run instead of testing; may be given several times"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="another model for a step, STEP=NAME, or for every step, NAME; may be given several times"),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="the tests-N.json of an earlier test, to be compared with")
    ] = None,
    baseline_model: Annotated[
        list[str] | None, typer.Option(help="compare with the same test under this model, STEP=NAME")
    ] = None,
    margin: Annotated[float, typer.Option(help="how much worse than the baseline it may be")] = 0.02,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="how a step is scored, STEP=METRIC or STEP=module:function; may be given several times"),
    ] = None,
    database: Annotated[
        Path | None, typer.Option(help="the SQLite file on which the metric sql_execution runs queries")
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="answer model calls from the store alone, and list those that it has no answer to"
        ),
    ] = False,
    buying: Buying,
    store: Journal = "stillhouse.db",
    runs: Runs = Path("runs"),
    to: Annotated[
        Path | None, typer.Option("--out", help="the result's file; default: the next free tests-N.json in --runs")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test a flow: its steps, its paths, the whole. Exit code 1: a case is wrong; or with a baseline, something
    changed and is not shown to be within the margin.

    Twenty calls of models that bill go ahead; then you are told what the rest will cost, and asked.
    """
    if from_run:
        from stillhouse.flow_tests.traced_cases import cases_of_runs

        _show_written(cases_of_runs(from_run, cases=cases, store=store), as_json)
        return
    if target is None:
        raise UserError("no flow is named; give FILE.py:FLOW, or --from-run RUN to make cases of a traced run")
    if baseline is not None and baseline_model:
        raise UserError("--baseline and --baseline-model are two baselines; give one of them")
    if not 0 < margin < 1:
        raise UserError(f"--margin {margin:g}: give a share between 0 and 1, as in 0.02 for two points")
    from stillhouse.commands.test import test as run

    with progress_bar() as tick:
        done = result_of(
            run(
                target,
                cases=cases,
                models=step_models(model or []),
                baseline=baseline,
                baseline_models=step_models(baseline_model or []),
                margin=margin,
                metrics=_metrics(metric or []),
                database=database,
                offline=offline,
                store=store,
                runs=runs,
                out=to,
                session=buying.session(None, tick, teacher=None, store=None),
            )
        )
    _show(done, as_json)
    if not done.tested.passed:
        raise typer.Exit(1)


def _metrics(texts: list[str]) -> dict[str, str]:
    """STEP=METRIC pairs."""
    metrics = {}
    for text in texts:
        step, equals, metric = text.partition("=")
        if not equals or not step or not metric:
            raise UserError(f"--metric {text}: write STEP=METRIC, as in to_sql=sql_execution")
        metrics[step] = metric
    return metrics


def _show(done: "FlowTestRun", as_json: bool) -> None:
    from stillhouse.cli.tested import shown
    from stillhouse.results.flow_test import to_json

    if as_json:
        emit_json(
            {"file": str(done.file), "report": str(done.page), "journal": str(done.journal), **to_json(done.tested)}
        )
        return
    out.print(shown(done.tested))
    err.print(
        f"wrote {done.file} and {done.page.name}; the traces: stillhouse runs --store {done.journal}",
        highlight=False,
        markup=False,
    )


def _show_written(written: "Written", as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                str(path): {"new": new, "known": known, "differing": differing}
                for path, (new, known, differing) in written.items()
            }
        )
        return
    for path, (new, known, differing) in written.items():
        other = f", {differing} of equal input with another answer left out" if differing else ""
        out.print(f"{path}: {new} new, {known} there already{other}", markup=False)
    out.print("these are what the app did, not what is right: read them, and mend what it got wrong", markup=False)
