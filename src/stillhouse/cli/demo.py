"""`stillhouse demo`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stillhouse.cli.console import emit_json, err, out, progress_bar
from stillhouse.cli.options import AsJson, Teacher, command
from stillhouse.numbers import usd

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stillhouse.commands.demo import Demo
    from stillhouse.records import Estimate


@command
def demo(
    folder: Annotated[Path, typer.Option(help="where the demo's files go; what is there is used again")] = Path(
        "stillhouse-demo"
    ),
    teacher: Teacher = None,
    as_json: AsJson = False,
) -> None:
    """The whole story on a built-in app: no key, no network, a few minutes."""
    from stillhouse.commands.demo import demo as tell
    from stillhouse.results.run_result import to_dict
    from stillhouse.session import Session

    with progress_bar() as tick:
        session = Session(teacher=teacher, on_progress=tick)
        done = tell(folder, session, say=lambda line: err.print(line, highlight=False))
    if as_json:
        distilled = {
            name: {"run": str(run.folder), "report": str(run.report), "result": to_dict(run.result)}
            for name, run in done.distilled.items()
        }
        emit_json(
            {
                "folder": str(done.folder),
                "advice": str(done.advice.folder),
                "distilled": distilled,
                "answered": [asdict(answered) for answered in done.answered],
                "app": {"before": asdict(done.before), "after": asdict(done.after)},
            }
        )
        return
    _show(done)


def _show(done: "Demo") -> None:
    from rich.text import Text

    from stillhouse.cli.curve_sentences import crossover_lines
    from stillhouse.report.result_terminal import terminal

    for answer in done.answered:
        out.print(
            Text.assemble(("asked over HTTP: ", "dim"), answer.question, ("  ->  ", "dim"), (answer.route, "bold"))
        )
        if answer.answer is not None:
            out.print(Text(f"    {answer.answer}"))
    for name, run in done.distilled.items():
        out.print(Text(f"\n{name}", style="bold underline"))
        out.print(terminal(run.result, run.report))
    for line in crossover_lines(done.advice.result.curves):
        out.print(Text(f"\nroute: {line}"))
    out.print()
    out.print(_app_table(done))
    if done.stand_in:
        told = (
            "Latency is of whole answers, 16 at a time. The teacher is a stand-in, a script: its latency is no "
            "model's, its prices are those of the model that it is priced as. Composability gap: all parts right and "
            "the whole wrong."
        )
        out.print(Text(told, style="dim"))
    out.print(
        f'next: stillhouse run {done.folder}/app.py:main --input \'{{"question": "which five products sell best?"}}\'',
        markup=False,
    )
    for run in done.distilled.values():
        if run.serve_command is not None:
            out.print(f"next: {run.serve_command}", markup=False)
    out.print("next: your own rows: stillhouse new NAME")


def _app_table(done: "Demo") -> "RenderableType":
    """The app before and after, on the same questions."""
    from rich.console import Group
    from rich.text import Text

    from stillhouse.report.fitting_table import FittingTable

    n = done.before.right.n
    title = Text(f"the whole app, {n} questions in wordings that no student saw", style="bold")
    swapped = [step for step in done.after.models if step != "*"]
    heads = ["", "the teacher in every step", f"students in {', '.join(swapped) or 'no step'}"]
    rows: list[list[Text]] = []

    def add(*cells: str) -> None:
        rows.append([Text(cell) for cell in cells])

    pair = (done.before, done.after)
    add("whole answer right", *(_share(app.right) for app in pair))
    for step in done.before.steps_right:
        shares = [_share(app.steps_right[step]) if step in app.steps_right else "never called" for app in pair]
        add(f"{step} right", *shares)
    gaps = ["no run had all parts right" if app.gap.share is None else _share(app.gap.share) for app in pair]
    add("composability gap", *gaps)
    add("per 1,000 questions", *(usd(app.cost_usd_per_1000) for app in pair))
    add("median latency", *(f"{app.latency_p50_s:.2f} s" for app in pair))
    return Group(title, FittingTable(heads, rows, wrapping=(0, 1, 2), left=(1, 2), ruled=False))


def _share(share: "Estimate") -> str:
    interval = "" if share.low is None or share.high is None else f" [{100 * share.low:.1f}, {100 * share.high:.1f}]"
    return f"{100 * share.value:.1f} %{interval} n = {share.n}"
