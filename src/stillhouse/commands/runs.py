"""`runs` and what looks at one run: its trace out of the journal, as values and as JSON; and the runs of commands."""

import calendar
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.commands.run_ids import short_ids
from stillhouse.errors import StillhouseError, UserError
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.steering import cancel as cancel
from stillhouse.flow.steering import prune as prune
from stillhouse.flow.trace import Node, Trace, Used, busy_s, failing, totals, trace, used
from stillhouse.runs import MANIFEST, is_held, read_manifest
from stillhouse.store.journal import Journal, RunRow, as_seen, existing_journal


@dataclass(frozen=True)
class ListedRun:
    """A run in the list: its finished steps, what it used, and what it asks a person."""

    row: RunRow
    shown: str  # its id, or as much of it as has to be typed
    finished: int
    used: Used
    questions: tuple[str, ...]


def list_runs(store: Path | str = DEFAULT_STORE, last: int | None = None) -> tuple[list[ListedRun], int]:
    """The newest `last` runs (None: all) with what they used, and the number of the older ones.

    Raises UserError where there is no such journal.
    """
    with contextlib.closing(existing_journal(store)) as journal:
        rows = journal.runs()
        newest = rows if last is None else rows[:last]
        shown = short_ids([row.run for row, _ in newest], [row.run for row, _ in rows])
        listed = [_listed(journal, as_seen(journal, row), id_, n) for (row, n), id_ in zip(newest, shown, strict=True)]
        return listed, len(rows) - len(newest)


@dataclass(frozen=True)
class CommandRun:
    """A run of `advise`, `distill` or another command that has a folder.

    `status`: done, failed, running, stopped (it was asked to end, and did) or killed, as a flow's run is.
    """

    folder: Path
    command: str
    status: str
    created: float | None  # seconds since the epoch; None: its manifest does not say
    verdict: str | None
    chosen: str | None
    cost_usd: float | None
    error: str | None


def list_command_runs(folder: Path) -> list[CommandRun]:
    """The runs in a folder of runs, newest first. What is no run's folder is left out."""
    found = []
    for path in folder.glob(f"*/{MANIFEST}"):
        try:
            manifest = read_manifest(path.parent)
        except StillhouseError:  # a damaged one is no run that can be gone on with
            continue
        found.append(_command_run(path.parent, manifest))
    return sorted(found, key=lambda run: -(run.created or 0.0))


def _command_run(folder: Path, manifest: Mapping[str, Any]) -> CommandRun:
    status = str(manifest.get("status", ""))
    if status == "running" and not is_held(folder / ".lock"):
        status = "killed"
    text = manifest.get("created")
    try:
        created = None if text is None else float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    except (ValueError, TypeError):
        created = None
    kept = {name: manifest.get(name) for name in ("verdict", "chosen", "error")}
    texts = {name: None if value is None else str(value) for name, value in kept.items()}
    cost = manifest.get("cost_usd")
    cost_usd = float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None
    return CommandRun(folder, str(manifest.get("command", "")), status, created, cost_usd=cost_usd, **texts)


def _listed(journal: Journal, row: RunRow, shown: str, finished: int) -> ListedRun:
    rows = journal.steps(row.run)
    return ListedRun(
        row, shown, finished, used(rows), tuple(trace(row, rows).questions) if row.status == "waiting" else ()
    )


def read_trace(run_id: str, store: Path | str = DEFAULT_STORE) -> Trace:
    """The run's trace. Raises UserError where there is no such journal or run."""
    with contextlib.closing(existing_journal(store)) as journal:
        row = journal.run(run_id)
        if row is None:
            raise UserError(f"there is no run {run_id!r} in {journal.url}; `stillhouse runs` lists them")
        row = as_seen(journal, row)
        result = None if row.result is None else journal.text(row.result)
        return trace(replace(row, result=result, input=journal.text(row.input)), journal.steps(run_id))


def to_json(traced: Trace) -> dict[str, Any]:
    """The trace for machines: nothing folded, nothing cut."""
    run, culprit = traced.run, failing(traced)
    return {
        "run": run.run,
        "flow": run.flow,
        "status": run.status,
        "input": json.loads(run.input),
        "result": None if run.result is None else json.loads(run.result),
        "error": run.error,
        "failed_in": None if culprit is None else culprit.name,
        "questions": traced.questions,
        "created": run.created,
        "ended": run.ended,
        "busy_s": busy_s(traced.rows),
        "facts": dict(run.facts),
        "used": asdict(traced.used),
        "by_step": [asdict(total) for total in totals(traced.rows)],
        "calls": [_call(node) for node in traced.roots],
    }


def _call(node: Node) -> Mapping[str, Any]:
    row = node.row
    return {
        "step": node.name,
        "kind": row.kind,
        "state": node.state,
        "arguments": json.loads(row.arguments),
        "output": None if row.output is None else json.loads(row.output),
        "error": row.error,
        "started": row.started,
        "seconds": row.seconds,
        "attempts": row.attempts,
        "facts": dict(node.facts),
        "calls": [_call(child) for child in node.children],
    }
