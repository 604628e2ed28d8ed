"""`stillhouse serve`."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, err
from stillhouse.cli.options import AsJson, Store, command


@command
def serve(
    runs: Annotated[
        list[Path],
        typer.Argument(help="runs of distill, RUN#ARM, or students' own folders; each is served under its task's name"),
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
    unproven: Annotated[
        bool,
        typer.Option("--unproven", help="serve also what no verdict proves; every answer then says so in a header"),
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Answer the OpenAI API with a student (or a cascade): the app changes its base URL and its model's name."""
    from stillhouse.commands.serve import serve as run

    def ready(url: str, served: Mapping[str, str | None]) -> None:
        doubts = {name: why for name, why in served.items() if why is not None}
        if as_json:
            emit_json({"base_url": url, "models": list(served), "unproven": doubts})
            return
        names = [f"{name} (unproven)" if name in doubts else name for name in served]
        err.print(f"serving {', '.join(names)} at {url} (stop with Ctrl-C)")
        for name, why in doubts.items():
            err.print(f"{name} is unproven, and every answer says so: {why}")

    asyncio.run(
        run(
            runs,
            cascade=cascade,
            host=host,
            port=port,
            key=os.environ.get("STILLHOUSE_SERVE_KEY"),
            store=store,
            audit=audit,
            unproven=unproven,
            on_ready=ready,
        )
    )
