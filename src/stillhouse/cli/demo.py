"""`stillhouse demo`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, err, out, progress_bar
from stillhouse.cli.options import AsJson, Teacher
from stillhouse.numbers import usd

if TYPE_CHECKING:
    from rich.table import Table

    from stillhouse.commands.demo import Demo
    from stillhouse.records import Estimate


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="where the demo's files go; what is there is used again")] = Path(
        "stillhouse-demo"
    ),
    teacher: Teacher = None,
    as_json: AsJson = False,
) -> None:
    """The whole story on a built-in app: no key, no network, a few minutes."""
    from stillhouse.commands.demo import demo as run
    from stillhouse.results.run_result import to_dict

    with progress_bar() as tick:
        done = run(folder, teacher=teacher, say=lambda line: err.print(line, highlight=False), on_progress=tick)
    if as_json:
        found = {
            name: {"run": str(one.folder), "report": str(one.report), "result": to_dict(one.result)}
            for name, one in done.distilled.items()
        }
        app_before_after = {"before": asdict(done.before), "after": asdict(done.after)}
        asked = [asdict(one) for one in done.answered]
        emit_json(
            {
                "folder": str(done.folder),
                "advice": str(done.advice.folder),
                "distilled": found,
                "answered": asked,
                "app": app_before_after,
            }
        )
        return
    _show(done)


def _show(done: "Demo") -> None:
    from rich.text import Text

    from stillhouse.cli.distill import crossovers
    from stillhouse.report.result_terminal import terminal

    for answer in done.answered:
        out.print(
            Text.assemble(("asked over HTTP: ", "dim"), answer.question, ("  ->  ", "dim"), (answer.route, "bold"))
        )
        if answer.answer is not None:
            out.print(Text(f"    {answer.answer}"))
    for name, one in done.distilled.items():
        out.print(Text(f"\n{name}", style="bold underline"))
        out.print(terminal(one.result, one.report))
    for line in crossovers(done.advice):
        out.print(Text(f"\nroute: {line}"))
    out.print()
    out.print(_app_table(done))
    if done.stand_in:
        told = (
            "Latency is of whole answers, 16 at a time. The teacher is a stand-in, a script: its latency is no model's, its prices are those of the model that "
            "it is priced as. Composability gap: all parts right and the whole wrong."
        )
        out.print(Text(told, style="dim"))
    out.print(
        f'next: stillhouse run {done.folder}/app.py:main --input \'{{"question": "which five products sell best?"}}\'',
        markup=False,
    )
    out.print(f"next: stillhouse serve {done.distilled['route'].folder}, or your own rows: stillhouse new NAME")


def _app_table(done: "Demo") -> "Table":
    """The app before and after, on the same questions."""
    from rich.table import Table

    n = done.before.right.n
    title = f"the whole app, {n} questions in wordings that no student saw"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    swapped = [step for step in done.after.models if step != "*"]
    table.add_column("", no_wrap=True)
    table.add_column("the teacher in every step", no_wrap=True)
    table.add_column(f"students in {', '.join(swapped) or 'no step'}", no_wrap=True)
    pair = (done.before, done.after)
    table.add_row("whole answer right", *(_share(one.right) for one in pair))
    for step in done.before.steps_right:
        table.add_row(
            f"{step} right",
            *(_share(one.steps_right[step]) if step in one.steps_right else "never called" for one in pair),
        )
    table.add_row(
        "composability gap",
        *("no run had all parts right" if one.gap.share is None else _share(one.gap.share) for one in pair),
    )
    table.add_row("per 1,000 questions", *(usd(one.cost_usd_per_1000) for one in pair))
    table.add_row("median latency", *(f"{one.latency_p50_s:.2f} s" for one in pair))
    return table


def _share(found: "Estimate") -> str:
    interval = "" if found.low is None or found.high is None else f" [{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return f"{100 * found.value:.1f} %{interval} n = {found.n}"
