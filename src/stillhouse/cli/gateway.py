"""`stillhouse gateway` and `stillhouse steps`."""

import asyncio
import os
from typing import Annotated

import typer

from stillhouse.cli.console import emit_json, err, out
from stillhouse.cli.options import AsJson, command

GatewayStore = Annotated[
    str, typer.Option("--store", help="where calls are kept: a file, sqlite:///FILE, or postgresql://...")
]


@command
def gateway(
    upstream: Annotated[
        list[str],
        typer.Option(
            metavar="NAME|URL",
            help="where calls go: openai, anthropic, or a base URL such as http://host/v1; may be given several times",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="another address than loopback demands a key in STILLHOUSE_GATEWAY_KEY")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8100,
    store: GatewayStore = "stillhouse.db",
    no_text: Annotated[
        bool, typer.Option("--no-text", help="keep steps, tokens and money, but no instruction, input or answer")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forward an app's calls unchanged, and keep them: the app sets its base URL to this address and nothing else."""
    from stillhouse.commands.gateway import gateway as run

    def ready(url: str) -> None:
        if as_json:
            emit_json({"url": url})
            return
        kept = "counts and costs alone" if no_text else "every call, with its texts,"
        err.print(f"forwarding {url}/v1 to {', '.join(upstream)} (stop with Ctrl-C)", markup=False)
        err.print(f"kept in {store}: {kept}; look at them with: stillhouse steps --store {store}", markup=False)

    asyncio.run(
        run(
            upstream,
            host=host,
            port=port,
            store=store,
            key=os.environ.get("STILLHOUSE_GATEWAY_KEY"),
            texts=not no_text,
            on_ready=ready,
        )
    )


@command
def steps(
    store: GatewayStore = "stillhouse.db",
    since: Annotated[str | None, typer.Option(help="only calls from this date or time on, as in 2026-01-31")] = None,
    as_json: AsJson = False,
) -> None:
    """The steps of an app, as its calls through the gateway show them, by money at stake."""
    from rich.table import Table

    from stillhouse.commands.gateway import steps as run
    from stillhouse.numbers import usd

    found = run(store, since=since)
    if as_json:
        emit_json(
            {
                "steps": [
                    {
                        "name": step.name,
                        "calls": step.calls,
                        "calls_per_day": step.calls_per_day,
                        "usd": step.usd,
                        "usd_known": step.usd_known,
                        "unpriced": step.unpriced,
                        "usd_per_month": step.usd_per_month,
                        "output": step.output,
                        "labels": step.labels,
                        "answers": step.n_answers,
                        "repeated": step.repeated,
                        "p50_s": step.p50_s,
                        "p90_s": step.p90_s,
                        "rows": step.rows,
                        "left_out": dict(step.left_out),
                        "failed": step.failed,
                        "models": dict(step.models),
                        "instruction": step.instruction,
                        "template": step.template,
                    }
                    for step in found
                ]
            }
        )
        return
    if not found:
        out.print(f"no calls of a known kind are kept in {store}", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("step", "calls", "a day", "US$", "a month", "answers", "repeated", "p50", "rows"):
        table.add_column(name, justify="left" if name in ("step", "answers") else "right", overflow="fold")
    for step in found:
        kind = f"{step.n_answers} labels" if step.output == "choice" else step.output or "unknown"
        table.add_row(
            step.name,
            f"{step.calls:,}",
            "unknown" if step.calls_per_day is None else f"{step.calls_per_day:,.0f}",
            usd(step.usd),
            usd(step.usd_per_month),
            kind,
            "unknown" if step.repeated is None else f"{step.repeated:.0%}",
            "unknown" if step.p50_s is None else f"{step.p50_s:.2f} s",
            f"{step.rows:,}",
        )
    out.print(table)
    for step in found:
        for reason, n in step.left_out.items():
            out.print(f"  {step.name}: {n:,} calls {reason}: no rows", markup=False)
    best = next((step for step in found if step.rows), None)
    if best is not None:
        out.print(f"next: stillhouse harvest gateway:{best.name} --store {store}", markup=False, soft_wrap=True)
