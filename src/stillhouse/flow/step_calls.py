"""A step's calls in a journal: the runs that a user names, and of these the calls that a model answered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.store.journal import Journal, RunRow, StepRow, key_id

ALL_RUNS = "all"
_KINDS = ("model", "decide", "step", "agent")  # kinds of calls that a model can answer


@dataclass(frozen=True)
class StepCalls:
    """The calls with an answer that something can learn from, each with its run.

    `n_failed` calls had no answer; `n_by_students` were answered by a student, which nothing should learn from.
    `outermost`: of a call by its run and id, the call in whose body it lies, and which lies in no other.
    """

    kind: str
    rows: list[tuple[RunRow, StepRow]]
    n_runs: int
    n_failed: int
    n_by_students: int
    outermost: Mapping[tuple[str, str], str]


def chosen_runs(journal: Journal, names: Sequence[str], since: str | None, store: Path | str) -> list[RunRow]:
    """The runs named (ids, a flow's name, or "all") that began at `since` or later, oldest first. Raises UserError."""
    runs = [row for row, _ in reversed(journal.runs())]
    ids, flows = {run.run for run in runs}, {run.flow for run in runs}
    for name in names:
        if name not in ids and name not in flows and name != ALL_RUNS:
            raise UserError(
                f"{store} has no run and no flow {name!r}; `stillhouse runs` lists them, and `all` takes all"
            )
    start = 0.0 if since is None else moment(since)
    named = {name for name in names if name in ids}
    whole = {name for name in names if name not in ids}
    return [
        run for run in runs if (run.run in named or ALL_RUNS in whole or run.flow in whole) and run.created >= start
    ]


def moment(since: str) -> float:
    """A date or time as `--since` has it, in seconds since 1970. Raises UserError."""
    try:
        return datetime.fromisoformat(since).timestamp()
    except ValueError:
        raise UserError(f"--since {since}: no date; write it as 2026-01-31, or 2026-01-31T12:00") from None


def step_calls(journal: Journal, runs: Sequence[RunRow], step: str, store: Path | str) -> StepCalls:
    """The calls of `step` in these runs. Raises UserError where there is none to learn from."""
    rows: list[tuple[RunRow, StepRow]] = []
    seen: Counter[str] = Counter()
    n_failed = n_by_students = 0
    outermost: dict[tuple[str, str], str] = {}
    for run in runs:
        calls = [call for call in journal.steps(run.run) if call.kind != "flow"]
        parents = {key_id(call.key): call.parent for call in calls}
        for call in calls:
            seen[f"{call.key[0]} ({call.kind})"] += call.kind in _KINDS
            if call.key[0] != step:
                continue
            if call.kind not in _KINDS:
                raise UserError(
                    f"{step} is of kind {call.kind}, which no model answers; harvest a model step or a decision"
                )
            if call.output is None:
                n_failed += 1
            elif by_student(call):
                n_by_students += 1
            else:
                rows.append((run, call))
                if call.parent is not None:
                    outermost[run.run, key_id(call.key)] = _outermost(call.parent, parents)
    if not rows:
        others = ", ".join(sorted(name for name, n in seen.items() if n)) or "none"
        reasons = ""
        if n_failed or n_by_students:
            reasons = f" ({n_failed} failed, {n_by_students} were answered by students)"
        raise UserError(
            f"the {len(runs)} runs in {store} hold no call of {step!r} to learn from{reasons}; their steps: {others}"
        )
    kinds = {call.kind for _, call in rows}
    if len(kinds) > 1:
        raise UserError(
            f"{step} is a {' and a '.join(sorted(kinds))} in these runs; name the runs of one version of the app"
        )
    return StepCalls(kinds.pop(), rows, len(runs), n_failed, n_by_students, outermost)


def _outermost(call: str, parents: Mapping[str, str | None]) -> str:
    while (parent := parents.get(call)) is not None:
        call = parent
    return call


def by_student(call: StepRow) -> bool:
    """Whether a student answered.

    A chat model leaves the hash of its request, a recorded teacher its name; a cascade says which part of it answered.
    """
    facts = call.facts or {}
    if "model" not in facts or facts.get("source") == "teacher":
        return False
    if facts.get("source") == "student":
        return True
    return "requests" not in facts and not str(facts["model"]).startswith("recorded:")
