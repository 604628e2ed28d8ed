"""`harvest`: a step's traces in a journal as a data set, and the task that it is a data set of: what `advise` and `distill` work on at once."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stillhouse.commands.step_task import STEPS, load_step, order_of, task_toml
from stillhouse.data.dataset import json_rows, load_examples, write_examples
from stillhouse.data.harvest import Feedback, Harvest, Traced
from stillhouse.data.harvest import harvest as harvest_calls
from stillhouse.errors import DatasetError, ExistsError, UserError
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.runs import write_atomic
from stillhouse.store.journal import Journal, RunRow, StepRow, existing_journal, key_id
from stillhouse.task import Task
from stillhouse.user_code import load_hook

ALL = "all"
_KINDS = ("model", "decide", "step", "agent")


@dataclass(frozen=True)
class Harvested:
    """What was written. `task_file` None: there is one that says otherwise, or the step's task is not known; `no_task` says which.

    `n_failed` calls had no answer; `n_by_students` were answered by a student, which nothing should learn from.
    """

    out: Path
    task_file: Path | None
    no_task: str | None
    harvest: Harvest
    n_runs: int
    n_failed: int
    n_by_students: int
    models: Mapping[str, int]
    n_versions: int
    cost_usd: float | None


@dataclass(frozen=True)
class _Read:
    """A step's calls in a journal: those with an answer, as rows."""

    kind: str
    rows: list[tuple[RunRow, StepRow]]
    n_runs: int
    n_failed: int
    n_by_students: int


def harvest(
    runs: Sequence[str],
    *,
    step: str,
    store: Path | str = DEFAULT_STORE,
    out: Path | None = None,
    app: str | None = None,
    since: str | None = None,
    redact: str | None = None,
    feedback: Path | None = None,
    exclude: Sequence[Path] = (),
) -> Harvested:
    """Harvest the calls of `step` in these runs (ids, a flow's name, or "all") into `out` (default: `steps/STEP/examples.jsonl`), `task.toml` beside it.

    `app`: FILE.py:FLOW, where the runs do not say; `redact`: module:function. Raises UserError, DatasetError, ExistsError; nothing is written then.
    """
    out = out or STEPS / step / "examples.jsonl"
    if out.exists():
        raise ExistsError(f"{out} is there already; give another --out, or move it away: nothing is overwritten")
    with closing(existing_journal(store)) as journal:
        chosen = _chosen(journal, runs, since, store)
        read = _read(journal, chosen, step, store)
    found: Any = _step_of(app, [run for run, _ in read.rows], step) if read.kind != "decide" else None
    task = (
        _decision_task(step, read.rows) if read.kind == "decide" else found.task() if hasattr(found, "task") else None
    )
    takes = None if found is None else order_of(found)
    calls = [_traced(run, call, read.kind, task, takes) for run, call in read.rows]
    labels = task.labels if task is not None else None
    words = [] if feedback is None else _feedback(feedback, step, labels)
    tests = [row for path in exclude for row in load_examples(path).examples]
    hook = None if redact is None else load_hook(redact, "--redact")
    made = harvest_calls(calls, feedback=words, exclude=tests, redact=hook, labels=labels)
    if not made.examples:
        reasons = ", ".join(f"{n}: {reason}" for reason, n in made.left_out.items())
        raise UserError(f"none of the {made.n_calls} calls of {step} can be used ({reasons}); give other runs")
    task_file, no_task = _task_file(task, out)
    write_examples(out, made.examples)
    if task is not None and task_file is not None and not task_file.exists():
        write_atomic(task_file, task_toml(task, out.name))
    models = Counter(str((call.facts or {}).get("model")) for _, call in read.rows)
    costs = [(call.facts or {}).get("cost_usd") for _, call in read.rows]
    return Harvested(
        out,
        task_file,
        no_task,
        made,
        read.n_runs,
        read.n_failed,
        read.n_by_students,
        dict(models),
        len({call.version for _, call in read.rows}),
        None if None in costs else sum(cost for cost in costs if cost is not None),
    )


def _chosen(journal: Journal, names: Sequence[str], since: str | None, store: Path | str) -> list[RunRow]:
    """The runs named, oldest first."""
    runs = [row for row, _ in reversed(journal.runs())]
    ids, flows = {run.run for run in runs}, {run.flow for run in runs}
    for name in names:
        if name not in ids and name not in flows and name != ALL:
            raise UserError(
                f"{store} has no run and no flow {name!r}; `stillhouse runs` lists them, and `all` takes all"
            )
    start = _time(since)
    named = {name for name in names if name in ids}
    wanted = {name for name in names if name not in ids}
    return [run for run in runs if (run.run in named or ALL in wanted or run.flow in wanted) and run.created >= start]


def _time(since: str | None) -> float:
    if since is None:
        return 0.0
    try:
        return datetime.fromisoformat(since).timestamp()
    except ValueError:
        raise UserError(f"--since {since}: no date; write it as 2026-01-31, or 2026-01-31T12:00") from None


