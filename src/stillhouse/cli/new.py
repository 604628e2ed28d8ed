"""`stillhouse new`."""

from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import command


@command
def new(
    name: Annotated[Path, typer.Argument(help="the project's folder; its last part names the task")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Start a project: task.toml, examples.jsonl (a sample that runs at once), app.py."""
    from stillhouse.commands.new import new as run

    written = run(name)
    if as_json:
        emit_json({"written": [str(path) for path in written]})
        return
    for path in written:
        out.print(f"wrote {path}")
    out.print(f"next: put your rows into {written[-1]}, or try the sample: stillhouse label {name}")
