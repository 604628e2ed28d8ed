"""`stillhouse compare`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stillhouse.cli.console import emit_json, err, out, progress_bar
from stillhouse.cli.options import AsJson, Buying, Columns, EncodingName, Runs, SkipBad, Store, command
from stillhouse.numbers import usd

if TYPE_CHECKING:
    from stillhouse.commands.compare import ComparisonRun
    from stillhouse.comparison.head_to_head import People
    from stillhouse.comparison.rating_session import RatingSession

_SIDE = "a model's name, a run's arm as RUN#ARM, or a .jsonl of id and answer"


@command
def compare(
    a: Annotated[str, typer.Argument(help=f"the one that may replace the other: {_SIDE}")],
    b: Annotated[str, typer.Argument(help="the one that is there, named alike")],
    data: Annotated[Path, typer.Argument(help="the rows that both answer")],
    *,
    task: Annotated[
        Path | None, typer.Option(help="task.toml: for prompted models; its instruction is shown with every pair")
    ] = None,
    people: Annotated[
        Literal["page", "terminal", "none"] | None,
        typer.Option(help="where you judge; none: earlier choices count [default: page, or none with --judge]"),
    ] = None,
    rater: Annotated[
        str,
        typer.Option(
            help="your name, where several people judge: each has choices and a sitting of their own, and all count"
        ),
    ] = "",
    judge: Annotated[str | None, typer.Option(help="a model that judges every pair, in both orders")] = None,
    gate: Annotated[
        bool,
        typer.Option("--gate", help="may A replace B? Exit code 1 unless its win rate is above 50 % less the margin"),
    ] = False,
    margin: Annotated[
        float | None, typer.Option(help="of the gate, 0.05 for 45 %; default: the task's, or 0.02")
    ] = None,
    level: Annotated[float | None, typer.Option(help="of the gate, one-sided; default: the task's, or 0.95")] = None,
    judgements: Annotated[
        Path | None,
        typer.Option(help="where your choices are kept; default: judgements.jsonl beside the task or the data"),
    ] = None,
    port: Annotated[int, typer.Option(help="of the page; 0: a free one")] = 0,
    columns: Columns = None,
    encoding: EncodingName = None,
    buying: Buying,
    store: Store = None,
    runs: Runs = Path("runs"),
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Which of two answers is better? Judged blind: on a page, in the terminal, by a model. Stop at any moment: every
    choice is kept.
    """
    from stillhouse.commands.compare import compare as run
    from stillhouse.data.raw_rows import reading_given
    from stillhouse.errors import UserError

    where = people or ("none" if judge and not rater else "page")
    if rater and where == "none":
        raise UserError(f"--rater {rater}: with --people none nobody judges; take one of the two out")
    with progress_bar(quiet=where == "terminal") as tick:
        done = run(
            a,
            b,
            data,
            buying.session(task, tick, teacher=None, store=store),
            task=task,
            judge=judge,
            people=_people(where, port),
            rater=rater,
            judgements=judgements,
            gate=gate,
            margin=margin,
            level=level,
            runs=runs,
            reading=reading_given(columns, encoding),
            skip_bad=skip_bad,
        )
    show(done, as_json, gate)
    if gate:
        end(done)


def _people(where: str, port: int) -> "People | None":
    """The face at which a person judges."""

    async def on_a_page(sitting: "RatingSession") -> None:
        from stillhouse.report.blind_page import blind_page
        from stillhouse.serving.blind import serve_blind

        await serve_blind(
            sitting,
            blind_page,
            port=port,
            on_ready=lambda url: err.print(f"judge here, this machine alone: {url}", soft_wrap=True),
        )

    async def in_the_terminal(sitting: "RatingSession") -> None:
        from stillhouse.cli.blind_terminal import judge_here

        judge_here(sitting, err)

    return {"page": on_a_page, "terminal": in_the_terminal, "none": None}[where]


def end(done: "ComparisonRun") -> None:
    """Exit code 1 unless the gate passes."""
    if done.gate is None or done.gate.answer != "pass":
        raise typer.Exit(1)


def show(done: "ComparisonRun", as_json: bool, gate: bool) -> None:
    """The result in words or as one JSON object."""
    from stillhouse.report.comparison_terminal import comparison_text

    rates = done.win_rates
    if as_json:
        result = None
        if rates is not None:
            result = {**asdict(rates), "heading": rates.heading, "sentence": rates.sentence}
        emit_json(
            {
                "run": str(done.folder),
                "report": str(done.report) if done.report else None,
                "judgements": str(done.judgements),
                "cost_usd": done.cost_usd,
                "usage_doubts": done.usage_doubts,
                "comparison": result,
            }
        )
        return
    for doubt, count in done.usage_doubts.items():
        priced = f"{count} answers with token counts that do not add up, priced by their dearest reading: {doubt}"
        out.print(priced, markup=False, highlight=False, soft_wrap=True)
    if rates is None:
        refused = " The gate cannot tell." if gate else ""
        out.print(
            f"No pair is judged yet, so there is no win rate.{refused} Judge some on the page, or name a --judge.",
            markup=False,
        )
        if done.cost_usd:
            out.print(f"paid now: {usd(done.cost_usd)}", markup=False)
        return
    out.print(comparison_text(rates))
    note = " at a model's price; a stand-in is not paid" if rates.judge_stand_in else ""
    out.print(f"choices: {done.judgements}   paid now: {usd(done.cost_usd)}{note}", markup=False)
    out.print(f"Report: {done.report}", markup=False)