def _read(journal: Journal, runs: Sequence[RunRow], step: str, store: Path | str) -> _Read:
    rows: list[tuple[RunRow, StepRow]] = []
    seen: Counter[str] = Counter()
    n_failed = n_by_students = 0
    for run in runs:
        for call in journal.steps(run.run):
            seen[f"{call.key[0]} ({call.kind})"] += call.kind in _KINDS
            if call.key[0] != step:
                continue
            if call.kind not in _KINDS:
                raise UserError(
                    f"{step} is of kind {call.kind}, which no model answers; harvest a model step or a decision"
                )
            if call.output is None:
                n_failed += 1
            elif _by_student(call):
                n_by_students += 1
            else:
                rows.append((run, call))
    if not rows:
        others = ", ".join(sorted(name for name, n in seen.items() if n)) or "none"
        reasons = (
            f" ({n_failed} failed, {n_by_students} were answered by students)" if n_failed or n_by_students else ""
        )
        raise UserError(
            f"the {len(runs)} runs in {store} hold no call of {step!r} to learn from{reasons}; their steps: {others}"
        )
    kinds = {call.kind for _, call in rows}
    if len(kinds) > 1:
        raise UserError(
            f"{step} is a {' and a '.join(sorted(kinds))} in these runs; name the runs of one version of the app"
        )
    return _Read(kinds.pop(), rows, len(runs), n_failed, n_by_students)


def _by_student(call: StepRow) -> bool:
    """Whether a student answered. A chat model leaves the hash of its request, a recorded teacher its name; a cascade says which part of it answered."""
    facts = call.facts or {}
    if "model" not in facts or facts.get("source") == "teacher":
        return False
    return facts.get("source") == "student" or (
        "requests" not in facts and not str(facts["model"]).startswith("recorded:")
    )


def _step_of(app: str | None, runs: Sequence[RunRow], step: str) -> Any:
    """The step in the app's code: in the one named, or else in the one that the newest run was started with, where that is still there; or None."""
    if app is not None:
        return load_step(app, step)
    known = [run.facts["app"] for run in runs if run.facts.get("app")]
    if not known:
        return None
    try:
        return load_step(known[-1], step)
    except UserError:  # moved or edited since: then the app counts as unknown, and what needs it says so
        return None


def _decision_task(step: str, rows: Sequence[tuple[RunRow, StepRow]]) -> Task:
    """The task of a decision, from its journaled arguments. Options that differ from call to call are choices of the row."""
    asked = [json.loads(call.arguments) for _, call in rows]
    questions = list(dict.fromkeys(one["question"] for one in asked))
    if len(questions) > 1:
        first, second = questions[:2]
        raise UserError(
            f"decisions called {step} ask {len(questions)} different questions ({first!r}, {second!r}); give each a name of its own: name=..."
        )
    options = {tuple(one["options"]) for one in asked}
    return Task(step, questions[0], "choice", options.pop() if len(options) == 1 else None)


def _traced(run: RunRow, call: StepRow, kind: str, task: Task | None, takes: Sequence[str] | None) -> Traced:
    given, output = json.loads(call.arguments), json.loads(call.output or "null")
    choices = None
    if kind == "decide":
        about = given["question"] if given["about"] is None else given["about"]
        text = about if isinstance(about, str | dict) else json.dumps(about, ensure_ascii=False)
        output = output["option"]
        choices = tuple(given["options"]) if task is not None and task.labels is None else None
    else:
        text = _input(call.key[0], given, takes)
    label = output if isinstance(output, str) else json.dumps(output, sort_keys=True, ensure_ascii=False)
    facts = call.facts or {}
    return Traced(
        run=run.run,
        key=key_id(call.key),
        input=text,
        output=label,
        model=facts.get("model"),
        created=call.started,
        version=call.version,
        cost_usd=facts.get("cost_usd"),
        choices=choices,
    )


def _input(step: str, given: Mapping[str, Any], takes: Sequence[str] | None) -> Any:
    """As `ModelStep.example` makes it: one text is the input itself, else the object of arguments in the step's own order, which is the prompt's.

    The journal's arguments are sorted by name; a student that learned from those would be asked in another order.
    """
    only = next(iter(given.values())) if len(given) == 1 else None
    if isinstance(only, str):
        return only
    if takes is None and len(given) > 1:
        raise UserError(
            f"{step} takes {', '.join(given)}, and in which order its prompt has them only its code says; give --app FILE.py:FLOW"
        )
    return given if takes is None else {name: given[name] for name in (*takes, *given) if name in given}


def _feedback(path: Path, step: str, labels: Sequence[str] | None) -> list[Feedback]:
    """Rows of `run`, perhaps `step` (its name, or a call's key), and `ok` or `label`; rows on other steps are passed over."""
    words = []
    for line, row in json_rows(path):
        ok, label, about = row.get("ok"), row.get("label"), row.get("step")
        if (
            not isinstance(row.get("run"), str)
            or (ok is None and label is None)
            or not isinstance(ok, bool | None)
            or not isinstance(about, str | None)
        ):
            raise DatasetError(
                f"{path}:{line}: feedback needs `run`, `ok` (true or false) or `label`, and perhaps `step`; mend the row"
            )
        if label is not None and not isinstance(label, str):
            label = json.dumps(label, sort_keys=True, ensure_ascii=False)
        if about is not None and about != step and not about.startswith(f"{step}/"):
            continue
        if label is not None and labels is not None and label not in labels:
            raise DatasetError(
                f"{path}:{line}: the label {label!r:.80} is none of the labels of {step} ({', '.join(labels)}); mend the row"
            )
        words.append(Feedback(row["run"], None if about in (None, step) else about, ok, label))
    return words


def _task_file(task: Task | None, out: Path) -> tuple[Path | None, str | None]:
    """Where the task's file is, or goes; or why there is none."""
    path = out.parent / "task.toml"
    if task is None:
        return None, "the step's task is not known; give --app FILE.py:FLOW where it is a model step"
    if path.exists() and path.read_text(encoding="utf-8") != task_toml(task, out.name):
        return None, f"{path} is there already and says something else; it was left as it is"
    return path, None
