"""`stillhouse serve`."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, err
from stillhouse.cli.options import AsJson, Store, command


@command
def serve(
    runs: Annotated[
        list[Path], typer.Argument(help="runs of distill, or folders of students; each is served under its task's name")
    ],
    cascade: Annotated[
        bool,
        typer.Option("--cascade", help="send what the student is unsure of to the teacher, by the run's threshold"),
    ] = False,
    host: Annotated[
        str, typer.Option(help="another address than loopback demands a key in STILLHOUSE_SERVE_KEY")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8000,
    audit: Annotated[
        Path | None,
        typer.Option(help="with --cascade: also ask the teacher for 1 % of the kept rows, and note both answers here"),
    ] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Answer the OpenAI API with a student (or a cascade): the app changes its base URL and its model's name."""
    from stillhouse.commands.serve import serve as run

    def ready(url: str, names: list[str]) -> None:
        if as_json:
            emit_json({"base_url": url, "models": names})
        else:
            err.print(f"serving {', '.join(names)} at {url} (stop with Ctrl-C)")

    asyncio.run(
        run(
            runs,
            cascade=cascade,
            host=host,
            port=port,
            key=os.environ.get("STILLHOUSE_SERVE_KEY"),
            store=store,
            audit=audit,
            on_ready=ready,
        )
    )
