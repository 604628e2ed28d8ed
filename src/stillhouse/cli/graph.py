"""`stillhouse graph`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stillhouse.clean_text import terminal_text
from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, Journal, command


@command
def graph(
    target: Annotated[
        str, typer.Argument(help="FILE.py:FLOW or MODULE:FLOW, as its source shows it; or a run's id, as it went")
    ],
    form: Annotated[
        Literal["mermaid", "svg"] | None,
        typer.Option("--format", help="default: svg where --out ends so, else mermaid"),
    ] = None,
    to: Annotated[Path | None, typer.Option("--out", help="the file; default: stdout")] = None,
    width: Annotated[
        int, typer.Option(min=300, help="of an SVG, pixels at most: what has no room side by side is stacked")
    ] = 1100,
    store: Journal = "stillhouse.db",
    as_json: AsJson = False,
) -> None:
    """Draw a flow, or what a run of it did: branches, loops with their counts, tokens, cost, time, and the step that
    failed.
    """
    from stillhouse.commands.graph import graph as draw
    from stillhouse.runs import write_atomic

    chosen = form or ("svg" if to is not None and to.suffix == ".svg" else "mermaid")
    drawn = draw(target, format=chosen, store=store, width=width)
    if to is not None:
        write_atomic(to, drawn)
    if as_json:
        emit_json(
            {
                "target": target,
                "format": chosen,
                "out": None if to is None else str(to),
                "graph": drawn if to is None else None,
            }
        )
    elif to is None:
        typer.echo(terminal_text(drawn), nl=False)
    else:
        out.print(str(to), markup=False)
