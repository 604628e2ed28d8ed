"""`stillhouse export`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, command


@command
def export(
    run: Annotated[Path, typer.Argument(help="a run of distill, RUN#ARM, or a student's own folder")],
    to: Annotated[str, typer.Option(help="onnx, or hf: the files of transformers")],
    folder: Annotated[Path, typer.Option("--out", help="the new folder")],
    unproven: Annotated[
        bool, typer.Option("--unproven", help="export also what no verdict proves; its card then says so")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a student away: a folder that loads without Stillhouse and gives the same answers, with its card."""
    from stillhouse.commands.export import export as run_export

    written = run_export(run, to, folder, unproven=unproven)
    if as_json:
        emit_json({**asdict(written), "folder": str(written.folder), "student": str(written.student)})
        return
    out.print(f"Wrote {written.folder}: {len(written.files)} files, {written.size_bytes:,} bytes", markup=False)
    out.print(f"{written.folder / 'README.md'} is its card, and has the lines of Python that load it", markup=False)
