"""`stillhouse run --inputs`: a flow over the rows of a file, and how that ended."""

import csv
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stillhouse.cli.console import emit_json, err, out, progress_bar
from stillhouse.cli.options import Buying
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of
from stillhouse.numbers import usd

if TYPE_CHECKING:
    from stillhouse.commands.run_rows import Reason, RowsRun, Status

MOST_REASONS = 5  # reasons that are told one by one
WAITS = 3  # the exit code where no row failed, and some wait for a person


def run_file(
    target: str, inputs: str, buying: Buying, as_json: bool, *, columns: Sequence[str], name: str | None, **options: Any
) -> None:
    """Run the flow on each row, and tell how that went. Exit code 1: a row failed or was left, 3: rows wait."""
    from stillhouse.commands.run_rows import run_rows

    with tempfile.TemporaryDirectory() as folder, progress_bar() as tick:
        path = Path(inputs)
        if inputs in ("-", "@-"):
            path = Path(folder) / "stdin.jsonl"
            path.write_bytes(sys.stdin.buffer.read())
        elif not path.exists() and inputs.startswith("@"):
            path = Path(inputs[1:])  # as --input has it
        session = buying.session(None, tick, teacher=None, store=None)
        done = result_of(run_rows(target, path, session, columns=_columns(columns), name=name, **options))
    shown = "stdin" if inputs in ("-", "@-") else inputs
    if as_json:
        emit_json(_facts(done))
    else:
        _tell(done, shown)
    counts = done.counts
    if counts["failed"] or counts["left"] or counts["cancelled"]:
        raise typer.Exit(1)
    if counts["waiting"]:
        raise typer.Exit(WAITS)


def _columns(texts: Sequence[str]) -> dict[str, str]:
    """PARAMETER=COLUMN pairs."""
    columns = {}
    for text in texts:
        for part in next(csv.reader([text], skipinitialspace=True), []):
            name, sign, column = part.partition("=")
            if not sign or not name.strip() or not column.strip():
                raise UserError(f"--map {text}: give PARAMETER=COLUMN, as in question=text")
            columns[name.strip()] = column.strip()
    return columns


def _tell(done: "RowsRun", inputs: str) -> None:
    for note in done.notes:
        err.print(f"note: {note}", soft_wrap=True, highlight=False)
    if done.unused:
        err.print(f"columns that {done.flow} does not take: {', '.join(done.unused)}", soft_wrap=True, highlight=False)
    counts, n = done.counts, len(done.rows)
    before = f" ({done.n_before:,} of them before)" if done.n_before else ""
    kinds: tuple[Status, ...] = ("failed", "waiting", "cancelled", "left")
    others = [f"{counts[kind]:,} {kind}" for kind in kinds if counts[kind]]
    parts = ", ".join([f"{counts['done']:,} done{before}", *others])
    out.print(f"{n:,} row{'' if n == 1 else 's'} of {inputs} through {done.flow}: {parts}")
    for reason in done.failures[:MOST_REASONS]:
        out.print(f"  {reason.n:,} failed: {reason.words}")
        out.print(f"    line {reason.line}: stillhouse runs show {reason.run}")
    if more := done.failures[MOST_REASONS:]:
        out.print(f"  {sum(reason.n for reason in more):,} failed for {len(more)} other reasons; --out has each")
    for reason in done.questions[:MOST_REASONS]:
        out.print(f"  {_asks(reason)}: {reason.words}")
        out.print(f"    line {reason.line}: stillhouse answer {reason.run} ANSWER")
    if done.stopped:
        out.print(f"  stopped: {done.stopped}")
    if done.skipped:
        out.print(f"  {done.skipped:,} broken rows left out")
    out.print(f"  paid now: {usd(done.cost_usd)}")
    if done.out is not None:
        out.print(f"  every row with its result: {done.out}")
    else:
        out.print("  the results are in the journal; with --out FILE.jsonl the same command writes them")
    if counts["failed"] or counts["left"] or counts["waiting"]:
        again = shlex.join(["stillhouse", *sys.argv[1:]])
        out.print(f"the same command goes on, and runs nothing again that is done\nnext: {again}")


def _asks(reason: "Reason") -> str:
    return f"{reason.n:,} {'asks' if reason.n == 1 else 'ask'}"


def _facts(done: "RowsRun") -> dict[str, Any]:
    kinds: tuple[Status, ...] = ("done", "failed", "waiting", "cancelled", "left")
    return {
        "batch": done.name,
        "flow": done.flow,
        "rows": len(done.rows),
        **{kind: done.counts[kind] for kind in kinds},
        "done_before": done.n_before,
        "reasons": [vars(reason) for reason in done.failures],
        "asks": [vars(reason) for reason in done.questions],
        "unused": list(done.unused),
        "skipped": done.skipped,
        "stopped": done.stopped,
        "cost_usd": done.cost_usd,
        "out": None if done.out is None else str(done.out),
    }
