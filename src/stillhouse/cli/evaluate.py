"""`stillhouse evaluate`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, money, out, progress_bar
from stillhouse.cli.options import AsJson, SkipBad, Store


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="a run's or student's folder, cascade:RUN, recorded:FILE, openai:NAME, http://host/v1#NAME, ...")],
    data: Annotated[Path, typer.Argument(help="rows with labels")],
    task: Annotated[Path | None, typer.Option(help="task.toml: for prompted models, and where queries are run")] = None,
    rows: Annotated[Path | None, typer.Option("--out", help="write every row's answer and score here (JSONL)")] = None,
    store: Store = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Measure any model on any rows, with intervals."""
    from stillhouse.jobs.evaluate import evaluate as run
    from stillhouse.report.numbers import described, seconds

    with progress_bar() as tick:
        found = run(model, data, task=task, store=store, skip_bad=skip_bad, out=rows, on_progress=tick)
    summary = found.summary
    if as_json:
        emit_json({"model": found.model, "metric": found.metric, "scored_against": found.scored_against, **asdict(summary), "warnings": found.warnings})
        return
    what = "agreement with the teacher" if found.scored_against == "teacher" else found.metric.replace("_", " ")
    out.print(f"{found.model}: {what} {described(summary.score)}, {summary.n_failed} without an answer")
    if summary.macro_f1 is not None:
        out.print(f"  macro F1 {summary.macro_f1:.3f} (n = {summary.score.n:,})")
    if summary.latency_p50_s is not None and summary.latency_p99_s is not None:
        out.print(f"  latency p50 {seconds(summary.latency_p50_s)}, p99 {seconds(summary.latency_p99_s)}")
    out.print(f"  cost per 1,000 calls: {money(summary.cost_usd_per_1000)}")
    for warning in found.warnings:
        out.print(f"  {warning}")
