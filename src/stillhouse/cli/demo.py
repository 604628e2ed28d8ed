"""`stillhouse demo`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stillhouse.cli import app
from stillhouse.cli.console import emit_json, err, out, progress_bar
from stillhouse.cli.options import AsJson, Teacher

if TYPE_CHECKING:
    from stillhouse.jobs.demo import Demo


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="where the demo's files go; what is there is used again")] = Path("stillhouse-demo"),
    teacher: Teacher = None,
    as_json: AsJson = False,
) -> None:
    """The whole story on a built-in app: no key, no network, a few minutes."""
    from stillhouse.jobs.demo import demo as run
    from stillhouse.report.result import to_dict

    with progress_bar() as tick:
        done = run(folder, teacher=teacher, say=lambda line: err.print(line, highlight=False), on_progress=tick)
    if as_json:
        found = {name: {"run": str(one.folder), "report": str(one.report), "result": to_dict(one.result)} for name, one in done.distilled.items()}
        emit_json({"folder": str(done.folder), "advice": str(done.advice.folder), "distilled": found, "answered": [asdict(one) for one in done.answered]})
        return
    _show(done)


def _show(done: "Demo") -> None:
    from rich.text import Text

    from stillhouse.cli.distill import crossovers
    from stillhouse.report.page import terminal

    for answer in done.answered:
        out.print(Text.assemble(("asked over HTTP: ", "dim"), answer.question, ("  ->  ", "dim"), (answer.route, "bold")))
        if answer.answer is not None:
            out.print(Text(f"    {answer.answer}"))
    for name, one in done.distilled.items():
        out.print(Text(f"\n{name}", style="bold underline"))
        out.print(terminal(one.result, one.report))
    for line in crossovers(done.advice):
        out.print(Text(f"\nroute: {line}"))
    out.print(f"next: stillhouse serve {done.distilled['route'].folder}, or your own rows: stillhouse new NAME")
